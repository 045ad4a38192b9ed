"""The part of a model that handles covariates."""

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
        modalities: The modelled modalities.
        covariates: The covariates, `tf_mvae.Covariate`, which every example has.
    """

    modalities: list[Modality]
    covariates: tuple[Covariate, ...]

    @property
    def conditions(self) -> tuple[str, ...]:
        """Names of modalities that are always required; most models have none."""
        return ()

    @property
    def batch_inputs(self) -> list[Modality | Covariate]:
        """The parts of a batch: the modalities, then the covariates."""
        return [*self.modalities, *self.covariates]

    @property
    def given_to_decoders(self) -> tuple[str, ...]:
        """Names of the further inputs of decoders: conditions and covariates."""
        return (*self.conditions, *(covariate.name for covariate in self.covariates))

    @property
    def num_covariates(self) -> int:
        """The size of the encoded covariates, which are inputs of networks."""
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
        """Returns prepared data of given modalities and covariates, by name."""
        found = {m.name: m.prepare(x[m.name], mask[m.name]) for m in self._given(x)}
        return found | {one.name: x[one.name] for one in self.covariates}
