"""Models are uploaded to a stand-in for the Hugging Face Hub and load unchanged."""

import pathlib
import shutil
import sys
import types

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
