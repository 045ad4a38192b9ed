"""MuData of single cells, some with one modality: conversion to batches and back."""

import numpy as np
import pytest

from tf_mvae import MVAE, UserError, likelihoods
from tf_mvae.mudata import from_mudata, to_mudata

pytest.importorskip("mudata")


def make_cells():
    import anndata
    import mudata
    import pandas as pd
    import scipy.sparse

    rng = np.random.default_rng(0)
    counts = rng.poisson(2, [6, 4]).astype(np.float32)
    rna = anndata.AnnData(
        np.log1p(counts),
        obs=pd.DataFrame(index=[f"c{i}" for i in range(6)]),
        layers={"counts": scipy.sparse.csr_matrix(counts)},
    )
    protein = anndata.AnnData(
        rng.normal(size=[5, 3]).astype(np.float32),
        obs=pd.DataFrame(index=[f"c{i}" for i in (7, 3, 4, 5, 6)]),
    )
    mdata = mudata.MuData({"rna": rna, "protein": protein})
    mdata.obs["donor"] = pd.Series(["a", "b", None, "a", "b", "a", "a", "b"], mdata.obs_names)
    return mdata, counts


def test_unpaired_cells_go_in_and_latents_and_counts_come_out():
    mdata, counts = make_cells()
    cells = from_mudata(mdata, layers={"rna": "counts"}, batch_key="donor")
    names = list(mdata.obs_names)
    rows = [names.index(f"c{i}") for i in range(6)]
    np.testing.assert_array_equal(cells.batch["x"]["rna"][rows], counts)
    absent = [names.index("c6"), names.index("c7")]
    assert not cells.batch["mask"]["rna"][absent].any()
    place = names.index("c7")
    np.testing.assert_array_equal(cells.batch["x"]["protein"][place], mdata["protein"].X[0])
    assert cells.batch["mask"]["donor"][2] == 0 and cells.batch["mask"]["protein"].sum() == 5
    assert isinstance(cells.likelihoods["rna"], likelihoods.NegativeBinomial)
    assert isinstance(cells.likelihoods["protein"], likelihoods.Normal)
    model = MVAE(cells.modalities(), latent_dim=2)
    made = to_mudata(cells, model, num_samples=3)
    assert list(made.obs_names) == names and made.obsm["X_mvae"].shape == (8, 2)
    np.testing.assert_allclose(made.obsm["X_mvae"], model.posterior(**cells.batch).mean())
    imputed = made["rna"].layers["imputed"]
    np.testing.assert_array_equal(imputed[rows], counts)
    assert (imputed[absent] > 0).all() and np.isfinite(made["protein"].layers["imputed"]).all()
    assert not made["rna"].obs["observed"].iloc[absent].any()
    assert list(made["rna"].var_names) == list(mdata["rna"].var_names)
    assert list(made.obs["donor"].dropna()) == list(mdata.obs["donor"].dropna())


def test_what_is_not_there_is_named():
    mdata, _ = make_cells()
    for arguments, message in (
        ({"layers": "raw"}, "no layer 'raw'"),
        ({"layers": {"dna": "counts"}}, "modalities are rna, protein"),
        ({"batch_key": "run"}, "is no column of mdata.obs"),
        ({"batch_key": "rna"}, "is a modality, too"),
    ):
        with pytest.raises(UserError, match=message):
            from_mudata(mdata, **arguments)
    with pytest.raises(UserError, match=r"must be a mudata\.MuData"):
        from_mudata({})
