"""Sweeps of weak supervision; what parses their flags imports nothing that is slow."""

from tf_mvae.sweeps.flags import parse_methods, parse_numbers

__all__ = ["parse_methods", "parse_numbers"]
