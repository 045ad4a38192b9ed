"""What the columns of a table are: their types, modalities and units."""

import dataclasses
import json
import os
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np

from tf_mvae import files
from tf_mvae.covariate import Covariate
from tf_mvae.data import covariate_columns, survival_columns
from tf_mvae.data.column import SURVIVAL, TYPES, UNKNOWN_CLASSES, Column
from tf_mvae.data.table_files import writing
from tf_mvae.distributions import likelihoods
from tf_mvae.distributions.likelihoods import Likelihood
from tf_mvae.errors import UserError
from tf_mvae.layers import LinearDecoder
from tf_mvae.modality import Modality

__all__ = ["Schema"]

_VERSION = 1


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
        survival_columns.check_survival_columns(self)
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

    def survival_column(self, modality: str) -> Column | None:
        """Returns the column of survival times that a modality is; None of other modalities.

        The modality's array is `[rows, 2]`, times and events, and its mask `[rows]`.
        """
        (first, *_) = self.of(modality)
        return first if first.type == SURVIVAL else None

    def missing_cells(self, frame: Any) -> Any:
        """Returns a bool data frame of the schema's columns, true where a cell is missing.

        A survival time is missing where its event is.
        """
        return survival_columns.missing_cells(self, frame)

    def make_modalities(
        self,
        likelihood_weight: Mapping[str, float] | None = None,
        cross_weight: Mapping[str, float] | None = None,
        element_dropout: float = 0.5,
        linear_decoders: bool = False,
    ) -> list[Modality]:
        """Returns new modalities with default networks.

        Args:
            likelihood_weight: By modality; 1 if omitted.
            cross_weight: By modality; the likelihood weight if omitted.
            element_dropout: See `tf_mvae.Modality`; of modalities with several columns.
            linear_decoders: Whether decoders are one linear layer with constant scales, as in
                factor analysis, for assays with more columns than there are rows.
        """
        own, cross = likelihood_weight or {}, cross_weight or {}
        size = covariate_columns.covariate_names(self).get(self.size_factor)
        found = [
            Modality(
                name,
                self.likelihood(name),
                decoder=self._linear_decoder(name) if linear_decoders else None,
                likelihood_weight=own.get(name, 1.0),
                cross_weight=cross.get(name),
                element_mask=not (self.is_one_class(name) or self.survival_column(name)),
                element_dropout=element_dropout if len(self.modalities[name]) > 1 else 0.0,
                size_factor=size if any(c.type == "count" for c in self.of(name)) else None,
            )
            for name in self.modalities
        ]
        for modality in found:
            columns = [column.to_config() for column in self.of(modality.name)]
            modality.table_columns = json.dumps(columns, ensure_ascii=False)
        return found

    def _linear_decoder(self, modality: str) -> keras.layers.Layer:
        likelihood = self.likelihood(modality)
        return LinearDecoder(likelihood.parameter_shape, likelihood.spread_parameters())

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
            own = _made_from(modality.table_columns)
            columns |= {column.name: column for column in own}
            groups[modality.name] = tuple(column.name for column in own)
        return cls(columns, groups)

    def check_model(self, modalities: Sequence[Modality | Covariate]) -> None:
        """Checks that a model's modalities were made from the same columns, if by a schema at all.

        Raises:
            UserError: A column has another type, unit or categories than the model's.
        """
        for modality in modalities:
            made = getattr(modality, "table_columns", None)
            if made is None or modality.name not in self.modalities:
                continue
            expected = [column.to_config() for column in _made_from(made)]
            own = [column.to_config() for column in self.of(modality.name)]
            if [e["name"] for e in expected] != [o["name"] for o in own]:
                differs = f"columns of {modality.name!r} are others"
            else:
                pairs = zip(expected, own, strict=True)
                names = [e["name"] for e, o in pairs if json.dumps(e) != json.dumps(o)]
                if not names:
                    continue
                differs = f"column {names[0]!r} has another type, unit or other categories"
            raise UserError(
                f"the table's {differs} than the model's; make the table by the model's schema, "
                "tf_mvae.data.from_frame(frame, schema)"
            )

    def make_covariates(self) -> list[Covariate]:
        """Returns new covariates for a model of the schema's modalities."""
        return covariate_columns.make_covariates(self)

    def encode(
        self, frame: Any, unknown_classes: str = "error"
    ) -> dict[str, dict[str, np.ndarray]]:
        """Returns a data frame as a batch, `{"x": ..., "mask": ...}`; other columns are ignored.

        Args:
            frame: The data frame.
            unknown_classes: `"error"`, or `"missing"`: classes that no category is are missing.

        Raises:
            UserError: A column is missing, has no rows, or holds what does not fit its type.
        """
        if unknown_classes not in UNKNOWN_CLASSES:
            raise UserError(
                f"unknown_classes is {' or '.join(UNKNOWN_CLASSES)}, not {unknown_classes!r}"
            )
        if not len(frame):
            raise UserError("the table is empty: it has no rows")
        if not frame.columns.is_unique:
            raise UserError("two columns of the table have one name; rename one")
        x, mask = {}, {}
        for modality in self.modalities:
            survival = self.survival_column(modality)
            if survival is not None:
                pairs, there = survival_columns.encoded_pairs(survival, frame)
                x[modality], mask[modality] = pairs, there.astype(np.float32)
                continue
            arrays = []
            for column in self.of(modality):
                if column.name not in frame.columns:
                    raise UserError(
                        f"column {column.name!r} of the schema is not in the table; add it, empty "
                        f"if it is missing everywhere (the table has {list(frame.columns)[:20]})"
                    )
                arrays.append(column.encode(frame[column.name], True, unknown_classes))
            array = np.stack(arrays, axis=1)
            there = ~np.isnan(array)
            array = np.where(there, array, 0.0).astype(np.float32)
            if self.is_one_class(modality):
                array, there = array[:, 0].astype(np.int32), there[:, 0]
            x[modality], mask[modality] = array, there.astype(np.float32)
        return {"x": x | covariate_columns.encoded_covariates(self, frame), "mask": mask}

    def save(self, path: str | os.PathLike) -> None:
        """Writes the schema as JSON, completely or not at all; a missing folder is created.

        Raises:
            UserError: The file cannot be written.
        """
        path = pathlib.Path(path).expanduser()
        columns = []
        for column in [*self.columns.values(), *self.covariates.values()]:
            columns.append(column.to_config() | covariate_columns.role_of(self, column.name))
        modalities = {name: list(names) for name, names in self.modalities.items()}
        found = {"version": _VERSION, "modalities": modalities, "columns": columns}
        with writing(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            files.write_text(path, json.dumps(found, indent=1, ensure_ascii=False))

    @classmethod
    def load(cls, path: str | os.PathLike) -> "Schema":
        """Reads what `save` wrote.

        Raises:
            UserError: The file cannot be read, or is no schema.
        """
        try:
            text = pathlib.Path(path).expanduser().read_text(encoding="utf-8")
            found = json.loads(text)
        except OSError as error:
            raise UserError(f"schema {path} cannot be read: {error.strerror}") from error
        except ValueError as error:
            raise UserError(f"schema {path} is no JSON: {error}") from error
        try:
            roles = {entry["name"]: entry.pop("role", "data") for entry in found["columns"]}
            columns = [Column.from_config(entry) for entry in found["columns"]]
            modalities = {name: tuple(names) for name, names in found["modalities"].items()}
            columns, modalities = survival_columns.separated(columns, modalities, roles)
            return covariate_columns.with_roles(cls, columns, modalities, roles)
        except UserError:
            raise
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise UserError(
                f"schema {path} is not one that python -m tf_mvae.inspect_table writes: {error!r}"
            ) from error


def _made_from(table_columns: str) -> list[Column]:
    """Returns the columns that a modality was made from; see `Modality.table_columns`."""
    return [Column.from_config(entry) for entry in json.loads(table_columns)]
