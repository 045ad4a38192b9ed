"""The export of translation models, from sentences to sentences."""

import json
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

from tests import tiny
from tests.serving.server_tools import started
from tf_mvae import MVAE, Modality, UserError, likelihoods
from tf_mvae.data.multi_mnist import DigitString
from tf_mvae.data.vocabulary import Vocabulary
from tf_mvae.layers import RecurrentDecoder, RecurrentEncoder, mlp_decoder
from tf_mvae.models.sentences import say
from tf_mvae.ops import random
from tf_mvae.serving import export_text
from tf_mvae.serving.server.saved_model import ServedVersion

TEXT = {
    "en": ["Open the file", "Close the file", "Open this window", "Close this window now"] * 3,
    "vi": ["Mở tập tin", "Đóng tập tin", "Mở cửa sổ này", "Đóng cửa sổ này ngay"] * 3,
}
LENGTH = 20

# A Python that has this package in its way but never imports it.
LOADER = """
import sys, json
import tensorflow as tf
import tensorflow_text
served = tf.saved_model.load(sys.argv[1]).signatures["serving_default"]
given = {k: tf.constant(v) for k, v in json.loads(sys.argv[2]).items()}
said = served(**given, seed=tf.constant([0, 7]))
print(json.dumps({k: [t.decode() for t in v.numpy()] for k, v in said.items()}))
assert not [name for name in sys.modules if name.startswith("tf_mvae")]
"""


@pytest.fixture(scope="module")
def vocabularies():
    return {name: Vocabulary.train(sentences, 50) for name, sentences in TEXT.items()}


@pytest.fixture(scope="module")
def model(vocabularies):
    modalities = []
    for name, vocabulary in vocabularies.items():
        size = vocabulary.size
        network = RecurrentDecoder(size, 8, 8, 1)
        likelihood = likelihoods.TokenSequence(size, LENGTH, network, 8, vocabulary.pieces)
        encoder = RecurrentEncoder(size, 8, 8)
        modalities.append(Modality(name, likelihood, encoder, mlp_decoder([8], [8])))
    model = MVAE(modalities, 3)
    rng = np.random.default_rng(4)  # far from 0, so that sentences depend on what is given
    model.set_weights([rng.normal(0, 1.0, w.shape) for w in model.get_weights()])
    return model


def test_sentences_in_and_out_are_the_models_own(model, vocabularies, tmp_path):
    place = export_text(model, vocabularies, tmp_path / "served")
    assert place == tmp_path / "served" / "1"
    given = {
        "en": ["Open the file", "", "  Close this window ", ""],
        "vi": ["", "Đóng cửa sổ này ngay", "Đóng cửa sổ này", " "],
    }
    command = [sys.executable, "-c", LOADER, str(place), json.dumps(given)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    ids = {n: vocabularies[n].encode([t.strip() for t in v], LENGTH)[0] for n, v in given.items()}
    mask = {name: (value[:, 0] > 0).astype(np.float32) for name, value in ids.items()}
    posterior = model.posterior(ids, mask)
    noise = random.stateless_normal([8, 4, 3], tf.constant([0, 7]))
    z = posterior.mean() + posterior.stddev() * noise
    said = {}
    for modality in model.modalities:
        found = say(model, z, modality.name)[0][:, 0]
        said[modality.name] = modality.likelihood.text(found)
    assert json.loads(done.stdout) == said
    assert len(set(said["vi"])) > 1


def test_the_description_and_the_card_lie_beside_it(model, vocabularies, tmp_path):
    place = export_text(model, vocabularies, tmp_path / "served", version=3)
    description = json.loads((place / "assets.extra" / "tf_mvae.json").read_text())
    assert description["targets"] == ["en", "vi"] and description["format"] == "text"
    assert (place / "assets.extra" / "model_card.md").exists()


def test_the_server_takes_and_gives_sentences(model, vocabularies, tmp_path):
    place = export_text(model, vocabularies, tmp_path / "talks")
    given = {"en": ["Open the file", ""], "vi": ["", "Đóng cửa sổ này ngay"], "seed": [0, 7]}
    tensors = {name: tf.constant(value) for name, value in given.items()}
    said = tf.saved_model.load(str(place)).signatures["serving_default"](**tensors)
    said = {name: [text.decode() for text in value.numpy()] for name, value in said.items()}
    # A process, as nothing there has imported the operations before.
    with started(f"--model_dir={place.parent}", name="talks") as (_, client, lines):
        assert client.columns("serving_default", **given) == said
    assert "not warmed up" not in [line["event"] for line in lines]


def test_a_server_without_the_operations_says_what_it_lacks(
    model, vocabularies, tmp_path, monkeypatch
):
    place = export_text(model, vocabularies, tmp_path / "talks")
    monkeypatch.setitem(sys.modules, "tensorflow_text", None)
    with pytest.raises(UserError, match=r"tensorflow-text.*pip install 'tf-mvae\[translation\]'"):
        ServedVersion(place, 1)


def test_models_of_something_else_and_a_missing_package_are_told(
    model, vocabularies, tmp_path, monkeypatch
):
    with pytest.raises(UserError, match="all of whose modalities are text"):
        export_text(tiny.make_model(), {}, tmp_path / "served")
    with pytest.raises(UserError, match="text in sub-words"):
        export_text(model, dict.fromkeys(TEXT, DigitString()), tmp_path / "served")
    monkeypatch.setitem(sys.modules, "tensorflow_text", None)
    with pytest.raises(UserError, match=r"pip install 'tf-mvae\[translation\]'"):
        export_text(model, vocabularies, tmp_path / "served")
    assert not (tmp_path / "served").exists()
