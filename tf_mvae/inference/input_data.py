"""Checks the data that `fit`, `evaluate` and `predict` get, in all accepted forms."""

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import keras
import tensorflow as tf

from tf_mvae import checks
from tf_mvae.batch import check_arrays, check_dataset, out_of_range
from tf_mvae.covariate import Covariate
from tf_mvae.data.tables import Table
from tf_mvae.errors import UserError
from tf_mvae.modality import Modality

__all__ = [
    "checked_evaluation",
    "checked_fit",
    "checked_input",
    "one_line_errors",
    "refuse_targets",
]

_NO_MEANING = {
    "y": "a model of this package has no targets, which Keras' second argument is: all data are in "
    "x (validation_data is an argument to name)",
    "class_weight": "class_weight has no meaning here: give sample_weight, one number for each "
    "example",
}

# What TensorFlow says of variables that were not made in a strategy's scope.
_OUT_OF_SCOPE = (
    "Mixing different tf.distribute.Strategy objects",
    'Need to be inside "with strategy.scope()"',
    "must only be passed a variable created in this tf.distribute.Strategy.scope()",
)


def refuse_targets(method: str, arguments: Mapping[str, Any]) -> None:
    """Raises an error for arguments of Keras' methods that are not supported.

    Args:
        method: The method's name.
        arguments: The given arguments, by name.

    Raises:
        UserError: One is there.
    """
    for name, reason in _NO_MEANING.items():
        if arguments.get(name) is not None:
            raise UserError(f"{method}: {reason}")


def checked_fit(
    x: Any, y: Any, arguments: Mapping[str, Any], modalities: Sequence[Modality | Covariate]
) -> tuple[Any, dict[str, Any]]:
    """Returns the data of `fit` and its other named arguments, checked.

    Args:
        x: The data; see `checked_input`.
        y: Keras' second argument, which has to be None.
        arguments: Keras' other arguments by name, `sample_weight` and `validation_data` among them.
        modalities: The model's modalities.

    Raises:
        UserError: The data do not fit, or an argument has no meaning here.
    """
    refuse_targets("fit", {"y": y, **arguments})
    rest = dict(arguments)
    _check_numbers(rest)
    x = checked_input(x, modalities, rest.pop("sample_weight", None))
    if rest.get("validation_data") is not None:
        rest["validation_data"] = checked_input(rest["validation_data"], modalities)
    if isinstance(x, tf.data.Dataset | Iterator):
        rest.setdefault("shuffle", False)
    return x, rest


def checked_evaluation(
    x: Any, y: Any, arguments: Mapping[str, Any], modalities: Sequence[Modality | Covariate]
) -> tuple[Any, dict[str, Any]]:
    """Returns the data of `evaluate` and its other named arguments, checked; see `checked_fit`."""
    refuse_targets("evaluate", {"y": y, **arguments})
    rest = dict(arguments)
    _check_numbers(rest)
    weight = rest.pop("sample_weight", None)
    if rest.get("_use_cached_eval_dataset"):  # `fit` has checked its validation data
        return x, rest
    return checked_input(x, modalities, weight), rest


def checked_input(
    data: Any,
    modalities: Sequence[Modality | Covariate],
    sample_weight: Any = None,
    partial: bool = False,
) -> Any:
    """Returns data for Keras, checked now or, batch by batch, as they come.

    Args:
        data: Arrays, a table, a `tf.data.Dataset`, a `keras.utils.PyDataset` or an iterator of
            batches.
            Anything else that Keras takes (a distributed data set, a PyTorch loader) passes.
        modalities: The model's modalities.
        sample_weight: Weights of the examples of arrays, `[examples]`.
        partial: Whether modalities may be omitted altogether.

    Raises:
        UserError: The data do not fit, or there are none, or weights are given apart from batches.
    """
    if data is None:
        raise UserError("there are no data: x is arrays by name, a table, or batches")
    if isinstance(data, Table):
        data.schema.check_model(modalities)
        data = data.batch
    if _is_arrays(data):
        data = data if sample_weight is None else (data, None, sample_weight)
        return check_arrays(data, modalities, partial)
    if sample_weight is not None:
        raise UserError("sample_weight is for arrays; put weights into the batches as 'weight'")
    if isinstance(data, tf.data.Dataset):
        return check_dataset(data, modalities, partial)
    if isinstance(data, keras.utils.PyDataset):
        return _CheckedPyDataset(data, modalities, partial)
    return _checked_batches(data, modalities, partial) if isinstance(data, Iterator) else data


def _check_numbers(arguments: Mapping[str, Any]) -> None:
    """Checks numbers of which Keras accepts meaningless ones."""
    ranges = {"batch_size": checks.positive_integer, "validation_split": checks.below_one}
    for name, check in ranges.items():
        if arguments.get(name) is not None:
            check(name, arguments[name])


@contextlib.contextmanager
def one_line_errors() -> Iterator[None]:
    """Raises a `UserError` in place of TensorFlow's error around it, or of one that it explains.

    The first are of checked data, the others of models made outside of a strategy's scope.
    """
    try:
        yield
    except tf.errors.InvalidArgumentError as error:
        raise out_of_range(error) from error
    except (RuntimeError, ValueError) as error:
        if isinstance(error, UserError) or not any(text in str(error) for text in _OUT_OF_SCOPE):
            raise
        raise UserError(
            "weights or optimizer are not of the scope of the strategy that trains them; make "
            "modalities and model, and call compile, inside `with strategy.scope():`"
        ) from error


def _is_arrays(data: Any) -> bool:
    """Whether data are all there, or are a mistake that `check_arrays` explains."""
    if isinstance(data, tuple | list | Mapping):
        return True
    return hasattr(data, "shape") and hasattr(data, "dtype")  # an array, a tensor


def _checked_batches(
    batches: Iterator[Any], modalities: Sequence[Modality | Covariate], partial: bool
) -> Iterator[tuple[Any]]:
    for batch in batches:
        yield (check_arrays(batch, modalities, partial),)  # Keras wants tuples


class _CheckedPyDataset(keras.utils.PyDataset):
    """A `PyDataset` whose batches are checked."""

    def __init__(
        self,
        batches: keras.utils.PyDataset,
        modalities: Sequence[Modality | Covariate],
        partial: bool,
    ):
        super().__init__(batches.workers, batches.use_multiprocessing, batches.max_queue_size)
        self._batches, self._modalities, self._partial = batches, modalities, partial

    def __getitem__(self, index: int) -> Any:
        return check_arrays(self._batches[index], self._modalities, self._partial)

    @property
    def num_batches(self) -> int | None:
        return self._batches.num_batches

    def on_epoch_begin(self) -> None:
        self._batches.on_epoch_begin()

    def on_epoch_end(self) -> None:
        self._batches.on_epoch_end()
