"""Attributes predicted from images: accuracies against a loop, and the supervised classifier."""

import dataclasses

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests import tiny
from tf_mvae import MVAE, Modality, ModalityGroup, likelihoods
from tf_mvae.data.pipeline import Split, evaluation_batches
from tf_mvae.errors import UserError
from tf_mvae.evaluation import ANALYSES, Settings, attributes
from tf_mvae.evaluation.attributes import attribute_results, mean_over_attributes, prevalence
from tf_mvae.layers import mlp_encoder

NAMES = ("Bald", "Bangs", "Smiling")


def make_model():
    keras.utils.set_random_seed(0)
    group = ModalityGroup("attributes", NAMES, likelihoods.Bernoulli([]))
    image = Modality("image", likelihoods.Bernoulli([3, 3, 1]), mlp_encoder([32]))
    return MVAE([image, group], latent_dim=4)


def make_split(number=300, missing=0.3):
    """Returns images whose pixels are the attributes; the first is rare, and some are missing."""
    rng = np.random.default_rng(number)
    has = (rng.random([number, 3]) < [0.15, 0.5, 0.5]).astype(np.float32)
    image = np.full([number, 3, 3, 1], 0.5, np.float32)
    image[:, 0, :, 0] = 0.2 + 0.6 * has
    image += 0.05 * rng.normal(size=image.shape)
    mask = (rng.random([number, 3]) >= missing).astype(np.float32)
    x = {"image": np.clip(image, 0, 1).astype(np.float32), "attributes": has}
    parts = {"x": x, "mask": {"attributes": mask}}
    return Split(tf.data.Dataset.from_tensor_slices(parts), number)


@dataclasses.dataclass
class FakeRun:
    """The parts of a run that the analysis uses."""

    model: MVAE
    directory: object
    checkpoint_step: int = 3

    @dataclasses.dataclass
    class Config:
        """The run's settings."""

        batch_size: int = 50
        shuffle_buffer: int = 300

    config: Config = dataclasses.field(default_factory=Config)

    def split(self, name):
        return make_split({"train": 300, "validation": 250, "test": 200}[name])

    seen_split = split

    def batches(self, name, batch_size, seed):
        return evaluation_batches(self.split(name), batch_size, seed)


def test_shares_are_those_of_a_plain_loop():
    model, split = make_model(), make_split(40)
    image, group = model.modalities
    rng = np.random.default_rng(3)
    guesses = rng.random([40, 3]).astype(np.float32)
    thresholds = np.array([0.2, 0.5, 0.7])

    def predictor(value, mask, place):
        return guesses[8 * place : 8 * place + len(value)]

    batches = evaluation_batches(split, 8)
    found = attribute_results(predictor, batches, model, image, group, thresholds)
    examples = list(split.dataset.as_numpy_iterator())
    balanced = []
    for column, name in enumerate(NAMES):
        right, haves, have_nots = [], [], []
        for row, example in enumerate(examples):
            if example["mask"]["attributes"][column]:
                has = example["x"]["attributes"][column] == 1
                right.append((guesses[row, column] > 0.5) == has)
                named = (guesses[row, column] > thresholds[column]) == has
                (haves if has else have_nots).append(named)
        assert found[f"{name}, accuracy"]["value"] == pytest.approx(np.mean(right))
        assert found[f"{name}, accuracy"]["examples"] == len(right)
        balanced.append((np.mean(haves) + np.mean(have_nots)) / 2)
        result = found[f"{name}, balanced accuracy"]
        assert result["value"] == pytest.approx(balanced[-1])
        more = [[*part, 0, 0, 1, 1] for part in (haves, have_nots)]  # as in `share`
        variances = [np.var(part) / len(part) for part in more]
        assert result["standard_error"] == pytest.approx(np.sqrt(sum(variances)) / 2)
        assert result["threshold"] == thresholds[column]
    assert found["mean, balanced accuracy"]["value"] == pytest.approx(np.mean(balanced))


def test_the_error_of_the_mean_is_that_of_pictures():
    """All predictions are equal here, so the mean has the standard error of one attribute."""
    rng = np.random.default_rng(0)
    has = np.repeat(rng.random([50, 1]) < 0.4, 3, axis=1).astype(np.float32)
    guesses = np.repeat(rng.random([50, 1]), 3, axis=1)
    x = {"image": np.zeros([50, 3, 3, 1], np.float32), "attributes": has}
    mask = {"image": np.ones(50, np.float32), "attributes": np.ones([50, 3], np.float32)}
    model = make_model()
    found = attribute_results(
        lambda *_: guesses, [{"x": x, "mask": mask}], model, *model.modalities, np.full(3, 0.3)
    )
    for metric in ("accuracy", "balanced accuracy"):
        one, mean = found[f"Bald, {metric}"], found[f"mean, {metric}"]
        assert mean["value"] == pytest.approx(one["value"])
        if metric == "accuracy":
            often = has[:, 0].mean()
            assert mean["frequent"] == one["frequent"] == pytest.approx(max(often, 1 - often))
        assert mean["standard_error"] == pytest.approx(one["standard_error"], rel=0.1)
        assert mean["examples"] == 50


def test_an_attribute_that_nobody_has_has_no_balanced_accuracy():
    model = make_model()
    x = {"image": np.zeros([4, 3, 3, 1], np.float32), "attributes": np.zeros([4, 3], np.float32)}
    mask = {"image": np.ones(4, np.float32), "attributes": np.ones([4, 3], np.float32) * [0, 1, 1]}
    found = attribute_results(
        lambda value, mask, place: np.zeros([4, 3]),
        [{"x": x, "mask": mask}],
        model,
        *model.modalities,
        np.zeros(3),
    )
    assert set(found) == {"Bangs, accuracy", "Smiling, accuracy", "mean, accuracy"}


@pytest.mark.parametrize("wrong", [0, 1])
def test_the_error_of_a_single_positive_is_not_known(wrong):
    """Without it there is no balanced accuracy: no error follows from the other examples."""
    true = np.arange(100)[:, np.newaxis] == 0
    right = np.arange(100)[:, np.newaxis] >= wrong
    found = mean_over_attributes([(right, true), (right, ~true)])
    assert found["value"] == 1 - wrong / 2 and np.isnan(found["standard_error"])
    # Next to an attribute of many, the mean without that example is the other attribute's.
    many = np.random.default_rng(0).random([100, 1]) < 0.5
    true, right = np.hstack([true, many]), np.hstack([right, np.ones([100, 1], bool)])
    found = mean_over_attributes([(right, true), (right, ~true)])
    assert found["value"] == 1 - wrong / 4
    assert found["standard_error"] == pytest.approx(0.99 * wrong / 4, abs=0.01)


def test_prevalence_counts_what_is_known():
    split = make_split()
    parts = list(split.dataset.as_numpy_iterator())
    has = np.stack([part["x"]["attributes"] for part in parts])
    known = np.stack([part["mask"]["attributes"] for part in parts])
    found = prevalence(split, make_model().modalities[1])
    np.testing.assert_allclose(found, (has * known).sum(0) / known.sum(0), rtol=1e-6)


def test_the_classifier_learns_from_what_is_known_and_is_kept(tmp_path):
    run = FakeRun(make_model(), tmp_path)
    settings = Settings(num_samples=2, baseline_steps=600)
    found = ANALYSES["attributes"].analyze(run, settings)
    for metric in ("accuracy", "balanced accuracy"):
        assert found[f"mean, {metric} | image: supervised"]["value"] > 0.95
        assert 0.2 < found[f"mean, {metric} | image: model"]["value"] < 0.9  # untrained
    (kept,) = (tmp_path / "evaluation").iterdir()
    before = kept.stat().st_mtime_ns
    assert ANALYSES["attributes"].analyze(run, settings) == found
    assert kept.stat().st_mtime_ns == before
    alone = ANALYSES["attributes"].analyze(run, dataclasses.replace(settings, baseline_steps=0))
    assert alone == {name: r for name, r in found.items() if r["method"] == "model"}


def test_thresholds_are_chosen_on_the_validation_split(tmp_path, monkeypatch):
    """Test probabilities are lower than validation ones, and all below the threshold."""
    run, known = FakeRun(make_model(), tmp_path), {}
    for name, shift in (("validation", 0.3), ("test", 0.0)):
        batch = next(iter(run.batches(name, 300, 0)))
        known[len(batch["x"]["image"])] = (batch["x"]["attributes"].numpy(), shift)

    def reader(*_):
        def predictor(value, mask, place):
            has, shift = known[len(value)]
            return 0.1 + 0.1 * has + shift

        return predictor

    monkeypatch.setattr(attributes, "_reader", reader)
    settings = Settings(batch_size=300, baseline_steps=0)
    found = ANALYSES["attributes"].analyze(run, settings)
    for name in NAMES:
        result = found[f"{name}, balanced accuracy | image: model"]
        assert result["threshold"] == pytest.approx(0.45) and result["value"] == 0.5


def test_models_without_attributes_are_named(tmp_path):
    with pytest.raises(UserError, match="--analysis=attributes needs a model of a group"):
        ANALYSES["attributes"].analyze(FakeRun(tiny.make_model(), tmp_path), Settings())
