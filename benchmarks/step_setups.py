"""What `training_step.py` compares on: three models, random data, and files for other Pythons.

A set-up is a folder of `setup.json` (the networks layer by layer, weights of the objective,
sizes), `weights.npz` (arrays by modality, network and layer, members of groups apart),
`model.npz` (the same as Keras lists them), `data.npz`, and `check.npz` (the noise and the subsets
of one evaluation). Nothing in it is pickled.
"""

import json
import pathlib
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf

from tf_mvae.data.attributes import CELEBA_ATTRIBUTES
from tf_mvae.data.transformations import CHANNELS
from tf_mvae.distributions import likelihoods
from tf_mvae.group import ModalityGroup
from tf_mvae.layers import GroupedDense, GroupedEmbedding, MaskedBatchNormalization, SeededDropout
from tf_mvae.modality import Modality
from tf_mvae.models import MVAE
from tf_mvae.training import RunConfig
from tf_mvae.training.build import build_model

__all__ = [
    "SETUPS",
    "Setup",
    "check_seed",
    "describe",
    "load",
    "load_weights",
    "weights_of",
    "write",
]

check_seed = (7, 1)
_PIXELS = 64


class Setup(NamedTuple):
    """A model and a batch.

    Attributes:
        title: For the table.
        config: The run whose step is measured.
    """

    title: str
    config: RunConfig


# Weights of the divergence and of the terms are 1 from the first step; MultiVae draws subsets
# uniformly from all, and so do the others here.
_COMMON = {"annealing_epochs": 0, "subset_distribution": "uniform_subsets"}
SETUPS = {
    "mnist": Setup(
        "MNIST, image and label",
        RunConfig(
            "mnist",
            likelihood_weight={"image": 1, "label": 50},
            cross_weight={"image": 0, "label": 0},
            **_COMMON,
        ),
    ),
    "celeba19": Setup(
        "CelebA-19, image and 18 attributes, k = 1",
        RunConfig(
            "celeba19",
            latent_dim=100,
            likelihood_weight={"image": 1, "attributes": 10},
            cross_weight={"image": 0, "attributes": 0},
            num_random_subsets=1,
            learning_rate=1e-4,
            jit_compile=False,  # as configs/celeba19 has it
            **_COMMON,
        ),
    ),
    # A batch of 20: the paper's 50 take tens of seconds a step where every term encodes anew.
    "six_images": Setup(
        "six images, k = 4",
        RunConfig(
            "celeba_transformations",
            latent_dim=250,
            likelihood_weight=dict.fromkeys(CHANNELS, 1),
            cross_weight=dict.fromkeys(CHANNELS, 0),
            num_random_subsets=4,
            batch_size=20,
            learning_rate=1e-4,
            absent_segmentation=True,
            **_COMMON,
        ),
    ),
}


def random_batch(name: str, batch_size: int, seed: int = 0) -> dict[str, np.ndarray]:
    """Returns random data of a set-up: pixels and attributes are 0 or 1, labels 0 to 9."""
    rng = np.random.default_rng(seed)

    def bits(*shape):
        return rng.integers(0, 2, [batch_size, *shape]).astype(np.float32)

    if name == "mnist":
        label = rng.integers(0, 10, batch_size).astype(np.int32)
        return {"image": bits(28, 28, 1), "label": label}
    if name == "celeba19":
        return {"image": bits(_PIXELS, _PIXELS, 3), "attributes": bits(len(CELEBA_ATTRIBUTES))}
    return {image: bits(_PIXELS, _PIXELS, channels) for image, channels in CHANNELS.items()}


def write(name: str, folder: pathlib.Path, config: RunConfig, seed: int = 0) -> MVAE:
    """Writes a set-up's folder; returns its model.

    Args:
        name: One of `SETUPS`.
        folder: Where.
        config: That of the set-up, perhaps of another batch size.
        seed: Of data and of what else is drawn here.
    """
    model = build_model(config, 1)
    _perturb(model, np.random.default_rng(seed + 1))
    x = random_batch(name, config.batch_size, seed)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "setup.json").write_text(json.dumps(describe(model, config), indent=1))
    np.savez(folder / "weights.npz", **weights_of(model))
    np.savez(folder / "model.npz", *model.get_weights())
    np.savez(folder / "data.npz", **x)
    config.write(folder / "flags.cfg")
    elbo = model.elbo({"x": x}, seed=check_seed)
    noise = (elbo.z[0] - elbo.loc) / tf.exp(elbo.log_variance / 2)
    random = elbo.subset[-config.num_random_subsets :, 0] if config.num_random_subsets else []
    np.savez(folder / "check.npz", noise=noise, subsets=np.array(random))
    return model


def load(
    folder: pathlib.Path, jit_compile: bool, steps_per_epoch: int = 1
) -> tuple[MVAE, dict[str, Any]]:
    """Returns the model of a folder, with its weights, and the batch as tensors."""
    config = RunConfig.read(folder / "flags.cfg")
    model = build_model(config, steps_per_epoch)
    with np.load(folder / "model.npz", allow_pickle=False) as arrays:
        model.set_weights([arrays[f"arr_{n}"] for n in range(len(arrays.files))])
    model.jit_compile = jit_compile
    with np.load(folder / "data.npz", allow_pickle=False) as arrays:
        return model, {"x": {name: tf.constant(arrays[name]) for name in arrays.files}}


def _perturb(model: MVAE, rng: np.random.Generator) -> None:
    """Moves what begins at 0 or 1 (biases, batch norm), so that a mix-up shows."""
    for variable in model.variables:
        name = variable.path.rsplit("/", 1)[-1]
        if name in ("bias", "beta", "gamma", "moving_mean", "moving_variance"):
            offset = rng.uniform(0, 0.1, variable.shape)
            variable.assign(variable.numpy() + offset)


# The networks for other Pythons ------------------------------------------------------------


def describe(model: MVAE, config: RunConfig) -> dict[str, Any]:
    """Returns what another program needs to build the model, as JSON holds it."""
    modalities = []
    for part in _single_modalities(model):
        likelihood = part.likelihood
        modalities.append(
            {
                "name": part.name,
                "source": part.modality.name,
                "column": part.column,
                "event_shape": list(likelihood.event_shape),
                "classes": getattr(likelihood, "num_classes", None),
                "weight": part.weight,
                "encoder": [kind for kind, _ in part.networks["encoder"]],
                "decoder": [kind for kind, _ in part.networks["decoder"]],
            }
        )
    return {
        "modalities": modalities,
        "latent_dim": model.latent_dim,
        "num_random_subsets": model.num_random_subsets,
        "learning_rate": config.learning_rate,
        "epsilon": float(model.optimizer.epsilon),
    }


def weights_of(model: MVAE) -> dict[str, np.ndarray]:
    """Returns all weights by modality, network and layer: `image/encoder/1/kernel`."""
    return {
        f"{part.name}/{network}/{index}/{name}": value
        for part in _single_modalities(model)
        for network, layers in part.networks.items()
        for index, (_, arrays) in enumerate(layers)
        for name, value in arrays.items()
    }


def load_weights(model: MVAE, arrays: Mapping[str, np.ndarray]) -> None:
    """Gives a model without groups the weights that `weights_of` wrote.

    Raises:
        ValueError: A weight is missing, has another shape, or belongs to a group.
    """
    for modality in model.modalities:
        if isinstance(modality, ModalityGroup):
            raise ValueError(f"{modality.name}: weights of groups are not read back")
        for network, layers in _networks(modality).items():
            for index, layer in enumerate(layers):
                for variable in layer.weights:
                    name = variable.path.rsplit("/", 1)[-1].replace("embeddings", "kernel")
                    value = arrays[f"{modality.name}/{network}/{index}/{name}"]
                    if value.shape != tuple(variable.shape):
                        raise ValueError(f"{modality.name}: {variable.path} has {value.shape}")
                    variable.assign(value)


class _Part(NamedTuple):
    """A modality as programs without groups see it."""

    name: str
    modality: Modality
    column: int | None
    likelihood: Any
    weight: float
    networks: dict[str, list[tuple[dict[str, Any], dict[str, np.ndarray]]]]


def _single_modalities(model: MVAE) -> Iterator[_Part]:
    """Yields every modality, and every member of a group, with its networks taken apart."""
    for modality in model.modalities:
        grouped = isinstance(modality, ModalityGroup)
        for column, name in enumerate(modality.column_names):
            networks = {
                key: [_taken(layer, column if grouped else None) for layer in layers]
                for key, layers in _networks(modality).items()
            }
            likelihood = modality.likelihood.member if grouped else modality.likelihood
            if not isinstance(likelihood, likelihoods.Bernoulli | likelihoods.Categorical):
                raise TypeError(f"{name}: {type(likelihood).__name__} is not for other Pythons")
            weight = modality.likelihood_weight
            yield _Part(
                name,
                modality,
                column if grouped else None,
                likelihood,
                weight[column] if grouped else weight,
                networks,
            )


def _networks(modality: Modality) -> dict[str, list[keras.layers.Layer]]:
    encoder = [*modality.encoder.layers, keras.layers.Flatten(), modality.expert_head]
    return {"encoder": encoder, "decoder": modality.decoder.layers}


def _taken(
    layer: keras.layers.Layer, member: int | None
) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Returns what kind of layer it is, and its weights; of a grouped one a member's.

    Raises:
        TypeError: No other Python here knows the layer.
    """
    arrays = {v.path.rsplit("/", 1)[-1]: v.numpy() for v in layer.weights}
    activation = getattr(getattr(layer, "activation", None), "__name__", "linear")
    own = (
        {}
        if member is None
        else {
            k: v[member].reshape(v.shape[-1] if k == "bias" else v.shape[1:])
            for k, v in arrays.items()
        }
    )
    match layer:
        case GroupedDense():
            return {"kind": "dense", "activation": activation}, own
        case GroupedEmbedding():
            return {"kind": "embedding", "activation": activation}, own
        case keras.layers.Dense():
            return {"kind": "dense", "activation": activation}, arrays
        case keras.layers.Embedding():
            return {"kind": "embedding", "activation": "linear"}, {"kernel": arrays["embeddings"]}
        case keras.layers.Activation():
            return {"kind": "activation", "activation": activation}, {}
        case keras.layers.Flatten():
            return {"kind": "flatten"}, {}
        case keras.layers.Reshape():
            return {"kind": "reshape", "shape": list(layer.target_shape)}, {}
        case keras.layers.ZeroPadding2D():
            return {"kind": "pad", "amount": layer.padding[0][0]}, {}
        case keras.layers.Conv2DTranspose():
            padding = (layer.kernel_size[0] - layer.strides[0]) // 2
            padding = padding if layer.padding == "same" else 0
            return {
                "kind": "conv_transpose",
                "stride": layer.strides[0],
                "padding": padding,
                "activation": activation,
            }, arrays
        case keras.layers.Conv2D():
            return {"kind": "conv", "stride": layer.strides[0], "activation": activation}, arrays
        case MaskedBatchNormalization():
            return {
                "kind": "batch_norm",
                "momentum": 1 - layer.momentum,
                "epsilon": layer.epsilon,
            }, arrays
        case SeededDropout():
            return {"kind": "dropout", "rate": layer.rate}, {}
    raise TypeError(f"{type(layer).__name__} is not for other Pythons")
