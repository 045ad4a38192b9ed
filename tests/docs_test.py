"""The programs in docs/ run, with settings that take seconds."""

import importlib.util
import re

import numpy as np
import pytest

import tf_mvae
from tests import pages
from tf_mvae.training import RunConfig
from tf_mvae.training.build import build_model
from tf_mvae.training.splits import load_split


def test_every_python_block_is_run_or_says_why_it_is_not():
    for page in pages.PAGES:
        for kind, note, text in pages.blocks(page):
            assert kind == "a test runs this" or note, f"{page}: mark the block\n{text}"


def test_the_library_trains_on_three_arrays_one_half_missing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = pages.run("docs/library.md")
    missing = ~names["has_kind"]
    right = names["guess"] == names["kind"]
    assert right[missing].mean() > 0.9  # a third at random
    np.testing.assert_allclose(
        names["again"].posterior({"sensor": names["sensor"][:3]}).mean(),
        names["model"].posterior({"sensor": names["sensor"][:3]}).mean(),
        atol=1e-5,
    )
    assert names["estimate"].log_likelihood.shape == (1000,)
    assert np.mean(names["estimate"].effective_sample_size) > 10


def test_the_tutorial_of_images_generates_and_scores(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = pages.run(
        "docs/tutorials/images_and_labels.md",
        {
            "= mnist_data()": "= (a[::25] for a in mnist_data())",
            "4500": "150",
            # Compiling the sampler's step takes longer than these steps.
            "training, epochs=20)": "training, epochs=1, jit_compile=False)",
            "epochs=20": "epochs=1",
            ", jit_compile=True": "",
            "num_samples=100": "num_samples=5",
        },
    )
    assert names["probabilities"].shape == (50, 10)
    assert (tmp_path / "generated.png").exists()
    assert np.all(names["given"].log_likelihood <= 0)
    assert names["again"].sampler is not None


def test_the_tutorial_of_tables_fills_hidden_cells(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    names = pages.run(
        "docs/tutorials/clinical_table.md",
        {"epochs=300": "epochs=1", "num_samples=200": "num_samples=10"},
    )
    assert not names["filled"].isna().any(axis=None)
    observed = ~names["hidden"]
    assert (names["filled"] == names["truth"]).to_numpy()[observed].all()
    assert "bmi: error" in capsys.readouterr().out


def test_the_tutorial_of_assays_predicts_one_from_others(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    names = pages.run(
        "docs/tutorials/missing_assays.md",
        {
            "epochs=300": "epochs=1",
            "num_samples=200": "num_samples=5",
            "num_samples=50": "num_samples=5",
        },
    )
    assert not names["filled"].isna().any(axis=None)
    observed = names["frame"].notna().to_numpy()
    assert (names["filled"] == names["truth"]).to_numpy()[observed].all()
    assert "progression from examination and blood: error" in capsys.readouterr().out
    few = ~names["had"]["blood"] & ~names["had"]["followup"]
    all_had = names["had"]["blood"] & names["had"]["followup"]
    assert names["spread"][few].mean() > names["spread"][all_had].mean()


def test_the_tutorial_of_gpus_trains_on_two_devices():
    make_devices = "    tf.config.set_logical_device_configuration(cpu, [tf.config."
    make_devices += "LogicalDeviceConfiguration()] * 2)\n"  # done in tests/fixtures.py
    names = pages.run("docs/tutorials/many_gpus.md", {make_devices: "", "epochs=3": "epochs=1"})
    assert names["strategy"].num_replicas_in_sync == 2  # the program compares the losses


def test_the_guide_to_searches_finds_settings(tmp_path, monkeypatch):
    optuna = pytest.importorskip("optuna")
    monkeypatch.chdir(tmp_path)
    names = pages.run(
        "docs/hyperparameters.md", {"epochs=100": "epochs=1", "n_trials=30": "n_trials=2"}
    )
    trials = names["study"].trials
    assert [trial.state for trial in trials] == [optuna.trial.TrialState.COMPLETE] * 2
    assert names["study"].best_value == max(trial.value for trial in trials)
    assert (tmp_path / "study.db").exists()


def test_the_tutorial_of_experiments_declares_one(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    for _, name, text in pages.blocks("docs/tutorials/own_experiment.md"):
        if name and name.endswith(".py"):
            (tmp_path / name).write_text(text, encoding="utf-8")
    config = RunConfig("spirals:spirals", arms=5, latent_dim=2)
    batch = next(iter(load_split(config, "test").dataset.batch(50)))
    assert batch["x"]["arm"].numpy().max() == 4
    assert np.isfinite(build_model(config, 10).elbo(batch).loss)


def test_the_guide_to_translation_generates_sentences():
    names = pages.run("docs/translation.md")
    assert names["sequences"].shape == (3, 1, 5, 4)
    assert np.all(np.diff(names["log_prob"]) <= 0)


def test_the_guide_to_sharing_loads_a_preset():
    assert pages.run("docs/sharing.md")["sevens"].shape == (16, 1, 28, 28, 1)


@pytest.mark.parametrize(
    ("page", "batch"),
    [
        ("docs/models.md", {"image": np.zeros([3, 8, 8, 1], np.float32), "label": np.arange(3)}),
        ("docs/weak_supervision.md", None),
        ("docs/groups.md", None),
    ],
)
def test_models_of_guides_are_built(page, batch):
    model = pages.run(page)["model"]
    assert isinstance(model, tf_mvae.MVAE | tf_mvae.MultimodalVAE)
    if batch is not None:
        assert np.isfinite(model.elbo({"x": batch}).loss)


def test_the_version_is_the_same_everywhere():
    citation = (pages.ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert re.search(r"^version: (.*)$", citation, re.M)[1] == tf_mvae.__version__


def test_banned_phrases_are_found_in_prose_and_not_in_code(tmp_path):
    spec = importlib.util.spec_from_file_location("words", pages.ROOT / "docs" / "check_words.py")
    words = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(words)
    page, module = tmp_path / "page.md", tmp_path / "module.py"
    page.write_text("The label is\nread off the image.\n```\nleft out\n```\n`beside`")
    module.write_text('left_out = beside = 1\n"""It lacks a mask."""\n# by chance here\n')
    assert [line.split(": ")[:2] for line in words.check(page)] == [["page.md:2", "'read off'"]]
    found = [line.split(": ")[:2] for line in words.check(module)]
    assert found == [["module.py:2", "'lacks'"], ["module.py:3", "'by chance'"]]
