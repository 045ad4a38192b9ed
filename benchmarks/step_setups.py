"""What `training_step.py` compares on: models, random data, and files for other Pythons.

A set-up is a folder of `setup.json` and `weights.npz` (`network_arrays`), `model.npz` (the same
weights as Keras lists them), `data.npz`, `flags.cfg`, and `check.npz` (the noise and the subsets of
one evaluation, of an `MVAE` only). Nothing in it is pickled.
"""

import json
import pathlib
from typing import Any, NamedTuple

import field_setups
import network_arrays
import numpy as np
import tensorflow as tf

from tf_mvae.data.attributes import CELEBA_ATTRIBUTES
from tf_mvae.data.transformations import CHANNELS
from tf_mvae.models import MVAE, BaseVAE
from tf_mvae.training import RunConfig
from tf_mvae.training.build import build_model

__all__ = ["CHECK_SEED", "PAPERS", "SETUPS", "Setup", "load", "perturb", "random_batch", "write"]

CHECK_SEED = (7, 1)
_PIXELS = 64


class Setup(NamedTuple):
    """A model and a batch.

    Attributes:
        title: For the table.
        config: The run whose step is measured.
        peer: MultiVae's class and fields of its configuration; None where it is `MVAE` with as
            many random subsets.
    """

    title: str
    config: RunConfig
    peer: tuple[str, dict[str, Any]] | None = None


# Weights of the divergence and of the terms are 1 from the first step; MultiVae draws subsets
# uniformly from all, and so do the others here.
_UNIFORM = {"subset_distribution": "uniform_subsets"}
_COMMON = {"annealing_epochs": 0}


def _of_mnist(kind: str, **settings: int) -> Setup:
    """Returns a set-up of a model of `field.py` on the paper's networks for MNIST."""
    model, own, peer, *_ = field_setups.KINDS[kind]
    config = RunConfig("mnist", model=model, **own, **settings, **_COMMON)
    return Setup(f"MNIST, {peer[0].replace('Plus', '+')}", config, peer)


SETUPS = {
    "mnist": Setup(
        "MNIST, image and label",
        RunConfig(
            "mnist",
            likelihood_weight={"image": 1, "label": 50},
            cross_weight={"image": 0, "label": 0},
            **_COMMON,
            **_UNIFORM,
        ),
    ),
    "mnist_mvtcae": _of_mnist("mvtcae"),
    "mnist_mopoe": _of_mnist("mopoe"),
    "mnist_mmvae": _of_mnist("mmvae"),
    "mnist_mmvae_plus": _of_mnist("mmvae_plus", latent_dim=32, private_dim=32),
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
            **_UNIFORM,
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
            jit_compile=False,  # what --jit_compile=auto chooses on a CPU
            **_COMMON,
            **_UNIFORM,
        ),
    ),
}

PAPERS = [name for name, setup in SETUPS.items() if setup.peer is None]  # of its objective


def random_batch(name: str, batch_size: int, seed: int = 0) -> dict[str, np.ndarray]:
    """Returns random data of a set-up: pixels and attributes are 0 or 1, labels 0 to 9."""
    rng = np.random.default_rng(seed)

    def bits(*shape):
        return rng.integers(0, 2, [batch_size, *shape]).astype(np.float32)

    if name.startswith("mnist"):
        label = rng.integers(0, 10, batch_size).astype(np.int32)
        return {"image": bits(28, 28, 1), "label": label}
    if name == "celeba19":
        return {"image": bits(_PIXELS, _PIXELS, 3), "attributes": bits(len(CELEBA_ATTRIBUTES))}
    return {image: bits(_PIXELS, _PIXELS, channels) for image, channels in CHANNELS.items()}


def write(name: str, folder: pathlib.Path, config: RunConfig, seed: int = 0) -> BaseVAE:
    """Writes a set-up's folder; returns its model.

    Args:
        name: One of `SETUPS`.
        folder: Where.
        config: That of the set-up, perhaps of another batch size.
        seed: Of data and of what else is drawn here.
    """
    model = build_model(config, 1)
    perturb(model, np.random.default_rng(seed + 1))
    x = random_batch(name, config.batch_size, seed)
    folder.mkdir(parents=True, exist_ok=True)
    subsets = config.get("num_random_subsets") or 0
    setup = {
        "peer": SETUPS[name].peer or ("MVAE", {"k": subsets, "warmup": 0, "beta": 1.0}),
        "modalities": network_arrays.describe(model),
        "joint": network_arrays.describe_joint(model),
        "latent_dim": config.latent_dim,
        "private_dim": config.get("private_dim") or 0,
        "num_random_subsets": subsets,
        "learning_rate": config.learning_rate,
        "epsilon": float(model.optimizer.epsilon),
    }
    (folder / "setup.json").write_text(json.dumps(setup, indent=1))
    np.savez(folder / "weights.npz", **network_arrays.weights_of(model))
    np.savez(folder / "model.npz", *model.get_weights())
    np.savez(folder / "data.npz", **x)
    config.write(folder / "flags.cfg")
    if isinstance(model, MVAE):
        elbo = model.elbo({"x": x}, seed=CHECK_SEED)
        noise = (elbo.z[0] - elbo.loc) / tf.exp(elbo.log_variance / 2)
        random = elbo.subset[-subsets:, 0] if subsets else []
        np.savez(folder / "check.npz", noise=noise, subsets=np.array(random))
    return model


def load(
    folder: pathlib.Path, jit_compile: bool, steps_per_epoch: int = 1
) -> tuple[BaseVAE, dict[str, Any]]:
    """Returns the model of a folder, with its weights, and the batch as tensors."""
    config = RunConfig.read(folder / "flags.cfg")
    model = build_model(config, steps_per_epoch)
    with np.load(folder / "model.npz", allow_pickle=False) as arrays:
        model.set_weights([arrays[f"arr_{n}"] for n in range(len(arrays.files))])
    model.jit_compile = jit_compile
    with np.load(folder / "data.npz", allow_pickle=False) as arrays:
        return model, {"x": {name: tf.constant(arrays[name]) for name in arrays.files}}


def perturb(model: BaseVAE, rng: np.random.Generator) -> None:
    """Moves what begins at 0 or 1 (biases, batch norm), so that a mix-up shows."""
    for variable in model.variables:
        name = variable.path.rsplit("/", 1)[-1]
        if name in ("bias", "beta", "gamma", "moving_mean", "moving_variance"):
            offset = rng.uniform(0, 0.1, variable.shape)
            variable.assign(variable.numpy() + offset)
