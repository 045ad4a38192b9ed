"""Evaluates a run: `python -m tf_mvae.evaluate --run_dir=… --analysis=accuracy,coherence`."""

from absl import flags

from tf_mvae import command

__all__ = ["main"]

FLAGS = flags.FLAGS

flags.DEFINE_string("run_dir", None, "The run.", required=True)
flags.DEFINE_list(
    "analysis",
    ["accuracy", "coherence"],
    "Analyses: accuracy (classes read off "
    "other modalities), coherence (generated images named by a classifier).",
)
flags.DEFINE_enum("split", "test", ["train", "validation", "test"], "The split to evaluate on.")
flags.DEFINE_string("data_dir", None, "Where the data are, if not where the run had them.")
flags.DEFINE_integer("num_samples", 16, "Samples of the latent for an example.", 1)
flags.DEFINE_integer("batch_size", 100, "Examples a batch.", 1)
flags.DEFINE_integer("max_examples", None, "The first so many examples only.", 1)
flags.DEFINE_integer("seed", 0, "Seed of all samples.", 0)
flags.DEFINE_enum("checkpoint", "best", ["best", "last"], "Which checkpoint's weights.")


def main(_) -> int:
    """Runs the analyses that the flags name; returns the exit status."""
    import functools

    import tqdm

    from tf_mvae.errors import UserError
    from tf_mvae.evaluation import ANALYSES, Settings, table, update_report
    from tf_mvae.training import load_run

    for name in FLAGS.analysis:
        if name not in ANALYSES:
            raise UserError(f"--analysis={name} is not known; there are {', '.join(ANALYSES)}")
    run = load_run(FLAGS.run_dir, FLAGS.checkpoint, FLAGS.data_dir)
    settings = Settings(
        FLAGS.split,
        FLAGS.num_samples,
        FLAGS.seed,
        FLAGS.batch_size,
        FLAGS.max_examples,
        functools.partial(tqdm.tqdm, disable=None),
    )
    recorded = {
        **settings.recorded(),
        "checkpoint": FLAGS.checkpoint,
        "step": run.checkpoint_step,
    }
    analyses = {
        name: {"settings": recorded, "results": ANALYSES[name](run, settings)}
        for name in FLAGS.analysis
    }
    path = run.directory / "evaluation.json"
    update_report(path, analyses)
    print(table(analyses))
    print(f"written to {path}")
    return 0


if __name__ == "__main__":
    command.run(main)
