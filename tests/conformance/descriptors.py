"""The list of likelihoods, layers and models that the conformance checks run through."""

import dataclasses
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

from tests import tiny
from tf_mvae import (
    CVAE,
    JMVAE,
    MMVAE,
    MVAE,
    MVAEQ,
    MVTCAE,
    TELBO,
    VAE,
    BaseVAE,
    BiVCCA,
    LinearAnnealing,
    MMVAEPlus,
    Modality,
    ModalityGroup,
    MoPoE,
    MultimodalVAE,
    likelihoods,
)
from tf_mvae.layers import (
    ContextBlock,
    MaskedBatchNormalization,
    MaskedSequential,
    ProductOfExperts,
    RecurrentDecoder,
    RecurrentEncoder,
    conv_decoder,
    conv_encoder,
    grouped_mlp_decoder,
    grouped_mlp_encoder,
    mlp_decoder,
    mlp_encoder,
    spatial_decoder,
    spatial_encoder,
    spatial_head,
)
from tf_mvae.layers.joint import JointEncoder
from tf_mvae.objectives import MixtureElbo, PrivateStratifiedBound
from tf_mvae.posteriors import LatentSpace, MixtureOfExperts, PrivateMixtureOfExperts

__all__ = ["DESCRIPTORS", "Descriptor"]

_BATCH = 6
_PRIVATE = LatentSpace(3, {"image": 2, "label": 1, "reading": 2})


@keras.saving.register_keras_serializable("tf_mvae_tests")
def conformance_logistic(parameters: tf.Tensor) -> tfp.distributions.Distribution:
    """A likelihood that the package does not have."""
    return tfp.distributions.Independent(tfp.distributions.Logistic(parameters, 1.0), 1)


@dataclasses.dataclass(frozen=True)
class Descriptor:
    """One part to check: a likelihood, a layer or a model.

    Attributes:
        name: Its name in the tests' names.
        make_part: Makes the thing, which has a config.
        make_model: Makes a Keras model of the thing.
        loss: A scalar of the model that is a function of its weights alone.
        combines: Whether its parts are all in the list by themselves or with others: XLA takes
            long to compile it, and it is compared with the other modes by `pytest -m long`.
    """

    name: str
    make_part: Callable[[], Any]
    make_model: Callable[[Any], keras.Model]
    loss: Callable[[keras.Model], tf.Tensor]
    combines: bool = False


def _combining(descriptor: Descriptor) -> Descriptor:
    return dataclasses.replace(descriptor, combines=True)


def _data(*shape: int) -> np.ndarray:
    return np.random.default_rng(3).normal(size=[_BATCH, *shape]).astype(np.float32)


def _likelihood(
    name: str,
    make: Callable[[], likelihoods.Likelihood],
    value: np.ndarray,
    element_mask: bool = False,
):
    """A likelihood is checked as the only one of a model.

    With an `element_mask` NaN in the data is a missing element.
    """

    def make_model(likelihood: likelihoods.Likelihood) -> keras.Model:
        classes = getattr(likelihood, "num_classes", None)
        decoder = mlp_decoder(likelihood.parameter_shape, [4])
        encoder = mlp_encoder([4], classes)
        thing = Modality("thing", likelihood, encoder, decoder, element_mask=element_mask)
        return MVAE([thing], 2)

    def loss(model: keras.Model) -> tf.Tensor:
        (modality,) = model.modalities
        there = tf.ones([_BATCH])
        loc, log_variance = modality.encode(value, there)
        parameters = modality.decode(loc + tf.exp(log_variance / 2))
        prepared = modality.prepare(value, there)
        return -tf.reduce_mean(modality.log_prob(parameters, prepared, there))

    return Descriptor(name, make, make_model, loss)


def _layer(name: str, make: Callable[[], keras.layers.Layer], *inputs: Any):
    """A layer is checked as a functional model, with a loss that depends on every output."""

    def symbol(x: Any, name: str | None = None) -> Any:
        if isinstance(x, dict):
            return {key: symbol(value, key) for key, value in x.items()}
        return keras.Input(x.shape[1:], dtype=x.dtype.name, name=name)

    def make_model(layer: keras.layers.Layer) -> keras.Model:
        symbols = [symbol(x) for x in inputs]
        return keras.Model(symbols[0] if len(symbols) == 1 else symbols, layer(*symbols))

    def loss(model: keras.Model) -> tf.Tensor:
        outputs = tf.nest.flatten(model(inputs[0] if len(inputs) == 1 else list(inputs)))
        outputs = [tf.reshape(tf.cast(o, tf.float32), [-1]) for o in outputs]
        weights = [tf.sin(tf.range(tf.size(o), dtype=o.dtype)) for o in outputs]
        return tf.add_n([tf.reduce_sum(w * o) for w, o in zip(weights, outputs, strict=True)])

    return Descriptor(name, make, make_model, loss)


def _model(name: str, make: type[BaseVAE] = MVAE, **kwargs: Any):
    """A model is checked by its loss on all presence patterns, and on further complete examples."""
    batch = tiny.make_batch(np.concatenate([tiny.all_patterns(3), np.ones([4, 3])]))

    def loss(model: BaseVAE) -> tf.Tensor:
        part = tiny.part_of(batch, model)
        return model.elbo(part, kl_weight=tf.constant(0.5), seed=2, training=True).loss

    return Descriptor(name, lambda: tiny.make_any(make, **kwargs), lambda model: model, loss)


def _group_model(name: str, make: type[MVAE], cross_weight: float):
    """A model of a vector and a group is checked with some members missing."""
    members = ["a", "b", "c"]

    def make_part() -> MVAE:
        likelihood = likelihoods.Bernoulli([])
        networks = grouped_mlp_encoder([4], num_classes=2), grouped_mlp_decoder([], [4])
        weights = {"a": 2.0}, cross_weight
        group = ModalityGroup("group", members, likelihood, *networks, *weights)
        reading = likelihoods.Normal([3])
        single = Modality("reading", reading, mlp_encoder([4]), mlp_decoder([3], [4]), 1.0, 0.5)
        return make([group, single], tiny.LATENT_DIM, num_random_subsets=2)

    present = tiny.all_patterns(4)
    batch = {
        "x": {
            "group": np.random.default_rng(0).integers(0, 2, [len(present), 3]).astype(np.float32),
            "reading": np.random.default_rng(1).normal(size=[len(present), 3]).astype(np.float32),
        },
        "mask": {"group": present[:, :3], "reading": present[:, 3]},
    }

    def loss(model: BaseVAE) -> tf.Tensor:
        return model.elbo(batch, kl_weight=tf.constant(0.5), seed=2, training=True).loss

    return Descriptor(name, make_part, lambda model: model, loss)


def _sequence_model(name: str, make: type[BaseVAE], **kwargs: Any):
    """A model of two languages is checked with word dropout, on sentences that are missing."""
    present = np.concatenate([tiny.all_patterns(2), np.ones([2, 2])])
    batch = {
        "x": {"one": _WORDS, "two": _WORDS[::-1].copy()},
        "mask": {"one": present[:, 0], "two": present[:, 1]},
    }

    def make_part() -> BaseVAE:
        modalities = []
        for language in ("one", "two"):
            network = RecurrentDecoder(7, 3, 4, 2, word_dropout=0.3)
            likelihood = likelihoods.TokenSequence(7, 4, network, 5)
            decoder = mlp_decoder([5], [4])
            modalities.append(Modality(language, likelihood, RecurrentEncoder(7, 3, 4), decoder))
        return make(modalities, tiny.LATENT_DIM, **kwargs)

    def loss(model: BaseVAE) -> tf.Tensor:
        return model.elbo(batch, kl_weight=tf.constant(0.5), seed=2, training=True).loss

    return Descriptor(name, make_part, lambda model: model, loss)


def _spatial_model(name: str, make: type[BaseVAE], **kwargs: Any):
    """A model whose latent is a grid is checked on two pictures, some of them missing."""
    present = np.concatenate([tiny.all_patterns(2), np.ones([2, 2])])
    rng = np.random.default_rng(0)
    batch = {
        "x": {n: rng.random([_BATCH, 4, 4, c]).astype(np.float32) for n, c in _CHANNELS.items()},
        "mask": {n: present[:, i] for i, n in enumerate(_CHANNELS)},
    }

    def make_part() -> BaseVAE:
        modalities = []
        for picture, channels in _CHANNELS.items():
            likelihood = likelihoods.Normal([4, 4, channels], None if channels == 1 else 0.5)
            networks = (
                MaskedSequential([*spatial_encoder(2, 3, 0).layers, _MovedBlock()]),
                spatial_decoder([2, 2, 2], likelihood.parameter_shape, 3, 0),
            )
            modalities.append(Modality(picture, likelihood, *networks, expert_head=spatial_head(2)))
        return make(modalities, 8, **kwargs)

    def loss(model: BaseVAE) -> tf.Tensor:
        return model.elbo(batch, kl_weight=tf.constant(0.5), seed=2, training=True).loss

    return Descriptor(name, make_part, lambda model: model, loss)


@keras.saving.register_keras_serializable("tf_mvae_tests")
class _MovedBlock(ContextBlock):
    """A block whose last layers are not 0, so that gradients reach the others."""

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        super().build(input_shape)
        for layer in (self.second, self.outer):
            layer.kernel.assign(layer.kernel + 0.1)


_CHANNELS = {"colour": 3, "grey": 1}
_PIXELS = np.abs(np.sin(_data(2, 3)))
_WORDS = np.array(
    [[3, 4, 2, 0], [5, 6, 5, 2], [2, 0, 0, 0], [3, 3, 2, 0], [6, 4, 3, 5], [4, 2, 0, 0]], np.int32
)
_ONES = np.ones([_BATCH, 3], np.float32)

_COUNTS = np.round(np.abs(3 * _data(3)))
_HOLES = np.where(_data(3) > 0.3, np.nan, _COUNTS)
_MIXED = np.concatenate([_data(2), _COUNTS[:, :1], np.arange(_BATCH)[:, np.newaxis] % 3], 1)


def _columns() -> likelihoods.Columns:
    parts = [likelihoods.Normal([2], scale=None), likelihoods.Poisson([1])]
    return likelihoods.Columns([*parts, likelihoods.Categorical(3)])


DESCRIPTORS = [
    _likelihood("Bernoulli", lambda: likelihoods.Bernoulli([2, 3]), _PIXELS),
    _likelihood("Categorical", lambda: likelihoods.Categorical(4), np.arange(_BATCH) % 4),
    _likelihood("Normal", lambda: likelihoods.Normal([2, 3], scale=0.5), _data(2, 3)),
    _likelihood("NormalLearned", lambda: likelihoods.Normal([2, 3], scale=None), _data(2, 3)),
    _likelihood("Laplace", lambda: likelihoods.Laplace([3]), _data(3)),
    _likelihood("Poisson", lambda: likelihoods.Poisson([3]), np.round(np.abs(_data(3)))),
    _likelihood("NegativeBinomial", lambda: likelihoods.NegativeBinomial([3], [1, 5, 2]), _COUNTS),
    _likelihood("ZeroInflated", lambda: likelihoods.ZeroInflatedNegativeBinomial([3]), _COUNTS),
    _likelihood("StudentT", lambda: likelihoods.StudentT([2, 3]), _data(2, 3)),
    _likelihood("Beta", lambda: likelihoods.Beta([2, 3]), np.clip(_PIXELS, 0.01, 0.99)),
    _likelihood("Gamma", lambda: likelihoods.Gamma([3]), np.exp(_data(3))),
    _likelihood("LogNormal", lambda: likelihoods.LogNormal([3]), np.exp(_data(3))),
    _likelihood("Ordinal", lambda: likelihoods.Ordinal(4), np.arange(_BATCH) % 4),
    _likelihood("Columns", _columns, _MIXED),
    _likelihood("Columns_holes", _columns, np.where(_data(4) > 0.5, np.nan, _MIXED), True),
    _likelihood("Gamma_holes", lambda: likelihoods.Gamma([3]), _HOLES + 0.5, True),
    _likelihood(
        "CallableLikelihood",
        lambda: likelihoods.CallableLikelihood(conformance_logistic, [3]),
        _data(3),
    ),
    _layer("ProductOfExperts", ProductOfExperts, _data(3, 2), _data(3, 2), _ONES),
    _layer("MaskedBatchNormalization", MaskedBatchNormalization, _data(3)),
    _layer(
        "MaskedSequential",
        lambda: MaskedSequential([keras.layers.Dense(4), MaskedBatchNormalization()]),
        _data(3),
    ),
    _layer("mlp_encoder", lambda: mlp_encoder([5, 4]), _data(2, 3)),
    _layer("mlp_decoder", lambda: mlp_decoder([2, 3], [4]), _data(2)),
    _layer("conv_encoder", lambda: conv_encoder([2, 3], units=4), _data(8, 8, 1)),
    _layer("conv_decoder", lambda: conv_decoder([8, 8, 1], [3, 2], units=4), _data(2)),
    _layer("ContextBlock", _MovedBlock, _data(4, 8, 2)),
    _layer("spatial_encoder", lambda: spatial_encoder(2, 3, 0), _data(8, 8, 1)),
    _layer("spatial_head", lambda: spatial_head(2), _data(2, 2, 3)),
    _layer("spatial_decoder", lambda: spatial_decoder([2, 2, 1], [2, 4, 4, 1], 3, 0), _data(4)),
    _layer(
        "JointEncoder",
        lambda: JointEncoder({"b": mlp_encoder([4]), "a": mlp_encoder([3], 4)}, 2, units=5),
        {"a": np.arange(_BATCH, dtype=np.int32) % 4, "b": _data(3)},
    ),
    _layer("RecurrentEncoder", lambda: RecurrentEncoder(7, 3, 4), _WORDS),
    _layer("RecurrentEncoder_max", lambda: RecurrentEncoder(7, 3, 4, "max"), _WORDS),
    _layer("RecurrentDecoder", lambda: RecurrentDecoder(7, 3, 4, 2), _data(2), _WORDS),
    _likelihood(
        "TokenSequence",
        lambda: likelihoods.TokenSequence(7, 4, RecurrentDecoder(7, 3, 4), 5, [*"abcdefg"]),
        _WORDS,
    ),
    _sequence_model("MVAE_sequences", MVAE, free_bits=0.1),
    _combining(_sequence_model("JMVAE_sequences", JMVAE, free_bits=0.1)),
    _spatial_model("MVAE_spatial", MVAE),
    _combining(_spatial_model("MVAEQ_spatial", MVAEQ)),
    _model("MVAE_paper", cross_weight=0, num_samples=2),
    _model(
        "MVAE_batch_norm",
        batch_norm=True,
        num_random_subsets=1,
        kl_weight=LinearAnnealing(10),
        subset_distribution="uniform_subsets",
        term_weight={"everything": 0.5, "label": 2},
    ),
    _model("MVAEQ", MVAEQ),
    _group_model("MVAE_group", MVAE, 0.0),
    _combining(_group_model("MVAEQ_group_cross", MVAEQ, 0.5)),
    _model("VAE", VAE),
    _model("CVAE", CVAE),
    _combining(_model("CVAE_batch_norm", CVAE, batch_norm=True)),
    _model("BiVCCA", BiVCCA),
    _model("JMVAE_batch_norm", JMVAE, batch_norm=True, alpha=0.3),
    _model("TELBO", TELBO),
    _model("MVAE_alignment", MVAE, num_random_subsets=1, alignment_weight=0.5),
    _model("MoPoE", MoPoE, num_samples=2),
    _model("MVTCAE", MVTCAE, alpha=0.6),
    _model("MMVAE_elbo", MMVAE, num_samples=2, bound="elbo"),
    _model("MMVAE_iwae", MMVAE, num_samples=3, bound="iwae"),
    _model("MMVAE_dreg", MMVAE, num_samples=3, bound="dreg"),
    _model(
        "MMVAEPlus", MMVAEPlus, num_samples=2, private_dim={"image": 2, "label": 1, "reading": 2}
    ),
    _model(
        "MultimodalVAE", MultimodalVAE, posterior_kind=MixtureOfExperts(), objective=MixtureElbo()
    ),
    _combining(
        _model(
            "MultimodalVAE_private",
            MultimodalVAE,
            latent=_PRIVATE,
            latent_dim=_PRIVATE.size,
            posterior_kind=PrivateMixtureOfExperts(_PRIVATE),
            objective=PrivateStratifiedBound(_PRIVATE, "elbo"),
        )
    ),
]
