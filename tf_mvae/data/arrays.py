"""Tables and arrays with holes: what is NaN or None becomes a mask."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tf_mvae.errors import UserError

__all__ = ["from_arrays"]


def from_arrays(
    data: Any,
    columns: Mapping[str, str | Sequence[str]] | None = None,
    class_names: Mapping[str, Sequence[Any]] | None = None,
) -> dict[str, dict[str, np.ndarray]]:
    """Makes a batch of arrays or a table in which some entries are missing.

    Missing is NaN, None, pandas' `NA` and `NaT`, and what is masked in a numpy masked
    array. An example lacks a modality if all of its numbers are missing.

    Args:
        data: Arrays by name, `[examples, ...]`: numpy arrays, lists, pandas series or data
            frames; or one pandas data frame, each column a modality.
        columns: For a data frame, by modality its column, or its columns side by side
            (`[examples, columns]`).
        class_names: By modality, its classes in their order: what stands in the data is
            then replaced by the number of its class, int32.

    Returns:
        `{"x": {name: array}, "mask": {name: float32 [examples]}}`, for `fit`, `evaluate`
        and every other place that takes a batch. Where an example lacks a modality its
        array holds 0.

    Raises:
        UserError: Lengths differ, a column or a class is not known, an example has some
            numbers of a modality and lacks others, or something is no number.

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
    for name, values in named.items():
        array, missing = _array_and_holes(values)
        there = _present(name, missing)
        if class_names and name in class_names:
            array = _classes(name, array, there, list(class_names[name]))
        else:
            array = _numbers(name, array, missing)
        x[name], masks[name] = array, there.astype(np.float32)
    lengths = {name: len(array) for name, array in x.items()}
    if len(set(lengths.values())) > 1:
        raise UserError(f"the modalities differ in length: {lengths}")
    return {"x": x, "mask": masks}


def _named(data: Any, columns: Mapping[str, str | Sequence[str]] | None) -> dict[str, Any]:
    """Returns what is given by name, whatever it came in."""
    if not hasattr(data, "columns"):
        if columns is not None:
            raise UserError("columns are for a data frame; these data are already by name")
        if not isinstance(data, Mapping) or not data:
            raise UserError(
                "data are arrays by name, {name: array}, or a pandas data frame; this is "
                f"{type(data).__name__}"
            )
        return dict(data)
    if columns is None:
        columns = {str(name): name for name in data.columns}
    for name, wanted in columns.items():
        for column in [wanted] if isinstance(wanted, str) else wanted:
            if column not in data.columns:
                raise UserError(
                    f"modality {name!r} wants column {column!r}; there are {list(data.columns)}"
                )
    return {
        name: data[wanted] if isinstance(wanted, str) else data[list(wanted)]
        for name, wanted in columns.items()
    }


def _array_and_holes(values: Any) -> tuple[np.ndarray, np.ndarray]:
    """Returns values and where they are missing, arrays of one shape."""
    if isinstance(values, np.ma.MaskedArray):
        holes = np.ma.getmaskarray(values)
        array, missing = _array_and_holes(np.asarray(values.data))
        return array, missing | holes
    if hasattr(values, "isna"):  # pandas knows its own kinds of missing
        return values.to_numpy(), values.isna().to_numpy()
    array = np.asarray(values)
    if array.dtype.kind in "US":  # numpy would have made a text of a None or NaN in a list
        array = np.asarray(values, object)
    if array.dtype == object:
        flat = [value is None or value != value for value in array.reshape(-1)]
        return array, np.array(flat, bool).reshape(array.shape)
    if array.dtype.kind in "fc":
        return array, np.isnan(array)
    return array, np.zeros(array.shape, bool)


def _present(name: str, missing: np.ndarray) -> np.ndarray:
    if missing.ndim == 0:
        raise UserError(f"modality {name!r} is one value, not an array of examples")
    rows = missing.reshape(len(missing), -1)
    some = rows.any(axis=1) & ~rows.all(axis=1)
    if some.any():
        raise UserError(
            f"example {int(some.argmax())} has some numbers of modality {name!r} and lacks others; "
            "make the parts that may be missing modalities of their own"
        )
    return ~rows.all(axis=1) if rows.shape[1] else np.ones(len(rows), bool)


def _classes(name: str, array: np.ndarray, there: np.ndarray, names: list[Any]) -> np.ndarray:
    if array.ndim != 1:
        raise UserError(f"modality {name!r} has classes, one an example, not {array.shape}")
    numbers = {value: number for number, value in enumerate(names)}
    classes = np.zeros(len(array), np.int32)
    for row in np.flatnonzero(there):
        value = array[row].item() if hasattr(array[row], "item") else array[row]
        if value not in numbers:
            raise UserError(f"example {row}: {name!r} is {value!r}, which is none of {names}")
        classes[row] = numbers[value]
    return classes


def _numbers(name: str, array: np.ndarray, missing: np.ndarray) -> np.ndarray:
    if missing.any():
        array = np.where(missing, 0, array)
    if array.dtype == object:
        try:
            array = np.array(array.tolist(), np.float32)
        except (TypeError, ValueError) as error:
            raise UserError(
                f"modality {name!r} holds what is no number: {error}; classes are named with "
                "class_names"
            ) from error
    if array.dtype.kind not in "biuf":
        raise UserError(
            f"modality {name!r} holds {array.dtype}, no numbers; classes are named with class_names"
        )
    return array
