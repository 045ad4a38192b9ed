"""celeba_transformations end to end: training, resumption, generation and evaluation."""

import json
import signal

import numpy as np
import pytest
import tensorflow as tf

from tests.experiments.configs import CONFIGS, config_of, read_flags
from tests.picture_data import prepare_pictures
from tf_mvae.data import pairing
from tf_mvae.data.conditions import parse_conditions
from tf_mvae.data.pipeline import training_batches
from tf_mvae.data.transformations import CHANNELS, TASKS
from tf_mvae.distributions import likelihoods
from tf_mvae.errors import UserError
from tf_mvae.evaluation import ANALYSES, Settings
from tf_mvae.experiments.transformations import transformation_modalities
from tf_mvae.models import MVAE
from tf_mvae.training import RunConfig, Stopped, build, load_run, train
from tf_mvae.training.callbacks import Progress
from tf_mvae.training.incomplete import incomplete_split
from tf_mvae.training.splits import load_split

TWO = ("image", "grayscale")
THREE = (*TWO, "segmentation")


@pytest.fixture(scope="module")
def dataset_dir(tmp_path_factory):
    return prepare_pictures(tmp_path_factory.mktemp("data"), {"train": 20, "test": 3}, True)


def make_config(dataset_dir, **changes):
    settings = {
        "latent_dim": 4,
        "epochs": 1,
        "annealing_epochs": 1,
        "batch_size": 9,
        "num_random_subsets": 0,
        "jit_compile": False,
        "dataset_dir": dataset_dir,
    }
    flags = read_flags(CONFIGS / "celeba_transformations" / "mvae.cfg")
    return config_of(flags, **{**settings, **changes})


@pytest.fixture(scope="module")
def finished(dataset_dir, tmp_path_factory):
    """A run of three of the six views."""
    run_dir = tmp_path_factory.mktemp("run") / "run"
    train(make_config(dataset_dir, transformations=THREE), run_dir, picture_epochs=100)
    return run_dir


@pytest.mark.long
def test_a_run_goes_on_where_it_stopped(dataset_dir, tmp_path, monkeypatch):
    """As any experiment's (tests/training/trainer_test.py), here with batch normalisation."""
    config = make_config(dataset_dir, transformations=THREE, epochs=2)

    def interrupt(self, epoch, logs=None):
        if epoch:
            signal.raise_signal(signal.SIGINT)

    with monkeypatch.context() as patched:
        patched.setattr(Progress, "on_epoch_begin", interrupt)
        with pytest.raises(Stopped):
            train(config, tmp_path / "run", picture_epochs=100)
    checkpoints = [path.name for path in (tmp_path / "run" / "checkpoints").glob("step-*")]
    assert "step-00000003" in checkpoints
    train(config, tmp_path / "run", picture_epochs=100)
    rows = (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(row)["step"] for row in rows] == [2, 4]


def test_a_run_is_trained_and_leaves_pictures(finished):
    (row,) = [json.loads(line) for line in (finished / "metrics.jsonl").read_text().splitlines()]
    assert (row["epoch"], row["step"]) == (1, 2)
    assert np.isfinite(list(row.values())).all()
    assert json.loads((finished / "finished.json").read_text())["steps"] == 2
    assert {path.stem for path in (finished / "pictures").iterdir()} > {"tasks", "samples"}
    assert (finished / "saved_model" / "saved_model.pb").exists()


@pytest.mark.parametrize("channels", [1, 3])
def test_generate_takes_a_photo(finished, tmp_path, channels):
    model = load_run(finished).model
    rng = np.random.default_rng(0)
    photo = rng.integers(0, 256, [70, 50, channels]).astype(np.uint8)
    path = tmp_path / "photo.png"
    path.write_bytes(tf.io.encode_png(photo).numpy())
    for name in ("grayscale", "image"):
        given = parse_conditions([f"{name}={path}"], model.modalities)
        assert given[name].shape == (1, 64, 64, CHANNELS[name])
        if CHANNELS[name] == channels:
            want = tf.image.resize(photo / 255, [64, 64], antialias=True)
            np.testing.assert_allclose(given[name][0], want, atol=1e-6)
        generated = model.generate(given, 2)
        assert {n: tuple(v.shape) for n, v in generated.items()} == {
            n: (2, 1, 64, 64, CHANNELS[n]) for n in THREE
        }


def test_the_analysis_measures_the_tasks_of_a_run(finished):
    settings = Settings(num_samples=2, baseline_steps=2)
    results = ANALYSES["transformations"].analyze(load_run(finished), settings)
    assert {result["task"] for result in results.values()} == {"colourisation", "segmentation"}
    assert {result["method"] for result in results.values()} == {"model", "supervised", "guess"}
    assert all(np.isfinite(result["value"]) for result in results.values())
    assert {path.name for path in (finished / "evaluation").iterdir()} == {
        "supervised_best_grayscale_image_steps2_seed0.keras",
        "supervised_best_image_segmentation_steps2_seed0.keras",
    }


def test_all_six_learn_from_examples_that_lack_some(dataset_dir):
    """Values of missing modalities have no effect, also in batch normalisation."""
    config = make_config(
        dataset_dir, num_random_subsets=1, missing_rate={"edges": 0.5, "image": 0.3}, latent_dim=2
    )
    split = incomplete_split(config, "train")
    assert 0 < split.presence["edges"].sum() < split.num_examples
    model = build.build_model(config, 2)
    batch = next(iter(training_batches(split, 9, 1, seed=0)))
    kept = {name: value.numpy() for name, value in batch["mask"].items()}
    assert 0 < kept["edges"].sum() < 9 and kept["obscured"].all()
    garbage = {
        name: np.where(kept[name].reshape(-1, 1, 1, 1) > 0, value, 77)
        for name, value in batch["x"].items()
    }
    assert any((garbage[name] != batch["x"][name].numpy()).any() for name in kept)
    losses = [
        model.elbo({"x": x, "mask": batch["mask"]}, seed=1, training=True).loss.numpy()
        for x in (batch["x"], garbage)
    ]
    assert np.isfinite(losses[0]) and losses[0] == losses[1]


def test_wiped_pictures_do_not_show_in_what_was_made_of_them(dataset_dir):
    config = make_config(dataset_dir)
    split = load_split(config, "train")
    without = pairing.with_masks(split, {"image": np.zeros(split.num_examples)})
    whole, wiped = (next(iter(s.dataset.batch(5)))["x"] for s in (split, without))
    assert np.max(wiped["image"]) == 0
    for name in set(CHANNELS) - {"image"}:
        np.testing.assert_array_equal(whole[name], wiped[name])


def test_the_configuration_is_filled_in_from_the_data_and_weights_may_name_what_lacks(tmp_path):
    plain = prepare_pictures(tmp_path, {"train": 10}, False)
    config = build.resolved(make_config(plain))
    assert config.transformations == tuple(n for n in CHANNELS if n != "segmentation")
    names = [m.name for m in build.build_model(config, 2).modalities]
    assert tuple(names) == config.transformations
    absent = build.resolved(make_config(plain, absent_segmentation=True))
    assert absent.transformations == tuple(CHANNELS)
    with pytest.raises(UserError, match="--cross_weight names 'sketch'"):
        build.build_model(make_config(plain, cross_weight={"sketch": 0.0}), 2)
    assert build.resolved(RunConfig("mnist")).get("transformations") is None
    with pytest.raises(UserError, match="--transformations is for --experiment=celeba_transf"):
        build.build_model(RunConfig("mnist", transformations=("image",)), 2)


def test_a_model_that_wants_everything_is_refused_where_no_picture_has_a_mask(tmp_path):
    plain = prepare_pictures(tmp_path, {"train": 20}, False)
    config = make_config(plain, model="jmvae", cross_weight={}, absent_segmentation=True)
    with pytest.raises(UserError, match="of the 16 in split 'train' 0 are complete: choose"):
        train(config, tmp_path / "run")
    with pytest.raises(UserError, match="--drop_incomplete excludes all of split 'train'"):
        train(config.replace(drop_incomplete=True), tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.fixture(scope="module")
def spatial(dataset_dir, tmp_path_factory):
    """A run of `mvae_spatial.cfg`, with a smaller grid."""
    flags = read_flags(CONFIGS / "celeba_transformations" / "mvae_spatial.cfg")
    changes = {"epochs": 1, "annealing_epochs": 0, "batch_size": 9, "jit_compile": False}
    grid = {"latent_shape": ("4", "4", "2"), "spatial_filters": 3, "transformations": TWO}
    config = config_of(flags, dataset_dir=dataset_dir, kl_weight=0.5, **changes, **grid)
    run_dir = tmp_path_factory.mktemp("spatial") / "run"
    train(config, run_dir, picture_epochs=100)
    return run_dir


def test_a_run_with_a_grid_is_trained_exported_and_measured(spatial):
    run = load_run(spatial)
    assert run.config.latent_dim == run.model.latent_dim == 32  # the product, whatever was said
    assert run.model.kl_weight.final == 0.5
    kinds = {m.name: type(m.likelihood).__name__ for m in run.model.modalities}
    assert kinds == {"image": "Normal", "grayscale": "Normal"}
    assert {p.stem for p in (spatial / "pictures").iterdir()} > {"tasks", "sampled_colourisation"}
    assert (spatial / "saved_model" / "saved_model.pb").exists()
    settings = Settings(num_samples=2, baseline_steps=2)
    results = ANALYSES["transformations"].analyze(run, settings)
    assert {result["method"] for result in results.values()} == {"model", "supervised", "guess"}
    assert all(np.isfinite(result["value"]) for result in results.values())


@pytest.mark.parametrize("kind", ["normal", "laplace"])
@pytest.mark.parametrize("latent_shape", [(), ("4", "4", "2")])
@pytest.mark.parametrize("scale", [0.0, 0.1])
def test_pixels_have_the_likelihood_that_is_asked_for(kind, latent_shape, scale):
    made = transformation_modalities(
        {}, {}, ("grayscale", "edges"), latent_shape, 3, pixel_likelihood=kind, pixel_scale=scale
    )
    family = {"normal": likelihoods.Normal, "laplace": likelihoods.Laplace}[kind]
    grey, edges = (m.likelihood for m in made)
    assert type(grey) is family and grey.scale == (scale or None)
    assert type(edges) is likelihoods.Bernoulli
    model = MVAE(made, 32)
    assert model.sample(2, seed=0)["grayscale"].shape == [2, 64, 64, 1]


@pytest.mark.parametrize("shape", [("8", "8"), ("8", "4", "2"), ("7", "7", "2"), ("a", "8", "1")])
def test_a_grid_that_does_not_fit_is_refused(shape):
    with pytest.raises(UserError, match="--latent_shape is three integers"):
        transformation_modalities({}, {}, latent_shape=shape)


def test_a_weight_of_the_term_of_an_absent_view_is_dropped(tmp_path):
    plain = prepare_pictures(tmp_path, {"train": 10}, False)
    weights = {"segmentation": 1.0, "image": 0.5}
    config = build.resolved(make_config(plain, cross_weight={}, term_weight=weights))
    assert "segmentation" not in config.term_weight and config.term_weight["image"] == 0.5
    build.build_model(config, 2)


def test_networks_are_those_of_celeba():
    """Encoders differ by the first convolution's channels, decoders by the last one's."""
    model = build.build_model(RunConfig("celeba_transformations", latent_dim=250), 2)

    def number_of(network):
        return sum(int(np.prod(v.shape)) for v in network.trainable_variables)

    celeba = build.build_model(RunConfig("celeba", latent_dim=250), 2).modalities[0]
    assert [m.name for m in model.modalities] == list(CHANNELS)
    for modality in model.modalities:
        fewer = (3 - CHANNELS[modality.name]) * 4 * 4 * 32
        assert number_of(modality.encoder) == number_of(celeba.encoder) - fewer
        assert number_of(modality.decoder) == number_of(celeba.decoder) - fewer
    assert {task.name for task in TASKS} == {
        "colourisation", "edge detection", "segmentation", "completion", "watermark removal",
    }  # fmt: skip
