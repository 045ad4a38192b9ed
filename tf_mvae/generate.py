"""Generates with a run's model: `python -m tf_mvae.generate --condition=label=7 …`."""

import pathlib
import re
from collections.abc import Collection
from typing import Any

from absl import flags

from tf_mvae import command
from tf_mvae.errors import UserError

__all__ = ["check_flags", "main"]

FLAGS = flags.FLAGS

flags.DEFINE_string("run_dir", None, "Directory of the run.", required=True)
flags.DEFINE_multi_string(
    "condition",
    [],
    "A given modality, NAME=VALUE: the name or number of a class, the path of a PNG "
    "file, a sentence, a string of digits (multi_mnist), or the value of a table's "
    "column. May be repeated. Default: samples from the prior.",
)
flags.DEFINE_integer("num_samples", 64, "Number of samples.", 1, 10_000)
flags.DEFINE_string(
    "output",
    None,
    "The PNG file (for a table, CSV or Parquet file) to write; default: "
    "RUN_DIR/generated/CONDITION.png, which is always replaced, or CONDITION.csv, which only "
    "--overwrite replaces.",
)
command.define_seed_flag("Seed of the samples.")
flags.DEFINE_float(
    "temperature",
    1.0,
    "Factor on the latent's standard deviation, and on the noise of sampled sentences.",
    0.0,
)
flags.DEFINE_enum(
    "decoding",
    "greedy",
    ["greedy", "sample", "beam"],
    "How sentences are generated: the most probable next word (greedy) or the most "
    "probable sentences of a beam search, under all --num_samples latents together; "
    "or one sample per latent.",
)
flags.DEFINE_integer(
    "beam_width", 5, "Number of sentences that a beam search keeps and prints.", 1, 1000
)
command.define_model_flags()
command.define_overwrite_flag()


def check_flags() -> None:
    """Raises `UserError` for a wrong flag, without importing TensorFlow."""
    from tf_mvae.settings import EXPERIMENTS
    from tf_mvae.training.run_directory import RunDirectory

    given = {}
    for condition in FLAGS.condition:
        name, equals, _ = condition.partition("=")
        if not equals:
            raise UserError(
                f"a condition is written NAME=VALUE, as in label=7; {condition!r} is not"
            )
        if name in given:
            raise UserError(
                f"conditions {given[name]!r} and {condition!r} are of the same part; give one"
            )
        given[name] = condition
    if FLAGS["beam_width"].present and FLAGS.decoding != "beam":
        raise UserError("--beam_width is for --decoding=beam; add that, or remove the flag")
    directory = RunDirectory(FLAGS.run_dir)
    config = directory.config()
    of_table = "table" in EXPERIMENTS.declaration(config.experiment).fields
    if not FLAGS.output:
        if of_table:  # rows are data; a picture in the run's folder is a view of the model
            command.check_free("output", _output(directory.path, ".csv"))
        return
    if of_table:
        from tf_mvae.data.table_files import check_writable

        check_writable(FLAGS.output)
    elif not FLAGS.output.lower().endswith(".png"):
        raise UserError(f"--output={FLAGS.output} is a picture: its name ends in .png")
    command.check_free("output", FLAGS.output)


def main(_) -> int:
    """Generates what the flags describe; returns the exit status."""
    from tf_mvae.data.conditions import parse_conditions
    from tf_mvae.models.sentences import said, text_modalities
    from tf_mvae.training import load_run
    from tf_mvae.visualization import (
        condition_figure,
        most_probable,
        save_figure,
        value_table,
    )

    run = load_run(FLAGS.run_dir, FLAGS.checkpoint, latents=FLAGS.latents)
    if FLAGS["decoding"].present and not text_modalities(run.model):
        raise UserError("--decoding is for sentences, and this run has none; leave it out")
    if run.experiment.table is not None:
        return _generate_rows(run)
    given = parse_conditions(FLAGS.condition, run.model.batch_inputs, run.tokenizers())
    _check_conditions(run.model, given)
    if FLAGS.output and not any(m.likelihood.is_image for m in run.model.targets):
        raise UserError("--output is for images, and this run has none; leave it out")
    words = ", ".join(FLAGS.condition) or "the prior"
    how = (FLAGS.num_samples, FLAGS.decoding, FLAGS.beam_width, FLAGS.seed, FLAGS.temperature)
    spoken = said(run.model, given, *how)
    for name, sentences in spoken.items():
        for text, log_prob in sentences:
            print(f"{name}: {text}" + ("" if log_prob is None else f"  ({log_prob:.2f} nats)"))
    if spoken and len(text_modalities(run.model)) == len(run.model.targets):
        return 0  # there is nothing to draw
    figure, generated = condition_figure(
        run.model, given, FLAGS.num_samples, f"given {words}", FLAGS.seed, FLAGS.temperature
    )
    lines = [f"{name}: {share}" for name, share in most_probable(run.model, given, generated)]
    lines += filter(None, [value_table(run.model, given, generated)])
    print(*lines, sep="\n", end="\n" * bool(lines))
    if figure is None:
        if not lines and not spoken:
            raise UserError("all that the model generates was given; leave a --condition out")
        print(f"{FLAGS.num_samples} samples given {words}; no modality is an image")
        return 0
    path = _output(run.directory, ".png")
    try:
        save_figure(figure, path)
    except OSError as error:
        raise UserError(f"{path} cannot be written: {error.strerror}; give --output") from error
    print(f"{FLAGS.num_samples} samples given {words}: {path}")
    return 0


def _check_conditions(model: Any, given: Collection[str]) -> None:
    """Checks that the inputs of decoders next to the latent are given: conditions, covariates."""
    missing = [name for name in model.given_to_decoders if name not in given]
    if missing:
        needed = " ".join(f"--condition={name}=VALUE" for name in missing)
        raise UserError(
            f"the run's {model.name} generates from given {' and '.join(missing)} only; "
            f"add {needed}"
        )


def _output(directory: pathlib.Path, ending: str) -> pathlib.Path:
    """Returns the file to write: that of `--output`, or one that is named by the conditions."""
    if FLAGS.output:
        return pathlib.Path(FLAGS.output).expanduser()
    name = re.sub(r"[^\w=.-]+", "_", "+".join(FLAGS.condition) or "prior")
    return directory / "generated" / f"{name}{ending}"


def _generate_rows(run: Any) -> int:
    """Draws rows of a table, given the cells that `--condition=COLUMN=VALUE` names."""
    from tf_mvae.data.table_files import write_table
    from tf_mvae.inference.table_rows import generate_rows

    cells = dict(condition.split("=", 1) for condition in FLAGS.condition)
    frame = generate_rows(
        run.model, run.schema(), cells, FLAGS.num_samples, FLAGS.seed, FLAGS.temperature
    )
    path = _output(run.directory, ".csv")
    write_table(frame, path)
    print(frame.head(10).to_string(index=False))
    words = ", ".join(FLAGS.condition) or "the prior"
    print(f"{FLAGS.num_samples} rows given {words}: {path}")
    return 0


if __name__ == "__main__":
    command.run(main, check_flags)
