"""Tables and arrays with missing entries: NaN and None are converted to masks."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tf_mvae.batch_values import partly_missing
from tf_mvae.data.missing import array_and_missing
from tf_mvae.errors import UserError
from tf_mvae.modality import Modality

__all__ = ["from_arrays"]


def from_arrays(
    data: Any,
    columns: Mapping[str, str | Sequence[str]] | None = None,
    class_names: Mapping[str, Sequence[Any]] | None = None,
    modalities: Sequence[Modality] = (),
) -> dict[str, dict[str, np.ndarray]]:
    """Makes a batch of arrays or a table in which some entries are missing.

    Missing is NaN, None, pandas' `NA` and `NaT`, and what is masked in a numpy masked
    array. A modality is missing from an example if all of its numbers are; if only some may be,
    it has to be a `ModalityGroup`, whose members are missing one by one.

    Args:
        data: Arrays by name, `[examples, ...]`: numpy arrays, lists, pandas series or data
            frames; or one pandas data frame, each column a modality.
        columns: For a data frame, by modality its column, or its columns side by side
            (`[examples, columns]`).
        class_names: By modality, its classes in their order: the value in the data is
            then replaced by the number of its class, int32. A pandas category without them is
            numbered by its own order, or by itself if its categories are integers.
        modalities: Those of the model (`model.batch_inputs`), for groups, for single elements and
            for classes: a group's mask is `[examples, member]`, that of a modality with an
            `element_mask` has the shape of its data.

    Returns:
        `{"x": {name: array}, "mask": {name: float32 [examples]}}`, for `fit`, `evaluate`
        and every other place that takes a batch. Arrays hold 0 where a modality is missing.
        Integers of which some are missing are integers again (pandas makes them floats).

    Raises:
        UserError: Lengths differ, there is no column or no row, a column or a class is not
            known, an example has some numbers of a modality and not others, or something is no
            number.

    Example:

    ```python
    batch = from_arrays(
        {"photo": photos, "kind": ["cat", None, "dog"]}, class_names={"kind": ["cat", "dog"]})
    batch["x"]["kind"]      # [0, 0, 1]
    batch["mask"]["kind"]   # [1.0, 0.0, 1.0]
    model.fit(batch)
    ```
    """
    named = _named(data, columns)
    unknown = set(class_names or {}) - set(named)
    if unknown:
        raise UserError(f"class_names names {sorted(unknown)}; the data have {sorted(named)}")
    x, masks = {}, {}
    by_name = {modality.name: modality for modality in modalities}
    for name, values in named.items():
        names = (class_names or {}).get(name)
        x[name], masks[name] = _converted(name, values, names, by_name.get(name))
    lengths = {name: len(array) for name, array in x.items()}
    if len(set(lengths.values())) > 1:
        raise UserError(f"the modalities differ in length: {lengths}")
    if not next(iter(lengths.values())):
        raise UserError("the data are empty: they have no rows")
    return {"x": x, "mask": masks}


def _named(data: Any, columns: Mapping[str, str | Sequence[str]] | None) -> dict[str, Any]:
    """Returns the given arrays by name, from any accepted form."""
    if not hasattr(data, "columns"):
        if columns is not None:
            raise UserError("columns are for a data frame; these data are already by name")
        if not isinstance(data, Mapping) or not data:
            raise UserError(
                "data are arrays by name, {name: array}, or a pandas data frame; this is "
                f"{type(data).__name__}"
            )
        return dict(data)
    if not len(data.columns):
        raise UserError("the data frame is empty: it has no columns")
    if not data.columns.is_unique:
        raise UserError(f"columns of the data frame have the same name: {list(data.columns)}")
    if columns is None:
        return {str(label): data[label] for label in data.columns}
    return {name: _columns_of(name, data, wanted) for name, wanted in columns.items()}


def _columns_of(name: str, data: Any, wanted: Any) -> Any:
    """Returns a modality's column of a data frame, or its columns side by side."""
    several = isinstance(wanted, Sequence) and not isinstance(wanted, str | tuple)
    for column in wanted if several else [wanted]:
        if column not in data.columns:
            raise UserError(
                f"modality {name!r} wants column {column!r}; there are {list(data.columns)}"
            )
    if not several:
        return data[wanted]
    if not len(wanted):
        raise UserError(f"modality {name!r} wants no column; name one or more")
    return data[list(wanted)]


def _converted(
    name: str, values: Any, class_names: Sequence[Any] | None, modality: Modality | None
) -> tuple[np.ndarray, np.ndarray]:
    """Returns a modality's array without missing entries, and its mask."""
    if class_names is not None and hasattr(getattr(values, "dtype", None), "categories"):
        values = values.astype(object)
    array, missing = array_and_missing(name, values)
    if modality is not None and modality.element_mask:
        there = ~missing
    else:
        there = _present(name, missing, len(modality.mask_shape) if modality is not None else 0)
    if class_names is not None:
        array = _classes(name, array, there, list(class_names))
    else:
        array = _numbers(name, array, missing)
    if modality is not None:
        likelihood = getattr(modality.likelihood, "member", modality.likelihood)
        if likelihood.is_categorical and array.dtype.kind in "bf":
            array = _whole(array, array)
    return array, there.astype(np.float32)


def _present(name: str, missing: np.ndarray, grouped: int) -> np.ndarray:
    """Returns where a modality is present, `[examples]`; of a group `[examples, member]`."""
    lead = missing.shape[: 1 + grouped]
    rows = missing.reshape(*lead, -1) if missing.size else np.zeros([*lead, 0], bool)
    if not rows.shape[-1]:
        return np.ones(lead, bool)
    some = rows.any(axis=-1) & ~rows.all(axis=-1)
    if some.any():
        raise UserError(partly_missing(name, int(np.argwhere(some)[0][0])))
    return np.asarray(~rows.all(axis=-1))


def _classes(name: str, array: np.ndarray, there: np.ndarray, names: list[Any]) -> np.ndarray:
    """Returns the numbers of classes, int32, 0 where they are missing."""
    if array.shape != there.shape:
        raise UserError(f"modality {name!r} has classes, one an example, not {array.shape}")
    numbers = {value: number for number, value in enumerate(names)}
    classes = np.zeros(array.shape, np.int32)
    for place in map(tuple, np.argwhere(there)):
        value = array[place].item() if hasattr(array[place], "item") else array[place]
        if value not in numbers:
            raise UserError(f"example {place[0]}: {name!r} is {value!r}, which is none of {names}")
        classes[place] = numbers[value]
    return classes


def _numbers(name: str, array: np.ndarray, missing: np.ndarray) -> np.ndarray:
    """Returns numbers, 0 where they are missing."""
    if array.dtype.kind in "mM":
        raise UserError(
            f"modality {name!r} holds dates or times ({array.dtype}); turn them into numbers, "
            "such as days since a date"
        )
    holes = bool(missing.any())
    if holes:
        array = np.where(missing, np.zeros([], array.dtype), array)
    if array.dtype == object:
        array = _of_python_numbers(name, np.where(missing, 0, array))
    if array.dtype.kind not in "biuf":
        raise UserError(
            f"modality {name!r} holds {array.dtype}, no numbers; classes are named with class_names"
        )
    # pandas makes floats of integers of which some are missing.
    return _whole(array, array) if holes and array.ndim == 1 and array.dtype.kind == "f" else array


def _of_python_numbers(name: str, array: np.ndarray) -> np.ndarray:
    try:
        found = np.array(array.tolist())
        if found.dtype.kind not in "biuf":
            found = np.array(array.tolist(), np.float32)
    except (TypeError, ValueError, OverflowError) as error:
        raise UserError(
            f"modality {name!r} holds what is no number: {str(error).splitlines()[0]}; classes "
            "are named with class_names, dates have to be numbers"
        ) from error
    return found if found.dtype.kind in "biu" else found.astype(np.float32)


def _whole(array: np.ndarray, otherwise: np.ndarray) -> np.ndarray:
    """Returns an array as int32 if all its numbers are integers."""
    limits = np.iinfo(np.int32)
    numbers = array.astype(np.float64)
    fits = (numbers == np.round(numbers)) & (numbers >= limits.min) & (numbers <= limits.max)
    return array.astype(np.int32) if fits.all() else otherwise
