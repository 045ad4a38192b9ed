"""Counts the arithmetic that a training step's objective needs, from its layers' shapes.

Each modality is encoded once (one of few classes once a class), decoded from the terms that
reconstruct it (from one with an `alignment_weight`, whose divergences decode nothing), and each
product costs three times its forward pass: itself, the gradient of its weights, and that of its
input, which layers that read data do without. A multiplication and an addition are two operations;
products with what a convolution puts between or beyond its inputs are none. What else a step does
(activations, densities, random numbers, the optimizer) takes time and counts nothing.
`hlo.operations` counts what is compiled, by the same rules.
"""

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import keras
import numpy as np

from tf_mvae.group import ModalityGroup
from tf_mvae.layers import GroupedDense, GroupedEmbedding, MaskedSequential
from tf_mvae.layers.lookup import num_inputs
from tf_mvae.layers.transposed import ImageConv2DTranspose
from tf_mvae.modality import Modality
from tf_mvae.models import MVAE
from tf_mvae.objectives.terms import RANDOM

__all__ = [
    "Count",
    "activations",
    "cropped",
    "decoded_rows",
    "decoding",
    "forward",
    "mean_subset_size",
    "needed",
    "placing",
]


class Count(NamedTuple):
    """Floating-point operations of a step.

    Attributes:
        networks: Of encoders and decoders.
        products: Of the products of experts, sums over modalities as contractions.
    """

    networks: int
    products: int

    @property
    def total(self) -> int:
        """All operations."""
        return self.networks + self.products


# What is needed -----------------------------------------------------------------------


def needed(model: MVAE, batch_size: int, subset_size: float | None = None) -> Count:
    """Returns what a step of a model needs, every example having everything.

    Args:
        model: Its objective says which terms are decoded to what.
        batch_size: Examples.
        subset_size: To how many modalities a random subset is decoded. All of them where left
            out, which is what a graph of static shapes that does not know the subsets has to
            hold; `mean_subset_size(model)` is what the objective takes on average.
    """
    share = 1.0 if subset_size is None else subset_size / _size(model.modalities)
    networks = sum(
        rows * _trained(layers, shape, reads)
        for rows, layers, shape, reads in _networks(model, batch_size, share)
    )
    networks += sum(_lookup(model, m, batch_size) for m in model.modalities)
    networks += sum(placing(model, m, batch_size) for m in model.modalities)
    several, size = 1 + model.num_random_subsets, _size(model.modalities)
    grouped = any(isinstance(m, ModalityGroup) for m in model.modalities)
    experts = several * size + (size if grouped else size * size)
    # Sums of precisions and of precisions times means, and the gradients of both.
    products = 2 * 2 * 2 * batch_size * model.latent_dim * experts
    return Count(round(networks), products)


def activations(model: MVAE, batch_size: int) -> int:
    """Returns how many numbers the layers of a step put out, those that only reshape left out."""
    total = 0.0
    for rows, layers, shape, _ in _networks(model, batch_size, 1.0):
        for layer in layers:
            shape = tuple(layer.compute_output_shape(shape))
            total += rows * math.prod(shape) * (layer.count_params() > 0)
    return round(total)


def mean_subset_size(model: MVAE) -> float:
    """Returns how many modalities a random subset has on average, 0 where there is none."""
    size = _size(model.modalities)
    sizes = range(2, size)
    if not model.num_random_subsets:
        return 0.0
    uniform = model.objective.subset_distribution == "uniform_subsets"
    weight = [math.comb(size, n) if uniform else 1 for n in sizes]
    return sum(n * w for n, w in zip(sizes, weight, strict=True)) / sum(weight)


def decoded_rows(model: MVAE, modality: Modality, random_share: float = 1.0) -> float:
    """Returns from how many terms a modality, or each member of a group, is reconstructed.

    They are those of the blocks that `Objective.decoded` names. With the paper's weights:
    everything, the random subsets that contain it, and itself alone; all terms where it has a
    cross weight, but for those of a group's members alone (`ModalityGroup` says why). With an
    `alignment_weight`: everything alone.

    Args:
        model: The model.
        modality: One of its modalities.
        random_share: The share of the random subsets that contain it.
    """
    blocks = model.objective.decoded(model.modalities)[modality.name]
    share = 1.0 if np.any(modality.cross_weight) else random_share
    drawn = share * model.num_random_subsets if RANDOM in blocks else 0.0
    return len(set(blocks) - {RANDOM}) + drawn


def decoding(model: MVAE, modality: Modality) -> int:
    """Returns the operations of decoding one row to a modality, forward and backward."""
    return _trained(_layers(modality.decoder), (1, model.latent_dim), False)


def placing(
    model: MVAE, modality: Modality, batch_size: int, random_subsets: int | None = None
) -> int:
    """Returns the operations by which rows that a draw chose find their places among all.

    A product with 0s and 1s and its gradient, where random subsets are decoded to a modality
    only as a draw has it.

    Args:
        model: The model.
        modality: One of its modalities.
        batch_size: Examples.
        random_subsets: From how many of them the modality is decoded; all where left out.
    """
    blocks = model.objective.decoded(model.modalities)[modality.name]
    number = model.num_random_subsets
    if RANDOM not in blocks or isinstance(modality, ModalityGroup) or modality.cross_weight:
        return 0
    others = len(set(blocks) - {RANDOM})
    chosen = others + (number if random_subsets is None else random_subsets)
    return 2 * 2 * chosen * (others + number) * batch_size**2


def forward(layer: keras.layers.Layer, shape: Sequence[int]) -> int:
    """Returns the operations of one layer's forward pass.

    Args:
        layer: Any of those that the package's networks are made of.
        shape: Of its input, with the batch.

    Raises:
        TypeError: It is a layer with weights of which nothing is known here.
    """
    if isinstance(layer, GroupedDense | GroupedEmbedding):
        # An embedding of a group's members is a product with one-hot rows.
        members, inputs, units = layer.kernel.shape
        return 2 * members * shape[1] * inputs * units
    if isinstance(layer, keras.layers.Dense):
        return 2 * math.prod(shape) * layer.units
    if isinstance(layer, keras.layers.Conv2D | keras.layers.Conv2DTranspose):
        return _convolution(layer, shape)
    free = (keras.layers.Embedding, keras.layers.BatchNormalization)
    if layer.weights and not isinstance(layer, free):
        raise TypeError(f"{type(layer).__name__}: its operations are not known")
    return 0


def cropped(layer: keras.layers.Layer, shape: Sequence[int]) -> int:
    """Returns the operations of a forward pass whose results are cut off at the image's border.

    `ImageConv2DTranspose` computes whole blocks; its gradients have no such part.

    Args:
        layer: As `forward` takes it.
        shape: Of its input, with the batch.
    """
    if not isinstance(layer, ImageConv2DTranspose) or not layer.is_a_convolution:
        return 0
    *inputs, channels = shape
    taps = math.prod(layer.kernel_size)
    return 2 * math.prod(inputs) * taps * channels * layer.filters - forward(layer, shape)


def _convolution(layer: keras.layers.Layer, shape: Sequence[int]) -> int:
    """Counts a convolution by its pairs of an input's entry and an output's."""
    batch, *places, channels = shape
    *_, outputs = layer.compute_output_shape(tuple(shape))
    spatial = layer.compute_output_shape(tuple(shape))[1:-1]
    pairs = 1
    transposed = isinstance(layer, keras.layers.Conv2DTranspose)
    for place, result, kernel, stride in zip(
        places, spatial, layer.kernel_size, layer.strides, strict=True
    ):
        # A transposed convolution is the gradient of the one that goes the other way.
        wide, narrow = (result, place) if transposed else (place, result)
        whole = (narrow - 1) * stride + kernel
        before = max(0, whole - wide) // 2 if layer.padding == "same" else 0
        pairs *= sum(
            0 <= index * stride + tap - before < wide
            for index in range(narrow)
            for tap in range(kernel)
        )
    return 2 * batch * pairs * channels * outputs


def _trained(layers: Sequence[keras.layers.Layer], shape: tuple[int, ...], reads: bool) -> int:
    """Counts a network's forward and backward pass; `reads` says whether its input is data."""
    total, has_weights = 0, False
    for layer in layers:
        count = forward(layer, shape)
        trained = bool(layer.trainable_weights)
        # Nobody wants the gradient of data, nor that of what was made of data without weights.
        total += count * (1 + trained + (has_weights or not reads)) + cropped(layer, shape)
        has_weights = has_weights or trained
        shape = tuple(layer.compute_output_shape(shape))
    return total


def _networks(
    model: MVAE, batch_size: int, random_share: float
) -> Iterator[tuple[float, list[keras.layers.Layer], tuple[int, ...], bool]]:
    """Yields each network: how often it runs, its layers, its input's shape, if that is data.

    Counts are linear in a decoder's rows, which are no whole number on average.
    """
    for modality in model.modalities:
        grouped = isinstance(modality, ModalityGroup)
        members = (modality.size,) if grouped else ()
        event = (
            modality.likelihood.member.event_shape if grouped else modality.likelihood.event_shape
        )
        encoder = [*_layers(modality.encoder), modality.expert_head]
        yield 1, encoder, (*members, _encoded_rows(modality, batch_size), *event), True
        rows = decoded_rows(model, modality, random_share) * batch_size * model.num_samples
        yield rows, _layers(modality.decoder), (*members, 1, model.latent_dim), False


def _encoded_rows(modality: Modality, batch_size: int) -> int:
    """Returns for how many rows an encoder runs: for each class once, where these are fewer."""
    return min(batch_size, num_inputs(modality.encoder, modality.expert_head) or batch_size)


def _lookup(model: MVAE, modality: Modality, batch_size: int) -> int:
    """Counts how rows find their class's expert, a product with 0s and 1s, and its gradient."""
    classes = _encoded_rows(modality, batch_size)
    if classes == batch_size:
        return 0
    return 2 * 2 * modality.size * batch_size * classes * 2 * model.latent_dim


def _layers(network: keras.layers.Layer) -> list[keras.layers.Layer]:
    if not isinstance(network, MaskedSequential):
        raise TypeError(f"{type(network).__name__}: only stacks of layers are counted")
    return network.layers


def _size(modalities: Sequence[Modality]) -> int:
    return sum(modality.size for modality in modalities)
