"""Model cards: a model's data, settings, metrics, limits and licence."""

import dataclasses
import json
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

__all__ = ["ModelCard", "write_model_card"]

_SOFTWARE_LICENCE = "The software that made it, tf_mvae, is under the Apache License 2.0."


@dataclasses.dataclass(frozen=True)
class ModelCard:
    """Facts about a model's training, after Mitchell et al., *Model Cards* (FAccT 2019).

    Attributes:
        data: Facts about the training data, by name.
        flags: The settings of the training run, by name.
        metrics: Measured results, by name.
        limits: Sentences about unsuitable uses, in addition to the general ones.
        licence: The data's licence, which may apply to the weights too.

    Example:
    ```python
    card = ModelCard(data={"data set": "digits"}, limits=["Trained on 20 images."])
    path = export_version(model, "served/digits", card=card)
    text = (path / "assets.extra" / "model_card.md").read_text()
    ```
    """

    data: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    flags: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    metrics: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    limits: Sequence[str] = ()
    licence: str = ""


def write_model_card(folder: pathlib.Path, card: ModelCard, description: Mapping[str, Any]) -> None:
    """Writes a model card as `model_card.md` and `model_card.json`.

    Args:
        folder: An existing directory.
        card: Facts about the model's training.
        description: The result of `describe` or `describe_modalities`.
    """
    told = dataclasses.asdict(card)
    told["limits"] = [*card.limits, *_limits(description)]
    told["licence"] = " ".join([card.licence or "The data's licence is not known.",
                                _SOFTWARE_LICENCE])  # fmt: skip
    told = {"model": _model(description), **told}
    (folder / "model_card.json").write_text(json.dumps(told, indent=1), encoding="utf-8")
    (folder / "model_card.md").write_text(_markdown(told, description), encoding="utf-8")


def _model(description: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the card's entry `model`."""
    model = {name: description[name] for name in ("model", "latent_dim", "targets", "conditions")}
    return {"class": model.pop("model"), **model}


def _limits(description: Mapping[str, Any]) -> list[str]:
    """Returns the limits that hold for any model of these modalities."""
    limits = [
        "The model has learned the distribution of its training data only: its results for other "
        "inputs have no meaning, and no signature detects such inputs.",
        "Generated values are expected values of likelihoods, and smoother than data.",
        "Estimated log-likelihoods are below the true ones on average. If the effective sample "
        "size is below some tens, the standard error is too small as well.",
        "Fairness between groups of people was not examined.",
    ]
    modalities = description["modalities"]
    grey = [n for n, m in modalities.items() if m["likelihood"] == "Bernoulli" and m["is_image"]]
    if grey:
        limits.append(
            f"The log-likelihood of {', '.join(grey)} is a log-probability only if all values "
            "are 0 or 1; for values between them it is a cross-entropy."
        )
    if description["conditions"]:
        limits.append(
            f"{', '.join(description['conditions'])} is required by every signature: the model "
            "has no distribution of it."
        )
    return limits


def _markdown(told: Mapping[str, Any], description: Mapping[str, Any]) -> str:
    model = told["model"]
    parts = [
        "# Model card",
        f"`{model['class']}` of {', '.join(description['modalities'])}, with a latent of "
        f"{model['latent_dim']} dimensions. The fields of every signature are in tf_mvae.json.",
        _table(["modality", "likelihood", "example", "type", "holds"], [
            [name, m["likelihood"], str(m["shape"]), m["dtype"], m["holds"]]
            for name, m in description["modalities"].items()
        ]),
    ]  # fmt: skip
    columns = [c for m in description["modalities"].values() for c in m.get("table_columns", ())]
    if columns:
        rows = [[str(column["name"]), column["type"], _numbers(column)] for column in columns]
        parts += ["## Columns", _table(["column", "type", "as a number"], rows)]
    for title in ("data", "metrics", "flags"):
        rows = [[name, _text(value)] for name, value in told[title].items()]
        parts += [f"## {title.capitalize()}", _table(["", ""], rows) if rows else "Not known."]
    parts += ["## Limits", "\n".join(f"- {sentence}" for sentence in told["limits"])]
    parts += ["## Licence", told["licence"]]
    return "\n\n".join(parts) + "\n"


def _numbers(column: Mapping[str, Any]) -> str:
    """Says how an entry x of a table's column becomes a number of the model."""
    if column["categories"]:
        return ", ".join(f"{place}: {name}" for place, name in enumerate(column["categories"]))
    x = f"(x - {_text(column['loc'])})" if column["loc"] else "x"
    return x if column["scale"] == 1 else f"{x} / {_text(column['scale'])}"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    cells = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(_cell(text) for text in row) + " |" for row in cells)


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def _text(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, Mapping):
        return ", ".join(f"{name}: {_text(entry)}" for name, entry in value.items())
    return str(value)
