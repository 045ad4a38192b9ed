"""MultiVae's models with the networks of a set-up, for benchmarks that train or time them."""

from collections.abc import Mapping
from typing import Any

import multivae_likelihood  # noqa: F401  makes torchvision importable
import numpy as np
import torch
from multivae import models
from multivae.models.nn.default_architectures import BaseJointEncoder
from pythae.models.base.base_utils import ModelOutput
from pythae.models.nn import BaseDecoder, BaseEncoder
from torch import nn
from torch_networks import Networks, sequential

__all__ = ["make", "one_hot"]


class Encoder(BaseEncoder):
    """A network from one modality to its expert, and to that of its own latent."""

    def __init__(self, network: nn.Module, latent: int, private: int):
        """Takes the network and the sizes of both latents; the second may be 0."""
        super().__init__()
        self.network, self.latent_dim, self._private = network, latent, private

    def forward(self, x: torch.Tensor) -> ModelOutput:
        """Returns means and log-variances, `[batch, latent]` each."""
        loc, log_variance = self.network(x).chunk(2, 1)
        loc, log_variance = loc.clone(), log_variance.clone()  # MultiVae writes into them
        if not self._private:
            return ModelOutput(embedding=loc, log_covariance=log_variance)
        size = self.latent_dim
        return ModelOutput(
            embedding=loc[:, :size],
            log_covariance=log_variance[:, :size],
            style_embedding=loc[:, size:],
            style_log_covariance=log_variance[:, size:],
        )


class Decoder(BaseDecoder):
    """A network from latents to one modality; latents may have several leading axes."""

    def __init__(self, network: nn.Module, shape: tuple[int, ...]):
        """Takes the network and the shape of one example, channels first."""
        super().__init__()
        self.network, self._shape = network, shape

    def forward(self, z: torch.Tensor) -> ModelOutput:
        """Returns means or logits, `[..., *shape]`."""
        rows = self.network(z.reshape(-1, z.shape[-1]))
        return ModelOutput(reconstruction=rows.reshape(*z.shape[:-1], *self._shape))


class JointEncoder(BaseJointEncoder):
    """A trunk for each modality and two dense layers."""

    def __init__(self, trunks: dict[str, nn.Module], rest: nn.Module, latent: int):
        """Takes the networks and the size of the latent."""
        super().__init__()
        self.trunks, self.rest, self.latent_dim = nn.ModuleDict(trunks), rest, latent

    def forward(self, x: dict[str, torch.Tensor]) -> ModelOutput:
        """Returns means and log-variances, `[batch, latent]` each."""
        features = [trunk(x[name]) for name, trunk in self.trunks.items()]
        loc, log_variance = self.rest(torch.cat(features, 1)).chunk(2, 1)
        return ModelOutput(embedding=loc, log_covariance=log_variance)


def make(
    setup: Mapping[str, Any],
    arrays: Mapping[str, np.ndarray],
    networks: Mapping[str, Networks] | None = None,
) -> Any:
    """Returns MultiVae's model of a set-up, with the weights that could be carried over.

    Args:
        setup: Its description; `peer` names MultiVae's class and its configuration's fields.
        arrays: The weights.
        networks: The modalities' networks; made from the weights where None.
    """
    latent, private = setup["latent_dim"], setup["private_dim"]
    modalities = {m["name"]: m for m in setup["modalities"]}
    if networks is None:
        networks = {n: Networks(m, latent + private, arrays) for n, m in modalities.items()}
    class_name, fields = setup["peer"]
    shapes = {name: _shape(modality) for name, modality in modalities.items()}
    if private:
        fields = {**fields, "modalities_specific_dim": private}
    config = getattr(models, f"{class_name}Config")(
        n_modalities=len(modalities),
        latent_dim=latent,
        input_dims=shapes,
        decoders_dist={name: _distribution(m) for name, m in modalities.items()},
        decoder_dist_params={
            name: {"scale": m["scale"]} for name, m in modalities.items() if m["scale"] is not None
        },
        uses_likelihood_rescaling=True,
        rescale_factors={name: m["weight"] for name, m in modalities.items()},
        **fields,
    )
    encoders = {name: Encoder(one.encoder, latent, private) for name, one in networks.items()}
    decoders = {name: Decoder(one.decoder, shapes[name]) for name, one in networks.items()}
    more = {}
    if setup["joint"]:
        trunks = {
            name: sequential(kinds, tuple(modalities[name]["event_shape"]), f"joint/{name}", arrays)
            for name, kinds in setup["joint"]["trunks"].items()
        }
        rest = sequential(setup["joint"]["rest"], (), "joint/rest", arrays)
        more["joint_encoder"] = JointEncoder(trunks, rest, latent)
    return getattr(models, class_name)(config, encoders, decoders, **more)


def one_hot(setup: Mapping[str, Any], data: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Returns data as MultiVae wants them: classes as one-hot rows."""
    classes = {m["name"]: m["classes"] for m in setup["modalities"]}
    return {
        name: value
        if classes[name] is None
        else nn.functional.one_hot(value, classes[name]).float()
        for name, value in data.items()
    }


def _distribution(modality: Mapping[str, Any]) -> str:
    if modality["classes"] is not None:
        return "categorical"
    return "bernoulli" if modality["scale"] is None else "laplace"


def _shape(modality: Mapping[str, Any]) -> tuple[int, ...]:
    """Returns the shape of one example here: channels first, classes one-hot."""
    if modality["classes"] is not None:
        return (modality["classes"],)
    shape = modality["event_shape"]
    return (shape[2], *shape[:2]) if len(shape) == 3 else tuple(shape) or (1,)
