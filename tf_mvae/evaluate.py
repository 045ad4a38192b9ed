"""Evaluates a run: `python -m tf_mvae.evaluate --run_dir=… --analysis=log_likelihood,accuracy`."""

import dataclasses
import functools
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from absl import flags

from tf_mvae import command, setting_flags
from tf_mvae.errors import UserError
from tf_mvae.settings import ANALYSES

if TYPE_CHECKING:
    from tf_mvae.evaluation import Settings
    from tf_mvae.evaluation.run import Run

__all__ = ["check_flags", "define_flags", "main"]

FLAGS = flags.FLAGS

flags.DEFINE_string("run_dir", None, "Directory of the run.", required=True)
flags.DEFINE_list(
    "analysis",
    None,
    "Analyses: "
    + ", ".join(f"{declared.name} ({declared.description})" for declared in ANALYSES.own())
    + "; or package.module:name. Default: those of the run's experiment.",
)
flags.DEFINE_enum("split", "test", ["train", "validation", "test"], "The split to evaluate on.")
flags.DEFINE_string("data_dir", None, "Data directory, if it differs from the run's.")
flags.DEFINE_string(
    "dataset_dir", None, "Directory of the data set, if it differs from the run's --dataset_dir."
)
flags.DEFINE_integer(
    "num_samples",
    None,
    "Number of samples of the latent per example; default: that of the analysis.",
    1,
)
flags.DEFINE_list(
    "target",
    [],
    "The modalities whose log-likelihood is estimated. Default: each alone (the "
    "first, if there are more than three), all together, and each given the others.",
)
flags.DEFINE_list("given", [], "With --target: the modalities that are given.")
flags.DEFINE_list(
    "proposal",
    [],
    "With --target: the modalities of the proposal q(z | ...), or prior; default: "
    "target and given.",
)
flags.DEFINE_list(
    "given_proposal",
    [],
    "Estimate conditional likelihoods as log p(target, given) - log p(given), the latter with "
    "samples of its own from q(z | ...) of these modalities, of the given ones (given), or from "
    "the prior (prior); default: the same samples for both.",
)
flags.DEFINE_integer("batch_size", 100, "Number of examples in a batch.", 1)
flags.DEFINE_integer("max_examples", None, "Evaluates only this many examples, the first ones.", 1)
flags.DEFINE_integer(
    "baseline_steps",
    None,
    "Training steps of the supervised networks of transformations, attributes and "
    "translation_baseline, and of the classifier by which generation judges attributes. Default: "
    "as many as the checkpoint's; 0: without these networks (not for translation_baseline, nor "
    "for generation of attributes).",
    0,
)
_QUESTION_FLAGS = ("target", "given", "proposal", "given_proposal")
command.define_seed_flag("Seed of all samples, and of random transformations of the data.")
command.define_model_flags()
for _declared in ANALYSES.own():
    setting_flags.define(_declared.settings, ANALYSES.users_of)


def define_flags(arguments: Sequence[str]) -> None:
    """Defines the flags of analyses that are not this package's own.

    Args:
        arguments: The command line, of which `--analysis` is read.
    """
    names = setting_flags.peek(arguments, analysis="")["analysis"].split(",")
    for name in {*names} - {"", *ANALYSES.own_names()}:
        setting_flags.define(ANALYSES.declaration(name).settings, override=True)


def check_flags() -> None:
    """Raises `UserError` for a wrong flag, without importing TensorFlow."""
    from tf_mvae.training.run_directory import RunDirectory

    for name in FLAGS.analysis or ():
        setting_flags.checked(ANALYSES.declaration(name).settings)
    if (FLAGS.given or FLAGS.proposal) and not FLAGS.target:
        raise UserError("--given and --proposal go with --target; name one")
    if FLAGS.analysis:
        _check_used(FLAGS.analysis)
    directory = RunDirectory(FLAGS.run_dir)
    directory.config()
    directory.check_writable()  # rather than after hours


def _check_used(names: Sequence[str]) -> None:
    """Checks that one of the analyses uses each flag that only some analyses use.

    An analysis of another package may use any of this package's.
    """
    if not {*names} <= {*ANALYSES.own_names()}:
        return
    asked = [one for one in ANALYSES.own() if one.name in names]
    used = {setting.name for one in asked for setting in one.settings}
    users = {s.name: ANALYSES.users_of(s.name) for one in ANALYSES.own() for s in one.settings}
    for field, own_flags in (("asks", _QUESTION_FLAGS), ("trains", ("baseline_steps",))):
        if not any(field in one.fields for one in asked):
            users |= dict.fromkeys(own_flags, ANALYSES.with_field(field))
    for name, others in users.items():
        if name not in used and FLAGS[name].value != FLAGS[name].default:
            raise UserError(
                f"--{name} is for {others}; --analysis={','.join(names)} does not use it: remove "
                "the flag, or add the analysis"
            )


def main(_) -> int:
    """Runs the analyses that the flags name; returns the exit status."""
    import tensorflow as tf

    from tf_mvae.evaluation import table, update_report, usual_analyses
    from tf_mvae.training import load_run
    from tf_mvae.training.run_directory import RunDirectory
    from tf_mvae.visualization import write_calibration, write_likelihood_paths

    # A GPU multiplies with 10 bits of a float32's 23 by default; models are compared
    # by hundredths of a nat.
    tf.config.experimental.enable_tensor_float_32_execution(False)
    run = load_run(
        FLAGS.run_dir, FLAGS.checkpoint, FLAGS.data_dir, FLAGS.dataset_dir, FLAGS.latents
    )
    settings = _settings()
    names = FLAGS.analysis or usual_analyses(run)
    _check_used(names)
    path, analyses = RunDirectory(run.directory).evaluation, {}
    try:
        for name in names:
            analyses[name] = _analyze(name, run, settings)
            update_report(path, {name: analyses[name]})  # kept, whatever becomes of the next one
    finally:
        if analyses:  # printed although the file cannot be written
            print(table(analyses))
    print(f"written to {path}")
    if "log_likelihood" in analyses:
        picture = run.directory / "evaluation" / "log_likelihood.png"
        write_likelihood_paths(analyses["log_likelihood"]["results"], picture)
        print(f"estimates by number of samples: {picture}")
    if "imputation" in analyses:
        picture = run.directory / "pictures" / "imputation.png"
        if write_calibration(analyses["imputation"]["results"], picture):
            print(f"coverage and calibration: {picture}")
    return 0


def _settings() -> "Settings":
    """Returns the settings that all analyses share."""
    import tqdm

    from tf_mvae.evaluation import Question, Settings

    questions = ()
    if FLAGS.target:
        proposal = tuple(FLAGS.proposal) or None
        proposal = () if proposal == ("prior",) else proposal
        questions = (Question(tuple(FLAGS.target), tuple(FLAGS.given), proposal),)
    return Settings(
        split=FLAGS.split,
        seed=FLAGS.seed,
        batch_size=FLAGS.batch_size,
        max_examples=FLAGS.max_examples,
        questions=questions,
        given_proposal=tuple(FLAGS.given_proposal) or None,
        baseline_steps=FLAGS.baseline_steps,
        progress=functools.partial(tqdm.tqdm, disable=None),
    )


def _analyze(name: str, run: "Run", settings: "Settings") -> dict[str, Any]:
    """Runs one analysis; returns its results with the settings that led to them."""
    analysis = ANALYSES[name]
    number = FLAGS.num_samples or analysis.num_samples
    own = setting_flags.checked(analysis.settings)
    settings = dataclasses.replace(settings, num_samples=number, own=own)
    results = analysis.analyze(run, settings)
    recorded = settings.recorded()
    if analysis.trains:
        recorded["baseline_steps"] = settings.baseline_steps_of(run)
    recorded |= {"checkpoint": FLAGS.checkpoint, "step": run.checkpoint_step}
    if run.model.sampler is not None:  # without one a report is as before there were any
        recorded["latents"] = "sampler"
    elif run.model.default_latents is not None:
        recorded["latents"] = run.model.default_latents
    return {"settings": recorded, "results": results}


if __name__ == "__main__":
    command.run(main, check_flags, define_flags)
