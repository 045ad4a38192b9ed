"""What can be named on a command line, known without importing TensorFlow.

A test compares these with what is registered.
"""

import difflib
import sys
from collections.abc import Sequence

from tf_mvae.errors import UserError

__all__ = [
    "ANALYSES",
    "BASELINES",
    "BOUNDS",
    "EXPERIMENTS",
    "MODELS",
    "check_experiment",
    "check_name",
]

EXPERIMENTS = (
    "binary_mnist",
    "binary_mnist_threshold",
    "celeba",
    "celeba19",
    "celeba_transformations",
    "digits",
    "fashion_mnist",
    "mnist",
    "multi_mnist",
    "sensors",
    "table",
    "translation",
)
MODELS = (
    "mvae",
    "mvae_q",
    "vae",
    "cvae",
    "bivcca",
    "jmvae",
    "telbo",
    "mopoe",
    "mvtcae",
    "mmvae",
    "mmvae_plus",
)
BOUNDS = ("elbo", "iwae", "dreg")
ANALYSES = (
    "accuracy",
    "attributes",
    "coherence",
    "imputation",
    "log_likelihood",
    "transcription",
    "transformations",
    "translation",
    "translation_baseline",
    "weight_variance",
)
BASELINES = ("logistic_regression", "supervised_network", "autoencoder", "vae", "rbm")


def check_name(flag: str, name: str, known: Sequence[str]) -> None:
    """Refuses a flag's value that is not a known name.

    Args:
        flag: The flag, without dashes.
        name: Its value.
        known: The names.

    Raises:
        UserError: It is none of them.
    """
    if name in known:
        return
    close = difflib.get_close_matches(name, known, 1)
    hint = f" (did you mean {close[0]}?)" if close else ""
    raise UserError(f"--{flag}={name} is not known{hint}; there are {', '.join(known)}")


def check_experiment(name: str) -> None:
    """Refuses a name that is neither an experiment of this package nor registered by now.

    Raises:
        UserError: It is not known.
    """
    registry = sys.modules.get("tf_mvae.experiments.registry")
    check_name("experiment", name, EXPERIMENTS if registry is None else registry.names())
