"""Generated numbers as a text table, for modalities that cannot be drawn."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from tf_mvae.group import attribute_groups
from tf_mvae.modality import Modality
from tf_mvae.models import BaseVAE

__all__ = ["value_table"]

_MOST_ROWS = 40


def value_table(
    model: BaseVAE, given: Mapping[str, Any], generated: Mapping[str, np.ndarray]
) -> str:
    """Formats mean, standard deviation and range over samples of each generated number.

    Images, classes, sentences and groups of attributes are excluded, and so are given modalities.

    Args:
        model: The model.
        given: Given values by name of a modality or a member of a group.
        generated: Generated values by modality, `[num_samples, ...]`.

    Returns:
        Aligned lines, one per number (at most 40); empty if there is no number.

    Example:
    ```python
    scan = Modality("scan", likelihoods.Normal([2]))
    model = MVAE([scan], latent_dim=2)
    print(value_table(model, {}, {"scan": model.sample(100)["scan"].numpy()}))
    ```
    """
    others = {m.name for m in attribute_groups(model.targets)}
    rows = []
    for modality in model.targets:
        kind = modality.likelihood
        drawn = kind.is_image or kind.is_categorical or kind.is_sequence
        if not drawn and modality.name not in {*others, *given}:
            rows += list(_rows(modality, given, np.asarray(generated[modality.name], np.float64)))
    if not rows:
        return ""
    shown = [("value", "mean", "deviation", "least", "greatest"), *rows[:_MOST_ROWS]]
    widths = [max(len(row[column]) for row in shown) for column in range(5)]
    lines = [
        "  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]) for row in shown
    ]
    if len(rows) > _MOST_ROWS:
        lines.append(f"... and {len(rows) - _MOST_ROWS} more")
    return "\n".join(lines)


def _rows(
    modality: Modality, given: Mapping[str, Any], samples: np.ndarray
) -> Iterator[tuple[str, ...]]:
    """Yields the name, mean, deviation, least and greatest value of each number, as text."""
    names = modality.column_names if modality.mask_shape else None
    for place in np.ndindex(samples.shape[1:]):
        name, inner = (modality.name, place) if names is None else (names[place[0]], place[1:])
        if name in given:
            continue
        column = samples[:, *place]
        figures = (column.mean(), column.std(), column.min(), column.max())
        label = f"{name}[{', '.join(map(str, inner))}]" if inner else name
        yield (label, *(f"{number:.4g}" for number in figures))
