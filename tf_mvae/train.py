"""Trains a model: `python -m tf_mvae.train --flagfile=configs/quickstart.cfg`."""

from absl import flags

from tf_mvae import command

__all__ = ["main"]

FLAGS = flags.FLAGS

flags.DEFINE_string(
    "experiment",
    "digits",
    "Experiment: digits, mnist, binary_mnist, binary_mnist_threshold, fashion_mnist, celeba, "
    "celeba19 or sensors.",
)
flags.DEFINE_string("model", "mvae", "Model: mvae, mvae_q, vae, cvae, bivcca, jmvae or telbo.")
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
    "of the label alone, everything=0.5 of the joint one. 1 where left out, as in the paper.",
)
flags.DEFINE_string(
    "modality",
    None,
    "What a vae models and a cvae generates; the experiment's first modality where left out.",
)
flags.DEFINE_float("alpha", 0.1, "A jmvae's weight of the divergences from unimodal posteriors.")
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
flags.DEFINE_integer("seed", 0, "Seed of weights, order, subsets and noise.")
flags.DEFINE_bool("jit_compile", True, "Whether XLA compiles the step.")
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
flags.DEFINE_integer("self_training_start", 1000, "Steps before that begins.")
flags.DEFINE_string(
    "dataset_dir",
    None,
    "A prepared TFDS directory (DIR/NAME/VERSION) of an image and a dict of booleans, to read "
    "instead of celeb_a.",
)
flags.DEFINE_list(
    "attributes", [], "Attributes of celeba and celeba19; the paper's 18 where left out."
)
flags.DEFINE_bool(
    "absent_attributes",
    False,
    "Whether celeba19 masks attributes that the data set does not have; an error otherwise.",
)
flags.DEFINE_integer("num_modalities", 10, "Sensors of the experiment sensors.")
flags.DEFINE_integer("checkpoint_steps", 1000, "Steps between checkpoints within an epoch.", 1)
flags.DEFINE_integer("picture_epochs", 10, "Epochs between pictures in TensorBoard.", 1)


def main(_) -> int:
    """Trains the run that the flags describe; returns the exit status."""
    import dataclasses
    import typing

    from tf_mvae.training import RunConfig, train
    from tf_mvae.training.callbacks import Stopped
    from tf_mvae.training.config import parse_weights

    given = {field.name: FLAGS[field.name].value for field in dataclasses.fields(RunConfig)}
    for name, hint in typing.get_type_hints(RunConfig).items():
        if hint == dict[str, float]:
            given[name] = parse_weights(given[name])
    given["attributes"] = tuple(given["attributes"])
    config = RunConfig(**given)
    run_dir = FLAGS.run_dir or f"runs/{config.experiment}-{config.model}"
    try:
        train(config, run_dir, FLAGS.resume, FLAGS.checkpoint_steps, FLAGS.picture_epochs)
    except Stopped as stopped:
        print(f"stopped at step {stopped.step}; the same command goes on from there")
        return 128 + stopped.signal
    return 0


if __name__ == "__main__":
    command.run(main)
