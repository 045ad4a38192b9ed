"""One column of a table: its type, its likelihood and its unit."""

import contextlib
import dataclasses
import decimal
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from tf_mvae.data.missing import is_missing, row_name
from tf_mvae.distributions import likelihoods
from tf_mvae.distributions.beta import PROPORTION_EDGE
from tf_mvae.distributions.likelihoods import Likelihood
from tf_mvae.errors import UserError

__all__ = [
    "CLASS_TYPES",
    "SURVIVAL",
    "TYPES",
    "UNKNOWN_CLASSES",
    "Column",
    "UnknownClassError",
    "class_value",
]

SURVIVAL = "survival"

# Types by name, in the order in which a modality's columns stand: from the columns of a type to
# their likelihoods. Classes have one each.
TYPES: dict[str, Callable[[Sequence["Column"]], list[Likelihood]]] = {
    "real": lambda columns: [likelihoods.Normal([len(columns)], scale=None)],
    "positive": lambda columns: [likelihoods.LogNormal([len(columns)])],
    "count": lambda columns: [
        likelihoods.NegativeBinomial([len(columns)], [max(c.mean, 1e-3) for c in columns])
    ],
    "proportion": lambda columns: [likelihoods.Beta([len(columns)])],
    "binary": lambda columns: [likelihoods.Bernoulli([len(columns)])],
    "ordinal": lambda columns: [
        likelihoods.Ordinal(len(c.categories), [str(v) for v in c.categories]) for c in columns
    ],
    "categorical": lambda columns: [
        likelihoods.Categorical(len(c.categories), [str(v) for v in c.categories]) for c in columns
    ],
    SURVIVAL: lambda columns: [likelihoods.CensoredWeibull() for _ in columns],
}
CLASS_TYPES = ("binary", "ordinal", "categorical")
UNKNOWN_CLASSES = ("error", "missing")  # what a value is that is none of the categories
_RANGES = {
    "positive": (0.0, math.inf),
    "count": (0.0, math.inf),
    "proportion": (0.0, 1.0),
    SURVIVAL: (0.0, math.inf),
}
_ABOVE_0 = ("positive", SURVIVAL)


class UnknownClassError(UserError):
    """A cell of a column of classes holds none of its categories."""


@dataclasses.dataclass(frozen=True)
class Column:
    """One column of a table.

    Numbers are `(value - loc) / scale` inside a model; classes are their places in `categories`.
    Survival times are `time / scale`, next to their events.

    Attributes:
        name: Its name in the table.
        type: `real`, `positive`, `count`, `proportion`, `binary`, `ordinal`, `categorical` or
            `survival`.
        categories: Of classes, their values in the table, in order.
        loc: See above.
        scale: See above, above 0.
        mean: Of counts, their mean in the training data.
        event: Of survival times, the name of the column that is 1 where the time is that of the
            event and 0 where it is the end of the observation (right-censored).
    """

    name: Any
    type: str
    categories: tuple[Any, ...] = ()
    loc: float = 0.0
    scale: float = 1.0
    mean: float = 1.0
    event: Any = None

    def __post_init__(self):
        """Checks the type."""
        if self.type not in TYPES:
            raise UserError(
                f"column {self.name!r} has the type {self.type!r}; types are {', '.join(TYPES)}"
            )
        number = len(self.categories)
        wrong = number != 2 if self.type == "binary" else number < 2
        if self.type in CLASS_TYPES and wrong:
            raise UserError(
                f"column {self.name!r} is {self.type} and has the categories "
                f"{list(self.categories)}; name {'two' if self.type == 'binary' else 'more'}"
            )
        self._check_event()

    def _check_event(self) -> None:
        """Checks the column of events, and makes the unit that of a time."""
        if self.type != SURVIVAL:
            if self.event is not None:
                raise UserError(
                    f"column {self.name!r} is {self.type} and names the events {self.event!r}; "
                    f"these belong to the type {SURVIVAL}"
                )
            return
        if self.event is None or self.event == self.name:
            raise UserError(
                f"column {self.name!r} is {SURVIVAL}; name its column of events: survival="
                f'{{{self.name!r}: EVENT}}, in a schema "event": EVENT'
            )
        # A user who changes another type to this one leaves that one's unit in the schema.
        own = {"scale": self.scale * self.mean, "loc": 0.0, "mean": 1.0, "categories": ()}
        for name, value in own.items():
            object.__setattr__(self, name, value)

    @property
    def is_class(self) -> bool:
        """Whether a value is one of `categories`."""
        return self.type in CLASS_TYPES

    @property
    def least_integer(self) -> int:
        """The least integer that a column of numbers can hold, at most that of 64 bits."""
        if self.type in _ABOVE_0:
            return 1
        return 0 if self.type in _RANGES else int(np.iinfo(np.int64).min)

    def to_config(self) -> dict[str, Any]:
        """Returns the column as JSON has it."""
        found = {**dataclasses.asdict(self), "categories": list(self.categories)}
        if self.event is None:  # as earlier versions wrote it
            del found["event"]
        return found

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> "Column":
        """Makes a column from what `to_config` returned."""
        return cls(**{**config, "categories": tuple(config.get("categories", ()))})

    def encode(
        self, values: Any, may_be_empty: bool = True, unknown_classes: str = "error"
    ) -> np.ndarray:
        """Returns a pandas series as float32 numbers of a model, NaN where it is missing.

        Args:
            values: The series.
            may_be_empty: Whether a cell may be made empty, which an error then says.
            unknown_classes: `"error"`, or `"missing"`: values that are none of the categories are
                missing.

        Raises:
            UserError: A value does not fit the type, or (`UnknownClassError` if it may be empty) is
                an unknown category.
        """
        if self.is_class:
            return self._codes(values, may_be_empty, unknown_classes == "missing")
        if getattr(values.dtype, "kind", "O") == "c":
            raise UserError(
                f"column {self.name!r} is {self.type} and holds complex numbers; give real and "
                "imaginary parts a column each"
            )
        try:
            missing = np.asarray(values.isna())
            numbers = np.asarray(values.astype(object).where(~missing, np.nan), np.float64)
        except (TypeError, ValueError) as error:
            raise UserError(f"column {self.name!r} is {self.type}: {error}") from error
        outside = self._outside(numbers)
        if outside.any():
            row = int(np.argmax(outside))
            raise UserError(
                f"column {self.name!r} is {self.type} and holds {numbers[row]:g} in row "
                f"{row_name(values, row)}; "
                + (
                    "times are above 0: correct it, or write a fraction of the unit for 0"
                    if self.type == SURVIVAL
                    else "correct it, or give the column another type in the schema"
                )
            )
        found = (numbers - self.loc) / self.scale
        outside = self._outside(found)
        if outside.any():
            row = int(np.argmax(outside))
            raise UserError(
                f"column {self.name!r} is {self.type} and has the unit of another type: "
                f"(value - loc) / scale is {found[row]:g} for {numbers[row]:g}; write "
                '"loc": 0, "scale": 1 into the schema'
                + {"count": ', and as "mean" that of the counts'}.get(self.type, "")
            )
        if self.type == "proportion":  # 0 and 1 themselves have no finite density
            found = np.clip(found, PROPORTION_EDGE, 1 - PROPORTION_EDGE)
        elif self.type == "real":
            self._check_scales(
                numbers, np.abs(found) > likelihoods.MAX_LEARNED, may_be_empty, values
            )
        return found.astype(np.float32)

    def _check_scales(
        self, numbers: np.ndarray, are_far: np.ndarray, may_be_empty: bool, values: Any
    ) -> None:
        if are_far.any():
            row = int(np.argmax(are_far))
            raise UserError(
                f"column {self.name!r} holds {numbers[row]:g} in row {row_name(values, row)}, "
                f"more than {likelihoods.MAX_LEARNED:g} standard deviations from its mean of "
                f"{self.loc:g}; {_correct(may_be_empty)}"
            )

    def holds(self, values: Any) -> np.ndarray:
        """Returns where a pandas series is missing or has a value that the type can hold."""
        if self.is_class:
            places = self._places()
            return np.array([is_missing(v) or _place(places, v) is not None for v in values], bool)
        found = values.astype(object).where(values.notna(), np.nan)
        try:
            numbers = np.asarray(found, np.float64)
        except (TypeError, ValueError):
            numbers = np.array([_number(value) for value in found])
        return ~self._outside(numbers)

    def category(self, value: Any) -> Any:
        """Returns the category that a value is, as text or as a number; the value if none is it."""
        place = _place(self._places(), value)
        return value if place is None else self.categories[place]

    def _outside(self, numbers: np.ndarray) -> np.ndarray:
        low, high = _RANGES.get(self.type, (-math.inf, math.inf))
        outside = (numbers < low) | (numbers > high) | np.isinf(numbers)
        return outside | ((self.type in _ABOVE_0) & (numbers == 0))

    def decode(self, numbers: np.ndarray) -> np.ndarray:
        """Returns numbers of a model in the column's units; of classes their values, objects."""
        if not self.is_class:
            found = np.asarray(numbers, np.float64) * self.scale + self.loc
            return np.clip(found, *_RANGES[self.type]) if self.type in _RANGES else found
        places = np.clip(np.nan_to_num(numbers), 0, len(self.categories) - 1)
        found = np.empty(len(self.categories), object)
        found[:] = self.categories
        return found[np.round(places).astype(int)]

    def _codes(self, values: Any, may_be_empty: bool, skips_unknown: bool) -> np.ndarray:
        places = self._places()
        codes = np.full(len(values), np.nan, np.float32)
        for row, value in enumerate(values):
            if is_missing(value):
                continue
            place = _place(places, value)
            if place is None and skips_unknown:
                continue
            if place is None:
                raise (UnknownClassError if may_be_empty else UserError)(
                    f"column {self.name!r} holds {class_value(value)!r} in row "
                    f"{row_name(values, row)}, which is none of its categories "
                    f"{list(self.categories)[:20]}; {_correct(may_be_empty)}"
                )
            codes[row] = place
        return codes

    def _places(self) -> dict[Any, int]:
        """Returns the places of categories, by themselves and by how they are written."""
        places = {str(value): place for place, value in enumerate(self.categories)}
        return places | {value: place for place, value in enumerate(self.categories)}


def _correct(may_be_empty: bool) -> str:
    """Returns what a user can do about a cell."""
    return f"correct it{', or make it empty' * may_be_empty}"


def _place(places: Mapping[Any, int], value: Any) -> int | None:
    """Returns the place of a class, None if there is no such one.

    Whether a file's `2` is a number or text depends on what else stands in its column.
    """
    value = class_value(value)
    if value not in places and isinstance(value, str):
        if value.lower() in ("true", "false"):  # as pandas reads them
            value = value.capitalize()
        with contextlib.suppress(ValueError):
            value = class_value(float(value))
    return places.get(value, places.get(str(value)))


def _number(value: Any) -> float:
    """Returns the number that a cell is; infinity, which no column holds, if it is none."""
    try:
        return float(value)
    except (TypeError, ValueError):
        return math.inf


def class_value(value: Any) -> Any:
    """Returns a class as JSON has it: 1.0 is 1, a numpy string and an interval are text."""
    value = value.item() if hasattr(value, "item") else value
    if isinstance(value, decimal.Decimal):
        value = float(value)
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value if isinstance(value, str | bool | int | float) else str(value)
