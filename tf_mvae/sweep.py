"""Weak supervision curves: `python -m tf_mvae.sweep --flagfile=configs/…/mnist.cfg`."""

from collections.abc import Sequence

from absl import flags

from tf_mvae import checks, command, setting_flags
from tf_mvae.errors import UserError
from tf_mvae.settings import EXPERIMENTS, MODELS, Setting, shared_settings

__all__ = ["check_flags", "main"]

FLAGS = flags.FLAGS

flags.DEFINE_string("sweep_dir", None, "Directory for rows, table and plot.", required=True)
flags.DEFINE_string(
    "experiment", "mnist", "Experiment with a class, and a modality to predict it from."
)
flags.DEFINE_string("data_dir", None, "Data directory of TFDS; TFDS's own default if omitted.")
flags.DEFINE_list(
    "methods",
    ["logistic_regression", "supervised_network"],
    "Models as NAME=FLAGFILE of tf_mvae.train, and baselines: logistic_regression, "
    "supervised_network, autoencoder, vae, rbm.",
)
flags.DEFINE_list("fractions", ["0.01", "0.1", "1"], "Fractions of the examples that stay paired.")
flags.DEFINE_list("seeds", ["0"], "Seeds; each fraction is run with each of them.")
flags.DEFINE_float("repeat_up_to", 1.0, "Larger fractions are run with the first seed only.")
flags.DEFINE_integer("baseline_steps", 10_000, "Steps of the baselines' networks.", 1)
flags.DEFINE_bool("keep_runs", False, "Whether the models' run directories are kept.")
# Flags of `tf_mvae.train` that are no settings.
_OF_TRAIN = (
    *(Setting(name, None, "", kind=str) for name in ("experiment", "model", "run_dir")),
    Setting("resume", True, ""),
)


def check_flags() -> None:
    """Raises `UserError` for a wrong flag, without importing TensorFlow."""
    from tf_mvae.sweeps.flags import parse_numbers

    EXPERIMENTS.declaration(FLAGS.experiment)
    for name, lines in _methods().items():
        if lines is not None:
            _check_model(name, lines)
    for fraction in parse_numbers("fractions", FLAGS.fractions, float):
        if not 0 <= fraction <= 1:
            raise UserError(f"--fractions are 0 to 1; {fraction:g} is not")
    for seed in parse_numbers("seeds", FLAGS.seeds, int):
        checks.seed("--seeds", seed)


def _methods() -> dict[str, tuple[str, ...] | None]:
    """Returns the flags of each model, and None for each baseline, by name."""
    from tf_mvae.sweeps.flags import parse_methods

    methods = parse_methods(FLAGS.methods)
    return {
        name: file and tuple(command.expand_flagfiles([f"--flagfile={file}"]))
        for name, file in methods.items()
    }


def _check_model(method: str, lines: Sequence[str]) -> None:
    """Checks the flags of a method's model, which is otherwise first trained after hours."""
    from tf_mvae.training.config import RunConfig

    chosen = setting_flags.peek(["", *lines], model="mvae", experiment=FLAGS.experiment)
    try:
        parts = [MODELS.declaration(chosen["model"]), EXPERIMENTS.declaration(FLAGS.experiment)]
        parts += [*MODELS.own(), *EXPERIMENTS.own()]
        settings = [*(s for part in parts for s in part.settings), *shared_settings()]
        given = setting_flags.parse(lines, [*settings, *_OF_TRAIN])
        recorded = {s.name for s in settings if s.is_recorded}
        RunConfig(
            FLAGS.experiment,
            chosen["model"],
            **{name: value for name, value in given.items() if name in recorded},
        )
    except UserError as error:
        raise UserError(f"--methods ({method}): {error}") from error


def main(_) -> int:
    """Runs what is missing of the sweep that the flags describe; returns the exit status."""
    import pathlib

    import tensorflow as tf

    from tf_mvae.sweeps.flags import parse_numbers
    from tf_mvae.sweeps.rows import accuracy_table, average
    from tf_mvae.sweeps.sweep import Sweep
    from tf_mvae.training.stopping import Stopped
    from tf_mvae.visualization import write_accuracy_curves

    # Not TF32, as in tf_mvae.evaluate.
    tf.config.experimental.enable_tensor_float_32_execution(False)
    directory = pathlib.Path(FLAGS.sweep_dir).expanduser()
    sweep = Sweep(
        directory=directory,
        experiment=FLAGS.experiment,
        data_dir=FLAGS.data_dir,
        methods=_methods(),
        fractions=parse_numbers("fractions", FLAGS.fractions, float),
        seeds=parse_numbers("seeds", FLAGS.seeds, int),
        repeat_up_to=FLAGS.repeat_up_to,
        baseline_steps=FLAGS.baseline_steps,
        keep_runs=FLAGS.keep_runs,
    )
    try:
        rows = sweep.run()
    except Stopped as stopped:
        print("stopped; the same command continues from there")
        return 128 + stopped.signal
    print(accuracy_table(rows))
    picture = write_accuracy_curves(average(rows), directory / "accuracy.png")
    print(f"rows: {directory / 'rows.csv'}, plot: {picture}")
    return 0


if __name__ == "__main__":
    command.run(main, check_flags)
