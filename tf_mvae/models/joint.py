"""Models with a network that encodes all modalities at once."""

from collections.abc import Mapping, Sequence
from typing import Any

import keras
import tensorflow as tf

from tf_mvae.batch import present_mask
from tf_mvae.layers.joint import JointEncoder
from tf_mvae.modality import Modality, default_encoder
from tf_mvae.models.arguments import check_modalities
from tf_mvae.models.base import MultimodalVAE
from tf_mvae.models.ownership import check_unowned, own
from tf_mvae.ops.gaussian_product import log_variance_limit

__all__ = ["JointPosteriorVAE"]


class JointPosteriorVAE(MultimodalVAE):
    """What JMVAE and TELBO share: a joint posterior, and one for each modality alone.

    Given everything, the posterior is the joint network's; given one modality, its own
    encoder's; given nothing, the prior. For other subsets neither paper has one: the
    product of the given modalities' posteriors is taken, normalised.
    """

    def __init__(
        self,
        modalities: Sequence[Modality],
        latent_dim: int = 64,
        trunks: Mapping[str, keras.layers.Layer] | None = None,
        **kwargs,
    ):
        """Creates the model and all its weights.

        Args:
            modalities: Two or more.
            latent_dim: Size of the latent.
            trunks: By modality, the part of the joint network that sees it alone, a layer
                from prepared data to features; one layer of 512 with Swish where left out.
            **kwargs: Those of `MultimodalVAE`: `kl_weight`, `num_samples`, `seed`, `name`.

        Raises:
            ValueError: There is one modality only, or the trunks are not one for each.
        """
        check_modalities(modalities)
        if len(modalities) < 2:
            raise ValueError(f"{type(self).__name__} needs two modalities or more")
        names = [modality.name for modality in modalities]
        if trunks is None:
            trunks = {modality.name: _default_trunk(modality) for modality in modalities}
        if set(trunks) != set(names):
            raise ValueError(f"trunks must be those of {names}; they are {sorted(trunks)}")
        super().__init__(modalities, latent_dim, **kwargs)
        for name, trunk in trunks.items():
            check_unowned(trunk, f"the trunk of {name!r}")
        self.joint_encoder = JointEncoder({n: trunks[n] for n in names}, self.latent_dim)
        ones = tf.ones([1])
        self._encode_jointly(
            {
                m.name: tf.zeros([1, *m.likelihood.event_shape], m.likelihood.dtype)
                for m in self.modalities
            },
            dict.fromkeys(names, ones),
        )
        for name, trunk in trunks.items():
            check_unowned(trunk, f"the trunk of {name!r}")  # one for two modalities
            own(trunk, f"the trunk of {name!r}")

    def _encode_jointly(
        self, x: Mapping[str, tf.Tensor], mask: Mapping[str, tf.Tensor], training: bool = False
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Returns the joint posterior; it means something for complete examples only."""
        values = {m.name: m.prepare(x[m.name], mask[m.name]) for m in self.modalities}
        return self.joint_encoder(values, _complete(mask), training=training)

    def _infer(self, x, mask, training=False):
        present = present_mask(mask, self.modalities)
        loc, log_variance = self._encode(x, mask, training)
        there = present[:, :, tf.newaxis]
        limit = log_variance_limit(log_variance.dtype)
        precision = there * tf.exp(-tf.clip_by_value(log_variance, -limit, limit))
        nothing = 1 - tf.reduce_max(there, axis=1)
        total = tf.reduce_sum(precision, axis=1) + nothing
        product = tf.reduce_sum(precision * loc, axis=1) / total, -tf.math.log(total)
        if len(x) < len(self.modalities):
            return product
        joint = self._encode_jointly(x, mask, training)
        complete = _complete(mask)[:, tf.newaxis] > 0
        return (
            tf.where(complete, joint[0], product[0]),
            tf.where(complete, joint[1], product[1]),
        )

    def get_config(self) -> dict[str, Any]:
        """Returns the arguments that make this model again."""
        serialize = keras.saving.serialize_keras_object
        trunks = {name: serialize(trunk) for name, trunk in self.joint_encoder.trunks.items()}
        return {**super().get_config(), "trunks": trunks}

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> "MultimodalVAE":
        """Makes a model from `get_config`'s answer."""
        make = keras.saving.deserialize_keras_object
        trunks = {
            name: make(trunk, custom_objects=custom_objects)
            for name, trunk in config["trunks"].items()
        }
        return super().from_config({**config, "trunks": trunks}, custom_objects)


def _complete(mask: Mapping[str, tf.Tensor]) -> tf.Tensor:
    """Returns 1 where an example has everything, `[batch]`."""
    return tf.reduce_prod(tf.stack(list(mask.values())), axis=0)


def _default_trunk(modality: Modality) -> keras.layers.Layer:
    return default_encoder(modality.likelihood, [512])
