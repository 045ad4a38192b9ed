"""Runs with incomplete training data."""

import dataclasses

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.training import tiny_experiment  # noqa: F401  registers the experiment
from tf_mvae.data.pairing import with_masks
from tf_mvae.data.split import Split
from tf_mvae.errors import UserError
from tf_mvae.experiments import registry
from tf_mvae.settings import EXPERIMENTS, MODELS
from tf_mvae.training import RunConfig, load_run, train, trainer
from tf_mvae.training.build import build_model
from tf_mvae.training.incomplete import batch_composition, incomplete_split, mask_of_batch
from tf_mvae.training.splits import load_split

WHOLE_ONLY = ("cvae", "jmvae", "vae")


def config_of(model="mvae", **kwargs):
    settings = {"paired_examples": 12, "latent_dim": 3, "batch_size": 20, "epochs": 1}
    return RunConfig("tiny", model=model, **{**settings, "jit_compile": False, **kwargs})


@pytest.mark.parametrize("model", MODELS)
def test_a_model_learns_from_incomplete_data_or_says_so_before_the_first_step(model, tmp_path):
    config = config_of(model)
    if model not in WHOLE_ONLY:
        assert incomplete_split(config, "train").num_examples == 60
        return
    with pytest.raises(UserError, match=f"--model={model} .* --drop_incomplete"):
        train(config, tmp_path / "run")
    assert not (tmp_path / "run").exists()
    whole = incomplete_split(config_of(model, drop_incomplete=True), "train")
    # Of the others half have an image, which is all that a VAE of images wants.
    assert whole.num_examples == (12 + 24 if model == "vae" else 12)
    assert whole.steps_per_epoch(20) == 3


def test_validation_loses_the_same_share_and_the_test_split_nothing():
    presence = incomplete_split(config_of(), "validation").presence
    assert (presence["image"] * presence["label"]).sum() == 4  # 20 x 12 / 60
    assert load_split(config_of(), "test").presence is None


def test_all_models_of_a_seed_see_the_same_examples():
    one = incomplete_split(config_of(), "train").presence
    for other in (config_of("telbo"), config_of(num_samples=2), config_of(batch_size=10)):
        for name, mask in incomplete_split(other, "train").presence.items():
            np.testing.assert_array_equal(mask, one[name])
    another = incomplete_split(config_of(seed=1), "train").presence
    assert not np.array_equal(another["image"], one["image"])


def test_parts_may_be_missing_at_random():
    config = config_of(paired_examples=None, missing_rate={"label": 0.5})
    presence = incomplete_split(config, "train").presence
    assert presence["image"].all()
    assert 0 < presence["label"].mean() < 1


def replace_labels(monkeypatch, change):
    """Puts other labels into the tiny experiment: `change(labels, name of the split)`."""
    tiny = registry.get("tiny")

    def load(name, data_dir):
        split = tiny.load(name, data_dir)
        change_one = lambda part: {"x": {**part["x"], "label": change(part["x"]["label"], name)}}  # noqa: E731
        return dataclasses.replace(split, dataset=split.dataset.map(change_one))

    monkeypatch.setitem(EXPERIMENTS._items, "tiny", dataclasses.replace(tiny, load=load))


def test_rates_by_class_are_the_same_where_a_class_does_not_occur(monkeypatch):
    replace_labels(monkeypatch, lambda v, name: tf.minimum(v, 1) if name == "validation" else v)
    config = config_of(paired_examples=None, missing_rate={"image": 0.5}, missing_by_class=True)
    for name, rates in (("train", [0, 0.5, 1]), ("validation", [0, 0.5])):
        split = incomplete_split(config, name)
        labels = np.array([part["x"]["label"] for part in split.dataset.as_numpy_iterator()])
        there = split.presence["image"]
        found = [1 - there[labels == label].mean() for label in range(len(rates))]
        np.testing.assert_allclose(found, rates, atol=0.35)


def test_a_label_that_is_no_class_makes_no_classes(monkeypatch):
    replace_labels(monkeypatch, lambda v, name: tf.cast(v, tf.float32)[tf.newaxis] / 2)
    presence = incomplete_split(config_of(), "train").presence
    assert (presence["image"] * presence["label"]).sum() == 12


def test_no_data_are_read_to_know_what_they_lack(monkeypatch):
    def unread():
        raise AssertionError("the data are read")

    tiny = registry.get("tiny")
    spec = tiny.load("train", None).dataset.element_spec
    split = Split(tf.data.Dataset.from_generator(unread, output_signature=spec), 60)
    found = dataclasses.replace(tiny, load=lambda name, data_dir: split)
    monkeypatch.setitem(EXPERIMENTS._items, "tiny", found)
    assert incomplete_split(config_of("jmvae", paired_examples=None), "train") is split
    with pytest.raises(UserError, match="--drop_incomplete is for data"):
        incomplete_split(config_of(paired_examples=None, drop_incomplete=True), "train")


@pytest.fixture
def gaps(monkeypatch):
    """The tiny data, with 10 labels and the images of the next 5 examples missing."""
    tiny = registry.get("tiny")
    place = np.arange(60)
    masks = {"image": (place < 10) | (place >= 15), "label": place >= 10}

    def load(name, data_dir):
        split = tiny.load(name, data_dir)
        number = split.num_examples
        return with_masks(split, {part: mask[:number] for part, mask in masks.items()})

    found = dataclasses.replace(tiny, load=load)
    monkeypatch.setitem(EXPERIMENTS._items, "tiny", found)
    return masks


def test_pairs_are_kept_of_the_whole_examples_and_others_lose_nothing(gaps):
    presence = incomplete_split(config_of(paired_examples=9), "train").presence
    assert (presence["image"] * presence["label"]).sum() == 9
    for name, mask in gaps.items():
        np.testing.assert_array_equal(presence[name][:15], mask[:15])
    assert (presence["image"] + presence["label"]).min() == 1
    alone = [presence[name][15:].sum() for name in gaps]
    assert sorted(alone) == [27, 27]  # 9 pairs, and 36 others in halves
    validation = incomplete_split(config_of(paired_examples=9), "validation").presence
    assert (validation["image"] * validation["label"]).sum() == 1  # of 5, as 9 of 45


def test_what_a_run_has_seen_is_known_whatever_new_runs_are_refused(gaps):
    config = config_of("jmvae", paired_examples=None)
    with pytest.raises(UserError, match="--drop_incomplete"):
        incomplete_split(config, "train")
    seen = incomplete_split(config, "train", refuse=False)
    assert seen.num_examples == 45 and all(np.all(mask) for mask in seen.presence.values())


def test_a_share_of_whole_examples_needs_one(gaps):
    config = config_of(paired_examples=None, missing_rate={"label": 1.0}, paired_share=0.5)
    with pytest.raises(UserError, match=r"--paired_share=0.5 .* no example of split 'train'"):
        incomplete_split(config, "train")


@pytest.mark.parametrize(
    ("settings", "what"),
    [
        ({"paired_examples": None, "paired_share": 0.5}, "--paired_share is for data"),
        ({"paired_examples": None, "drop_incomplete": True}, "--drop_incomplete is for data"),
        ({"missing_rate": {"sound": 0.5}}, "--missing_rate names 'sound'"),
        ({"missing_rate": {"label": 1.0}, "drop_incomplete": True}, "no example is complete"),
        ({"paired_examples": 61}, "61 examples"),
    ],
)
def test_settings_that_make_no_sense_are_refused(settings, what):
    with pytest.raises(UserError, match=what):
        incomplete_split(config_of(**settings), "train")


@pytest.mark.parametrize(
    ("settings", "what"),
    [
        ({"paired_fraction": 0.1}, "one of --paired_fraction and --paired_examples"),
        ({"paired_share": 2.0}, "--paired_share must be a number in"),
        ({"missing_rate": {"label": 1.5}}, "--missing_rate of .label. must be a number in"),
    ],
)
def test_numbers_out_of_range_are_refused(settings, what):
    with pytest.raises(UserError, match=what):
        config_of(**settings)


def test_a_stopped_run_of_composed_batches_ends_as_an_undisturbed_one(
    tmp_path, monkeypatch, training_alone
):
    """Training on known compositions resumes to the bit; evaluation uses complete examples."""
    config = config_of(paired_share=0.2, epochs=3, jit_compile=True)
    train(config, tmp_path / "whole")
    writer = trainer.CheckpointWriter.on_train_batch_end
    steps = []

    def stop(self, batch, logs=None):
        writer(self, batch, logs)
        steps.append(batch)
        if len(steps) == 5:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(trainer.CheckpointWriter, "on_train_batch_end", stop)
        with pytest.raises(KeyboardInterrupt):
            train(config, tmp_path / "stopped", checkpoint_steps=2)
    keras.backend.clear_session()
    train(config, tmp_path / "stopped", checkpoint_steps=2)
    runs = [load_run(tmp_path / name, "last") for name in ("whole", "stopped")]
    for one, other in zip(*(run.model.get_weights() for run in runs), strict=True):
        np.testing.assert_array_equal(one, other)
    batch = next(iter(runs[0].batches("validation", 20)))
    assert "mask" not in batch or np.all(batch["mask"]["label"] == 1)


def test_a_known_composition_says_how_much_is_to_be_decoded():
    config = config_of(paired_share=0.2, batch_size=20)
    composition = batch_composition(config, incomplete_split(config, "train"))
    mask = mask_of_batch(composition)
    assert sum(stratum.rows for stratum in composition) == 20
    model = build_model(config, 3)
    model.expect(mask)
    # 4 whole rows with three terms, 8 rows of one modality with one: 20 of 60 rows.
    assert model.plan.shares == {"image": pytest.approx(1 / 3), "label": pytest.approx(1 / 3)}
