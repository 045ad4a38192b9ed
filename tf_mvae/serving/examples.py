"""Example inputs of a signature, made from its description."""

from collections.abc import Mapping
from typing import Any

import numpy as np

__all__ = ["example_inputs"]

_DRAWS = {"num_samples": 4, "seed": [0, 0], "temperature": 1.0}
_QUANTILES = [0.05, 0.5, 0.95]


def example_inputs(
    description: Mapping[str, Any], signature: str, batch: int = 1, seed: int = 0
) -> dict[str, np.ndarray]:
    """Returns inputs of a signature that are in range, with everything present.

    Args:
        description: What `describe` returns, or `assets.extra/tf_mvae.json` holds.
        signature: Its name.
        batch: How many examples.
        seed: Seed of the values.

    Returns:
        Arrays by the inputs' names.

    Example:
    ```python
    description = json.loads(pathlib.Path("served/digits/1/assets.extra/tf_mvae.json").read_text())
    example_inputs(description, "decode")["z"]  # [1, latent]
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
        elif field["low"] is None:
            value = rng.normal(size=shape)
        elif field["high"] is None:
            value = field["low"] + rng.poisson(3, shape)
        elif dtype.kind in "iu":
            value = rng.integers(field["low"], field["high"], shape, endpoint=True)
        else:
            value = rng.uniform(field["low"], field["high"], shape)
        inputs[name] = value.astype(dtype)
    return inputs
