"""Models whose posterior kind and objective are fixed by their class."""

import inspect
from collections.abc import Callable, Sequence
from typing import Any

from tf_mvae.errors import UserError
from tf_mvae.inference.arguments import check_modalities
from tf_mvae.modality import Modality
from tf_mvae.models.multimodal import MultimodalVAE
from tf_mvae.objectives import Objective, SubsetElbos
from tf_mvae.posteriors import PosteriorKind, Product

__all__ = ["PresetVAE"]


class PresetVAE(MultimodalVAE):
    """A model that a subclass describes by a posterior kind and an objective.

    The constructor takes the arguments of both, and those of `BaseVAE`.
    """

    _make_kind: Callable[..., PosteriorKind] = Product
    _make_objective: Callable[..., Objective] = SubsetElbos

    def __init__(self, modalities: Sequence[Modality], latent_dim: int = 64, **kwargs):
        """Creates the model and all its weights.

        Args:
            modalities: What an example may consist of.
            latent_dim: Size of the latent.
            **kwargs: Those of the posterior kind and of the objective (see the class), and those
                of `BaseVAE`: `kl_weight`, `free_bits`, `num_samples`, `seed`, `name`.

        Raises:
            ValueError: An argument is out of its range, or there are too few or too many
                modalities.
        """
        check_modalities(modalities)
        if self.max_modalities == 1 != len(modalities):
            names = [modality.name for modality in modalities]
            raise UserError(
                f"a {type(self).__name__} has one modality; these are {len(names)}: {names}"
            )
        kind_arguments, objective_arguments = (
            {name: kwargs.pop(name) for name in _arguments(make) & kwargs.keys()}
            for make in (self._make_kind, self._make_objective)
        )
        kind = self._make_kind(**kind_arguments)
        objective = self._make_objective(**objective_arguments)
        super().__init__(modalities, latent_dim, kind, objective, **kwargs)

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor arguments of this model."""
        config = super().get_config()
        for part, make in (
            (self.posterior_kind, self._make_kind),
            (self.objective, self._make_objective),
        ):
            own = part.get_config()
            config |= {name: own[name] for name in _arguments(make) & own.keys()}
        return config


def _arguments(make: Callable[..., Any]) -> set[str]:
    return set(inspect.signature(make).parameters)
