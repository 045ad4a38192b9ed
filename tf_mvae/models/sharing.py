"""Models on the Hugging Face Hub: `.keras` files with a model card, loaded in safe mode."""

import importlib
import os
import pathlib
import shutil
import tempfile
import zipfile
import zlib
from typing import Any

import keras

from tf_mvae import files
from tf_mvae.errors import UserError
from tf_mvae.extras import needing
from tf_mvae.models.archive import without_optimizer

__all__ = ["SharedModel", "from_hub", "load_shared", "upload"]

_FILE = "model.keras"
_CARD = "README.md"
# What reading a damaged `.keras` file raises, apart from errors of many causes.
_OF_ARCHIVES = (EOFError, zipfile.BadZipFile, zlib.error)
# The metadata of a model card that the Hub uses.
_HEADER = "---\nlibrary_name: tf_mvae\ntags:\n- multimodal\n- variational-autoencoder\n---\n\n"
_USE = """
## Use

```python
import tf_mvae

model = tf_mvae.from_hub("{repo_id}")
model.sample(16)
```
"""


class SharedModel:
    """Methods of models for the Hugging Face Hub."""

    def push_to_hub(
        self,
        repo_id: str,
        card: str = "",
        private: bool | None = None,
        token: str | None = None,
    ) -> str:
        """Uploads the model, with its sampler, to the Hugging Face Hub.

        The repository gets `model.keras`, without the optimizer, and `README.md`. It is created if
        it does not exist.
        `python -m tf_mvae.export --format=keras --push_to_hub=NAME` uploads a run's model with
        the model card of the run.

        Args:
            repo_id: `USER/NAME`.
            card: The text of the model card, Markdown; default: class and modalities.
            private: Whether others cannot see it; default: as the account is configured.
            token: The access token; default: that of `hf auth login` or `HF_TOKEN`.

        Returns:
            The address of the commit.

        Raises:
            UserError: `huggingface_hub` is not installed, or the Hub refuses the upload.

        Example:
        ```python
        model.push_to_hub("me/digits", "# Digits, of MNIST")
        again = tf_mvae.from_hub("me/digits")
        ```
        """
        with tempfile.TemporaryDirectory() as folder:
            self.save(os.path.join(folder, _FILE))
            return upload(folder, card or _card(self), repo_id, private, token)


def from_hub(repo_id: str, revision: str | None = None, token: str | None = None) -> Any:
    """Downloads a model that `push_to_hub` uploaded.

    It is loaded in Keras' safe mode: nothing is unpickled and no code of the repository is run.

    Args:
        repo_id: `USER/NAME`.
        revision: A branch, a tag or a commit; name a commit to get the same model every time.
        token: The access token; default: that of `hf auth login` or `HF_TOKEN`.

    Returns:
        The model, a `BaseVAE`.

    Raises:
        UserError: `huggingface_hub` is not installed, there is no such repository, or what it
            has is not a model of this package.

    Example:
    ```python
    model = tf_mvae.from_hub("me/digits")
    model.generate({"label": [7]}, num_samples=16)["image"]
    ```
    """
    hub = _hub()
    try:
        path = hub.hf_hub_download(repo_id, _FILE, revision=revision, token=token)
    except _errors() as error:
        raise UserError(f"{repo_id} cannot be downloaded: {_first_line(error)}") from error
    return load_shared(path, f"{_FILE} of {repo_id}")


def load_shared(path: str | os.PathLike, what: str) -> Any:
    """Loads a `.keras` file in Keras' safe mode.

    Args:
        path: The file.
        what: What a message calls it.

    Raises:
        UserError: It cannot be loaded, or is not a model of this package.
    """
    if os.fspath(path).endswith(".keras") and not zipfile.is_zipfile(path):
        raise UserError(f"{what} cannot be loaded: it is damaged, or not a .keras file")
    try:
        model = keras.models.load_model(path, safe_mode=True)
    except (KeyError, OSError, TypeError, ValueError, *_OF_ARCHIVES) as error:
        raise UserError(f"{what} cannot be loaded: {_first_line(error)}") from error
    if not isinstance(model, SharedModel):
        raise UserError(f"{what} is a {type(model).__name__}, no model of tf_mvae")
    return model


def upload(
    folder: str | os.PathLike,
    card: str,
    repo_id: str,
    private: bool | None = None,
    token: str | None = None,
) -> str:
    """Uploads a folder with a `model.keras`, and a model card; returns the commit's address.

    Args:
        folder: The folder.
        card: The model card, Markdown.
        repo_id: See `SharedModel.push_to_hub`, as for the others.
        private: Whether others cannot see it.
        token: The access token.

    Raises:
        UserError: `huggingface_hub` is not installed, or the Hub refuses the upload.
    """
    hub = _hub()
    api = hub.HfApi(token=token)
    with tempfile.TemporaryDirectory() as copy:
        ignored = shutil.ignore_patterns(_FILE)  # it is written without the optimizer
        shutil.copytree(folder, copy, dirs_exist_ok=True, ignore=ignored)
        files.write_bytes(os.path.join(copy, _FILE), without_optimizer(os.path.join(folder, _FILE)))
        text = f"{_HEADER}{card.strip()}\n{_USE.format(repo_id=repo_id)}"
        pathlib.Path(copy, _CARD).write_text(text, encoding="utf-8")
        try:
            api.create_repo(repo_id, private=private, exist_ok=True)
            commit = api.upload_folder(repo_id=repo_id, folder_path=copy)
        except _errors() as error:
            raise UserError(f"{repo_id} cannot be uploaded: {_first_line(error)}") from error
    return str(commit)


def _card(model: Any) -> str:
    rows = [f"| {m.name} | {type(m.likelihood).__name__} |" for m in model.modalities]
    table = "\n".join(["| modality | likelihood |", "|---|---|", *rows])
    return f"# {type(model).__name__}\n\nA latent of {model.latent_dim} dimensions.\n\n{table}"


def _hub() -> Any:
    with needing("sharing models", "hub"):
        return importlib.import_module("huggingface_hub")


def _errors() -> tuple[type[Exception], ...]:
    """Returns the exceptions that the Hub raises: of HTTP, of names, of connections."""
    errors = importlib.import_module("huggingface_hub.errors")
    return (errors.HfHubHTTPError, ValueError, OSError)


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
