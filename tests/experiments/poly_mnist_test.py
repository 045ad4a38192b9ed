"""PolyMNIST from its config to the evaluation of a finished run."""

import numpy as np
import pytest

from tests.data.poly_mnist_test import HASH, data_dir  # noqa: F401  a fixture
from tests.experiments.configs import CONFIGS, config_of, read_flags
from tf_mvae import experiments
from tf_mvae.data.poly_mnist import NAMES, poly_mnist_labels
from tf_mvae.errors import UserError
from tf_mvae.evaluation import ANALYSES, Settings, table
from tf_mvae.evaluation.outside_classes import OutsideClass
from tf_mvae.training import RunConfig
from tf_mvae.training.build import build_model, resolved
from tf_mvae.training.card import run_card
from tf_mvae.training.incomplete import incomplete_split
from tf_mvae.training.run import Run
from tf_mvae.training.run_directory import RunDirectory

SMALL = {"filters": 2, "latent_dim": 4, "batch_size": 20}


def make_config(data_dir, **changes):  # noqa: F811
    flags = read_flags(CONFIGS / "poly_mnist" / "mvae_paper.cfg")
    return config_of(flags, data_dir=data_dir, **SMALL, **changes)


@pytest.fixture(scope="module")
def run(data_dir, tmp_path_factory):  # noqa: F811
    """A run with an untrained model."""
    config = resolved(make_config(data_dir))
    directory = tmp_path_factory.mktemp("run")
    return Run(directory, config, experiments.get("poly_mnist"), build_model(config, 1), 0)


def test_the_loss_of_a_batch_is_finite(run):
    batch = next(iter(run.batches("test", 10)))
    assert np.isfinite(run.model.elbo(batch).loss)


def test_joint_networks_have_filters_of_their_own():
    # A record of an earlier version, which has no such setting, means 32.
    for given, most in (({}, 64), ({"joint_filters": 2}, 4)):
        model = build_model(RunConfig("poly_mnist", "jmvae", filters=1, latent_dim=4, **given), 1)
        kernels = [variable.shape for variable in model.variables if len(variable.shape) == 4]
        assert max(max(shape[2:]) for shape in kernels) == most


def test_a_run_keeps_the_hash_of_its_backgrounds(run):
    assert run.config.background_hash == HASH
    card = run_card(run.config, RunDirectory(run.directory), {}, 0)
    assert card.flags["background_hash"] == HASH and "backgrounds" in card.licence


def test_generation_is_measured_by_number_of_given_modalities(run, monkeypatch):
    monkeypatch.setattr("tf_mvae.evaluation.classifier._JUDGE_EXAMPLES", 500)
    monkeypatch.setattr("tf_mvae.evaluation.references._BLOCKS", 2)
    settings = Settings(num_samples=1, batch_size=60)
    found = ANALYSES["generation"].analyze(run, settings)
    for number in range(1, 5):
        given = {
            key: result["value"]
            for key, result in found.items()
            if " | " in key and key.endswith(": coherence") and key.count(",") == number - 1
        }
        assert len(given) == 5 * [4, 6, 4, 1][number - 1]
        mean = found[f"{number} given: coherence"]["value"]
        assert mean == pytest.approx(np.mean(list(given.values())))
        assert found[f"{number} given, 7: coherence"]["examples"] == 6
    assert "m0 from the prior: coherence" not in found
    assert {"from the prior: joint coherence", "from the prior: coverage"} <= set(found)
    assert 0 < found["m4, useless: random training image: coherence"]["standard_error"] < 0.1
    head = next(x for x in table({"generation": {"results": found}}).splitlines() if "by num" in x)
    assert "named right" in head and "all agree" in head and "Frechet distance" in head


def test_the_latent_of_every_subset_is_probed(run):
    found = ANALYSES["latent"].analyze(run, Settings(batch_size=60))
    rows = {name.split(": ")[0] for name in found if name.startswith("given")}
    assert len(rows) == 2 ** len(NAMES) - 1
    assert found["useless: most frequent: linear probe"]["value"] == pytest.approx(0.1)
    assert found["useless: noise: linear probe"]["value"] < 0.4
    assert abs(found["useless: noise: k-means"]["value"]) < 0.2
    assert 0 <= found[f"given {', '.join(NAMES)}: linear probe"]["value"] <= 1


def test_examples_keep_their_class_in_any_order(run):
    outside = OutsideClass(run)
    split = outside.add_to_split("test")
    labels = poly_mnist_labels("test", run.config.data_dir)
    batches = outside.add_to_batches(run.batches("test", 7), "test", 7)
    for dataset in (split.dataset.batch(9), batches):
        found = np.concatenate([batch["x"]["label"] for batch in dataset])
        np.testing.assert_array_equal(found, labels)


def test_missingness_depends_on_the_class(data_dir):  # noqa: F811
    config = make_config(data_dir, missing_rate={"m1": 0.5, "m2": 0.5}, missing_by_class=True)
    presence = incomplete_split(config, "train").presence
    labels = poly_mnist_labels("train", data_dir)
    assert presence["m0"].all()
    for name, never, always in (("m1", 0, 9), ("m2", 9, 0)):
        assert presence[name][labels == never].all()
        assert not presence[name][labels == always].any()
        assert 0.3 < presence[name].mean() < 0.7


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"missing_by_class": True}, "--missing_by_class is for --missing_rate"),
        ({"missing_by_class": True, "missing_rate": {"m9": 0.1}}, "--missing_rate names 'm9'"),
        ({"missing_by_class": True, "missing_rate": {"label": 0.1}}, "names 'label'"),
        ({"missing_by_class": True, "missing_rate": {"m1": 0.6}}, "must be 0.5 or less"),
        ({"background_hash": "0" * 64}, "the backgrounds of this package have the hash"),
    ],
)
def test_what_does_not_fit_is_refused(data_dir, changes, message):  # noqa: F811
    with pytest.raises(UserError, match=message):
        incomplete_split(make_config(data_dir, **changes), "train")
