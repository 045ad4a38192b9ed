"""Tiny models and batches that the tests share, and the three ways to run a function."""

import functools
import itertools
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tf_mvae.distributions import likelihoods
from tf_mvae.layers import MaskedBatchNormalization, MaskedSequential, mlp_decoder, mlp_encoder
from tf_mvae.modality import Modality
from tf_mvae.models import CVAE, JMVAE, MVAE, VAE, BaseVAE
from tf_mvae.models.joint_posterior import JointPosteriorVAE

NAMES = ("image", "label", "reading")
EVENT_SHAPES = {"image": (4, 4, 1), "label": (), "reading": (3,)}
NUM_CLASSES = 5
LATENT_DIM = 3
LIKELIHOOD_WEIGHTS = {"image": 1.0, "label": 4.0, "reading": 0.5}

# How a function may run: as it stands, in a graph, compiled.
MODES = {
    "eager": lambda function: function,
    "function": tf.function,
    "xla": functools.partial(tf.function, jit_compile=True),
}


def make_likelihoods() -> dict[str, likelihoods.Likelihood]:
    """Returns the likelihoods of the tiny model's modalities."""
    return {
        "image": likelihoods.Bernoulli(EVENT_SHAPES["image"]),
        "label": likelihoods.Categorical(NUM_CLASSES),
        "reading": likelihoods.Normal(EVENT_SHAPES["reading"], scale=0.7),
    }


def make_encoder(name: str, batch_norm: bool = False) -> MaskedSequential:
    """Returns a network of one layer of 8 from a modality to features."""
    encoder = mlp_encoder([8], NUM_CLASSES if name == "label" else None)
    return MaskedSequential([*encoder.layers, *[MaskedBatchNormalization()] * batch_norm])


def make_modalities(
    cross_weight: dict[str, float] | float | None = None, batch_norm: bool = False
) -> list[Modality]:
    """Returns an image, a label and a reading, with networks of one layer of 8.

    Args:
        cross_weight: Of every modality, or by name.
        batch_norm: Whether encoders and decoders hold masked batch normalisation.
    """
    modalities = []
    for name, likelihood in make_likelihoods().items():
        encoder = make_encoder(name, batch_norm)
        decoder = mlp_decoder(likelihood.parameter_shape, [8])
        if batch_norm:
            decoder = MaskedSequential([MaskedBatchNormalization(), *decoder.layers])
        cross = cross_weight[name] if isinstance(cross_weight, dict) else cross_weight
        weight = LIKELIHOOD_WEIGHTS[name]
        modalities.append(Modality(name, likelihood, encoder, decoder, weight, cross))
    return modalities


def make_model(
    cross_weight: dict[str, float] | float | None = None, batch_norm: bool = False, **kwargs
) -> MVAE:
    """Returns a model of `make_modalities`; `kwargs` are those of `MVAE`."""
    kwargs = {"latent_dim": LATENT_DIM, **kwargs}
    return MVAE(make_modalities(cross_weight, batch_norm), **kwargs)


def make_any(
    make: type[BaseVAE],
    cross_weight: dict[str, float] | float | None = None,
    batch_norm: bool = False,
    **kwargs,
) -> BaseVAE:
    """Returns a tiny model of any class: a VAE of the image, a CVAE of it given the rest."""
    modalities = make_modalities(cross_weight, batch_norm)
    if make is VAE:
        modalities = modalities[:1]
    if make is CVAE:
        kwargs = {"units": [8], **kwargs}
        if batch_norm:
            kwargs["trunk"] = make_encoder("image", batch_norm)
    if issubclass(make, JointPosteriorVAE):
        kwargs["trunks"] = {name: make_encoder(name, batch_norm) for name in NAMES}
    return make(modalities, **{"latent_dim": LATENT_DIM, **kwargs})


def part_of(batch: dict[str, Any], model: BaseVAE) -> dict[str, Any]:
    """Returns the part of a batch with a model's modalities."""
    names = [modality.name for modality in model.modalities]
    return {part: {name: values[name] for name in names} for part, values in batch.items()}


def all_patterns(num_modalities: int) -> np.ndarray:
    """Returns all presence patterns, including the empty one, `[2 ** N, N]` float32."""
    return np.array(list(itertools.product((0, 1), repeat=num_modalities)), np.float32)


def make_batch(present: np.ndarray | None = None, seed: int = 0) -> dict[str, Any]:
    """Returns a batch of random data, one example a row of `present`.

    Args:
        present: `[batch, 3]`; every presence pattern once where left out.
        seed: Seed of the data.
    """
    present = all_patterns(len(NAMES)) if present is None else np.asarray(present, np.float32)
    rng = np.random.default_rng(seed)
    size = len(present)
    x = {
        "image": rng.uniform(size=[size, *EVENT_SHAPES["image"]]).astype(np.float32),
        "label": rng.integers(NUM_CLASSES, size=[size]).astype(np.int32),
        "reading": rng.normal(size=[size, *EVENT_SHAPES["reading"]]).astype(np.float32),
    }
    return {"x": x, "mask": {name: present[:, i].copy() for i, name in enumerate(NAMES)}}


def batches(data: Any, size: int) -> tf.data.Dataset:
    """Returns a data set of batches, without autotuning, whose end can take seconds."""
    options = tf.data.Options()
    options.autotune.enabled = False
    return tf.data.Dataset.from_tensor_slices(data).batch(size).with_options(options)


def repeat(batch: Any, times: int) -> Any:
    """Repeats every example of a batch, the whole batch after itself."""
    return tf.nest.map_structure(lambda v: np.concatenate([v] * times), batch)


def make_posterior_sharp(model: keras.Model, log_variance: float = -36.0) -> None:
    """Gives every posterior that a model samples a tiny variance whatever it sees.

    With a standard deviation of exp(-18), 1.5e-8, a sample is the mean in float32, and
    what depends on the noise can be compared where the noise differs.
    """
    heads = [m.expert_head for m in model.modalities if not isinstance(model, CVAE | JMVAE)]
    if isinstance(model, CVAE):
        heads = [model.encoder.layers[-1]]
    if isinstance(model, JointPosteriorVAE):
        heads.append(model.joint_encoder.head)
    for head in heads:
        kernel, bias = head.get_weights()
        kernel[..., model.latent_dim :] = 0.0
        bias[..., model.latent_dim :] = log_variance
        head.set_weights([kernel, bias])


def assert_close(actual: Any, expected: Any, rtol: float = 1e-5, atol: float = 1e-5) -> None:
    """Compares two structures of tensors, None for None."""
    tf.nest.assert_same_structure(actual, expected)
    pairs = zip(tf.nest.flatten(actual), tf.nest.flatten(expected), strict=True)
    for one, other in pairs:
        assert (one is None) == (other is None)
        if one is not None:
            np.testing.assert_allclose(np.asarray(one), np.asarray(other), rtol=rtol, atol=atol)


def gradients_of(loss_function, variables: Sequence[keras.Variable]):
    """Returns a loss and its gradients; usable in any of `MODES`."""
    with tf.GradientTape() as tape:
        loss = loss_function()
    gradients = tape.gradient(loss, [variable.value for variable in variables])
    return loss, [None if g is None else tf.convert_to_tensor(g) for g in gradients]


def assert_same_steps(model: BaseVAE, batch: Any, others: Sequence[Any]) -> None:
    """Checks that a finite loss and finite gradients are the same to the bit for other batches."""

    def step(data):
        return gradients_of(
            lambda: model.elbo(data, seed=3, training=True).loss, model.trainable_variables
        )

    loss, gradients = step(batch)
    assert np.isfinite(loss)
    for other in others:
        again, found = step(other)
        np.testing.assert_array_equal(again, loss)
        for one, same in zip(gradients, found, strict=True):
            assert np.isfinite(same).all()
            np.testing.assert_array_equal(one, same)


def export_nothing(patch):
    """Has runs leave an empty SavedModel; `patch` is a `pytest.MonkeyPatch`."""
    name = "tf_mvae.training.finishing.export_saved_model"
    patch.setattr(name, lambda model, place, card: place.mkdir(parents=True))
