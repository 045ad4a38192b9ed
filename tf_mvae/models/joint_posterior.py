"""Models with a network that encodes all modalities at once."""

from collections.abc import Mapping, Sequence
from typing import Any

import keras

from tf_mvae.inference.arguments import check_modalities
from tf_mvae.inference.ownership import check_unowned, own
from tf_mvae.modality import Modality
from tf_mvae.models.multimodal import MultimodalVAE
from tf_mvae.models.preset_model import PresetVAE
from tf_mvae.posteriors import JointNetwork
from tf_mvae.posteriors.joint_network import default_trunks

__all__ = ["JointPosteriorVAE"]


class JointPosteriorVAE(PresetVAE):
    """The base of JMVAE and TELBO: models with the posterior kind `JointNetwork`."""

    _make_kind = JointNetwork

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
            trunks: See `JointNetwork`.
            **kwargs: Those of the objective, and those of `BaseVAE`: `kl_weight`, `num_samples`,
                `seed`, `name`.

        Raises:
            ValueError: There is one modality only, or the trunks are not one for each.
        """
        check_modalities(modalities)
        # They are made before other layers: the order decides initial weights.
        given = default_trunks(modalities) if trunks is None else trunks
        super().__init__(modalities, latent_dim, trunks=given, **kwargs)
        for name, trunk in given.items():
            check_unowned(trunk, f"the trunk of {name!r}")  # another model's or modality's
            own(trunk, f"the trunk of {name!r}")

    @classmethod
    def experiment_arguments(cls, experiment: Any, modalities: Sequence[Modality]) -> dict:
        """Returns the experiment's trunks, or None for the model's own."""
        return {"trunks": experiment.joint_trunks and experiment.joint_trunks()}

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> "MultimodalVAE":
        """Creates a model from the result of `get_config`."""
        make = keras.saving.deserialize_keras_object
        trunks = {
            name: make(trunk, custom_objects=custom_objects)
            for name, trunk in config["trunks"].items()
        }
        return super().from_config({**config, "trunks": trunks}, custom_objects)
