"""A model and an experiment of another package."""

import keras
import numpy as np
import tensorflow as tf

from tf_mvae import Modality, checks, likelihoods
from tf_mvae.data.pipeline import Split
from tf_mvae.experiments import Experiment, register
from tf_mvae.layers import mlp_decoder, mlp_encoder
from tf_mvae.models import MultimodalVAE, preset
from tf_mvae.objectives import JointElbo
from tf_mvae.posteriors import Product
from tf_mvae.settings import Setting

SIZES = {"train": 200, "validation": 40, "test": 40}


def load(split, data_dir, noise):
    rng = np.random.default_rng(list(SIZES).index(split))
    kind = rng.integers(0, 3, SIZES[split]).astype(np.int32)
    value = (kind[:, None] + noise * rng.normal(size=[SIZES[split], 2])).astype(np.float32)
    data = tf.data.Dataset.from_tensor_slices({"x": {"value": value, "kind": kind}})
    return Split(data, SIZES[split])


def modalities(likelihood_weight, cross_weight, noise):
    return [
        Modality("value", likelihoods.Normal([2]), mlp_encoder([8]), mlp_decoder([2], [8])),
        Modality("kind", likelihoods.Categorical(3), mlp_encoder([8], 3), mlp_decoder([3], [8])),
    ]


register(
    Experiment(
        name="clusters",
        description="Three clusters",
        load=load,
        modalities=modalities,
        analyses=("accuracy",),
        settings=(Setting("noise", 0.1, "Deviation of the values.", checks.positive),),
    )
)


@preset("aligned", Setting("pull", 0.1, "Weight of the divergences.", checks.non_negative))
@keras.saving.register_keras_serializable("outside")
class Aligned(MultimodalVAE):
    """A product of experts that follows its factors."""

    def __init__(self, modalities, latent_dim=4, pull=0.1, **kwargs):
        super().__init__(modalities, latent_dim, Product(), JointElbo(pull), **kwargs)
        self.pull = pull

    def get_config(self):
        return {**super().get_config(), "pull": self.pull}
