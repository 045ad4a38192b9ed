"""A user's program whose types `mypy` checks (`.ci/run`); nothing runs it.

`assert_type` fails if the package's types are lost on the way to the public names.
"""

from typing import assert_type

import numpy as np

from tf_mvae import MVAE, Modality, ModalityGroup, MultimodalVAE, likelihoods, samplers
from tf_mvae.data import Table, from_frame
from tf_mvae.evaluation import ImportanceSampler
from tf_mvae.models import Elbo
from tf_mvae.objectives import SubsetElbos
from tf_mvae.posteriors import Product


def use_models(images: np.ndarray, labels: np.ndarray) -> None:
    """Makes models, and calls their methods."""
    image = Modality("image", likelihoods.Bernoulli([28, 28, 1]))
    label = Modality("label", likelihoods.Categorical(10, class_names=[*"0123456789"]))
    group = ModalityGroup("attributes", ["hat", "smile"], likelihoods.Bernoulli([]))
    model = MVAE([image, label, group], latent_dim=32, num_random_subsets=2)
    assert_type(model.num_random_subsets, int)
    assert_type(model.elbo({"image": images, "label": labels}), Elbo)
    model.generate({"label": [7]}, num_samples=16, latents="posterior")
    model.push_to_hub("someone/digits", private=True)
    samplers.fit(model, {"x": {"image": images}}, epochs=2)
    ImportanceSampler(model, num_samples=100).conditional(
        {"image": images, "label": labels}, target=["label"], given=["image"]
    )
    MultimodalVAE([image], posterior_kind=Product(), objective=SubsetElbos(alignment_weight=0.5))


def use_tables(frame: object) -> None:
    """Fills a table."""
    table = from_frame(frame)
    assert_type(table, Table)
    MVAE(table.modalities()).impute(table, num_samples=100, quantiles=(0.05, 0.95))
