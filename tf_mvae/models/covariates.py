"""What a model does with its covariates."""

from collections.abc import Mapping, Sequence
from typing import Any

import keras
import tensorflow as tf

from tf_mvae.covariate import Covariate, as_numbers, size_factors
from tf_mvae.modality import Modality

__all__ = ["CovariateModel"]


class CovariateModel(keras.Model):
    """A model of modalities given covariates; a subclass sets both.

    Attributes:
        modalities: What is modelled.
        covariates: What is given with every example, of `tf_mvae.Covariate`.
    """

    modalities: list[Modality]
    covariates: tuple[Covariate, ...]

    @property
    def conditions(self) -> tuple[str, ...]:
        """Names of modalities that have to be given, whatever is asked; mostly none."""
        return ()

    @property
    def batch_inputs(self) -> list[Modality | Covariate]:
        """What a batch holds: the modalities, then the covariates."""
        return [*self.modalities, *self.covariates]

    @property
    def given_to_decoders(self) -> tuple[str, ...]:
        """Names of what decoders see next to the latent: conditions and covariates."""
        return (*self.conditions, *(covariate.name for covariate in self.covariates))

    @property
    def num_covariates(self) -> int:
        """How many numbers networks see of the covariates."""
        return sum(one.width for one in self.covariates if one.is_network_input)

    def _appended(
        self, given: Mapping[str, Any], modalities: Sequence[Modality]
    ) -> dict[str, tf.Tensor] | None:
        """Returns what decoders see behind the latent, `[batch, width]` by modality; None: nothing.

        Args:
            given: Covariates by name, `[batch, *shape]`; other names may be there.
            modalities: Those to decode.

        Raises:
            UserError: A covariate is not given.
        """
        if not self.covariates:
            return None
        numbers, found = as_numbers(self.covariates, given), {}
        for modality in modalities:
            parts = [] if numbers is None else [numbers]
            if modality.size_factor is not None:
                parts.append(size_factors(self.covariates, given, modality.size_factor))
            if parts:
                found[modality.name] = tf.concat(parts, -1)
        return found

    def _prepared(
        self, x: Mapping[str, tf.Tensor], mask: Mapping[str, tf.Tensor]
    ) -> dict[str, tf.Tensor]:
        """Returns prepared data of the modalities that are given, and the covariates, by name."""
        found = {m.name: m.prepare(x[m.name], mask[m.name]) for m in self._given(x)}
        return found | {one.name: x[one.name] for one in self.covariates}
