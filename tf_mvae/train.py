"""Trains a model: `python -m tf_mvae.train --flagfile=configs/quickstart.cfg`."""

import os
from typing import TYPE_CHECKING

from absl import flags

from tf_mvae import command, names

if TYPE_CHECKING:
    from tf_mvae.training import RunConfig

__all__ = ["check_flags", "config_of_flags", "main"]

FLAGS = flags.FLAGS

flags.DEFINE_string(
    "experiment",
    "digits",
    f"Experiment: {', '.join(names.EXPERIMENTS)}.",
)
flags.DEFINE_string("model", "mvae", f"Model: {', '.join(names.MODELS)}.")
flags.DEFINE_string("run_dir", None, "Where the run lives; runs/EXPERIMENT-MODEL where left out.")
flags.DEFINE_string("data_dir", None, "Where TFDS keeps data; TFDS's own default where left out.")
flags.DEFINE_bool("resume", True, "Whether a run that is in run_dir may be taken up.")
flags.DEFINE_integer("latent_dim", 64, "Size of the latent.")
flags.DEFINE_list(
    "likelihood_weight",
    [],
    "Weights of log-likelihoods in the terms whose subset "
    "contains the modality: image=1,label=50. 1 where left out.",
)
flags.DEFINE_list(
    "cross_weight",
    [],
    "The same in the terms whose subset does not contain it; the "
    "likelihood weight where left out, 0 in the paper's objective.",
)
flags.DEFINE_list(
    "term_weight",
    [],
    "Weights of whole terms, for examples with several modalities: label=0.1 is that of the ELBO "
    "of the label alone, everything=0.5 of the joint one. Where left out, 0.1 for a class that "
    "other things are reconstructed from, else 1, as in the paper.",
)
flags.DEFINE_string(
    "modality",
    None,
    "What a vae models and a cvae generates; the experiment's first modality where left out.",
)
flags.DEFINE_float("alpha", 0.1, "A jmvae's weight of the divergences from unimodal posteriors.")
flags.DEFINE_float(
    "alignment_weight",
    0.0,
    "Weight of the divergences KL(q(z | all) || q(z | subset)) of an mvae; they replace the ELBOs "
    "of subsets and cost no decoding. 0 is none.",
)
flags.DEFINE_float(
    "correlation_alpha",
    0.9,
    "An mvtcae's weight of the divergences from unimodal posteriors, 0 to 1.",
)
flags.DEFINE_enum(
    "bound", "dreg", list(names.BOUNDS), "What an mmvae or mmvae_plus maximises, of --num_samples."
)
flags.DEFINE_integer("private_dim", 32, "Size of each modality's own latent (mmvae_plus).")
flags.DEFINE_float(
    "free_bits",
    0.0,
    "Nats of each latent dimension's divergence that training charges whether used or not.",
)
flags.DEFINE_integer("num_random_subsets", 0, "Random subsets a step, the paper's k.")
flags.DEFINE_enum(
    "subset_distribution",
    "uniform_sizes",
    ["uniform_sizes", "uniform_subsets"],
    "How random subsets are drawn.",
)
flags.DEFINE_integer("num_samples", 1, "Samples of the latent for each term of a step.")
flags.DEFINE_integer("epochs", 20, "Passes over the training split.")
flags.DEFINE_integer("annealing_epochs", 10, "Passes over which the KL weight rises from 0 to 1.")
flags.DEFINE_integer("batch_size", 100, "Examples a step.")
flags.DEFINE_float("learning_rate", 1e-3, "Adam's learning rate.")
flags.DEFINE_enum(
    "learning_rate_schedule",
    "constant",
    ["constant", "cosine"],
    "How the learning rate goes: cosine lets it fall to 0 over the run.",
)
flags.DEFINE_integer("shuffle_buffer", 100_000, "Examples held for shuffling.")
flags.DEFINE_integer(
    "input_streams",
    1,
    "Into how many streams the training data are cut, each read and shuffled by itself: a process "
    "of several reads its own files only. A multiple of the number of replicas, or 1.",
)
flags.DEFINE_float(
    "cache_gb", 2.0, "Examples are kept in memory up to this, and read every epoch above it.", 0.0
)
flags.DEFINE_list(
    "data_service",
    [],
    "tf.data services (grpc://HOST:PORT, `python -m tf_mvae.data_service`) that make the training "
    "batches; processes take them in turn.",
)
flags.DEFINE_integer("seed", 0, "Seed of weights, order, subsets and noise.")
flags.DEFINE_enum(
    "jit_compile",
    "true",
    ["true", "false", "auto"],
    "Whether XLA compiles the step; auto measures which way is quicker before a new run begins.",
)
flags.DEFINE_integer(
    "steps_per_execution",
    1,
    "Steps that are one program, if as many divide an epoch, else the next fewer that do. Where "
    "XLA compiles a short step, 10 save the time that starting a program takes. Replicas ignore "
    "it.",
)
flags.DEFINE_enum(
    "mixed_precision",
    "float32",
    ["float32", "mixed_bfloat16", "mixed_float16"],
    "Type in which networks compute; weights, densities and sums are float32 with each.",
)
flags.DEFINE_integer(
    "gradient_accumulation_steps", 1, "Batches whose gradients are averaged for one update."
)
flags.DEFINE_float("clip_norm", 0.0, "Bound of the norm of all gradients together; 0 is none.")
flags.DEFINE_float(
    "ema",
    0.0,
    "Decay, a batch, of the moving average of the weights that is evaluated and exported "
    "(0.999, say); 0 is none.",
)
flags.DEFINE_integer("warmup_steps", 0, "Batches over which the learning rate rises from 0.")
flags.DEFINE_float(
    "paired_fraction",
    None,
    "Share of the training examples that stay whole; of the others each keeps one modality, the "
    "same one throughout. All stay whole where left out.",
)
flags.DEFINE_integer("paired_examples", None, "The same as a number.", 0)
flags.DEFINE_float(
    "paired_share", None, "Share of each batch that is whole examples; a fair share if left out."
)
flags.DEFINE_list(
    "missing_rate", [], "Share of the training examples that lack a modality, at random: label=0.9."
)
flags.DEFINE_bool(
    "drop_incomplete",
    False,
    "Whether training leaves out examples that lack a modality, for models that need them whole.",
)
flags.DEFINE_list(
    "self_training",
    [],
    "Where an example lacks a class, the model's own guess is a target if it holds it for more "
    "probable than this: label=0.95.",
)
flags.DEFINE_float(
    "self_training_weight", 1.0, "What a guess counts, where a class that is there counts 1."
)
flags.DEFINE_integer("self_training_start", 1000, "Steps before that begins.")
flags.DEFINE_string(
    "dataset_dir",
    None,
    "A prepared TFDS directory (DIR/NAME/VERSION) to read instead of celeb_a: of an image and a "
    "dict of booleans, or for celeba_transformations of any image. For translation a directory of "
    "aligned text (train.en and train.vi, or train.tsv), or a prepared one of texts.",
)
flags.DEFINE_list(
    "attributes",
    [],
    "Attributes of celeba and celeba19, or all (of the data set's); the paper's 18 where left out.",
)
flags.DEFINE_bool(
    "absent_attributes",
    False,
    "Whether celeba19 masks attributes that the data set does not have; an error otherwise.",
)
flags.DEFINE_list(
    "transformations",
    [],
    "Modalities of celeba_transformations: image, grayscale, edges, segmentation, obscured, "
    "watermarked; all that the data set has where left out.",
)
flags.DEFINE_bool(
    "absent_segmentation",
    False,
    "Whether celeba_transformations masks the segmentation if the data set has no mask.",
)
flags.DEFINE_string(
    "mask_feature",
    None,
    "Feature of one channel that is the segmentation of celeba_transformations; where left out "
    "`mask`, the image's alpha or CelebA's landmarks.",
)
flags.DEFINE_list(
    "mask_values",
    [],
    "Numbers in that feature that are inside: 1, or 1,3; all but 0 where left out "
    "(celeba_transformations).",
)
flags.DEFINE_integer("num_modalities", 10, "Sensors of the experiment sensors.")
flags.DEFINE_list("languages", ["en", "vi"], "Languages of translation, a modality each.")
flags.DEFINE_integer("vocabulary_size", 4000, "The most sub-words of a language (translation).")
flags.DEFINE_integer(
    "max_length", 32, "The most sub-words of a sentence, its end among them (translation)."
)
flags.DEFINE_integer(
    "bucket_batches",
    0,
    "Batches that are made together, of sentences of like length; 0, and each is of chance and "
    "as long as --max_length (translation).",
)
flags.DEFINE_float(
    "word_dropout", 0.0, "Share of words that training hides from the decoder (translation)."
)
flags.DEFINE_string("table", None, "A CSV, TSV or Parquet file, a row an example (table).")
flags.DEFINE_string(
    "schema",
    None,
    "What its columns are, as python -m tf_mvae.inspect_table writes it; inferred if omitted "
    "(table).",
)
flags.DEFINE_float(
    "element_dropout",
    0.5,
    "The largest fraction of a row's observed cells that training hides from an encoder (table).",
)
flags.DEFINE_integer("checkpoint_steps", 1000, "Steps between checkpoints within an epoch.", 1)
flags.DEFINE_integer("picture_epochs", 10, "Epochs between pictures in TensorBoard.", 1)
flags.DEFINE_integer("keep_checkpoints", 2, "Newest checkpoints to keep, beside the best.", 1)
flags.DEFINE_enum(
    "strategy",
    "default",
    ["default", "mirrored", "multi_worker", "tpu", "parameter_server"],
    "Where to train: on one device, on all of this machine, or with the processes that TF_CONFIG "
    "names. tpu and parameter_server are not supported yet.",
)
flags.DEFINE_integer(
    "num_logical_cpus", 0, "As how many devices the CPU counts, to try a strategy; 0 as it is."
)


def config_of_flags() -> "RunConfig":
    """Returns the `RunConfig` that the flags describe.

    Raises:
        UserError: A flag's value is not possible.
    """
    import dataclasses
    import typing

    from tf_mvae.training.config import RunConfig, parse_weights

    own = [field.name for field in dataclasses.fields(RunConfig) if field.name in FLAGS]
    given = {name: FLAGS[name].value for name in own}
    for name, hint in typing.get_type_hints(RunConfig).items():
        if hint == dict[str, float]:
            given[name] = parse_weights(given[name])
        elif hint == tuple[str, ...]:
            given[name] = tuple(given[name])
    # From wherever a run is evaluated later, its data are where they are.
    for name in ("data_dir", "dataset_dir", "table", "schema"):
        if given.get(name) and "://" not in given[name]:
            given[name] = os.path.abspath(os.path.expanduser(given[name]))
    given["jit_compile"] = {"true": True, "false": False, "auto": "auto"}[FLAGS.jit_compile]
    return RunConfig(**given)


def check_flags() -> None:
    """Raises `UserError` for a wrong flag, without importing TensorFlow."""
    from tf_mvae.training.cluster import check_strategy
    from tf_mvae.training.run_directory import RunDirectory

    config = config_of_flags()
    names.check_experiment(config.experiment)
    check_strategy(FLAGS.strategy, FLAGS.num_logical_cpus)
    if FLAGS.strategy != "multi_worker":  # only the chief uses its directory
        RunDirectory(_run_dir(config)).check_usable()


def _run_dir(config: "RunConfig") -> str:
    return FLAGS.run_dir or f"runs/{config.experiment}-{config.model}"


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
            FLAGS.data_service,
        )
    except Stopped as stopped:
        print(f"stopped at step {stopped.step}; the same command goes on from there")
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
    command.run(main, check_flags)
