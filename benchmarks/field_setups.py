"""What `field.py` compares: models by name, and a folder of arrays for each run.

A folder holds `setup.json` and `weights.npz` (`network_arrays`), `model.npz` (the same weights as
Keras lists them), `flags.cfg` and `order.npy`, the examples of every step. `train.npz`,
`test.npz` and, if anything is missing, `masks.npz` lie in one folder that all runs share. Nothing
in it is pickled.
"""

import json
import pathlib
from typing import Any, NamedTuple

import network_arrays
import numpy as np

from tf_mvae.data.pairing import missing_at_random
from tf_mvae.data.poly_mnist import NAMES, poly_mnist, poly_mnist_labels
from tf_mvae.training import RunConfig
from tf_mvae.training.build import build_model

__all__ = ["KINDS", "Budget", "Kind", "load", "subsets", "write_data", "write_run"]

_ZEROS = dict.fromkeys(NAMES, 0.0)


class Kind(NamedTuple):
    """A model that both sides have.

    Attributes:
        model: Its name in this package.
        settings: Its settings here.
        peer: MultiVae's class, and its configuration's fields; None if only ours has it.
        needs_whole: Whether it learns from complete examples only.
        sampler: The kind of sampler that is fitted to the trained model, none if empty.
        guidance: The sampler's.
        temperature: Of our latents given something; from nothing it is 1.
    """

    model: str
    settings: dict[str, Any]
    peer: tuple[str, dict[str, Any]] | None
    needs_whole: bool = False
    sampler: str = ""
    guidance: int = 2
    temperature: float = 1.0


_IMPORTANCE = {"K": 1, "prior_and_posterior_dist": "normal", "loss": "dreg_looser"}
_DREG = {"bound": "dreg", "num_samples": 1}
KINDS = {
    "mvae": Kind(
        "mvae",
        {"cross_weight": _ZEROS, "subset_distribution": "uniform_subsets"},
        ("MVAE", {"k": 1, "warmup": 0, "beta": 1.0}),
    ),
    "mvtcae": Kind("mvtcae", {"correlation_alpha": 0.9}, ("MVTCAE", {"alpha": 0.9, "beta": 1.0})),
    "mopoe": Kind("mopoe", {}, ("MoPoE", {"beta": 1.0})),
    "mmvae": Kind("mmvae", _DREG, ("MMVAE", {**_IMPORTANCE, "learn_prior": False})),
    "mmvae_plus": Kind("mmvae_plus", _DREG, ("MMVAEPlus", _IMPORTANCE)),
    "jmvae": Kind("jmvae", {"alpha": 0.1}, ("JMVAE", {"alpha": 0.1, "warmup": 0}), True),
    "default": Kind("mvae", {}, None),
    "default_sampler": Kind("mvae", {}, None, sampler="mixture_flow"),
    "default_cooled": Kind("mvae", {}, None, sampler="mixture_flow", temperature=0.5),
    "default_matching": Kind("mvae", {}, None, sampler="flow_matching", guidance=3),
    "default_matching_cooled": Kind(
        "mvae", {}, None, sampler="flow_matching", guidance=3, temperature=0.7
    ),
}


class Budget(NamedTuple):
    """What every run may use.

    Attributes:
        steps: Optimizer steps.
        batch_size: Examples a step.
        learning_rate: Adam's.
        latent_dim: Size of the latent; MMVAE+ has half of it for what is shared and half for
            each modality's own.
        filters: Of an encoder's first convolution.
        train: Training examples.
        test: Examples that are evaluated.
        missing_rate: Fraction of each modality but the first that is missing in training.
        sampler_steps: Steps that fit a sampler, where a model has one; they come on top.
        judge_examples: Examples, with repetitions, that each judge learns from.
    """

    steps: int
    batch_size: int
    learning_rate: float
    latent_dim: int
    filters: int
    train: int
    test: int
    missing_rate: float
    sampler_steps: int
    judge_examples: int


def subsets() -> list[tuple[str, ...]]:
    """Returns what is given: every subset but none and all, in order of size."""
    places = range(1, 2 ** len(NAMES) - 1)
    found = [tuple(n for k, n in enumerate(NAMES) if place >> k & 1) for place in places]
    return sorted(found, key=lambda names: (len(names), names))


def write_data(
    folder: pathlib.Path, budget: Budget, data_dir: str | None, backgrounds: str | None
) -> dict[str, np.ndarray]:
    """Writes the arrays that all runs share; returns the classes of both splits.

    Args:
        folder: Where.
        budget: How many examples, and how many are missing.
        data_dir: Where TFDS keeps MNIST.
        backgrounds: A folder of five pictures; this package's textures if None.
    """
    folder.mkdir(parents=True, exist_ok=True)
    labels = {}
    for name, number in (("train", budget.train), ("test", budget.test)):
        split = poly_mnist(name, data_dir, backgrounds)
        examples = next(iter(split.dataset.batch(min(number, split.num_examples))))["x"]
        np.savez(folder / f"{name}.npz", **{n: value.numpy() for n, value in examples.items()})
        found = poly_mnist_labels(name, data_dir, backgrounds=backgrounds)
        labels[name] = found[: len(examples[NAMES[0]])]
    if budget.missing_rate:
        # The first modality is always there, as MultiVae's own data set has it.
        rates = dict.fromkeys(NAMES[1:], budget.missing_rate)
        masks = missing_at_random(len(labels["train"]), rates)
        masks[NAMES[0]] = np.ones(len(labels["train"]), bool)
        np.savez(folder / "masks.npz", **masks)
    return labels


def config_of(kind: Kind, budget: Budget, seed: int) -> RunConfig:
    """Returns the configuration of our side of a run."""
    settings = dict(kind.settings)
    latent_dim = budget.latent_dim
    if kind.model == "mmvae_plus":
        latent_dim //= 2
        settings["private_dim"] = latent_dim
    return RunConfig(
        "poly_mnist",
        model=kind.model,
        latent_dim=latent_dim,
        filters=budget.filters,
        batch_size=budget.batch_size,
        learning_rate=budget.learning_rate,
        annealing_epochs=0,
        jit_compile=False,  # what --jit_compile=auto chooses for convolutions on a CPU
        seed=seed,
        **settings,
    )


def write_run(folder: pathlib.Path, name: str, budget: Budget, train: int, seed: int) -> None:
    """Writes the folder of a run.

    Args:
        folder: Where.
        name: One of `KINDS`.
        budget: The budget.
        train: How many training examples there are.
        seed: Of the initial weights and of the order of examples.
    """
    kind = KINDS[name]
    config = config_of(kind, budget, seed)
    model = build_model(config, 1)
    folder.mkdir(parents=True, exist_ok=True)
    setup = {
        "kind": name,
        "peer": kind.peer,
        "modalities": network_arrays.describe(model),
        "joint": network_arrays.describe_joint(model),
        "latent_dim": config.latent_dim,
        "private_dim": config.get("private_dim") or 0,
        "learning_rate": config.learning_rate,
        "epsilon": float(model.optimizer.epsilon),
        "seed": seed,
    }
    (folder / "setup.json").write_text(json.dumps(setup, indent=1))
    np.savez(folder / "weights.npz", **network_arrays.weights_of(model))
    np.savez(folder / "model.npz", *model.get_weights())
    config.write(folder / "flags.cfg")
    rng = np.random.default_rng([seed, 61])
    passes = -(-budget.steps * budget.batch_size // train)
    order = np.concatenate([rng.permutation(train) for _ in range(passes)])
    order = order[: budget.steps * budget.batch_size].reshape(budget.steps, budget.batch_size)
    np.save(folder / "order.npy", order.astype(np.int32))


def load(folder: pathlib.Path) -> Any:
    """Returns our model of a folder, with its initial weights."""
    model = build_model(RunConfig.read(folder / "flags.cfg"), 1)
    with np.load(folder / "model.npz", allow_pickle=False) as arrays:
        model.set_weights([arrays[f"arr_{n}"] for n in range(len(arrays.files))])
    return model
