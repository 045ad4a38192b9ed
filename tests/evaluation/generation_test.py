"""The analysis `generation`: models with known results, and error messages."""

import types

import numpy as np
import pytest
import tensorflow as tf

from tests import tiny
from tests.evaluation import attributes_test
from tf_mvae import CVAE, MVAE, Modality, likelihoods
from tf_mvae.data.pipeline import Split, evaluation_batches
from tf_mvae.errors import UserError
from tf_mvae.evaluation import ANALYSES, Settings, table
from tf_mvae.evaluation.coherence import analyze as coherence

SIZES = {"train": 400, "validation": 50, "test": 120}
COLUMNS = {
    "coherence", "Frechet distance", "variance / real", "variance / reconstructions",
    "density", "coverage",
}  # fmt: skip


def make_data(split):
    """Returns images of spots of random size, whose position is the class."""
    rng = np.random.default_rng(SIZES[split])
    label = rng.integers(0, 3, SIZES[split]).astype(np.int32)
    image = 0.3 * rng.random([SIZES[split], 16])
    image[np.arange(len(label)), 5 * label] = 0.7 + 0.3 * rng.random(len(label))
    return {"image": image.reshape(-1, 4, 4, 1).astype(np.float32), "label": label}


class Generator:
    """Generates, from a whole split at once, given images and the labels of its examples.

    A temperature moves images towards the mean of all.
    """

    conditions = covariates = ()

    def __init__(self, image, label="true"):
        self.modalities = self.targets = [
            Modality("image", likelihoods.Bernoulli([4, 4, 1])),
            Modality("label", likelihoods.Categorical(3)),
        ]
        self.image, self.label = image, label

    def generate(self, given, num_samples, mask=None, seed=None, temperature=1.0):
        label = make_data("test")["label"] if isinstance(self.label, str) else self.label
        mean = self.image.mean(0)
        image = mean + np.float32(temperature) * (self.image - mean)
        drawn = {"image": image, "label": np.eye(3)[label]}
        return {name: tf.stack([value] * num_samples) for name, value in drawn.items()}

    def sample(self, number, seed=None, temperature=1.0):
        drawn = self.generate({}, 1, temperature=temperature)
        drawn = {name: value[0] for name, value in drawn.items()}
        return {n: tf.repeat(v, -(-number // len(v)), 0)[:number] for n, v in drawn.items()}

    def latent_samples(self, given, num_samples, mask=None, seed=None, guidance=1):
        return self.generate(given, num_samples)["image"]  # a latent is an image

    def posterior(self, x, mask):
        def sample(number, seed):
            return tf.repeat(x["image"][tf.newaxis], number, 0)

        return types.SimpleNamespace(sample=sample)

    def from_latent(self, z, seed, names, given):
        return {"image": z}


class FakeRun:
    """The parts of a run that the analysis uses."""

    checkpoint_step = 3
    config = types.SimpleNamespace(seed=0, shuffle_buffer=1000)

    def __init__(self, model, directory):
        self.model, self.directory = model, directory

    def split(self, name):
        return Split(tf.data.Dataset.from_tensor_slices({"x": make_data(name)}), SIZES[name])

    def batches(self, name, batch_size, seed):
        return evaluation_batches(self.split(name), batch_size, seed)


@pytest.fixture(autouse=True)
def _short_training(monkeypatch):
    monkeypatch.setattr("tf_mvae.evaluation.classifier._JUDGE_EXAMPLES", 6_000)
    monkeypatch.setattr("tf_mvae.evaluation.references._BLOCKS", 2)


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
    return tmp_path_factory.mktemp("run")


def analyze(directory, image, label="true", **settings):
    run = FakeRun(Generator(image, label), directory)
    settings = {"batch_size": 1000, "num_samples": 1, **settings}
    return ANALYSES["generation"].analyze(run, Settings(**settings))


def row(results, name):
    """Returns the results of a row by column."""
    found = {key.removeprefix(f"{name}: "): r for key, r in results.items() if f"{name}: " in key}
    return {key: result["value"] for key, result in found.items()}


def test_a_model_that_returns_the_real_examples_scores_as_they_do(directory):
    results = analyze(directory, make_data("test")["image"], num_samples=2)
    for name in ("image | label", "image from the prior", "image, reconstructions"):
        found = row(results, name)
        assert set(found) == COLUMNS
        assert found["Frechet distance"] == pytest.approx(0, abs=0.01)
        assert found["variance / real"] == pytest.approx(1, rel=0.02)
        assert found["coverage"] == 1
    judge = results["image, real examples: coherence"]["value"]
    assert row(results, "image | label")["coherence"] == judge > 0.9
    assert results["image | label: coherence"]["examples"] == SIZES["test"]
    assert row(results, "label | image") == {"coherence": 1.0}
    lines = table({"generation": {"results": results}}).splitlines()
    first = next(place for place, line in enumerate(lines) if "generation: image" in line)
    head, given = lines[first : first + 2]
    assert "named right" in head and head.index("Frechet") < head.index("coverage")
    assert given.startswith("given label") and "100.00 +- 1.13 %" in given
    (real,) = (line for line in lines if line.startswith("real examples"))
    assert real.split()[-1] == "-"


def test_a_model_of_class_means_scores_as_the_useless_one_does(directory):
    """Its coherence is perfect, and all other metrics are bad."""
    train, test = make_data("train"), make_data("test")
    means = np.stack([train["image"][train["label"] == c].mean(0) for c in range(3)])
    results = analyze(directory, means[test["label"]])
    found, useless = row(results, "image | label"), row(results, "image, useless: class mean")
    assert found == pytest.approx(useless, rel=1e-3, abs=1e-4)
    assert found["coherence"] == 1 and found["variance / real"] < 1e-6
    assert (
        found["Frechet distance"]
        > 1.5 * row(results, "image, real training examples")["Frechet distance"]
    )


def test_a_model_of_random_training_images_scores_as_the_useless_one_does(directory):
    """All its metrics are good but coherence."""
    rows = np.random.default_rng([0, 45]).integers(SIZES["test"], size=SIZES["test"])
    rng = np.random.default_rng(9)
    results = analyze(directory, make_data("test")["image"][rows], rng.integers(0, 3, 120))
    found = row(results, "image | label")
    useless = row(results, "image, useless: random training image")
    for scores in (found, useless, row(results, "image from the prior")):
        assert 0.15 < scores["coherence"] < 0.5
        assert scores["variance / real"] > 1.05 and scores["Frechet distance"] < 60
    noise = row(results, "image, useless: noise")
    assert noise["Frechet distance"] > found["Frechet distance"] and noise["coverage"] < 0.5
    assert row(results, "label | image")["coherence"] < 0.5
    assert row(results, "label, useless: most frequent")["coherence"] < 0.5


def test_other_ways_have_rows_of_their_own(directory):
    image = make_data("test")["image"]
    results = analyze(directory, image, own={"ways": ("temperature=0.5",)})
    for name in ("image | label", "image from the prior"):
        found, cooler = row(results, name), row(results, f"{name}, temperature 0.5")
        assert set(cooler) == set(found) == COLUMNS
        assert cooler["variance / real"] == pytest.approx(found["variance / real"] / 4, rel=1e-3)
    for wrong in ("warm", "temperature=-1", "temperature=nan", "guidance=0", "guidance=1.5"):
        with pytest.raises(UserError, match="^--ways"):
            analyze(directory, image, own={"ways": (wrong,)})


def test_coherence_stands_next_to_the_distance(directory):
    means = make_data("test")["image"].mean(0)
    run = FakeRun(Generator(np.repeat(means[np.newaxis], 3, 0), np.arange(3)), directory)
    results = coherence(run, Settings(num_samples=16))
    pairs = [name for name in results if f"{name}: Frechet distance" in results]
    assert {"image | label", "image, label from the prior", "image, reconstructions"} <= set(pairs)
    assert len(pairs) == 7 and set(results) - set(pairs) - {f"{n}: Frechet distance" for n in pairs}
    assert results["image | label"]["value"] == pytest.approx(1 / 3)
    assert sum(results["image | label"]["by_class"].values()) == 1
    assert results["image | label"]["examples"] == 600
    distances = [results[f"image{what}: Frechet distance"]["value"] for what in (
        " | label", ", reconstructions"
    )]  # fmt: skip
    assert distances[0] > 3 and distances[1] < 0.01


def test_a_model_with_a_condition_is_measured_given_it_alone(directory):
    model = CVAE(Generator(None).modalities, latent_dim=2, units=[8])
    results = ANALYSES["generation"].analyze(FakeRun(model, directory), Settings(num_samples=1))
    for name in ("image | label", "image, reconstructions"):
        assert set(row(results, name)) == COLUMNS
    assert not [name for name in results if "prior" in name or name.startswith("label")]


def test_attributes_are_judged_by_their_classifier(tmp_path):
    run = attributes_test.FakeRun(attributes_test.make_model(), tmp_path, 30)
    run.config.seed = 0
    results = ANALYSES["generation"].analyze(run, Settings(num_samples=1, batch_size=200))
    assert (tmp_path / "evaluation").exists()
    for name in ("1 of attributes", "2 of attributes", "attributes"):
        assert set(row(results, f"image | {name}")) == COLUMNS
    assert results["image, real examples: coherence"]["value"] > 0.7
    assert results["image, real examples: coherence"]["cell"][2] == "balanced accuracy"
    usual = results["attributes, useless: most frequent: coherence"]["value"]
    assert usual == 0.5
    random = results["image, useless: random training image: coherence"]
    assert random["value"] == pytest.approx(0.5, abs=5 * random["standard_error"])
    with pytest.raises(UserError, match="--baseline_steps above 0"):
        ANALYSES["generation"].analyze(run, Settings(num_samples=1, baseline_steps=0))


def test_a_vector_of_attributes_is_judged_like_a_group(tmp_path):
    image, _ = attributes_test.make_model().modalities
    image = Modality.from_config(image.get_config())
    vector = Modality("attributes", likelihoods.Bernoulli([3]))

    class Run(attributes_test.FakeRun):
        def split(self, name):
            split = attributes_test.make_split(200, missing=0)
            return split.map(lambda example: {"x": example["x"]})

        seen_split = split

    run = Run(MVAE([image, vector], latent_dim=4), tmp_path, 30)
    run.config.seed = 0
    results = ANALYSES["generation"].analyze(run, Settings(num_samples=1, batch_size=200))
    assert set(row(results, "image | attributes")) == COLUMNS
    assert results["image, real examples: coherence"]["value"] > 0.7


def test_a_model_without_a_judged_image_is_refused():
    model = MVAE([Modality("reading", likelihoods.Normal([3]))], latent_dim=2)
    run = types.SimpleNamespace(model=model, experiment=types.SimpleNamespace(labels=None))
    with pytest.raises(UserError, match="--analysis=generation needs an image and a class"):
        ANALYSES["generation"].analyze(run, Settings())
    image = tiny.make_modalities()[0]
    run.model = MVAE([image], latent_dim=2)
    with pytest.raises(UserError, match="choose another --analysis"):
        ANALYSES["generation"].analyze(run, Settings())
