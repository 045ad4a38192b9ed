"""Fits a sampler of the latent to a run: `python -m tf_mvae.fit_sampler --run_dir=…`."""

from absl import flags

from tf_mvae import checks, command
from tf_mvae.settings import source

__all__ = ["check_flags", "main"]

FLAGS = flags.FLAGS

flags.DEFINE_string("run_dir", None, "Directory of the run.", required=True)
flags.DEFINE_integer("epochs", 20, "Passes over the training split.", 1)
flags.DEFINE_integer("batch_size", 256, "Number of examples in a batch.", 1)
flags.DEFINE_float("learning_rate", 2e-3, "Adam's first learning rate; it falls to 0.")
_SETTINGS = {s.name: s for s in source.shared("tf_mvae.training.sampler")}
_KIND, _GUIDANCE = _SETTINGS["sampler_kind"], _SETTINGS["sampler_guidance"]
flags.DEFINE_enum("kind", _KIND.default, list(_KIND.choices), _KIND.help)
flags.DEFINE_integer("guidance", _GUIDANCE.default, _GUIDANCE.help, 1)
flags.DEFINE_string("data_dir", None, "Data directory, if it differs from the run's.")
flags.DEFINE_string(
    "dataset_dir", None, "Directory of the data set, if it differs from the run's --dataset_dir."
)
command.define_seed_flag("Seed of weights, order, latents and subsets.")
flags.DEFINE_integer("checkpoint_steps", 1000, "Steps between checkpoints within an epoch.", 1)


def check_flags() -> None:
    """Raises `UserError` for a wrong flag, without importing TensorFlow."""
    from tf_mvae.training.run_directory import RunDirectory

    checks.positive("--learning_rate", FLAGS.learning_rate)
    RunDirectory(FLAGS.run_dir).config()


def main(_) -> int:
    """Fits the sampler of the run that the flags name.

    Returns:
        The exit status: 0 at the end, 128 and the signal's number if a signal asked to stop.
    """
    from tf_mvae.training import SamplerSettings, Stopped, fit_sampler_of_run

    names = ("epochs", "batch_size", "learning_rate", "kind", "seed", "guidance")
    try:
        place = fit_sampler_of_run(
            FLAGS.run_dir,
            SamplerSettings(**{name: getattr(FLAGS, name) for name in names}),
            FLAGS.data_dir,
            FLAGS.dataset_dir,
            FLAGS.checkpoint_steps,
        )
    except Stopped as stopped:
        print(f"stopped at step {stopped.step}; the same command continues from there")
        return 128 + stopped.signal
    print(f"the sampler is in {place}; generate, evaluate and export use it")
    return 0


if __name__ == "__main__":
    command.run(main, check_flags)
