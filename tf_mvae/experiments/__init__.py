"""Experiments: one module each, which is imported when its experiment is asked for."""

from tf_mvae.experiments.registry import Experiment, get, named, names, register

__all__ = ["Experiment", "get", "named", "names", "register"]
