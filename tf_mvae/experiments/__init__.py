"""Experiments: a registry and one thin declaration each."""

from tf_mvae.experiments import (
    celeba,
    fashion_mnist,
    mnist,
    multi_mnist,
    sensors,
    table,
    transformations,
    translation,
)
from tf_mvae.experiments.registry import Experiment, get, names, register

__all__ = [
    "Experiment",
    "celeba",
    "fashion_mnist",
    "get",
    "mnist",
    "multi_mnist",
    "names",
    "register",
    "sensors",
    "table",
    "transformations",
    "translation",
]
