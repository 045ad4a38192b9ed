"""Infers the types of the columns of a table: `python -m tf_mvae.inspect_table data.csv`."""

import os
import sys

from absl import flags

from tf_mvae import command
from tf_mvae.errors import UserError

__all__ = ["check_flags", "main"]

FLAGS = flags.FLAGS

flags.DEFINE_string("table", None, "The table: a CSV, TSV or Parquet file, or a folder of them.")
flags.DEFINE_string(
    "output", None, "The schema's file; TABLE.schema.json next to the table if omitted."
)
flags.DEFINE_enum(
    "modalities",
    None,
    ["one", "types", "columns"],
    "Columns of a modality: all, those of one type, or one each. Default: all columns of a file.",
)
flags.DEFINE_list(
    "covariates", [], "Columns that are given and not modelled, such as a site; without gaps."
)
flags.DEFINE_string(
    "size_factor", None, "A column of numbers above 0 that multiplies the means of all counts."
)
flags.DEFINE_list(
    "survival",
    [],
    "Survival times and their events, TIME=EVENT: columns of times above 0, and of 1 where the "
    "time is that of the event or 0 where the observation ended before it.",
)
command.define_overwrite_flag()


def check_flags() -> None:
    """Raises `UserError` for a wrong flag, without importing TensorFlow."""
    if not FLAGS.table:
        raise UserError("name a table: python -m tf_mvae.inspect_table data.csv")
    if "://" not in FLAGS.table and not os.path.exists(os.path.expanduser(FLAGS.table)):
        raise UserError(f"--table={FLAGS.table} does not exist")
    for pair in FLAGS.survival:
        if not all(pair.partition("=")):
            raise UserError(f"--survival is written TIME=EVENT, as in months=died, not {pair!r}")
    if FLAGS.output:
        if FLAGS.output.endswith(("/", os.sep)):
            raise UserError(f"--output={FLAGS.output} is a folder; name a file in it")
        if command.is_within(FLAGS.output, FLAGS.table):  # also with --overwrite
            raise UserError(f"--output={FLAGS.output} would replace the table; name another file")
        command.check_free("output", FLAGS.output)


def main(_) -> int:
    """Prints and writes the inferred schema; returns the exit status."""
    from tf_mvae.data.schema import Schema
    from tf_mvae.data.schema_hints import type_hints
    from tf_mvae.data.schema_inference import describe_schema, infer_schema
    from tf_mvae.data.survival_columns import suggested_pair
    from tf_mvae.data.table_files import columns_of_codes, read_table_and_modalities
    from tf_mvae.data.tables import without_split

    frame, modalities = read_table_and_modalities(FLAGS.table)
    frame, _, modalities = without_split(frame, modalities)
    survival = dict(pair.split("=", 1) for pair in FLAGS.survival)
    given = (FLAGS.covariates, FLAGS.size_factor, survival)
    schema, left_out = infer_schema(frame, FLAGS.modalities or modalities, None, *given)
    print(f"{len(frame)} rows, {len(frame.columns)} columns")
    print(describe_schema(schema, frame, left_out))
    for hint in type_hints(schema, frame, columns_of_codes(FLAGS.table)):
        print(f"hint: {hint}")
    pair = suggested_pair(schema)
    if pair is not None:
        time, event = pair
        print(
            f"if {time} is the time until an event or the end of the observation, and {event} is 1 "
            f"where the event occurred and 0 elsewhere, add --survival={time}={event} --overwrite"
        )
    path = os.path.expanduser(FLAGS.output or f"{_table_place()}.schema.json")
    is_there = os.path.isfile(path) and not FLAGS.overwrite
    if not (is_there and Schema.load(path) == schema):
        command.check_free("output", path)  # it may have been corrected by hand
    schema.save(path)
    print(f"written to {path}; correct it there, and train with --schema={path}")
    return 0


def _table_place() -> str:
    """Returns the path of the table; of a folder, also of `.`, the one that ends in its name."""
    place = os.path.expanduser(FLAGS.table)
    return os.path.abspath(place) if os.path.isdir(place) else place


if __name__ == "__main__":
    if len(sys.argv) > 1 and not sys.argv[1].startswith("-"):
        sys.argv[1] = f"--table={sys.argv[1]}"
    command.run(main, check_flags)
