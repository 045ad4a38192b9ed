"""Building a configuration's model."""

import keras
import numpy as np
import pytest

from tests.training import tiny_experiment  # noqa: F401  registers the experiment
from tf_mvae.errors import UserError
from tf_mvae.settings import MODELS
from tf_mvae.training import RunConfig
from tf_mvae.training.build import build_model, resolved

STEPS = 6


def config_of(model, **kwargs):
    return RunConfig("tiny", model=model, latent_dim=3, **kwargs)


def build(model, **kwargs):
    return build_model(config_of(model, **kwargs), STEPS)


@pytest.mark.parametrize("name", MODELS.own_names())
def test_every_name_builds_its_model_with_the_common_settings(name):
    model = build(name, num_samples=2, seed=5, annealing_epochs=3, likelihood_weight={"image": 7.0})
    assert type(model) is MODELS[name].make and model.name == name
    assert (model.latent.shared, model.num_samples, model.seed) == (3, 2, 5)
    assert model.modalities[0].likelihood_weight == 7
    assert model.kl_weight.num_steps == 3 * STEPS


def test_settings_of_single_models():
    term_weight = {"everything": 0.5, "label": 2.0}
    for name in ("mvae", "mvae_q"):
        assert build(name, term_weight=term_weight).term_weight == term_weight
    assert build("jmvae", alpha=0.25).alpha == 0.25


def test_a_run_is_told_the_weights_of_its_terms():
    assert resolved(config_of("mvae")).term_weight == {"label": 0.1}
    for weights in ({"label": 1.0}, {"label": 0.1, "everything": 2.0}):
        assert resolved(config_of("mvae_q", term_weight=weights)).term_weight == weights
    paper = config_of("mvae", cross_weight={"image": 0.0, "label": 0.0})
    assert resolved(paper).term_weight == {}
    before = config_of("mvae", term_weight={"image": 0.5})
    assert resolved(config_of("mvae"), before).term_weight == {"image": 0.5}
    assert resolved(config_of("jmvae")) == config_of("jmvae")


def test_mistakes_are_named_before_anything_is_filled_in():
    with pytest.raises(UserError, match="--modality is for --model=cvae and vae"):
        resolved(config_of("mvae", modality="sound"))
    with pytest.raises(UserError, match="weights must not be negative"):
        resolved(config_of("mvae", likelihood_weight={"image": -1.0}))


@pytest.mark.parametrize(
    ("modality", "order"), [(None, ["image", "label"]), ("label", ["label", "image"])]
)
def test_modality_is_what_a_vae_has_and_a_cvae_generates(modality, order):
    cvae, vae = build("cvae", modality=modality), build("vae", modality=modality)
    assert [m.name for m in cvae.modalities] == order
    assert [m.name for m in cvae.targets] == order[:1] and list(cvae.conditions) == order[1:]
    assert [m.name for m in vae.modalities] == order[:1]


def test_a_cvae_of_the_label_does_not_take_the_images_network():
    model = build_model(RunConfig("fashion_mnist", model="cvae", modality="label"), STEPS)
    assert model.trunk is None
    assert build_model(RunConfig("fashion_mnist", model="cvae"), STEPS).trunk is not None


def test_a_vaes_weights_may_name_what_it_leaves_out():
    """The flagfile of another model can be used."""
    model = build("vae", likelihood_weight={"image": 2.0, "label": 50.0})
    assert [m.likelihood_weight for m in model.modalities] == [2.0]


@pytest.mark.parametrize(
    ("name", "settings", "message"),
    [
        ("vae", {"modality": "sound"}, "--modality=sound.*image, label"),
        ("cvae", {"modality": "sound"}, "--modality=sound.*image, label"),
        ("jmvae", {"modality": "image"}, "--modality is for --model=cvae and vae"),
        ("jmvae", {"cross_weight": {"image": 0.0}}, "--cross_weight is for --model=mvae"),
        ("telbo", {"term_weight": {"image": 0.5}}, "--term_weight is for --model=mvae"),
        ("mvae", {"alpha": 0.5}, "--alpha is for --model=jmvae"),
        ("mvae", {"likelihood_weight": {"everything": 1.0}}, "--likelihood_weight.*'everything'"),
        ("mvae", {"cross_weight": {"sound": 1.0}}, "--cross_weight.*'sound'"),
        ("mvae", {"term_weight": {"sound": 1.0}}, "--term_weight.*'sound'"),
        ("mvae_q", {"num_random_subsets": 1}, "random subsets"),
    ],
)
def test_settings_that_do_not_fit_are_named(name, settings, message):
    with pytest.raises(UserError, match=message):
        build(name, **settings)


def test_the_learning_rate_falls_to_0_along_half_a_cosine():
    optimizer = build("vae", learning_rate=0.5, learning_rate_schedule="cosine", epochs=4).optimizer
    rates = []
    for step in range(4 * STEPS + 1):
        optimizer.iterations.assign(step)
        rates.append(float(optimizer.learning_rate))
    expected = 0.25 * (1 + np.cos(np.pi * np.arange(4 * STEPS + 1) / (4 * STEPS)))
    np.testing.assert_allclose(rates, expected, atol=1e-7)
    assert build("vae", learning_rate=0.5).optimizer.learning_rate == 0.5


def test_a_scheduled_model_is_saved_and_loaded(tmp_path):
    model = build("vae", learning_rate_schedule="cosine")
    model.optimizer.iterations.assign(7)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert loaded.optimizer.iterations == 7
    assert float(loaded.optimizer.learning_rate) == float(model.optimizer.learning_rate)
    assert type(loaded.optimizer._learning_rate) is keras.optimizers.schedules.CosineDecay
