"""A table of the user's own: `--experiment=table --table=data.csv [--schema=schema.json]`."""

import json
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
from absl import logging

from tf_mvae import checks
from tf_mvae.covariate import Covariate
from tf_mvae.data.pipeline import Split
from tf_mvae.data.schema import Schema
from tf_mvae.data.schema_hints import type_hints, unit_hints
from tf_mvae.data.schema_inference import infer_schema, reduced
from tf_mvae.data.table_files import columns_of_codes, read_table_and_modalities
from tf_mvae.data.tables import Table, split_rows, without_split
from tf_mvae.errors import UserError
from tf_mvae.experiments.registry import Experiment, register
from tf_mvae.modality import Modality
from tf_mvae.settings import Setting

__all__ = ["SCHEMA_FILE", "kept_schema", "load_table", "table_covariates", "table_modalities"]

SCHEMA_FILE = "schema.json"
_MOST_NAMED = 20  # excluded columns
_ROWS_FILE = "rows.json"  # the number of rows that a run split at random, since version 0.2


def load_table(
    split: str,
    table: str | None = None,
    schema: str | None = None,
    assets_dir: str | None = None,
    **_: object,
) -> Table:
    """Returns the rows of a split.

    Rows are split at random, 70 % for training and 15 % each for validation and test, the same
    ones each time; or as a column `split` says, which holds `train`, `validation` and `test`.

    Args:
        split: Its name.
        table: Path of a CSV, TSV or Parquet file, or of a folder of them.
        schema: Path of a schema. If omitted it is inferred: types and categories from all rows,
            units of numbers from the training rows.
        assets_dir: Where a run keeps its schema; none yet if None.

    Raises:
        UserError: A file cannot be read, or does not fit the schema.
    """
    frame, rows, modalities = _read(table, assets_dir)
    if split not in rows:
        raise UserError(f"split {split!r} is none of {sorted(rows)}")
    if not len(rows[split]):
        raise UserError(f"table {table} has {len(frame)} rows, too few for a {split} split")
    found = _written_schema(schema, assets_dir)
    if found is None:
        found, excluded = _inferred(frame, rows["train"], modalities)
        _warn_of_excluded(excluded)
        _warn(type_hints(found, frame, columns_of_codes(table)))
    elif split == "train" and kept_schema(assets_dir) is None:
        _warn(unit_hints(found, frame.iloc[rows["train"]]))
    return Table(frame.iloc[rows[split]], found)


def _read(
    table: str | None, assets_dir: str | None = None
) -> tuple[Any, dict[str, np.ndarray], str | Mapping[str, Any]]:
    """Returns a table, the rows of its splits, and which columns form a modality."""
    if not table:
        raise UserError("--experiment=table needs --table=data.csv")
    frame, names, modalities = without_split(*read_table_and_modalities(table))
    rows = split_rows(len(frame))
    if names is not None:
        rows = {name: np.flatnonzero(names == name) for name in rows}
    else:
        _check_rows(table, len(frame), assets_dir)
    return frame, rows, modalities


def _check_rows(table: str, number: int, assets_dir: str | None) -> None:
    """Checks that the split at random is that of the training: of as many rows."""
    kept = None if assets_dir is None else pathlib.Path(assets_dir) / _ROWS_FILE
    if kept is None or not kept.is_file():
        return
    had = json.loads(kept.read_text())
    if number != had:
        raise UserError(
            f"table {table} has {number} rows, and had {had} when the run began: which of them it "
            "was trained on is not known; name the table as it was, or mark the rows by a column "
            "split and train again"
        )


def kept_schema(assets_dir: str | None) -> Schema | None:
    """Returns the schema that a run keeps; None if it keeps none.

    Args:
        assets_dir: Where a run keeps its schema; none yet if None.

    Raises:
        UserError: The file cannot be read, or is no schema.
    """
    path = None if assets_dir is None else pathlib.Path(assets_dir) / SCHEMA_FILE
    return None if path is None or not path.is_file() else Schema.load(path)


def _written_schema(schema: str | None = None, assets_dir: str | None = None) -> Schema | None:
    """Returns the schema that a run keeps, or else the user's; None if it is to be inferred."""
    return kept_schema(assets_dir) or (Schema.load(schema) if schema else None)


def _inferred(frame: Any, rows: np.ndarray, modalities: Any) -> tuple[Schema, dict[Any, str]]:
    """Infers types and categories from all rows, units of numbers from the training rows.

    Args:
        frame: The table.
        rows: The training rows.
        modalities: Which columns form a modality.

    Returns:
        The schema, and of columns that are excluded, why.
    """
    whole, left_out = infer_schema(frame, modalities)
    types = {name: column.type for name, column in whole.columns.items()}
    groups = {name: list(columns) for name, columns in whole.modalities.items()}
    train, _left_out = infer_schema(frame.iloc[rows], groups, types)
    numbers = ("real", "positive", "count")
    units = {name: column for name, column in train.columns.items() if column.type in numbers}
    known = [name for name in whole.columns if frame[name].iloc[rows].notna().any()]
    empty = [name for name in whole.columns if name not in known]
    excluded = left_out | dict.fromkeys(empty, "it is empty in the training rows")
    return Schema({**whole.columns, **units}, reduced(whole.modalities, known)), excluded


def _warn_of_excluded(columns: Mapping[Any, str]) -> None:
    """Warns of columns that are excluded, given why; of many, of their number."""
    for name in list(columns)[:_MOST_NAMED]:
        logging.warning("column %r is excluded: %s", name, columns[name])
    if len(columns) > _MOST_NAMED:
        logging.warning(
            "%d more columns are excluded; python -m tf_mvae.inspect_table lists them",
            len(columns) - _MOST_NAMED,
        )


def _warn(hints: Sequence[str]) -> None:
    for hint in hints:
        logging.warning("%s", hint)


def table_modalities(
    likelihood_weight: Mapping[str, float],
    cross_weight: Mapping[str, float],
    element_dropout: float = 0.5,
    linear_decoders: bool = False,
    table: str | None = None,
    **place: str | None,
) -> list[Modality]:
    """Returns the modalities of a table's schema; see `load_table` for the options."""
    # The table, which may be long, is read for a schema that has to be inferred only.
    schema = _written_schema(**place) or load_table("train", table, **place).schema
    how = element_dropout, linear_decoders
    return schema.make_modalities(likelihood_weight, cross_weight, *how)


def table_covariates(table: str | None = None, **options: Any) -> list[Covariate]:
    """Returns the covariates of a table's schema; see `load_table` for the options."""
    place = {name: options.get(name) for name in ("schema", "assets_dir")}
    schema = _written_schema(**place)
    return [] if schema is None else schema.make_covariates()


def _load(split: str, data_dir: str | None, **options: str | None) -> Split:
    batch = load_table(split, **options).batch
    presence = {
        name: mask.reshape(len(mask), -1).max(axis=1).astype(bool)
        for name, mask in batch["mask"].items()
    }
    rows = len(next(iter(presence.values())))
    return Split(tf.data.Dataset.from_tensor_slices(batch), rows, presence=presence)


def _prepare(
    split: Split,
    directory: pathlib.Path,
    table: str | None = None,
    schema: str | None = None,
    **_: object,
) -> None:
    """Writes the schema that a run keeps, and how many rows the table has."""
    frame, rows, modalities = _read(table)
    # `load_table` has warned of excluded columns.
    found = _written_schema(schema) or _inferred(frame, rows["train"], modalities)[0]
    found.save(directory / SCHEMA_FILE)
    (directory / _ROWS_FILE).write_text(json.dumps(len(frame)))


def _check_assets(directory: pathlib.Path, schema: str | None = None, **_: object) -> None:
    """Checks that the schema which the flags name is the run's."""
    there = schema is not None and pathlib.Path(schema).expanduser().is_file()
    if there and Schema.load(schema) != Schema.load(directory / SCHEMA_FILE):
        raise UserError(
            f"--schema={schema} is not the schema that the run in {directory.parent} has been "
            "trained with; choose another --run_dir, or give the file its earlier contents"
        )


register(
    Experiment(
        name="table",
        description="a table of your own, with gaps: --table=data.csv [--schema=schema.json]",
        analyses=("log_likelihood", "imputation"),
        load=_load,
        modalities=table_modalities,
        prepare=_prepare,
        check_assets=_check_assets,
        table=load_table,
        covariates=table_covariates,
        settings=(
            Setting(
                "table",
                None,
                "A CSV, TSV or Parquet file with one example per row, or a folder of such files, "
                "which are joined on their first column; each file is then a modality.",
                kind=str,
                is_place=True,
                is_required=True,
                must_exist=True,
            ),
            Setting(
                "schema",
                None,
                "File with the types of the columns, written by python -m tf_mvae.inspect_table; "
                "inferred if omitted.",
                kind=str,
                is_place=True,
            ),
            Setting(
                "element_dropout",
                0.5,
                "The largest fraction of a row's observed cells that training hides from an "
                "encoder.",
                checks.fraction,
            ),
            Setting(
                "linear_decoders",
                False,
                "Whether decoders are linear, for assays with more columns than there are rows.",
            ),
        ),
    )
)
