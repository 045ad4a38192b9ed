"""Single cells: `MuData` as batches, and latents and imputed counts as `MuData` again.

It needs the extra `mudata` (`pip install 'tf-mvae[mudata]'`); no other module imports this one.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np

from tf_mvae.data.arrays import from_arrays
from tf_mvae.distributions import likelihoods
from tf_mvae.distributions.likelihoods import Likelihood
from tf_mvae.errors import UserError
from tf_mvae.extras import needing
from tf_mvae.modality import Modality
from tf_mvae.models import BaseVAE

__all__ = ["Cells", "from_mudata", "to_mudata"]

_LEAST_MEAN = 1e-3


@dataclasses.dataclass(frozen=True)
class Cells:
    """Single cells, each with some of the modalities.

    Attributes:
        source: The `MuData` object.
        batch: `{"x": ..., "mask": ...}`, for `fit`, `evaluate` and every other place that takes a
            batch; dense.
        likelihoods: By modality.
    """

    source: Any
    batch: dict[str, dict[str, np.ndarray]]
    likelihoods: Mapping[str, Likelihood]

    def modalities(self) -> list[Modality]:
        """Returns new modalities for a model, with default networks."""
        return [Modality(name, likelihood) for name, likelihood in self.likelihoods.items()]


def from_mudata(
    mdata: Any, layers: str | Mapping[str, str] | None = None, batch_key: str | None = None
) -> Cells:
    """Makes batches of single cells, of which each may have been measured by some assays only.

    Integers of 0 or more are counts (`NegativeBinomial`, with the genes' means as its scale),
    other numbers are `Normal` with a learned scale and should be standardised.

    Args:
        mdata: A `mudata.MuData`. A cell that a modality's `AnnData` does not have is missing from
            that modality.
        layers: The layer that holds the data, one for all modalities or by modality, such as
            `{"rna": "counts"}`; `X` if omitted.
        batch_key: A column of `mdata.obs`, such as the donor or the sequencing run. It becomes
            a modality of classes, which is modelled as the others are.

    Raises:
        UserError: mdata is no `MuData`, or it does not have such a layer or column.

    Example:

    ```python
    cells = from_mudata(mudata.read("cite.h5mu"), layers={"rna": "counts"})
    model = MVAE(cells.modalities(), latent_dim=16)
    model.compile(keras.optimizers.Adam(1e-3))
    model.fit(cells.batch, epochs=50, batch_size=256)
    to_mudata(cells, model).obsm["X_mvae"]   # [cells, 16]
    ```
    """
    if not hasattr(mdata, "mod") or not hasattr(mdata, "obs_names"):
        raise UserError(f"mdata must be a mudata.MuData; it is a {type(mdata).__name__}")
    _check_layers(mdata, layers)
    x, mask, found = {}, {}, {}
    for name, part in mdata.mod.items():
        layer = layers if layers is None or isinstance(layers, str) else layers.get(name)
        own = _values(part, layer)
        rows = _rows(mdata, name)
        x[name] = np.zeros([mdata.n_obs, part.n_vars], np.float32)
        x[name][rows] = own
        mask[name] = np.zeros([mdata.n_obs], np.float32)
        mask[name][rows] = 1
        found[name] = _likelihood(name, own)
    if batch_key is not None:
        x[batch_key], mask[batch_key], found[batch_key] = _classes(mdata, batch_key)
    return Cells(mdata, {"x": x, "mask": mask}, found)


def to_mudata(
    cells: Cells,
    model: BaseVAE,
    key: str = "X_mvae",
    layer: str = "imputed",
    num_samples: int = 20,
    seed: int = 0,
) -> Any:
    """Returns `MuData` in which every modality has every cell.

    Args:
        cells: The result of `from_mudata`.
        model: A model of its modalities.
        key: Where latents go: `.obsm[key]`, the posterior's mean given all that a cell has,
            `[cells, latent]`.
        layer: Where imputed data go: `.mod[NAME].layers[layer]`, what was measured, and the mean
            given the cell's other modalities where it was not.
        num_samples: Samples of the latent for a cell.
        seed: Seed of the samples.

    Returns:
        A new object. `.mod[NAME].X` is 0 for cells without that modality, whose
        `.mod[NAME].obs["observed"]` is False.

    Raises:
        UserError: mudata is not installed, or the model has other modalities.
    """
    with needing("to_mudata", "mudata"):
        import anndata
        import mudata
        import pandas as pd
    source, batch = cells.source, cells.batch
    found = model.impute(batch, num_samples, (), seed)
    parts = {}
    for name, part in source.mod.items():
        observed = batch["mask"][name] > 0
        if name not in found:
            raise UserError(f"the model does not generate {name!r}")
        parts[name] = anndata.AnnData(
            batch["x"][name],
            obs=pd.DataFrame({"observed": observed}, source.obs_names.astype(str)),
            var=part.var.copy(),
            layers={layer: found[name].filled},
        )
    made = mudata.MuData(parts)
    for column in source.obs.columns:
        if column not in made.obs.columns:
            made.obs[column] = source.obs[column].reindex(made.obs_names)
    made.obsm[key] = model.posterior(batch["x"], batch.get("mask")).mean().numpy()
    return made


def _check_layers(mdata: Any, layers: str | Mapping[str, str] | None) -> None:
    for name in layers if isinstance(layers, Mapping) else ():
        if name not in mdata.mod:
            raise UserError(f"layers has {name!r}; modalities are {', '.join(mdata.mod)}")


def _values(part: Any, layer: str | None) -> np.ndarray:
    """Returns a modality's data, dense float32 `[cells, variables]`."""
    if layer is not None and layer not in part.layers:
        raise UserError(
            f"there is no layer {layer!r}; there are {', '.join(part.layers) or 'none'}"
        )
    values = part.X if layer is None else part.layers[layer]
    if values is None:
        raise UserError("a modality has no X; name its layer with layers={NAME: LAYER}")
    values = values.toarray() if hasattr(values, "toarray") else np.asarray(values)
    return values.astype(np.float32)


def _rows(mdata: Any, name: str) -> np.ndarray:
    """Returns the places of a modality's cells among all cells."""
    for what, names in (("the cells", mdata.obs_names), (name, mdata.mod[name].obs_names)):
        if not names.is_unique:
            raise UserError(f"two of {what} have one name; call obs_names_make_unique() first")
    return mdata.obs_names.get_indexer(mdata.mod[name].obs_names)


def _likelihood(name: str, values: np.ndarray) -> Likelihood:
    if not np.isfinite(values).all():
        raise UserError(
            f"modality {name!r} holds NaN or infinity; its cells are missing as a whole"
        )
    shape = [values.shape[1]]
    if (values >= 0).all() and (values == np.round(values)).all():
        return likelihoods.NegativeBinomial(shape, np.maximum(values.mean(0), _LEAST_MEAN))
    return likelihoods.Normal(shape, scale=None)


def _classes(mdata: Any, key: str) -> tuple[np.ndarray, np.ndarray, Likelihood]:
    """Returns a column of the cells' annotations as classes, with its mask and likelihood."""
    if key not in mdata.obs.columns or key in mdata.mod:
        reason = "is a modality, too" if key in mdata.mod else "is no column of mdata.obs"
        raise UserError(f"batch_key={key!r} {reason}")
    column = mdata.obs[key].astype(object)
    names = sorted(set(column.dropna()), key=str)
    if len(names) < 2:
        raise UserError(f"batch_key={key!r} has fewer than two values; leave it out")
    found = from_arrays({key: column.where(column.notna(), None)}, class_names={key: names})
    likelihood = likelihoods.Categorical(len(names), [str(name) for name in names])
    return found["x"][key], found["mask"][key], likelihood
