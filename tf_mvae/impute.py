"""Fills the gaps of a table: `python -m tf_mvae.impute --run_dir=… --input=… --output=…`."""

import os

from absl import flags

from tf_mvae import command

__all__ = ["check_flags", "main"]

FLAGS = flags.FLAGS

flags.DEFINE_string("run_dir", None, "The run, of --experiment=table.", required=True)
flags.DEFINE_string("input", None, "The table: a CSV, TSV or Parquet file.", required=True)
flags.DEFINE_string("output", None, "The filled table: a CSV or Parquet file.", required=True)
flags.DEFINE_string(
    "details",
    None,
    "A CSV file to write, with a row for each filled cell: estimate, standard deviation, "
    "quantiles, and of a class its probability.",
)
flags.DEFINE_integer("num_samples", 200, "Samples of the latent for each row.", 1, 100_000)
flags.DEFINE_list("quantiles", ["0.05", "0.5", "0.95"], "Quantiles of the details.")
flags.DEFINE_bool(
    "importance", False, "Whether samples of the latent are weighed by the observed cells."
)
flags.DEFINE_integer("seed", 0, "Seed of the samples.", 0)
flags.DEFINE_enum("checkpoint", "best", ["best", "last"], "Which checkpoint's weights.")


def check_flags() -> None:
    """Raises `UserError` for a wrong flag, without importing TensorFlow."""
    from tf_mvae.errors import UserError
    from tf_mvae.training.run_directory import RunDirectory

    config = RunDirectory(FLAGS.run_dir).config()
    if config.experiment != "table":
        raise UserError(
            f"--run_dir={FLAGS.run_dir} is a run of --experiment={config.experiment}; tables are "
            "filled by one of --experiment=table"
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


def main(_) -> int:
    """Fills the table that the flags name; returns the exit status."""
    import pathlib

    from tf_mvae.data.table_files import read_table, write_table
    from tf_mvae.data.tables import from_frame
    from tf_mvae.experiments.table import SCHEMA_FILE
    from tf_mvae.training import load_run

    run = load_run(FLAGS.run_dir, FLAGS.checkpoint)
    schema = pathlib.Path(run.config.assets_dir) / SCHEMA_FILE
    table = from_frame(read_table(FLAGS.input), schema)
    found = run.model.impute(table, FLAGS.num_samples, _quantiles(), FLAGS.seed, FLAGS.importance)
    write_table(found.filled, FLAGS.output)
    details = found.details(table)
    print(f"{len(details)} of {table.cells} cells were missing and are filled in {FLAGS.output}")
    if FLAGS.details:
        write_table(details, FLAGS.details)
        print(f"how sure each of them is: {FLAGS.details}")
    return 0


def _quantiles() -> tuple[float, ...]:
    return tuple(float(text) for text in FLAGS.quantiles)


if __name__ == "__main__":
    command.run(main, check_flags)
