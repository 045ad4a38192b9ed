"""What the columns of a table are: their types, modalities and units."""

import dataclasses
import json
import math
import os
import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from tf_mvae import files
from tf_mvae.covariate import Covariate
from tf_mvae.data import covariate_columns
from tf_mvae.data.missing import is_missing
from tf_mvae.distributions import likelihoods
from tf_mvae.distributions.likelihoods import Likelihood
from tf_mvae.errors import UserError
from tf_mvae.modality import Modality

__all__ = ["CLASS_TYPES", "TYPES", "Column", "Schema", "class_value"]

_VERSION = 1

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
}
CLASS_TYPES = ("binary", "ordinal", "categorical")
_RANGES = {"positive": (0.0, math.inf), "count": (0.0, math.inf), "proportion": (0.0, 1.0)}


@dataclasses.dataclass(frozen=True)
class Column:
    """One column of a table.

    Numbers are `(value - loc) / scale` inside a model; classes are their places in `categories`.

    Attributes:
        name: Its name in the table.
        type: `real`, `positive`, `count`, `proportion`, `binary`, `ordinal` or `categorical`.
        categories: Of classes, their values in the table, in order.
        loc: See above.
        scale: See above, above 0.
        mean: Of counts, their mean in the training data.
    """

    name: Any
    type: str
    categories: tuple[Any, ...] = ()
    loc: float = 0.0
    scale: float = 1.0
    mean: float = 1.0

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

    @property
    def is_class(self) -> bool:
        """Whether a value is one of `categories`."""
        return self.type in CLASS_TYPES

    def to_config(self) -> dict[str, Any]:
        """Returns the column as JSON has it."""
        return {**dataclasses.asdict(self), "categories": list(self.categories)}

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> "Column":
        """Makes a column from what `to_config` returned."""
        return cls(**{**config, "categories": tuple(config.get("categories", ()))})

    def encode(self, values: Any) -> np.ndarray:
        """Returns a pandas series as float32 numbers of a model, NaN where it is missing.

        Raises:
            UserError: A value does not fit the type, or is an unknown category.
        """
        if self.is_class:
            return self._codes(values)
        try:
            missing = np.asarray(values.isna())
            numbers = np.asarray(values.astype(object).where(~missing, np.nan), np.float64)
        except (TypeError, ValueError) as error:
            raise UserError(f"column {self.name!r} is {self.type}: {error}") from error
        outside = self._outside(numbers)
        if outside.any():
            row = int(np.argmax(outside))
            raise UserError(
                f"column {self.name!r} is {self.type} and holds {numbers[row]:g} in row {row}; "
                "correct it, or give the column another type in the schema"
            )
        return ((numbers - self.loc) / self.scale).astype(np.float32)

    def holds(self, values: Any) -> np.ndarray:
        """Returns where a pandas series is missing or has a value that the type can hold."""
        if self.is_class:
            known = set(self.categories)
            return np.array([is_missing(v) or class_value(v) in known for v in values], bool)
        return ~self._outside(
            np.asarray(values.astype(object).where(values.notna(), np.nan), float)
        )

    def _outside(self, numbers: np.ndarray) -> np.ndarray:
        low, high = _RANGES.get(self.type, (-math.inf, math.inf))
        outside = (numbers < low) | (numbers > high) | np.isinf(numbers)
        return outside | ((self.type == "positive") & (numbers == 0))

    def decode(self, numbers: np.ndarray) -> np.ndarray:
        """Returns numbers of a model in the column's units; of classes their values, objects."""
        if not self.is_class:
            found = np.asarray(numbers, np.float64) * self.scale + self.loc
            return np.clip(found, *_RANGES[self.type]) if self.type in _RANGES else found
        places = np.clip(np.nan_to_num(numbers), 0, len(self.categories) - 1)
        found = np.empty(len(self.categories), object)
        found[:] = self.categories
        return found[np.round(places).astype(int)]

    def _codes(self, values: Any) -> np.ndarray:
        places = {value: float(place) for place, value in enumerate(self.categories)}
        codes = np.full(len(values), np.nan, np.float32)
        for row, value in enumerate(values):
            if is_missing(value):
                continue
            value = class_value(value)
            if value not in places:
                raise UserError(
                    f"column {self.name!r} holds {value!r} in row {row}, which is none of its "
                    f"categories {list(self.categories)[:20]}; correct it, or make it empty"
                )
            codes[row] = places[value]
        return codes


@dataclasses.dataclass(frozen=True)
class Schema:
    """The columns of a table and the modalities that they form.

    Attributes:
        columns: Those that are modelled, by name.
        modalities: By modality, the names of its columns, those of one type side by side.
        covariates: Columns that are given and not modelled, by name; they may not have gaps.
        size_factor: The name of one of these that multiplies the means of all counts, or None.

    Example:

    ```python
    schema = Schema.load("schema.json")
    batch = schema.encode(frame)
    model = MVAE(schema.make_modalities(), latent_dim=8)
    ```
    """

    columns: Mapping[Any, Column]
    modalities: Mapping[str, tuple[Any, ...]]
    covariates: Mapping[Any, Column] = dataclasses.field(default_factory=dict)
    size_factor: Any = None

    def __post_init__(self):
        """Sorts each modality's columns by type and checks that there are no others."""
        order = list(TYPES)
        covariate_columns.check_covariate_columns(self)
        named = [name for names in self.modalities.values() for name in names]
        for name in named:
            if name not in self.columns:
                raise UserError(f"a modality has the column {name!r}, which has no type")
            if named.count(name) > 1:
                raise UserError(f"column {name!r} is in two modalities; leave it in one")
        if not named or not all(self.modalities.values()):
            raise UserError("a schema needs a modality, and a modality a column")
        both = [name for name in named if name in self.covariates]
        if both:
            raise UserError(f"column {both[0]!r} is in a modality and a covariate; leave it in one")
        sorted_ones = {
            modality: tuple(sorted(names, key=lambda n: order.index(self.columns[n].type)))
            for modality, names in self.modalities.items()
        }
        object.__setattr__(self, "modalities", sorted_ones)
        object.__setattr__(self, "columns", {name: self.columns[name] for name in named})

    def of(self, modality: str) -> list[Column]:
        """Returns a modality's columns, in the order of its array."""
        return [self.columns[name] for name in self.modalities[modality]]

    def likelihood(self, modality: str) -> Likelihood:
        """Returns the likelihood of a modality's columns."""
        columns = self.of(modality)
        parts = []
        for kind, make in TYPES.items():
            own = [column for column in columns if column.type == kind]
            parts += make(own) if own else []
        if len(parts) == 1:
            return parts[0]
        return likelihoods.Columns(parts, [str(column.name) for column in columns])

    def is_one_class(self, modality: str) -> bool:
        """Whether a modality is one class a row, `[rows]`, and not columns, `[rows, columns]`."""
        (first, *rest) = self.of(modality)
        return not rest and first.type in ("ordinal", "categorical")

    def make_modalities(
        self,
        likelihood_weight: Mapping[str, float] | None = None,
        cross_weight: Mapping[str, float] | None = None,
        element_dropout: float = 0.5,
    ) -> list[Modality]:
        """Returns new modalities with default networks.

        Args:
            likelihood_weight: By modality; 1 if omitted.
            cross_weight: By modality; the likelihood weight if omitted.
            element_dropout: See `tf_mvae.Modality`; of modalities with several columns.
        """
        own, cross = likelihood_weight or {}, cross_weight or {}
        size = covariate_columns.covariate_names(self).get(self.size_factor)
        found = [
            Modality(
                name,
                self.likelihood(name),
                likelihood_weight=own.get(name, 1.0),
                cross_weight=cross.get(name),
                element_mask=not self.is_one_class(name),
                element_dropout=element_dropout if len(self.modalities[name]) > 1 else 0.0,
                size_factor=size if any(c.type == "count" for c in self.of(name)) else None,
            )
            for name in self.modalities
        ]
        for modality in found:
            columns = [column.to_config() for column in self.of(modality.name)]
            modality.table_columns = json.dumps(columns, ensure_ascii=False)
        return found

    @classmethod
    def of_modalities(cls, modalities: Sequence[Modality]) -> "Schema":
        """Returns the schema that a model's modalities were made from; a saved model keeps it.

        Raises:
            UserError: A modality was not made by a schema.
        """
        columns, groups = {}, {}
        for modality in modalities:
            if modality.table_columns is None:
                raise UserError(f"modality {modality.name!r} is not of a table with a schema")
            own = [Column.from_config(entry) for entry in json.loads(modality.table_columns)]
            columns |= {column.name: column for column in own}
            groups[modality.name] = tuple(column.name for column in own)
        return cls(columns, groups)

    def make_covariates(self) -> list[Covariate]:
        """Returns new covariates for a model of the schema's modalities."""
        return covariate_columns.make_covariates(self)

    def encode(self, frame: Any) -> dict[str, dict[str, np.ndarray]]:
        """Returns a data frame as a batch, `{"x": ..., "mask": ...}`; other columns are ignored.

        Raises:
            UserError: A column is not there, has no rows, or holds what does not fit its type.
        """
        if not len(frame):
            raise UserError("the table is empty: it has no rows")
        if not frame.columns.is_unique:
            raise UserError("two columns of the table have one name; rename one")
        x, mask = {}, {}
        for modality in self.modalities:
            arrays = []
            for column in self.of(modality):
                if column.name not in frame.columns:
                    raise UserError(
                        f"column {column.name!r} of the schema is not in the table; add it, empty "
                        f"if it is missing everywhere (the table has {list(frame.columns)[:20]})"
                    )
                arrays.append(column.encode(frame[column.name]))
            array = np.stack(arrays, axis=1)
            there = ~np.isnan(array)
            array = np.where(there, array, 0.0).astype(np.float32)
            if self.is_one_class(modality):
                array, there = array[:, 0].astype(np.int32), there[:, 0]
            x[modality], mask[modality] = array, there.astype(np.float32)
        return {"x": x | covariate_columns.encoded_covariates(self, frame), "mask": mask}

    def save(self, path: str | os.PathLike) -> None:
        """Writes the schema as JSON, whole or not at all."""
        columns = []
        for column in [*self.columns.values(), *self.covariates.values()]:
            entry = dataclasses.asdict(column)
            entry["categories"] = list(column.categories)
            columns.append(entry | covariate_columns.role_of(self, column.name))
        modalities = {name: list(names) for name, names in self.modalities.items()}
        found = {"version": _VERSION, "modalities": modalities, "columns": columns}
        files.write_text(pathlib.Path(path), json.dumps(found, indent=1, ensure_ascii=False))

    @classmethod
    def load(cls, path: str | os.PathLike) -> "Schema":
        """Reads what `save` wrote.

        Raises:
            UserError: The file cannot be read, or is no schema.
        """
        try:
            found = json.loads(pathlib.Path(path).read_text(encoding="utf-8"))
        except OSError as error:
            raise UserError(f"schema {path} cannot be read: {error.strerror}") from error
        except ValueError as error:
            raise UserError(f"schema {path} is no JSON: {error}") from error
        try:
            roles = {entry["name"]: entry.pop("role", "data") for entry in found["columns"]}
            columns = [
                Column(**{**entry, "categories": tuple(entry.get("categories", ()))})
                for entry in found["columns"]
            ]
            modalities = {name: tuple(names) for name, names in found["modalities"].items()}
            return covariate_columns.with_roles(cls, columns, modalities, roles)
        except UserError:
            raise
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise UserError(
                f"schema {path} is not one that python -m tf_mvae.inspect_table writes: {error!r}"
            ) from error


def class_value(value: Any) -> Any:
    """Returns a class as Python has it: 1.0 is 1, a numpy string is a string."""
    value = value.item() if hasattr(value, "item") else value
    return int(value) if isinstance(value, float) and value.is_integer() else value
