"""A model's networks for programs that know nothing of Keras: layers as JSON, weights as arrays.

Weights go by modality, network and layer, `image/encoder/1/kernel`, in Keras' order of axes. A
group's members stand apart, as modalities of their own. `peers/torch_networks.py` reads this.
"""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import keras
import numpy as np

from tf_mvae.distributions import likelihoods
from tf_mvae.group import ModalityGroup
from tf_mvae.layers import GroupedDense, GroupedEmbedding, MaskedBatchNormalization, SeededDropout
from tf_mvae.modality import Modality
from tf_mvae.models import BaseVAE

__all__ = ["describe", "describe_joint", "load_weights", "weights_of"]

_KNOWN = likelihoods.Bernoulli | likelihoods.Categorical | likelihoods.Laplace


def describe(model: BaseVAE) -> list[dict[str, Any]]:
    """Returns what another program needs to build the modalities' networks, as JSON holds it."""
    modalities = []
    for part in _single_modalities(model):
        likelihood = part.likelihood
        modalities.append(
            {
                "name": part.name,
                "source": part.modality.name,
                "column": part.column,
                "event_shape": list(likelihood.event_shape),
                "classes": getattr(likelihood, "num_classes", None),
                "scale": getattr(likelihood, "scale", None),
                "weight": part.weight,
                "encoder": [kind for kind, _ in part.networks["encoder"]],
                "decoder": [kind for kind, _ in part.networks["decoder"]],
            }
        )
    return modalities


def describe_joint(model: BaseVAE) -> dict[str, Any] | None:
    """Returns the layers of a model's joint encoder; None if it has none."""
    networks = _joint_networks(model)
    if not networks:
        return None
    kinds = {name: [_taken(layer, None)[0] for layer in part] for name, part in networks.items()}
    return {"rest": kinds.pop("rest"), "trunks": kinds}


def weights_of(model: BaseVAE) -> dict[str, np.ndarray]:
    """Returns all weights by modality, network and layer: `image/encoder/1/kernel`.

    Those of a joint encoder are `joint/image/1/kernel` and `joint/rest/0/kernel`.
    """
    joint = {
        f"joint/{network}/{index}/{name}": value
        for network, layers in _joint_networks(model).items()
        for index, layer in enumerate(layers)
        for name, value in _taken(layer, None)[1].items()
    }
    return joint | {
        f"{part.name}/{network}/{index}/{name}": value
        for part in _single_modalities(model)
        for network, layers in part.networks.items()
        for index, (_, arrays) in enumerate(layers)
        for name, value in arrays.items()
    }


def load_weights(model: BaseVAE, arrays: Mapping[str, np.ndarray]) -> None:
    """Gives a model without groups the weights that `weights_of` wrote.

    Raises:
        ValueError: A weight is missing, has another shape, or belongs to a group.
    """
    for modality in model.modalities:
        if isinstance(modality, ModalityGroup):
            raise ValueError(f"{modality.name}: weights of groups are not read back")
        for network, layers in _networks(modality).items():
            for index, layer in enumerate(layers):
                for variable in layer.weights:
                    name = variable.path.rsplit("/", 1)[-1].replace("embeddings", "kernel")
                    value = arrays[f"{modality.name}/{network}/{index}/{name}"]
                    if value.shape != tuple(variable.shape):
                        raise ValueError(f"{modality.name}: {variable.path} has {value.shape}")
                    variable.assign(value)


class _Part(NamedTuple):
    """A modality as programs without groups see it."""

    name: str
    modality: Modality
    column: int | None
    likelihood: Any
    weight: float
    networks: dict[str, list[tuple[dict[str, Any], dict[str, np.ndarray]]]]


def _single_modalities(model: BaseVAE) -> Iterator[_Part]:
    """Yields every modality, and every member of a group, with its networks taken apart."""
    for modality in model.modalities:
        grouped = isinstance(modality, ModalityGroup)
        for column, name in enumerate(modality.column_names):
            networks = {
                key: [_taken(layer, column if grouped else None) for layer in layers]
                for key, layers in _networks(modality).items()
            }
            likelihood = modality.likelihood.member if grouped else modality.likelihood
            if not isinstance(likelihood, _KNOWN):
                raise TypeError(f"{name}: {type(likelihood).__name__} is not for other Pythons")
            weight = modality.likelihood_weight
            yield _Part(
                name,
                modality,
                column if grouped else None,
                likelihood,
                weight[column] if grouped else weight,
                networks,
            )


def _networks(modality: Modality) -> dict[str, list[keras.layers.Layer]]:
    encoder = [*modality.encoder.layers, keras.layers.Flatten(), modality.expert_head]
    return {"encoder": encoder, "decoder": modality.decoder.layers}


def _joint_networks(model: BaseVAE) -> dict[str, list[keras.layers.Layer]]:
    """Returns the layers of a joint encoder: each modality's trunk, and the `rest` behind them."""
    encoder = getattr(model, "joint_encoder", None)
    if encoder is None:
        return {}
    trunks = {name: trunk.layers for name, trunk in encoder.trunks.items()}
    return {**trunks, "rest": [encoder.hidden, encoder.head]}


def _taken(
    layer: keras.layers.Layer, member: int | None
) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Returns what kind of layer it is, and its weights; of a grouped one a member's.

    Raises:
        TypeError: No other Python here knows the layer.
    """
    arrays = {v.path.rsplit("/", 1)[-1]: v.numpy() for v in layer.weights}
    activation = getattr(getattr(layer, "activation", None), "__name__", "linear")
    own = {}
    if member is not None:
        own = {k: v[member].ravel() if k == "bias" else v[member] for k, v in arrays.items()}
    match layer:
        case GroupedDense():
            return {"kind": "dense", "activation": activation}, own
        case GroupedEmbedding():
            return {"kind": "embedding", "activation": activation}, own
        case keras.layers.Dense():
            return {"kind": "dense", "activation": activation}, arrays
        case keras.layers.Embedding():
            return {"kind": "embedding", "activation": "linear"}, {"kernel": arrays["embeddings"]}
        case keras.layers.Activation():
            return {"kind": "activation", "activation": activation}, {}
        case keras.layers.Flatten():
            return {"kind": "flatten"}, {}
        case keras.layers.Reshape():
            return {"kind": "reshape", "shape": list(layer.target_shape)}, {}
        case keras.layers.ZeroPadding2D():
            return {"kind": "pad", "amount": layer.padding[0][0]}, {}
        case keras.layers.Conv2DTranspose():
            padding = (layer.kernel_size[0] - layer.strides[0]) // 2
            padding = padding if layer.padding == "same" else 0
            return {
                "kind": "conv_transpose",
                "stride": layer.strides[0],
                "padding": padding,
                "activation": activation,
            }, arrays
        case keras.layers.Conv2D():
            return {"kind": "conv", "stride": layer.strides[0], "activation": activation}, arrays
        case MaskedBatchNormalization():
            return {
                "kind": "batch_norm",
                "momentum": 1 - layer.momentum,
                "epsilon": layer.epsilon,
            }, arrays
        case SeededDropout():
            return {"kind": "dropout", "rate": layer.rate}, {}
    raise TypeError(f"{type(layer).__name__} is not for other Pythons")
