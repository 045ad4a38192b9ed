"""MultiMNIST from its config to a finished run."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from tests import processes, tiny
from tests.data.multi_mnist_test import data_dir  # noqa: F401  a fixture
from tests.experiments.configs import CONFIGS, config_of, read_flags
from tf_mvae import experiments
from tf_mvae.data.conditions import parse_conditions
from tf_mvae.errors import UserError
from tf_mvae.evaluation import ANALYSES, Settings
from tf_mvae.evaluation.transcription import transcription_accuracy
from tf_mvae.ops import random
from tf_mvae.ops.tokens import END
from tf_mvae.training import load_run, train

pytestmark = pytest.mark.usefixtures("untraced")

WORDS = ("", "start", "end", *"0123456789")


@pytest.fixture(scope="module")
def run(data_dir, tmp_path_factory):  # noqa: F811
    flags = read_flags(CONFIGS / "multi_mnist" / "mvae_cross.cfg")
    config = config_of(
        flags, data_dir=data_dir, epochs=1, annealing_epochs=1, latent_dim=8, jit_compile=False
    )
    directory = tmp_path_factory.mktemp("run") / "run"
    with pytest.MonkeyPatch.context() as patch:
        tiny.export_nothing(patch)
        train(config, directory)
    return load_run(directory, "last")


def test_a_run_leaves_pictures_of_texts(run):
    names = {path.stem for path in (run.directory / "pictures").glob("*.png")}
    assert {"samples", "reconstructions", "image_given_text", "text_given_image"} <= names


def test_a_run_is_evaluated(traced, run):
    found = ANALYSES["transcription"].analyze(run, Settings(num_samples=2))
    whole = "text | image, whole"
    symbols = "text | image, symbols"
    assert set(found) == {n + same for n in (whole, symbols) for same in ("", ": always the same")}
    assert found["text | image, whole"]["examples"] == 30
    likelihood = ANALYSES["log_likelihood"].analyze(run, Settings(num_samples=5, max_examples=10))
    assert np.isfinite([result["value"] for result in likelihood.values()]).all()


def test_shares_are_counted_as_a_loop_counts_them(run):
    batch = next(iter(run.batches("test", 12)))
    mask = {"image": np.ones(12, np.float32), "text": np.arange(12) % 3 > 0}
    found = transcription_accuracy(run.model, [{"x": batch["x"], "mask": mask}], 3)
    whole = symbols = places = 0
    texts = [tuple(row) for row in batch["x"]["text"].numpy()[mask["text"]]]
    z = run.model.latent_samples(
        {"image": batch["x"]["image"]},
        3,
        {"image": mask["image"]},
        random.fold_in(tf.constant([0, 22]), 0),
    )
    said = run.model.from_latent(z, names=["text"])["text"].numpy()
    for row in np.flatnonzero(mask["text"]):
        true = batch["x"]["text"].numpy()[row]
        for sample in said[:, row]:
            longer = max(_length(sample), _length(true))
            right = int((sample[:longer] == true[:longer]).sum())
            whole, symbols, places = whole + (right == longer), symbols + right, places + longer
    assert found["text | image, whole"]["value"] == pytest.approx(whole / 24)
    assert found["text | image, symbols"]["value"] == pytest.approx(symbols / places)
    constant = found["text | image, whole: always the same"]["value"]
    assert constant == pytest.approx(max(texts.count(text) for text in texts) / len(texts))
    usual = max(texts, key=texts.count)
    longer = [max(_length(np.array(usual)), _length(np.array(text))) for text in texts]
    right = sum(np.equal(usual, text)[:n].sum() for text, n in zip(texts, longer, strict=True))
    assert found["text | image, symbols: always the same"]["value"] == right / sum(longer)


def _length(tokens):
    ends = np.flatnonzero(tokens <= END)
    return len(tokens) if not len(ends) else ends[0] + (tokens[ends[0]] == END)


def test_a_string_is_given_and_a_canvas_is_drawn(run):
    flags = [f"--run_dir={run.directory}", "--checkpoint=last", "--num_samples=2"]
    done = processes.run("-m", "tf_mvae.generate", *flags, "--condition=text=0123")
    path = run.directory / "generated" / "text=0123.png"
    assert (done.returncode, done.stdout) == (0, f"2 samples given text=0123: {path}\n"), done
    assert path.is_file()


@pytest.mark.parametrize(
    ("text", "ids"), [("0123", [3, 4, 5, 6, 2]), ("9", [12, 2, 0, 0, 0]), ("", [2, 0, 0, 0, 0])]
)
def test_a_condition_is_the_string_and_nothing_the_empty_canvas(run, text, ids):
    modalities = run.model.modalities
    found = parse_conditions([f"text={text}"], modalities, run.tokenizers())
    assert found["text"].tolist() == [ids]
    with pytest.raises(UserError, match="condition 'text=x': 'x' is no string of 0 to 4 digits"):
        parse_conditions(["text=x"], modalities, run.tokenizers())


def test_models_without_a_sequence_are_named(run):
    other = dataclasses.replace(run, model=tiny.make_model())
    with pytest.raises(UserError, match="--analysis=transcription needs a model"):
        ANALYSES["transcription"].analyze(other, Settings())


@pytest.mark.parametrize(
    ("tokens", "text"),
    [([4, 7, 2, 0, 0], "14"), ([2, 0, 0, 0, 0], ""), ([3, 4, 5, 6, 7], "01234"), ([9, 0, 5], "6")],
)
def test_rows_of_ids_are_spelled(tokens, text):
    likelihood = experiments.get("multi_mnist").modalities({}, {})[1].likelihood
    assert likelihood.words == WORDS
    assert likelihood.text([tokens]) == [text]
