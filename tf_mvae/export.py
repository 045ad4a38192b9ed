"""Exports a run's model: `python -m tf_mvae.export --run_dir=… --output_dir=served/NAME`."""

from absl import flags

from tf_mvae import command

__all__ = ["check_flags", "main"]

FLAGS = flags.FLAGS

flags.DEFINE_string("run_dir", None, "Directory of the run.", required=True)
flags.DEFINE_string(
    "output_dir",
    None,
    "Directory of the versions: OUTPUT_DIR/1, then OUTPUT_DIR/2. Nothing is overwritten.",
    required=True,
)
flags.DEFINE_enum(
    "format",
    "saved_model",
    ["saved_model", "keras", "onnx", "tflite", "text"],
    "saved_model (TensorFlow Serving, any TensorFlow), keras (with this package), onnx or tflite "
    "(deterministic functions, checked against the model), text (a SavedModel that takes and gives "
    "sentences; whoever loads it needs tensorflow-text, which TensorFlow Serving has).",
)
flags.DEFINE_integer("version", None, "The version's number; the one after the last if omitted.", 1)
command.define_model_flags()
flags.DEFINE_string(
    "push_to_hub",
    None,
    "USER/NAME on the Hugging Face Hub to upload a --format=keras export to, with the model card.",
)


def check_flags() -> None:
    """Raises `UserError` for a wrong flag, without importing TensorFlow."""
    from tf_mvae.errors import UserError
    from tf_mvae.training.run_directory import RunDirectory

    if FLAGS.push_to_hub and FLAGS.format != "keras":
        raise UserError("--push_to_hub uploads a .keras file; add --format=keras")
    RunDirectory(FLAGS.run_dir).config()


def main(_) -> int:
    """Exports the run that the flags name; returns the exit status."""
    from tf_mvae.serving import export_format, export_text, export_version
    from tf_mvae.training import load_run, run_card
    from tf_mvae.training.run_directory import RunDirectory

    run = load_run(FLAGS.run_dir, FLAGS.checkpoint, latents=FLAGS.latents)
    card = run_card(run.config, RunDirectory(run.directory), run.metrics, run.checkpoint_step)
    agrees = ""
    if FLAGS.format == "saved_model":
        place = export_version(run.model, FLAGS.output_dir, FLAGS.version, card)
    elif FLAGS.format == "text":
        place = export_text(run.model, run.tokenizers(), FLAGS.output_dir, FLAGS.version, card)
    else:
        place, difference = export_format(
            run.model, FLAGS.output_dir, FLAGS.format, FLAGS.version, card
        )
        agrees = f"; it agrees with the model to {difference:.1g}"
    print(f"step {run.checkpoint_step} of {run.directory} is exported to {place}{agrees}")
    if FLAGS.push_to_hub:
        from tf_mvae.models.sharing import upload

        text = (place / "model_card.md").read_text(encoding="utf-8")
        print(f"uploaded: {upload(place, text, FLAGS.push_to_hub)}")
    return 0


if __name__ == "__main__":
    command.run(main, check_flags)
