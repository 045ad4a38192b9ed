"""Writes a run's SavedModel again: `python -m tf_mvae.export --run_dir=… --output_dir=…`."""

from absl import flags

from tf_mvae import command

__all__ = ["main"]

FLAGS = flags.FLAGS

flags.DEFINE_string("run_dir", None, "The run.", required=True)
flags.DEFINE_string(
    "output_dir", None, "Where the SavedModel goes; it must not exist.", required=True
)
flags.DEFINE_enum("checkpoint", "best", ["best", "last"], "Which checkpoint's weights.")


def main(_) -> int:
    """Exports the run that the flags name; returns the exit status."""
    from tf_mvae.serving import export_saved_model
    from tf_mvae.training import load_run

    run = load_run(FLAGS.run_dir, FLAGS.checkpoint)
    export_saved_model(run.model, FLAGS.output_dir)
    print(f"step {run.checkpoint_step} of {run.directory} is exported to {FLAGS.output_dir}")
    return 0


if __name__ == "__main__":
    command.run(main)
