"""A signature of a SavedModel: its inputs and outputs."""

import dataclasses
import functools

import numpy as np
import tensorflow as tf

__all__ = ["Field", "Signature", "read_signatures"]


@dataclasses.dataclass(frozen=True)
class Field:
    """A named tensor of a signature.

    Attributes:
        name: The name in requests and responses.
        dtype: The TensorFlow type.
        shape: The sizes, with None for a free size; None if the rank is free.
        default: The value if a request omits it; None if it is required.
        low: The smallest valid value, or None; an array in the shape of an example if its elements
            have different ones.
        high: The largest valid value, likewise.
        is_mask: Whether it holds 0 and 1 only, for each part of another input.
        takes_nonfinite: Whether observed values may be NaN and infinite.
        takes_nan: Whether observed values may be NaN, each a missing element.
    """

    name: str
    dtype: tf.DType
    shape: tuple[int | None, ...] | None
    default: np.ndarray | None = dataclasses.field(default=None, compare=False)
    low: float | np.ndarray | None = dataclasses.field(default=None, compare=False)
    high: float | np.ndarray | None = dataclasses.field(default=None, compare=False)
    whole: float | np.ndarray | None = dataclasses.field(default=None, compare=False)
    is_mask: bool = False
    takes_nonfinite: bool = True
    takes_nan: bool = True

    @property
    def batched(self) -> bool:
        """Whether the first dimension is free."""
        return bool(self.shape) and self.shape[0] is None

    @property
    def scalar(self) -> bool:
        """Whether it is a single value."""
        return self.shape == ()

    @functools.cached_property
    def kind(self) -> str:
        """The kind of its JSON values: `float`, `int`, `bool`, `string`, or `none`."""
        if self.dtype.is_floating:
            return "float"
        if self.dtype.is_integer:
            return "int"
        return {tf.bool: "bool", tf.string: "string"}.get(self.dtype, "none")

    @functools.cached_property
    def bounds(self) -> tuple[int, int]:
        """The smallest and the largest value of its integer type."""
        return int(self.dtype.min), int(self.dtype.max)

    @functools.cached_property
    def numpy_dtype(self) -> np.dtype:
        """Its NumPy type."""
        return np.dtype(self.dtype.as_numpy_dtype)

    def describe(self) -> str:
        """Returns type and shape for messages, such as `float32 [any, 28, 28, 1]`."""
        if self.shape is None:
            return f"{self.dtype.name} of any shape"
        if self.scalar:
            return f"one {self.dtype.name}"
        sizes = ["any" if size is None else str(size) for size in self.shape]
        return f"{self.dtype.name} [{', '.join(sizes)}]"


@dataclasses.dataclass(frozen=True)
class Signature:
    """A signature of a SavedModel.

    Attributes:
        name: The signature's name.
        method: The method's name, such as `tensorflow/serving/predict`.
        inputs: The input tensors, by name.
        outputs: The output tensors, by name.
        one_by_one: Whether the first dimension of all tensors is 1, so that the model takes one
            example per call. The first dimension of the fields is then None (free), and each
            example of a request is a separate call.
        described: Whether the export has a description: then every free first dimension is that of
            the examples.
    """

    name: str
    method: str
    inputs: dict[str, Field]
    outputs: dict[str, Field]
    one_by_one: bool = False
    described: bool = False

    @property
    def free_of_scalars(self) -> bool:
        """Whether the row format can express every input."""
        return not any(field.scalar for field in self.inputs.values())

    @property
    def may_be_batched(self) -> bool:
        """Whether every tensor has a free first dimension."""
        fields = [*self.inputs.values(), *self.outputs.values()]
        return bool(self.inputs) and all(field.batched for field in fields)

    @property
    def needs_examples(self) -> bool:
        """Whether it is known that inputs have examples, of which one has to be given."""
        return self.described and any(field.batched for field in self.inputs.values())

    def with_free_examples(self) -> "Signature":
        """Returns the signature; if all first dimensions are 1, as `one_by_one` with free ones."""
        fields = [*self.inputs.values(), *self.outputs.values()]
        if not self.inputs or not all(f.shape and f.shape[0] == 1 for f in fields):
            return self
        inputs, outputs = (
            {k: dataclasses.replace(f, shape=(None, *f.shape[1:])) for k, f in tensors.items()}
            for tensors in (self.inputs, self.outputs)
        )
        return dataclasses.replace(self, inputs=inputs, outputs=outputs, one_by_one=True)


def read_signatures(definitions) -> dict[str, Signature]:
    """Returns the signatures of a MetaGraphDef's `signature_def`, by name.

    Args:
        definitions: A mapping of names to `SignatureDef` messages.
    """
    found = {}
    for name, definition in sorted(definitions.items()):
        if name.startswith("__saved_model_"):  # TensorFlow's own initialisation and training ops
            continue
        defaults = {key: tf.make_ndarray(value) for key, value in definition.defaults.items()}
        found[name] = Signature(
            name,
            definition.method_name,
            _fields(definition.inputs, defaults),
            _fields(definition.outputs, {}),
        ).with_free_examples()
    return found


def _fields(tensors, defaults: dict[str, np.ndarray]) -> dict[str, Field]:
    fields = {}
    for name, info in sorted(tensors.items()):
        shape = None
        if not info.tensor_shape.unknown_rank:
            shape = tuple(None if dim.size < 0 else dim.size for dim in info.tensor_shape.dim)
        fields[name] = Field(name, tf.as_dtype(info.dtype), shape, defaults.get(name))
    return fields
