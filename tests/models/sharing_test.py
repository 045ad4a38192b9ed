"""Models are uploaded to a stand-in for the Hugging Face Hub and load unchanged."""

import io
import pathlib
import shutil
import sys
import types
import zipfile

import h5py
import keras
import numpy as np
import pytest

import tf_mvae
from tests import tiny
from tf_mvae.errors import UserError


@pytest.fixture
def hub(monkeypatch, tmp_path):
    """A `huggingface_hub` whose repositories are folders."""

    class HTTPError(OSError):
        pass

    class HfApi:
        def __init__(self, token=None):
            self.token = token

        def create_repo(self, repo_id, private=None, exist_ok=False):
            if self.token == "wrong":
                raise HTTPError("401 Client Error.\nDetails follow.")
            (tmp_path / repo_id).mkdir(parents=True, exist_ok=exist_ok)

        def upload_folder(self, repo_id, folder_path):
            shutil.copytree(folder_path, tmp_path / repo_id, dirs_exist_ok=True)
            return f"https://hub/{repo_id}/commit/1"

    def hf_hub_download(repo_id, filename, revision=None, token=None):
        path = tmp_path / repo_id / filename
        if not path.exists():
            raise HTTPError(f"404 Client Error: {repo_id}")
        return str(path)

    module = types.ModuleType("huggingface_hub")
    module.HfApi, module.hf_hub_download = HfApi, hf_hub_download
    errors = types.ModuleType("huggingface_hub.errors")  # as in the package, no attribute of it
    errors.HfHubHTTPError = HTTPError
    monkeypatch.setitem(sys.modules, "huggingface_hub", module)
    monkeypatch.setitem(sys.modules, "huggingface_hub.errors", errors)
    return tmp_path


def test_a_model_comes_back_the_same(hub):
    model = tiny.make_model()
    assert model.push_to_hub("me/tiny").endswith("me/tiny/commit/1")
    again = tf_mvae.from_hub("me/tiny")
    for one, other in zip(model.get_weights(), again.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    card = (hub / "me/tiny/README.md").read_text()
    assert card.startswith("---\nlibrary_name: tf_mvae")
    assert "# MVAE" in card and "| label | Categorical |" in card
    assert 'tf_mvae.from_hub("me/tiny")' in card


def test_the_optimizer_stays_at_home(hub, tmp_path):
    model = tiny.make_model()
    model.compile(keras.optimizers.Adam(1e-3))
    model.fit(tiny.make_batch(), epochs=1, batch_size=2, verbose=0)
    model.save(tmp_path / "whole.keras")
    model.push_to_hub("me/trained")
    again = tf_mvae.from_hub("me/trained")
    assert not again.compiled
    for one, other in zip(model.weights, again.weights, strict=True):
        np.testing.assert_array_equal(one, other)
    whole, uploaded = (
        weights_in(tmp_path / name) for name in ("whole.keras", "me/trained/model.keras")
    )
    assert {name for name in whole if name.startswith("optimizer")}
    assert uploaded == {name for name in whole if not name.startswith("optimizer")}


def weights_in(path):
    """Returns the names of all groups and arrays of a `.keras` archive."""
    found = set()
    with zipfile.ZipFile(path) as archive, archive.open("model.weights.h5") as file:
        with h5py.File(io.BytesIO(file.read()), "r") as weights:
            weights.visit(found.add)
    return found


def test_mistakes_are_one_line(hub, monkeypatch):
    with pytest.raises(UserError, match="^me/tiny cannot be uploaded: 401 Client Error.$"):
        tiny.make_model().push_to_hub("me/tiny", token="wrong")
    with pytest.raises(UserError, match="^me/none cannot be downloaded: 404 Client Error"):
        tf_mvae.from_hub("me/none")
    (hub / "me" / "other").mkdir(parents=True)
    path = hub / "me" / "other" / "model.keras"
    path.write_text("no archive")
    with pytest.raises(UserError, match="^model.keras of me/other cannot be loaded"):
        tf_mvae.from_hub("me/other")
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(UserError, match=r"pip install 'tf-mvae\[hub\]'"):
        tf_mvae.from_hub("me/tiny")


def test_code_of_a_repository_is_not_run(hub):
    folder = hub / "me" / "unsafe"
    folder.mkdir(parents=True)
    model = keras.Sequential([keras.Input([1]), keras.layers.Lambda(lambda x: x)])
    model.save(pathlib.Path(folder, "model.keras"))
    with pytest.raises(UserError, match="^model.keras of me/unsafe cannot be loaded: .*[Ll]ambda"):
        tf_mvae.from_hub("me/unsafe")
