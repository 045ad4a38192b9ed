"""A network that encodes all modalities at once, and one for each alone."""

from collections.abc import Mapping, Sequence
from typing import Any

import keras
import tensorflow as tf

from tf_mvae import checks
from tf_mvae.covariate import as_numbers
from tf_mvae.default_networks import default_encoder
from tf_mvae.errors import UserError
from tf_mvae.layers.joint import JointEncoder
from tf_mvae.modality import Modality
from tf_mvae.posteriors.gaussian import DiagonalGaussian
from tf_mvae.posteriors.kind import Encoded, ExpertKind, bounded
from tf_mvae.posteriors.product import product_without_prior

__all__ = ["JointNetwork", "default_trunks"]


@keras.saving.register_keras_serializable("tf_mvae")
class JointNetwork(ExpertKind):
    """Given everything, a joint network's posterior; given one modality, its own encoder's.

    Given nothing it is the prior. For other subsets the papers (Suzuki et al., 2017; Vedantam
    et al., 2018) have none: the product of the given modalities' posteriors is taken,
    normalised.
    """

    min_modalities = 2

    def __init__(self, trunks: Mapping[str, keras.layers.Layer] | None = None):
        """Creates the kind.

        Args:
            trunks: By modality, the part of the joint network before modalities are joined, a layer
                from prepared data to features; default: one layer of 512 with Swish.
        """
        self.trunks = trunks

    def make_layers(
        self, modalities: Sequence[Modality], latent_dim: int
    ) -> dict[str, keras.layers.Layer]:
        """Returns the joint encoder.

        Raises:
            ValueError: The trunks are not one for each modality.
        """
        names = [modality.name for modality in modalities]
        if self.trunks is None:
            self.trunks = default_trunks(modalities)
        checks.instance("trunks", self.trunks, Mapping, f"a dict with a layer for each of {names}")
        if set(self.trunks) != set(names):
            raise UserError(f"trunks must be those of {names}; they are {sorted(self.trunks)}")
        return {"joint_encoder": JointEncoder({n: self.trunks[n] for n in names}, latent_dim)}

    def joint(
        self,
        model: keras.Model,
        x: Mapping[str, tf.Tensor],
        mask: Mapping[str, tf.Tensor],
        training: bool,
    ) -> DiagonalGaussian | None:
        """See `PosteriorKind.joint`; it means something for complete examples only."""
        if any(modality.name not in x for modality in model.modalities):
            return None
        prepared = {m.name: m.prepare(x[m.name], mask[m.name]) for m in model.modalities}
        values = {m.name: m.network_input(prepared[m.name]) for m in model.modalities}
        complete = tf.reduce_prod(tf.stack(list(mask.values())), axis=0)
        covariates = as_numbers(model.covariates, x)
        given = {} if covariates is None else {"covariates": covariates}
        loc, log_variance = model.joint_encoder(values, complete, training=training, **given)
        return DiagonalGaussian(loc, bounded(log_variance))

    def of(self, encoded: Encoded, subset: tf.Tensor) -> DiagonalGaussian:
        """See `PosteriorKind.of`."""
        product = product_without_prior(encoded.experts, subset)
        if encoded.joint is None:
            return product
        # The joint network's posterior if the subset is everything, else the product; [..., 1].
        complete = tf.reduce_prod(subset, axis=-1)[..., tf.newaxis] > 0
        parts = zip(encoded.joint, product, strict=True)
        return DiagonalGaussian(*(tf.where(complete, *pair) for pair in parts))

    def everything(self, encoded: Encoded, present: tf.Tensor) -> DiagonalGaussian:
        """Returns the joint network's posterior, for complete examples, `[1, batch]`."""
        return DiagonalGaussian(*(part[tf.newaxis] for part in encoded.joint))

    def get_config(self) -> dict[str, Any]:
        """See `PosteriorKind.get_config`."""
        serialize = keras.saving.serialize_keras_object
        return {"trunks": {name: serialize(trunk) for name, trunk in self.trunks.items()}}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "JointNetwork":
        """See `PosteriorKind.from_config`."""
        make = keras.saving.deserialize_keras_object
        return cls({name: make(trunk) for name, trunk in config["trunks"].items()})


def default_trunks(modalities: Sequence[Modality]) -> dict[str, keras.layers.Layer]:
    """Returns the trunks of a joint network whose user gives none."""
    return {m.name: default_encoder(m.likelihood, [512]) for m in modalities}
