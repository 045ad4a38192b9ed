"""Experiments: a registry and one thin declaration each."""

from tf_mvae.experiments import fashion_mnist, mnist
from tf_mvae.experiments.registry import Experiment, get, names, register

__all__ = ["Experiment", "fashion_mnist", "get", "mnist", "names", "register"]
