"""Random example inputs of a signature, within the ranges of its description."""

from collections.abc import Mapping
from typing import Any

import numpy as np

__all__ = ["example_inputs"]

_WIDE = 1000.0  # a range wider than this only limits what is accepted: sample near 0 instead
_DRAWS = {"num_samples": 4, "seed": [0, 0], "temperature": 1.0}
_QUANTILES = [0.05, 0.5, 0.95]


def example_inputs(
    description: Mapping[str, Any], signature: str, batch: int = 1, seed: int = 0
) -> dict[str, np.ndarray]:
    """Returns random inputs of a signature within their ranges, with all modalities observed.

    Args:
        description: The result of `describe`, or the contents of `assets.extra/tf_mvae.json`.
        signature: The signature's name.
        batch: The number of examples.
        seed: The random seed of the values.

    Returns:
        Arrays by the inputs' names.

    Raises:
        KeyError: The description has no such signature.

    Example:
    ```python
    import json

    export_saved_model(model, "exported")
    with open("exported/assets.extra/tf_mvae.json") as file:
        description = json.load(file)
    inputs = example_inputs(description, "decode")
    inputs["z"].shape  # [1, latent]
    ```
    """
    rng = np.random.default_rng(seed)
    sizes = {"batch": batch, "num_samples": _DRAWS["num_samples"]}
    inputs = {}
    for name, field in description["signatures"][signature]["inputs"].items():
        dtype = np.dtype(field["dtype"])
        shape = [sizes.get(size, size) for size in field["shape"]]
        if name in _DRAWS:
            value = np.asarray(_DRAWS[name])
        elif signature == "impute" and name in ("quantiles", "wanted_quantiles") and shape == [3]:
            value = np.asarray(_QUANTILES)
        elif name.endswith("_mask"):
            value = np.ones(shape)
        else:
            value = _within(rng, shape, dtype, field["low"], field["high"])
        inputs[name] = value.astype(dtype)
    return inputs


def _within(
    rng: np.random.Generator, shape: list[int], dtype: np.dtype, low: Any, high: Any
) -> np.ndarray:
    """Returns random values within bounds: numbers, None, or nested lists of them by element."""
    if isinstance(low, list) or isinstance(high, list):
        lows, highs = (np.broadcast_to(np.asarray(b, object), shape[1:]) for b in (low, high))
        value = np.empty(shape, dtype)
        for element in np.ndindex(*shape[1:]):
            least, most = lows[element], highs[element]
            # Between whole numbers are codes of classes, counts, and events of survival times.
            # Numbers of either sign with wide limits are none of these.
            whole = all(b is not None and float(b).is_integer() for b in (least, most))
            kind = np.dtype(int) if whole and (least >= 0 or most - least <= _WIDE) else dtype
            value[:, *element] = _within(rng, shape[:1], kind, least, most)
        return value
    if low is None:
        return rng.normal(size=shape)
    if high is None or (dtype.kind in "iu" and low >= 0 and high - low > _WIDE):
        return low + rng.poisson(3, shape)
    if dtype.kind in "iu":
        return rng.integers(low, high, shape, endpoint=True)
    if high - low > _WIDE:
        return np.clip(rng.normal(size=shape), low, high)
    return rng.uniform(low, high, shape)
