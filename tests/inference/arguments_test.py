"""Arguments of models and their methods that are outside their domain."""

import numpy as np
import pytest
import tensorflow as tf

from tests import tiny
from tf_mvae import (
    CVAE,
    JMVAE,
    MVAE,
    TELBO,
    VAE,
    BiVCCA,
    LinearAnnealing,
    MMVAEPlus,
    Modality,
    ModalityGroup,
    MultimodalVAE,
    UserError,
    layers,
    likelihoods,
    posteriors,
    samplers,
)
from tf_mvae.evaluation import ImportanceSampler
from tf_mvae.inference import arguments

NAN = float("nan")


def assert_one_line(call, message):
    with pytest.raises(UserError, match=message) as caught:
        call()
    assert "\n" not in str(caught.value)


WRONG = {
    "latent_dim": [2.9, 0, -1, NAN, "2", None],
    "kl_weight": [-1, NAN, float("inf"), "1"],
    "num_samples": [0, 1.5, -2],
    "seed": [1.5, "0", None],
    "free_bits": [-1, NAN],
    "num_random_subsets": [1.5, -1],
    "self_training_weight": [0, 1.5, NAN],
    "self_training_start": [-1, 0.5],
    "term_weight": [{"label": -1}, {"label": NAN}, {"sound": 1}],
    "self_training": [{"label": 2}, {"label": NAN}],
}


@pytest.mark.parametrize("name", WRONG)
def test_a_model_refuses_it(name):
    for value in WRONG[name]:
        assert_one_line(lambda value=value: tiny.make_model(**{name: value}), name)


def test_other_models_refuse_theirs():
    for value in (-1, NAN, "a"):
        assert_one_line(lambda value=value: tiny.make_any(JMVAE, alpha=value), "alpha")
    assert_one_line(lambda: tiny.make_any(CVAE, units=[0]), "units")
    assert_one_line(lambda: LinearAnnealing(1.5), "num_steps")
    with pytest.raises(ValueError, match="activation"):
        tiny.make_any(CVAE, activation="relooo")


@pytest.mark.parametrize("make", [MVAE, VAE, CVAE, JMVAE, TELBO, BiVCCA, MMVAEPlus])
def test_modalities_are_a_list_of_one_or_more(make):
    (one,) = tiny.make_modalities()[:1]
    for wrong in ([], one, None, ["image"], 3, {"image": one}):
        assert_one_line(lambda wrong=wrong: make(wrong), "modalities must")
    assert_one_line(lambda: make([one, one]), "names that differ")
    assert isinstance(one, Modality)


@pytest.fixture(scope="module")
def model():
    return tiny.make_model()


GIVEN = {"label": [0, 1]}
METHODS = {
    "num_samples": ([0, 1.5, -1, "2", np.array(0), tf.constant(0)], ["generate", "sample", "elbo"]),
    "temperature": ([-1, NAN, "hot", tf.constant(-1.0)], ["generate", "sample"]),
    "seed": ([1.5, "a", [1, 2, 3], [0.5, 1.0], [[1, 2]]], ["generate", "sample", "elbo"]),
    "resample": ([0, -1, 1.5], ["generate"]),
    "kl_weight": ([-1, NAN, "a", tf.constant(-1.0)], ["elbo"]),
}


@pytest.mark.parametrize("name", METHODS)
def test_a_method_refuses_it(model, name):
    calls = {
        "generate": lambda **kwargs: model.generate(GIVEN, **kwargs),
        "sample": lambda **kwargs: model.sample(**{"num_samples": 2, **kwargs}),
        "elbo": lambda **kwargs: model.elbo(tiny.make_batch(), **kwargs),
    }
    values, methods = METHODS[name]
    for value in values:
        for method in methods:
            call = calls[method]
            assert_one_line(lambda call=call, value=value: call(**{name: value}), name)


def test_names_to_decode_are_known(model):
    z = np.zeros([2, tiny.LATENT_DIM])
    assert_one_line(lambda: model.from_latent(z, names=["sound"]), "'sound'")
    assert_one_line(lambda: model.from_latent(z, names="image"), "list")


@pytest.mark.parametrize("seed", [2**31, np.int64(2**32), np.array([0, -(2**40)])])
def test_a_seed_has_32_bits(seed):
    with pytest.raises(UserError, match="seed must be an integer of 32 bits"):
        arguments.seed_pair(seed)


@pytest.mark.parametrize("seed", [3, [3, 0], np.int64(3), np.array([3, 0]), tf.constant(3)])
def test_a_seed_is_a_number_or_two(seed):
    np.testing.assert_array_equal(arguments.seed_pair(seed), [3, 0])
    assert arguments.seed_pair(seed).dtype in (tf.int32, tf.int64)


def test_sample_is_for_nothing_given():
    model = tiny.make_any(CVAE)
    assert_one_line(lambda: model.generate({}), "give 'label' and 'reading'")
    assert_one_line(lambda: tiny.make_model().generate({}), r"use sample\(num_samples\)")


def numbers():
    return likelihoods.Normal([3])


def two():
    return [Modality("a", numbers()), Modality("b", numbers())]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Modality("a", "normal"), "modality 'a': likelihood must be"),
        (lambda: ModalityGroup("a", ["x", "y"], likelihoods.Normal), "group 'a': likelihood must"),
        (lambda: ModalityGroup("a", 3, numbers()), "group 'a': members must be a list of names"),
        (lambda: ModalityGroup("a", [3], numbers()), "a member's name is"),
        (lambda: Modality("a b", numbers()), "a modality's name is letters"),
        (lambda: Modality("z", numbers()), "stands for something else"),
        (lambda: Modality("a", numbers(), encoder="mlp"), "encoder must be a Keras layer"),
        (lambda: MVAE([Modality("a", numbers(), decoder=layers.mlp_decoder([5]))]), "wants"),
        (lambda: CVAE(two()[:1]), "at least one condition"),
        (lambda: CVAE(two(), trunk="mlp"), "trunk must be a Keras layer"),
        (lambda: JMVAE(two(), trunks="mlp"), "trunks must be a dict with a layer for each"),
        (lambda: JMVAE(two(), trunks={}), "trunks must be those of"),
        (lambda: JMVAE(two()[:1]), "needs 2 modalities"),
        (lambda: VAE(two()), "has one modality"),
        (lambda: MultimodalVAE(two(), latent=3), "latent must be a"),
        (lambda: posteriors.PrivateMixtureOfExperts("x"), "latent must be a"),
        (lambda: MVAE(two(), term_weight="a"), "term_weight must be a dict"),
        (lambda: MVAE(two(), self_training=0.9), "self_training must be a dict"),
        (lambda: MVAE(two(), self_training={"a": 0.9}), "self_training names 'a'"),
        (lambda: MVAE(two(), num_random_subsets=5), "num_random_subsets"),
        (lambda: layers.MaskedSequential(3), "layers must be a list"),
        (lambda: samplers.fit("model", {}), "model must be a model of tf_mvae"),
        (lambda: ImportanceSampler(two()), "model must be a model of tf_mvae"),
        (lambda: ImportanceSampler(MVAE(two()), 0), "num_samples must be"),
    ],
)
def test_wrong_parts_of_a_model_are_mistakes_in_one_line(make, message):
    assert_one_line(make, message)


def test_a_loss_is_of_one_example_or_more():
    x = {name: value[:0] for name, value in tiny.make_batch()["x"].items()}
    assert_one_line(lambda: tiny.make_model().elbo({"x": x}), "the batch is empty")
    assert tiny.make_model().generate(x)["image"].shape == [1, 0, 4, 4, 1]
