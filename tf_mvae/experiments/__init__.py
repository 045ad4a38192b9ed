"""Experiments: a registry and one thin declaration each."""

from tf_mvae.experiments import celeba, fashion_mnist, mnist, sensors, translation
from tf_mvae.experiments.registry import Experiment, get, names, register

__all__ = [
    "Experiment",
    "celeba",
    "fashion_mnist",
    "get",
    "mnist",
    "names",
    "register",
    "sensors",
    "translation",
]
