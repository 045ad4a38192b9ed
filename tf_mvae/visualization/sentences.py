"""Generated sentences of a trained model: reconstructions, translations, samples."""

from collections.abc import Mapping
from typing import Any

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
        The contents of a text file; empty if the model has no text, or conditions.
    """
    texts = text_modalities(model)
    if not texts or model.conditions:
        return ""
    written = {name: batch["x"][name][:number] for name in texts}
    columns = {name: texts[name].text(value) for name, value in written.items()}
    for source, value in written.items():
        z = model.latent_samples({source: value}, _SAMPLES, None, seed)
        for target in texts:
            ids, _ = say(model, z, target)
            columns[f"{target} given {source}"] = texts[target].text(ids[:, 0])
    lines = []
    for row, parts in enumerate(zip(*columns.values(), strict=True), start=1):
        lines.append(f"example {row}")
        lines += [f"  {name}: {text}" for name, text in zip(columns, parts, strict=True)]
    lines.append("samples from the prior")
    for name, drawn in said(model, {}, number, seed=seed).items():
        lines += [f"  {name}: {text}" for text, _ in drawn]
    return "\n".join(lines) + "\n"
