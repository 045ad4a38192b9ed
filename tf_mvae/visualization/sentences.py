"""Generated sentences of a trained model: reconstructions, translations, samples."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from tf_mvae.models import BaseVAE
from tf_mvae.models.sentences import said, say, text_modalities

__all__ = ["sentences_of"]

_SAMPLES = 8


def sentences_of(model: BaseVAE, batch: Mapping[str, Any], number: int = 8, seed: int = 0) -> str:
    """Generates reconstructions and translations of test sentences, and samples, as lines of text.

    Args:
        model: A trained model.
        batch: Some test examples, `{"x": {name: [batch, ...]}, "mask": ...}`.
        number: The number of examples, and of samples from the prior.
        seed: The seed of the samples.

    Returns:
        The contents of a text file; empty if the model has no text, or conditions. Examples
        without a text are passed over, and of the others what is missing is not written.
    """
    texts = text_modalities(model)
    if not texts or model.conditions:
        return ""
    written, observed = _with_text(batch, list(texts), number)
    lines = []
    for row, columns in enumerate(_columns(model, texts, written, observed, seed), start=1):
        lines.append(f"example {row}")
        lines += [f"  {name}: {text}" for name, text in columns.items()]
    lines.append("samples from the prior")
    for name, drawn in said(model, {}, number, seed=seed).items():
        lines += [f"  {name}: {text}" for text, _ in drawn]
    return "\n".join(lines) + "\n"


def _with_text(
    batch: Mapping[str, Any], names: list[str], number: int
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Returns the texts of the first examples that have one, and which of them are observed."""
    masks = batch.get("mask") or {}
    values = {name: np.asarray(batch["x"][name]) for name in names}
    there = {n: np.asarray(masks.get(n, np.ones(len(v)))) > 0 for n, v in values.items()}
    chosen = np.flatnonzero(np.any(list(there.values()), axis=0))[:number]
    return {n: v[chosen] for n, v in values.items()}, {n: m[chosen] for n, m in there.items()}


def _columns(
    model: BaseVAE,
    texts: Mapping[str, Any],
    written: Mapping[str, np.ndarray],
    observed: Mapping[str, np.ndarray],
    seed: int,
) -> list[dict[str, str]]:
    """Returns each example's own texts, and each text predicted from each observed one."""
    found = {name: (texts[name].text(ids), observed[name]) for name, ids in written.items()}
    number = len(next(iter(observed.values())))
    for source, ids in written.items() if number else ():
        mask = {source: observed[source].astype(np.float32)}
        z = model.latent_samples({source: ids}, _SAMPLES, mask, seed)
        for target in texts:
            best, _ = say(model, z, target)
            found[f"{target} given {source}"] = (texts[target].text(best[:, 0]), observed[source])
    return [
        {name: lines[row] for name, (lines, there) in found.items() if there[row]}
        for row in range(number)
    ]
