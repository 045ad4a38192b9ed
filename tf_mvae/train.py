"""Trains a model: `python -m tf_mvae.train --flagfile=configs/quickstart.cfg`."""

from collections.abc import Sequence

from absl import flags

from tf_mvae import command, setting_flags
from tf_mvae.settings import EXPERIMENTS, MODELS, shared_settings
from tf_mvae.training.config import RunConfig

__all__ = ["check_flags", "config_of_flags", "define_flags", "main"]

FLAGS = flags.FLAGS

flags.DEFINE_string(
    "experiment",
    "digits",
    f"Experiment: {', '.join(EXPERIMENTS.own_names())}; or package.module:name.",
)
flags.DEFINE_string(
    "model", "mvae", f"Model: {', '.join(MODELS.own_names())}; or package.module:name."
)
flags.DEFINE_string("run_dir", None, "Directory of the run; runs/EXPERIMENT-MODEL if omitted.")
flags.DEFINE_bool(
    "resume", True, "Whether to continue a run that exists in run_dir; otherwise it is an error."
)
setting_flags.define(shared_settings())
for _registry in (MODELS, EXPERIMENTS):
    for _declared in _registry.own():
        setting_flags.define(_declared.settings, _registry.users_of)


def define_flags(arguments: Sequence[str]) -> None:
    """Defines the flags of a model or an experiment that is not this package's own.

    Args:
        arguments: The command line, of which `--model` and `--experiment` are read.
    """
    chosen = setting_flags.peek(arguments, model="mvae", experiment="digits")
    for registry in (MODELS, EXPERIMENTS):
        name = chosen[registry.kind]
        if name not in registry.own_names():
            setting_flags.define(registry.declaration(name).settings, override=True)


def config_of_flags() -> RunConfig:
    """Returns the `RunConfig` that the flags describe.

    Raises:
        UserError: A flag's value is not possible.
    """
    values = setting_flags.values()
    recorded = {setting.name: value for setting, value in values if setting.is_recorded}
    return RunConfig(FLAGS.experiment, FLAGS.model, **recorded)


def check_flags() -> None:
    """Raises `UserError` for a wrong flag, without importing TensorFlow."""
    from tf_mvae.training.cluster import check_strategy
    from tf_mvae.training.run_directory import RunDirectory
    from tf_mvae.training.trackers import check_trackers

    config = config_of_flags()
    config.check_inputs()
    check_trackers(FLAGS.tracker)
    setting_flags.checked([one for one in shared_settings() if not one.is_recorded])
    check_strategy(FLAGS.strategy, FLAGS.num_logical_cpus)
    if FLAGS.strategy != "multi_worker":  # only the chief uses its directory
        RunDirectory(_run_dir(config)).check_usable()


def _run_dir(config: RunConfig) -> str:
    own = (name.rpartition(":")[2] for name in (config.experiment, config.model))
    return FLAGS.run_dir or f"runs/{'-'.join(own)}"


def main(_) -> int:
    """Trains the run that the flags describe.

    Returns:
        The exit status: 0 at the end, 128 and the signal's number if a signal asked to stop,
        3 if the run diverged.
    """
    import os
    import sys

    from tf_mvae.training import Diverged, LostWorker, Stopped, make_strategy, train
    from tf_mvae.training.divergence import EXIT_STATUS

    config = config_of_flags()
    try:
        strategy = make_strategy(FLAGS.strategy, FLAGS.num_logical_cpus)
        train(
            config,
            _run_dir(config),
            FLAGS.resume,
            FLAGS.checkpoint_steps,
            FLAGS.picture_epochs,
            FLAGS.keep_checkpoints,
            strategy,
            int(FLAGS.cache_gb * 1e9),
            tuple(FLAGS.data_service),
            tuple(FLAGS.tracker),
        )
    except Stopped as stopped:
        print(f"stopped at step {stopped.step}; the same command continues from there")
        return 128 + stopped.signal
    except Diverged as diverged:
        print(f"error: {diverged}", file=sys.stderr)
        return EXIT_STATUS
    except LostWorker as lost:
        print(f"another worker is gone ({lost}); waiting for it to start again", flush=True)
        # TensorFlow takes part in one cluster in the life of a process.
        os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])
    return 0


if __name__ == "__main__":
    command.run(main, check_flags, define_flags)
