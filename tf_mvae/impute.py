"""Fills the gaps of a table: `python -m tf_mvae.impute --run_dir=… --input=… --output=…`."""

import os
from typing import Any

from absl import flags

from tf_mvae import command

__all__ = ["check_flags", "main"]

FLAGS = flags.FLAGS

flags.DEFINE_string(
    "run_dir",
    None,
    "Directory of a run of --experiment=table, or of your own with a table.",
    required=True,
)
flags.DEFINE_string(
    "input",
    None,
    "The table: a CSV, TSV or Parquet file of any length, of which a part is in memory at a time; "
    "or a folder of them.",
    required=True,
)
flags.DEFINE_string("output", None, "The filled table: a CSV or Parquet file.", required=True)
flags.DEFINE_string(
    "details",
    None,
    "A CSV file to write, with a row for each filled cell: estimate, standard "
    "deviation and quantiles, or the probability of a class.",
)
command.define_overwrite_flag()
flags.DEFINE_integer("num_samples", 200, "Samples of the latent for each row.", 1, 100_000)
flags.DEFINE_list("quantiles", ["0.05", "0.5", "0.95"], "Quantiles of the details.")
flags.DEFINE_bool(
    "importance",
    False,
    "Whether samples of the latent are weighted by the likelihood of the observed cells.",
)
flags.DEFINE_enum(
    "unknown_classes",
    "error",
    ["error", "missing"],
    "What a class is that is none of the schema's categories: an error, or missing. The model does "
    "not see it then, and it is written as it was.",
)
command.define_seed_flag("Seed of the samples.")
command.define_model_flags()

_BLOCKS = 5  # of `BLOCK_ROWS` rows in memory at a time


def check_flags() -> None:
    """Raises `UserError` for a wrong flag, without importing TensorFlow."""
    from tf_mvae.errors import UserError
    from tf_mvae.settings import EXPERIMENTS
    from tf_mvae.training.run_directory import RunDirectory

    config = RunDirectory(FLAGS.run_dir).config()
    if "table" not in EXPERIMENTS.declaration(config.experiment).fields:
        raise UserError(
            f"--run_dir={FLAGS.run_dir} is a run of --experiment={config.experiment}, whose data "
            "are not a table; tables are filled by a run of --experiment=table"
        )
    if "://" not in FLAGS.input and not os.path.exists(os.path.expanduser(FLAGS.input)):
        raise UserError(f"--input={FLAGS.input} does not exist")
    try:
        are_inside = all(0 < quantile < 1 for quantile in _quantiles())
    except ValueError:
        are_inside = False
    if not are_inside:
        raise UserError(
            f"--quantiles are numbers between 0 and 1 such as 0.05,0.95, not {FLAGS.quantiles}"
        )
    _check_places()


def _check_places() -> None:
    """Checks that no existing file would be overwritten by mistake."""
    import pathlib

    from tf_mvae.data.table_files import check_writable
    from tf_mvae.errors import UserError

    check_writable(FLAGS.output)
    paths = {"input": pathlib.Path(FLAGS.input).expanduser().resolve()}
    for flag in ("output", "details"):
        if not FLAGS[flag].value:
            continue
        path = pathlib.Path(FLAGS[flag].value).expanduser().resolve()
        for other, taken in paths.items():
            if command.is_within(path, taken):
                raise UserError(f"--{flag}={path} is --{other}, or in it; name another file")
        command.check_free(flag, path)
        paths[flag] = path
    if FLAGS.details and FLAGS.details.lower().endswith((".parquet", ".pq")):
        raise UserError("--details is a CSV file: its column of estimates holds numbers and text")


def main(_) -> int:
    """Fills the table that the flags name; returns the exit status."""
    import contextlib
    import itertools

    import tqdm

    from tf_mvae.data.column import UnknownClassError
    from tf_mvae.data.table_files import PARQUET
    from tf_mvae.data.table_streams import open_table, writing_table
    from tf_mvae.data.tables import Table
    from tf_mvae.errors import UserError
    from tf_mvae.inference.imputation_draws import BLOCK_ROWS
    from tf_mvae.training import load_run

    run = load_run(FLAGS.run_dir, FLAGS.checkpoint, latents=FLAGS.latents)
    schema = run.schema()
    stream = open_table(FLAGS.input, _BLOCKS * BLOCK_ROWS)
    # Text is written as it was read, unless the output has types: a column has one.
    keeps_text = stream.texts is not None and not FLAGS.output.lower().endswith(PARQUET)
    row = gaps = unknown = 0
    with contextlib.ExitStack() as stack:
        write = stack.enter_context(writing_table(FLAGS.output))
        write_details = stack.enter_context(writing_table(FLAGS.details)) if FLAGS.details else None
        bar = stack.enter_context(tqdm.tqdm(total=stream.num_rows, unit="rows", disable=None))
        texts = stream.texts() if keeps_text else itertools.repeat(None)
        for frame, text in zip(stream.parts(), texts, strict=False):
            try:
                table = Table(frame, schema, FLAGS.unknown_classes)
            except UnknownClassError as error:
                raise UserError(f"{error}, or give --unknown_classes=missing") from error
            unknown += _unknown_classes(table)
            found = run.model.impute(
                table, FLAGS.num_samples, _quantiles(), FLAGS.seed, FLAGS.importance, None, row
            )
            write(found.filled if text is None else found.in_text(table, text))
            details = found.details(table)
            if write_details is not None:
                write_details(details)
            gaps += len(details)
            row += len(frame)
            bar.update(len(frame))
    cells = row * len(schema.columns)
    print(f"{gaps} of {cells} cells were missing and are filled in {FLAGS.output}")
    if unknown:
        print(f"{unknown} cells hold unknown classes; they are as they were, and none to the model")
    if FLAGS.details:
        print(f"how sure each of them is: {FLAGS.details}")
    return 0


def _unknown_classes(table: Any) -> int:
    """Returns how many cells of a table hold a class that is none of its column's categories."""
    if FLAGS.unknown_classes == "error":
        return 0
    columns = [column for column in table.schema.columns.values() if column.is_class]
    return sum(int((~column.holds(table.frame[column.name])).sum()) for column in columns)


def _quantiles() -> tuple[float, ...]:
    return tuple(float(text) for text in FLAGS.quantiles)


if __name__ == "__main__":
    command.run(main, check_flags)
