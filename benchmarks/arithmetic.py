"""Counts the arithmetic of a training step: what its objective needs, and what is compiled.

`needed` counts from the layers' shapes: each modality is encoded once, decoded from the terms
that reconstruct it, and each product costs three times its forward pass (itself, the gradient
of its weights, the gradient of its input, which the layers that read data do without).
`compiled` counts the matrix products and convolutions in the text of a step's HLO, XLA's
intermediate representation, as far as anything that the step returns depends on them. Both
count a multiplication and an addition as two operations, and neither counts a product with what
a convolution's padding or dilation puts between the inputs. What else a step does (activations,
densities, random numbers, the optimizer) takes time and counts nothing.
"""

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import keras

from tf_mvae.group import ModalityGroup
from tf_mvae.layers import GroupedDense, GroupedEmbedding, MaskedSequential
from tf_mvae.modality import Modality
from tf_mvae.models import MVAE

__all__ = ["Count", "compiled", "decoded_rows", "forward", "mean_subset_size", "needed"]

# In the names that TensorFlow gives operations, gradients included.
_PRODUCT = "product_of_experts"


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
    networks = 0.0
    share = 1.0 if subset_size is None else subset_size / _size(model.modalities)
    for modality in model.modalities:
        shape = modality.likelihood.event_shape
        if isinstance(modality, ModalityGroup):
            shape = (modality.size, batch_size, *modality.likelihood.member.event_shape)
        else:
            shape = (batch_size, *shape)
        networks += _trained([*_layers(modality.encoder), modality.expert_head], shape, True)
        rows = decoded_rows(model, modality, share) * batch_size * model.num_samples
        latent = (modality.size,) if isinstance(modality, ModalityGroup) else ()
        # Counts are linear in the rows, which need not be whole.
        networks += rows * _trained(_layers(modality.decoder), (*latent, 1, model.latent_dim), False)
    several, size = 1 + model.num_random_subsets, _size(model.modalities)
    grouped = any(isinstance(m, ModalityGroup) for m in model.modalities)
    experts = several * size + (size if grouped else size * size)
    # Sums of precisions and of precisions times means, and the gradients of both.
    products = 2 * 2 * 2 * batch_size * model.latent_dim * experts
    return Count(round(networks), products)


def mean_subset_size(model: MVAE) -> float:
    """Returns how many modalities a random subset has on average, 0 where there is none."""
    size = _size(model.modalities)
    sizes = range(2, size)
    if not model.num_random_subsets:
        return 0.0
    uniform = model.subset_distribution == "uniform_subsets"
    weight = [math.comb(size, n) if uniform else 1 for n in sizes]
    return sum(n * w for n, w in zip(sizes, weight, strict=True)) / sum(weight)


def decoded_rows(model: MVAE, modality: Modality, random_share: float = 1.0) -> float:
    """Returns from how many terms a modality, or each member of a group, is reconstructed.

    Everything, the random subsets that contain it, and itself alone; all terms where it has a
    cross weight, but for those of a group's members alone (`ModalityGroup` says why).

    Args:
        model: The model.
        modality: One of its modalities.
        random_share: The share of the random subsets that contain it.
    """
    grouped = isinstance(modality, ModalityGroup)
    cross = any(modality.cross_weight) if grouped else modality.cross_weight > 0
    if not cross:
        return 1 + 1 + random_share * model.num_random_subsets
    singles = [m for m in model.modalities if not isinstance(m, ModalityGroup)]
    return 1 + len(singles) + grouped + model.num_random_subsets


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
        total += count * (1 + trained + (has_weights or not reads))
        has_weights = has_weights or trained
        shape = tuple(layer.compute_output_shape(shape))
    return total


def _layers(network: keras.layers.Layer) -> list[keras.layers.Layer]:
    if not isinstance(network, MaskedSequential):
        raise TypeError(f"{type(network).__name__}: only stacks of layers are counted")
    return network.layers


def _size(modalities: Sequence[Modality]) -> int:
    return sum(modality.size for modality in modalities)


# What is compiled ---------------------------------------------------------------------


class _Instruction(NamedTuple):
    """One line of HLO text."""

    name: str
    opcode: str
    shape: tuple[int, ...]
    operands: tuple[str, ...]
    called: tuple[str, ...]
    text: str


_LINE = re.compile(r"^\s*(ROOT )?%?([\w.\-]+) = (.*)$")
_SHAPE = re.compile(r"^(\w+)\[([\d,]*)\]\S* ([\w\-]+)\((.*)$")
_TUPLE = re.compile(r"^\(.*?\) ([\w\-]+)\((.*)$")
_CALLED = re.compile(
    r"(?:to_apply|calls|body|condition|branch_computations)=(?:\{([^}]*)\}|%?([\w.\-]+))"
)


def compiled(text: str) -> Count:
    """Returns what the matrix products and convolutions of an HLO module's text do.

    Args:
        text: What `tf.function(..., jit_compile=True).experimental_get_compiler_ir(batch)(
            stage="hlo")` gives.

    Raises:
        ValueError: The text is no HLO module, or has arithmetic in a loop, whose passes nobody
            knows beforehand.
    """
    computations, entry = _parse(text)
    networks = products = 0
    for instruction in _reached(computations, entry):
        count = _operations(instruction, computations)
        if _PRODUCT in instruction.text:
            products += count
        else:
            networks += count
    return Count(networks, products)


def _parse(text: str) -> tuple[dict[str, dict[str, _Instruction]], str]:
    """Returns instructions by computation and name, and the entry's name.

    The last instruction of each, in order, is its root.
    """
    computations: dict[str, dict[str, _Instruction]] = {}
    entry, current, root = "", "", None
    for line in text.splitlines():
        head = re.match(r"^(ENTRY )?%?([\w.\-]+) .*\{$", line)
        if head and " = " not in line:
            current = head[2]
            computations[current], root = {}, None
            entry = current if head[1] else entry
        elif line.startswith("}") and root is not None:
            own = computations[current]
            own[root] = own.pop(root)
        elif match := _LINE.match(line):
            found = _instruction(match[2], match[3])
            computations[current][found.name] = found
            root = found.name if match[1] else root
    if not entry:
        raise ValueError("this is no text of an HLO module")
    return computations, entry


def _instruction(name: str, text: str) -> _Instruction:
    match = _SHAPE.match(text)
    if match:
        shape = tuple(int(n) for n in match[2].split(",") if n)
        opcode, rest = match[3], match[4]
    else:
        opcode, rest = _TUPLE.match(text).groups()
        shape = ()
    inside = rest.split("), ")[0] if opcode != "constant" else ""
    called = tuple(n.strip(" %") for pair in _CALLED.findall(rest) for n in "".join(pair).split(","))
    return _Instruction(name, opcode, shape, tuple(re.findall(r"%([\w.\-]+)", inside)), called, rest)


def _reached(computations: Mapping[str, Any], name: str, loop: bool = False) -> Iterator[_Instruction]:
    """Yields every instruction that a computation's root depends on, calls followed."""
    own = computations[name]
    waiting, seen = [next(reversed(own))], set()
    while waiting:
        instruction = own[waiting.pop()]
        if instruction.name in seen:
            continue
        seen.add(instruction.name)
        if loop and instruction.opcode in ("dot", "convolution"):
            raise ValueError(f"{instruction.name}: arithmetic in a loop cannot be counted")
        yield instruction._replace(text=f"{name} {instruction.text}")
        for called in instruction.called:
            yield from _reached(computations, called, loop or instruction.opcode == "while")
        waiting += instruction.operands


def _operations(instruction: _Instruction, computations: Mapping[str, Any]) -> int:
    if instruction.opcode not in ("dot", "convolution"):
        return 0
    own = computations[instruction.text.split(" ", 1)[0]]
    left, right = (own[name].shape for name in instruction.operands)
    if instruction.opcode == "dot":
        contracted = _numbers(instruction.text, "lhs_contracting_dims")
        return 2 * math.prod(instruction.shape) * math.prod(left[n] for n in contracted)
    return _hlo_convolution(instruction, left, right)


def _numbers(text: str, name: str) -> list[int]:
    found = re.search(rf"{name}=\{{([\d,]*)\}}", text)
    return [int(n) for n in found[1].split(",") if n] if found else []


def _hlo_convolution(
    instruction: _Instruction, left: tuple[int, ...], right: tuple[int, ...]
) -> int:
    """Counts a convolution's pairs of entries, leaving out padding and what dilation puts in."""
    text = instruction.text
    if re.search(r"batch_group_count=(?!1\b)", text):
        raise ValueError(f"{instruction.name}: convolutions of batch groups are not counted")
    labels = re.search(r"dim_labels=(\w+)_(\w+)->(\w+)", text).groups()
    window = dict(item.split("=") for item in re.search(r"window=\{(.*?)\}", text)[1].split())
    rank = len(left) - 2

    def each(name, usual):
        return window.get(name, "x".join([usual] * rank)).split("x")

    pairs = 1
    parts = [each(n, "1") for n in ("size", "stride", "lhs_dilate", "rhs_dilate")]
    padding = each("pad", "0_0")
    for dim in range(rank):
        size, stride, spread, apart = (int(part[dim]) for part in parts)
        before = int(padding[dim].split("_")[0])
        inputs = left[labels[0].index(str(dim))]
        outputs = instruction.shape[labels[2].index(str(dim))]
        places = (
            out * stride + tap * apart - before for out in range(outputs) for tap in range(size)
        )
        pairs *= sum(0 <= p <= (inputs - 1) * spread and p % spread == 0 for p in places)
    batch, features = (instruction.shape[labels[2].index(label)] for label in "bf")
    return 2 * pairs * batch * features * right[labels[1].index("i")]
