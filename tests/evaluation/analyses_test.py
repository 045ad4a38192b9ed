"""Accuracy and coherence against plain computations, and the report."""

import collections
import json
import re
import types

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests import tiny
from tf_mvae import MVAE, Covariate, Modality, ModalityGroup, UserError, likelihoods
from tf_mvae.data import Split
from tf_mvae.evaluation import Settings, classifier, table, update_report, usual_analyses
from tf_mvae.evaluation.accuracy import cross_modal_accuracy, share
from tf_mvae.evaluation.classifier import kept_classifier, load_or_train
from tf_mvae.evaluation.coherence import images_of_classes, images_with_classes
from tf_mvae.evaluation.concepts import Concept
from tf_mvae.evaluation.generated_examples import Examples
from tf_mvae.evaluation.judges import Verdict
from tf_mvae.evaluation.scales import Known
from tf_mvae.layers import mlp_encoder
from tf_mvae.ops import random


def test_accuracy_equals_a_plain_loop():
    model = tiny.make_model()
    batch = tiny.repeat(tiny.make_batch(), 6)
    got = cross_modal_accuracy(model, [batch, batch], num_samples=4, seed=7)
    names = {"label | image", "label | reading", "label | image, reading"}
    assert set(got) == names | {f"{name}: always the same" for name in names}
    x, mask = batch["x"], batch["mask"]
    for given in (["image"], ["reading"], ["image", "reading"]):
        right = number = 0
        counts = collections.Counter()
        for place in range(2):
            seed = random.fold_in(tf.constant([7, 21]), place)
            chosen = {name: x[name] for name in given}
            masks = {name: mask[name] for name in given}
            z = model.latent_samples(chosen, 4, masks, seed)
            probabilities = model.decode(z)["label"].probs_parameter().numpy().mean(0)
            for row in range(len(x["label"])):
                if mask["label"][row] and all(mask[name][row] for name in given):
                    number += 1
                    counts[int(x["label"][row])] += 1
                    right += int(probabilities[row].argmax() == x["label"][row])
        name = f"label | {', '.join(given)}"
        assert got[name] == pytest.approx(share(right, number))
        assert got[f"{name}: always the same"] == share(max(counts.values()), number)
        assert 0 < number < 2 * len(x["label"])


def test_a_class_is_predicted_from_a_group_of_which_some_members_are_there():
    bits = ModalityGroup("bits", ["a", "b"], likelihoods.Bernoulli([1]))
    kind = Modality("kind", likelihoods.Categorical(3), mlp_encoder([4]))
    model = MVAE([bits, kind], 2)
    x = {"bits": np.ones([4, 2, 1], np.float32), "kind": np.array([0, 1, 2, 0])}
    mask = {"bits": np.array([[1, 0], [1, 1], [0, 0], [0, 1]]), "kind": np.array([1, 0, 1, 1])}
    found = cross_modal_accuracy(model, [{"x": x, "mask": mask}], num_samples=2)["kind | bits"]
    assert found == share(found["value"] * 2, 2)


def test_a_class_is_predicted_with_the_covariates():
    value = Modality("value", likelihoods.Normal([2]), mlp_encoder([4]))
    kind = Modality("kind", likelihoods.Categorical(3), mlp_encoder([4]))
    model = MVAE([value, kind], 2, covariates=[Covariate("age")])
    rng = np.random.default_rng(0)
    x = {
        "value": rng.normal(size=[30, 2]),
        "kind": rng.integers(3, size=30),
        "age": 4 * rng.random(30),
    }
    found = cross_modal_accuracy(model, [{"x": x}], num_samples=50)["kind | value"]
    drawn = model.generate({"value": x["value"], "age": x["age"]}, 200, seed=3)["kind"]
    guess = drawn.numpy().mean(0).argmax(-1)
    assert found["value"] == pytest.approx((guess == x["kind"]).mean(), abs=0.1)


@pytest.mark.parametrize(
    ("names", "conditions", "tasks", "usual"),
    [
        (["image", "label"], [], [], ("accuracy",)),
        (["image"], [], [], ("log_likelihood",)),
        (["image", "label"], ["label"], [], ("log_likelihood",)),
        (["grey", "image"], [], [("grey", "image")], ("accuracy",)),
        (["grey", "edges"], [], [("grey", "image")], ("log_likelihood",)),
    ],
)
def test_a_run_has_usual_analyses_that_its_model_can_do(names, conditions, tasks, usual):
    plain = types.SimpleNamespace
    modalities = [plain(name=name) for name in names]
    tasks = [plain(given=given, target=target) for given, target in tasks]
    run = plain(
        model=plain(modalities=modalities, conditions=conditions),
        experiment=plain(analyses=("accuracy",), tasks=tasks, table=None),
    )
    assert usual_analyses(run) == usual


def test_images_of_classes_are_as_many_of_each():
    model = tiny.make_model()
    image, label, _ = model.modalities
    images, classes = images_of_classes(model, image, label, images_of_a_class=25, seed=3)
    np.testing.assert_array_equal(np.bincount(classes), [25] * tiny.NUM_CLASSES)
    given = {"label": np.arange(tiny.NUM_CLASSES)}
    z = model.latent_samples(given, 5, seed=[3, 20])  # the last five of each class
    expected = model.from_latent(z)["image"].numpy()[2, classes[-1]]
    np.testing.assert_allclose(images[-2 * tiny.NUM_CLASSES - 1], expected, atol=1e-6)


def test_images_and_classes_are_of_one_latent():
    model = tiny.make_model()
    image, label, _ = model.modalities
    images, classes = images_with_classes(model, image, label, number=250, seed=4)
    drawn = [model.sample(200, seed=[4, 0]), model.sample(50, seed=[4, 200])]
    expected = np.concatenate([part["label"].numpy().argmax(-1) for part in drawn])
    np.testing.assert_array_equal(classes, expected)
    np.testing.assert_allclose(images[200:], drawn[1]["image"], atol=1e-6)


def test_a_classifier_is_trained_kept_and_made_again_when_damaged(tmp_path, caplog):
    image, label, _ = tiny.make_modalities()
    batches = spots(500).dataset.batch(50)
    path = tmp_path / "judge.keras"
    first = load_or_train(path, batches.repeat(30), image, label)
    x = next(iter(spots(500).dataset.batch(500)))["x"]
    named = first.predict(x["image"], verbose=0).argmax(-1)
    assert np.sum(named == x["label"]) > 400
    again = load_or_train(path, None, image, label)  # no data: it can only have been loaded
    for one, other in zip(first.get_weights(), again.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    path.write_bytes(b"junk")
    made = load_or_train(path, batches, image, label)
    assert isinstance(made, keras.Model)
    assert "trained again" in caplog.text


def test_a_classifier_learns_from_examples_that_have_both(tmp_path, monkeypatch):
    image, label, _ = tiny.make_modalities()
    x = {"image": np.zeros([4, 4, 4, 1], np.float32), "label": np.arange(4, dtype=np.int32)}
    seen = []
    monkeypatch.setattr(classifier, "load_or_train", lambda _, batches, *__: seen.append(batches))
    monkeypatch.setattr(classifier, "training_batches", lambda train, *_: train.dataset.batch(2))
    run = types.SimpleNamespace(directory=tmp_path, config=types.SimpleNamespace(seed=0))
    for there in ([1, 1, 0, 1], [0, 0, 0, 0]):
        presence = {"image": np.ones(4), "label": np.array(there)}
        run.split = lambda name, p=presence: Split(
            tf.data.Dataset.from_tensor_slices({"x": x}), 4, presence=p
        )
        if any(there):
            kept_classifier(run, image, label)
        else:
            with pytest.raises(UserError, match="no training example has both image and label"):
                kept_classifier(run, image, label)
    (batches,) = seen
    assert sorted(np.concatenate([batch["x"]["label"] for batch in batches])) == [0, 1, 3]


def spots(number, seed=0, is_random=False):
    """Returns images of a spot whose place is the class, or has nothing to do with it."""
    rng = np.random.default_rng(seed)
    classes = rng.integers(0, tiny.NUM_CLASSES, number).astype(np.int32)
    places = 3 * (rng.permutation(classes) if is_random else classes)
    images = np.eye(16)[places].reshape(number, 4, 4, 1).astype(np.float32)
    return Split(
        tf.data.Dataset.from_tensor_slices({"x": {"image": images, "label": classes}}), number
    )


def run_of(directory, train, validation, seed=0):
    """Returns what `kept_classifier` reads of a run."""
    splits = {"train": train, "validation": validation}
    config = types.SimpleNamespace(seed=seed)
    return types.SimpleNamespace(directory=directory, config=config, split=splits.get)


def test_a_classifier_learns_from_fewer_examples_than_a_batch(tmp_path, monkeypatch):
    monkeypatch.setattr(classifier, "_JUDGE_EXAMPLES", 10_000)
    image, label, _ = tiny.make_modalities()
    run = run_of(tmp_path, spots(40), spots(200, seed=1))
    judge = kept_classifier(run, image, label)
    batch = next(iter(run.split("validation").dataset.batch(200)))["x"]
    right = judge.predict(batch["image"], verbose=0).argmax(-1) == batch["label"]
    assert np.mean(right) > 0.9


def test_a_judge_that_has_learned_nothing_is_named(caplog):
    """By the evaluated examples: no other split is read."""
    image, label, _ = tiny.make_modalities()
    x = next(iter(spots(200).dataset.batch(200).as_numpy_iterator()))["x"]
    whole = {name: np.ones(200) for name in x}
    known = Known(Examples(x, whole), None, {"image": x["image"]}, 1)
    concept, settings = Concept(label), Settings(split="test")
    features = np.random.default_rng(0).normal(size=[200, 3])
    for said in (x["label"], np.roll(x["label"], 1)):
        assert "means nothing" not in caplog.text
        concept.judge = lambda *_, said=said: lambda values: Verdict(said, features)
        known.reference(None, settings, image, concept)
    (line,) = [r.getMessage() for r in caplog.records if r.levelname == "WARNING"]
    assert re.fullmatch(
        r"the judge of image by label is right for \d+ of 200 test examples, and the most "
        r"frequent answer for \d+: what it measures in this analysis means nothing",
        line,
    )


def test_a_classifier_is_the_same_for_every_seed_of_a_run(tmp_path, monkeypatch):
    monkeypatch.setattr(classifier, "_JUDGE_EXAMPLES", 1_000)
    image, label, _ = tiny.make_modalities()
    judges = [
        kept_classifier(run_of(tmp_path / str(seed), spots(300), spots(50), seed), image, label)
        for seed in (0, 1)
    ]
    weights = [judge.get_weights() for judge in judges]
    for one, other in zip(*weights, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)


def test_a_kept_classifier_is_used_whatever_its_seed(tmp_path, monkeypatch):
    image, label, _ = tiny.make_modalities()
    batches = spots(100).dataset.batch(50)
    path = tmp_path / "evaluation" / "classifier_image_label.keras"
    kept = load_or_train(path, batches, image, label, seed=5)
    monkeypatch.setattr(classifier, "train_classifier", None)
    found = kept_classifier(run_of(tmp_path, spots(100), spots(50), 7), image, label)
    for one, other in zip(kept.get_weights(), found.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_report_keeps_other_analyses(tmp_path):
    path = tmp_path / "evaluation.json"
    one = {"settings": {"seed": 0, "ways": ()}, "results": {"label | image": share(3, 4)}}
    two = {"settings": {"seed": 1, "ways": ("a",)}, "results": {"image | label": share(1, 4)}}
    update_report(path, {"accuracy": one})
    update_report(path, {"coherence": two})
    one["settings"]["ways"], read = [], json.loads(path.read_text())
    assert read == {"accuracy": one, "coherence": json.loads(json.dumps(two))}
    update_report(path, {"accuracy": two})
    assert json.loads(path.read_text())["accuracy"] == json.loads(json.dumps(two))
    update_report(path, {"accuracy": {**two, "results": {}}})  # the same once more
    replaced = (tmp_path / "evaluation_replaced.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in replaced] == [{"accuracy": one}]


@pytest.mark.parametrize("damaged", [b"", b"{", b"\xff", b"[]", b'{"accuracy": 3}'])
def test_a_damaged_report_is_begun_anew_and_kept(tmp_path, damaged, caplog):
    path = tmp_path / "evaluation.json"
    path.write_bytes(damaged)
    one = {"settings": {"seed": 0}, "results": {"label | image": share(3, 4)}}
    assert update_report(path, {"accuracy": one}) == {"accuracy": one}
    assert (tmp_path / "evaluation.damaged.json").read_bytes() == damaged
    assert "evaluation.json is damaged" in caplog.text


def test_the_table_has_a_line_a_result():
    lines = table({"accuracy": {"results": {"label | image": share(3, 4)}}}).splitlines()
    assert len(lines) == 2
    assert "75.00 %" in lines[1] and "17.12" in lines[1]
