"""Lets Keras find the package's classes in a saved model before their modules are imported.

`keras.models.load_model` looks classes up by their registered names, which the decorator
`keras.saving.register_keras_serializable` adds when a module is imported. `import tf_mvae`
imports no module of that kind, so that the commands' `--help` needs no TensorFlow. Instead
`register` enters a stand-in for each class, which imports the class when Keras asks for it.
"""

import importlib
import importlib.abc
import importlib.machinery
import sys
from typing import Any

__all__ = ["CLASSES", "register"]

# The classes that a saved model can contain, by the module that defines them.
CLASSES = {
    "tf_mvae.distributions.beta": ("Beta",),
    "tf_mvae.distributions.categorical": ("Categorical",),
    "tf_mvae.distributions.columns": ("Columns",),
    "tf_mvae.distributions.gamma": ("Gamma",),
    "tf_mvae.distributions.likelihoods": (
        "Bernoulli",
        "CallableLikelihood",
        "Laplace",
        "Normal",
        "Poisson",
    ),
    "tf_mvae.distributions.log_normal": ("LogNormal",),
    "tf_mvae.distributions.members": ("MemberLikelihood",),
    "tf_mvae.distributions.negative_binomial": (
        "NegativeBinomial",
        "ZeroInflatedNegativeBinomial",
    ),
    "tf_mvae.distributions.ordinal": ("Ordinal",),
    "tf_mvae.distributions.sequences": ("TokenSequence",),
    "tf_mvae.distributions.student_t": ("StudentT",),
    "tf_mvae.group": ("ModalityGroup",),
    "tf_mvae.layers.batch_normalization": ("MaskedBatchNormalization",),
    "tf_mvae.layers.dropout": ("SeededDropout",),
    "tf_mvae.layers.grouped": ("GroupedDense", "GroupedEmbedding"),
    "tf_mvae.layers.joint": ("JointEncoder",),
    "tf_mvae.layers.mlp": ("LogCounts",),
    "tf_mvae.layers.product_of_experts": ("ProductOfExperts",),
    "tf_mvae.layers.recurrent": ("RecurrentDecoder", "RecurrentEncoder"),
    "tf_mvae.layers.sequential": ("MaskedSequential",),
    "tf_mvae.modality": ("Modality",),
    "tf_mvae.models.adam": ("FusedAdam",),
    "tf_mvae.models.annealing": ("LinearAnnealing",),
    "tf_mvae.models.bivcca": ("BiVCCA",),
    "tf_mvae.models.cvae": ("CVAE",),
    "tf_mvae.models.jmvae": ("JMVAE",),
    "tf_mvae.models.mmvae": ("MMVAE", "MMVAEPlus"),
    "tf_mvae.models.mopoe": ("MoPoE",),
    "tf_mvae.models.multimodal": ("MultimodalVAE",),
    "tf_mvae.models.mvae": ("MVAE",),
    "tf_mvae.models.mvae_q": ("MVAEQ",),
    "tf_mvae.models.mvtcae": ("MVTCAE",),
    "tf_mvae.models.telbo": ("TELBO",),
    "tf_mvae.models.vae": ("VAE",),
    "tf_mvae.objectives.joint_elbo": ("JointElbo", "TotalCorrelation"),
    "tf_mvae.objectives.mixture_bounds": ("MixtureElbo", "StratifiedBound"),
    "tf_mvae.objectives.subset_elbos": ("SubsetElbos",),
    "tf_mvae.objectives.unimodal": ("EachExplainsAll", "JointAndUnimodalElbos"),
    "tf_mvae.posteriors.first_expert": ("FirstExpert",),
    "tf_mvae.posteriors.joint_network": ("JointNetwork",),
    "tf_mvae.posteriors.latent": ("PrivatePriors",),
    "tf_mvae.posteriors.mixtures": ("MixtureOfExperts", "MixtureOfProducts"),
    "tf_mvae.posteriors.product": ("Product", "Quotient"),
}


def register() -> None:
    """Registers the stand-ins with Keras now, or as soon as Keras is imported."""
    keras = sys.modules.get("keras")
    if keras is not None and hasattr(keras, "saving"):
        _add_stand_ins(keras)
    else:
        sys.meta_path.insert(0, _AfterKeras())


class _StandIn:
    """What Keras needs of a registered class: `from_config`, of the class itself."""

    def __init__(self, module: str, name: str):
        self._module, self._name = module, name

    def __getattr__(self, attribute: str) -> Any:
        return getattr(self._resolve(), attribute)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._resolve()(*args, **kwargs)

    def from_config(self, config: dict[str, Any]) -> Any:
        """Makes an object from its configuration."""
        return self._resolve().from_config(config)

    def _resolve(self) -> type:
        # The decorator in the module puts the class in the place of this object.
        return getattr(importlib.import_module(self._module), self._name)


class _AfterKeras(importlib.abc.MetaPathFinder):
    """Adds the stand-ins at the end of the import of Keras."""

    def find_spec(
        self, fullname: str, path: Any = None, target: Any = None
    ) -> importlib.machinery.ModuleSpec | None:
        """Finds Keras as the other finders do, with one more step at the end of its loading."""
        if fullname != "keras":
            return None
        others = (finder for finder in sys.meta_path if finder is not self)
        specs = (finder.find_spec(fullname, path, target) for finder in others)
        spec = next((spec for spec in specs if spec is not None), None)
        if spec is not None and spec.loader is not None:
            execute = spec.loader.exec_module

            def exec_module(module: Any) -> None:
                execute(module)
                _add_stand_ins(module)
                if self in sys.meta_path:
                    sys.meta_path.remove(self)

            spec.loader.exec_module = exec_module
        return spec


def _add_stand_ins(keras: Any) -> None:
    registered = keras.saving.get_custom_objects()
    for module, names in CLASSES.items():
        for name in names:
            registered.setdefault(f"tf_mvae>{name}", _StandIn(module, name))
