"""Predictions of pictures by the model, simple guesses and a supervised network, measured."""

import dataclasses
import json
import pathlib
import types

import numpy as np
import pytest
import tensorflow as tf

from tf_mvae import MVAE, Modality, UserError, likelihoods
from tf_mvae.data import evaluation_batches
from tf_mvae.data.pipeline import Split
from tf_mvae.data.tasks import Task, possible
from tf_mvae.evaluation import Settings, picture_metrics, table, update_report
from tf_mvae.evaluation.transformations import Pairs, analyze, measure, model_predictor
from tf_mvae.layers import mlp_decoder, mlp_encoder
from tf_mvae.training import RunConfig

SIZE = 24
CHANNELS = {"image": 3, "grey": 1, "mask_of": 1}
TASKS = (
    Task(
        "colouring",
        "grey",
        "image",
        {"grey": lambda given, mean: np.repeat(given, 3, -1)},
        corrections={"brightened": lambda given, predicted: predicted + given},
    ),
    Task(
        "cutting",
        "image",
        "mask_of",
        {"mean": lambda given, mean: np.broadcast_to(mean, (len(given), *mean.shape))},
        binary=True,
        tolerance=True,
    ),
    Task(
        "repeating",
        "image",
        "image",
        {
            "dark": lambda given, mean: 0 * given,
            "the same but for a little": lambda given, mean: np.clip(given + 0.1, 0, 1),
        },
        parts={"right half": (slice(None), slice(SIZE // 2, None))},
    ),
)


@dataclasses.dataclass
class FakeRun:
    """The parts of a run that the analysis uses."""

    directory: pathlib.Path
    model: MVAE
    experiment: types.SimpleNamespace
    absent: bool = False
    config: RunConfig = dataclasses.field(
        default_factory=lambda: RunConfig("celeba_transformations", latent_dim=3, batch_size=8)
    )
    checkpoint_step: int = 5

    def split(self, name):
        number = {"train": 40, "validation": 12, "test": 13}[name]
        rng = np.random.default_rng(len(name))
        inside = np.zeros([number, SIZE, SIZE, 1], bool)
        for row, (top, left) in enumerate(rng.integers(0, 12, [number, 2])):
            inside[row, top : top + 10, left : left + 10] = True
        image = np.where(inside, rng.integers(128, 256, [number, 1, 1, 3]), 20).astype(np.uint8)
        x = {"image": image, "grey": image[..., :1], "mask_of": 255 * inside.astype(np.uint8)}
        part = {"x": x}
        if self.absent:
            part["mask"] = {"mask_of": np.zeros(number, np.float32)}
        return Split(tf.data.Dataset.from_tensor_slices(part), number)

    seen_split = split

    def batches(self, split, batch_size, seed=0):
        return evaluation_batches(self.split(split), batch_size, seed)


@pytest.fixture
def run(tmp_path):
    modalities = []
    for name, channels in CHANNELS.items():
        shape = [SIZE, SIZE, channels]
        networks = mlp_encoder([8]), mlp_decoder(shape, [8])
        modalities.append(Modality(name, likelihoods.Bernoulli(shape), *networks))
    model = MVAE(modalities, latent_dim=3, seed=0)
    return FakeRun(tmp_path, model, types.SimpleNamespace(name="tiny", tasks=TASKS))


SETTINGS = Settings(num_samples=3, batch_size=8, baseline_steps=0)


def whole(run, split, name):
    return next(iter(run.split(split).dataset.batch(100)))["x"][name].numpy() / 255


def test_every_task_is_measured_beside_guesses(run):
    results = analyze(run, SETTINGS)
    assert set(results) == {
        *(
            f"colouring, {m}{corrected}: {who}"
            for m in ("PSNR", "SSIM")
            for corrected in ("", " brightened")
            for who in ("model", "grey")
        ),
        *(f"cutting, {m}: {who}" for m in ("F1", "F1 within a pixel") for who in ("model", "mean")),
        *(
            f"repeating, {m}{part}: {who}"
            for m in ("PSNR", "SSIM")
            for part in ("", " of the right half")
            for who in ("model", "the same but for a little")
        ),
    }
    assert {result["examples"] for result in results.values()} == {13}
    image, grey = whole(run, "test", "image"), whole(run, "test", "grey")
    psnr = picture_metrics.psnr(np.repeat(grey, 3, -1), image)
    got = results["colouring, PSNR: grey"]
    assert got["value"] == pytest.approx(psnr.mean(), abs=1e-3) and got["unit"] == "dB"
    assert got["standard_error"] == pytest.approx(psnr.std(ddof=1) / np.sqrt(13), rel=1e-3)
    psnr = picture_metrics.psnr(np.clip(2 * np.repeat(grey, 3, -1), 0, 1), image)
    assert results["colouring, PSNR brightened: grey"]["value"] == pytest.approx(
        psnr.mean(), abs=1e-3
    )
    half = picture_metrics.ssim(np.clip(image + 0.1, 0, 1)[:, :, 12:], image[:, :, 12:]).mean()
    got = results["repeating, SSIM of the right half: the same but for a little"]
    assert got["value"] == pytest.approx(half, abs=1e-3)
    lines = table({"transformations": {"results": results}})
    assert "(threshold 0." in lines and "dB" in lines
    report = {"settings": {**SETTINGS.recorded()}, "results": results}
    update_report(run.directory / "evaluation.json", {"transformations": report})
    assert json.loads((run.directory / "evaluation.json").read_text())


def test_the_models_prediction_is_a_mean_over_samples(run):
    given = whole(run, "test", "grey")[:4].astype(np.float32)
    found = model_predictor(run.model, TASKS[0], 5, seed=3)(given, 2)
    again = model_predictor(run.model, TASKS[0], 5, seed=3)(given, 2)
    np.testing.assert_array_equal(found, again)
    many = model_predictor(run.model, TASKS[0], 4000, seed=3)(given, 0)
    q = run.model.posterior({"grey": given})
    z = q.mean() + q.stddev() * np.random.default_rng(0).normal(size=[4000, 4, 3])
    want = run.model.decode(tf.cast(z, tf.float32))["image"].mean().numpy().mean(0)
    np.testing.assert_allclose(many, want, atol=0.02)
    assert np.abs(found - many).max() > 1e-4


def test_a_threshold_is_chosen_on_the_validation_split_and_not_on_the_test_split():
    """Positive pixels are 0.6 in validation and 0.3 in test pictures, whose noise is 0.6."""
    true = np.zeros([2, 8, 8, 1], np.float32)
    true[:, 2:6, 2:6] = 1
    validation = lambda: iter([Pairs(np.where(true > 0, 0.6, 0.5), true)])  # noqa: E731
    test = lambda: iter([Pairs(np.where(true > 0, 0.3, 0.55), true)])  # noqa: E731
    found = measure(TASKS[1], lambda given, _: given, validation, test)
    assert found["F1"]["threshold"] == pytest.approx(0.51) and "0.51" in found["F1"]["note"]
    assert found["F1"]["value"] == 0  # though 0.3 would give 40 %
    found = measure(TASKS[1], lambda given, _: given, validation, validation)
    assert found["F1"]["value"] == 1
    task = dataclasses.replace(TASKS[1], tolerance=False)
    found = measure(task, lambda given, _: given, validation, validation)
    assert set(found) == {"F1", "IoU"} and found["IoU"]["value"] == 1


def test_a_perfect_picture_has_a_finite_ratio():
    pictures = np.random.default_rng(0).random([2, SIZE, SIZE, 3]).astype(np.float32)
    same = lambda: iter([Pairs(pictures, pictures)])  # noqa: E731
    found = measure(TASKS[2], lambda given, _: given, same, same)
    assert found["PSNR"]["value"] == 60 and found["SSIM"]["value"] == pytest.approx(1)


def test_a_supervised_network_learns_the_task_and_is_kept(run):
    seen = []

    def progress(items, desc, total):
        seen.append((desc, total))
        return items

    settings = dataclasses.replace(SETTINGS, baseline_steps=60, progress=progress)
    run.experiment.tasks = TASKS[:1]
    results = analyze(run, settings)
    assert ("supervised: grey to image", 60) in seen
    (path,) = (run.directory / "evaluation").iterdir()
    assert path.name == "supervised_best_grey_image_steps60_seed0.keras"
    supervised = results["colouring, PSNR: supervised, 60 steps"]
    assert supervised["value"] > results["colouring, PSNR: model"]["value"]  # which is untrained
    seen.clear()
    again = analyze(run, settings)
    assert "supervised: grey to image" not in [words for words, _ in seen]
    assert again == results
    steps = analyze(run, dataclasses.replace(settings, baseline_steps=None))
    assert "colouring, PSNR: supervised, 5 steps" in steps


def test_the_first_examples_only(run):
    run.experiment.tasks = TASKS[:1]
    results = analyze(run, dataclasses.replace(SETTINGS, max_examples=5))
    assert {result["examples"] for result in results.values()} == {5}
    image, grey = whole(run, "test", "image")[:5], whole(run, "test", "grey")[:5]
    psnr = picture_metrics.psnr(np.repeat(grey, 3, -1), image).mean()
    assert results["colouring, PSNR: grey"]["value"] == pytest.approx(psnr, abs=1e-3)


def test_tasks_that_nobody_can_do_are_left_out_or_named(run):
    run.absent = True
    results = analyze(run, SETTINGS)
    assert {result["task"] for result in results.values()} == {"colouring", "repeating"}
    run.experiment.tasks = TASKS[1:2]
    with pytest.raises(UserError, match="no example has what a task needs"):
        analyze(run, SETTINGS)
    run.experiment.tasks = ()
    with pytest.raises(UserError, match="no task for --model=mvae of --experiment=tiny"):
        analyze(run, SETTINGS)
    assert possible(TASKS, ["image", "grey"]) == [TASKS[0], TASKS[2]]
