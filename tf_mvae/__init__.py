"""Multimodal variational autoencoders for TensorFlow and Keras.

After Wu and Goodman, *Multimodal Generative Models for Scalable Weakly-Supervised
Learning*, NeurIPS 2018. See the README for the three ways to use it.
"""

import importlib
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tf_mvae.distributions import likelihoods
    from tf_mvae.errors import UserError
    from tf_mvae.group import ModalityGroup
    from tf_mvae.layers import ProductOfExperts
    from tf_mvae.modality import Modality
    from tf_mvae.models import (
        CVAE,
        JMVAE,
        MVAE,
        MVAEQ,
        TELBO,
        VAE,
        BiVCCA,
        Elbo,
        LinearAnnealing,
        MultimodalVAE,
    )

__version__ = "0.1.0"

_HOMES = {
    "BaseVAE": "tf_mvae.models",
    "Elbo": "tf_mvae.models",
    "MMVAE": "tf_mvae.models",
    "MMVAEPlus": "tf_mvae.models",
    "MVTCAE": "tf_mvae.models",
    "MoPoE": "tf_mvae.models",
    "BiVCCA": "tf_mvae.models",
    "CVAE": "tf_mvae.models",
    "JMVAE": "tf_mvae.models",
    "MVAEQ": "tf_mvae.models",
    "TELBO": "tf_mvae.models",
    "VAE": "tf_mvae.models",
    "LinearAnnealing": "tf_mvae.models",
    "MVAE": "tf_mvae.models",
    "Modality": "tf_mvae.modality",
    "ModalityGroup": "tf_mvae.group",
    "MultimodalVAE": "tf_mvae.models",
    "ProductOfExperts": "tf_mvae.layers",
    "UserError": "tf_mvae.errors",
    "likelihoods": "tf_mvae.distributions",
}

__all__ = [
    "BaseVAE",
    "MMVAE",
    "MMVAEPlus",
    "MVTCAE",
    "MoPoE",
    "VAE",
    "TELBO",
    "MVAEQ",
    "JMVAE",
    "CVAE",
    "BiVCCA",
    "Elbo",
    "LinearAnnealing",
    "MVAE",
    "Modality",
    "ModalityGroup",
    "MultimodalVAE",
    "ProductOfExperts",
    "UserError",
    "likelihoods",
]


def __getattr__(name: str):
    """Finds a public name where it lives."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


# `import tf_mvae` registers everything that a saved model may hold with Keras. While
# `python -m tf_mvae.train` locates its module (argv[0] is "-m" then, says the Python
# manual), nothing is loaded, so that `--help` needs no TensorFlow.
if sys.argv[:1] != ["-m"]:
    for _name in __all__:
        __getattr__(_name)
