"""Assets of a run: files made from its training data before the model, such as vocabularies.

The run directory keeps them, because the model's weights belong to them.
"""

import contextlib
import pathlib
import shutil
import tempfile
from collections.abc import Iterator

from tf_mvae.experiments import registry
from tf_mvae.training.config import RunConfig
from tf_mvae.training.incomplete import incomplete_split
from tf_mvae.training.parts import options_of
from tf_mvae.training.run_directory import RunDirectory

__all__ = ["keep_assets", "run_assets", "with_assets"]


def with_assets(config: RunConfig, directory: RunDirectory) -> RunConfig:
    """Returns the configuration with `assets_dir` set, if its experiment makes assets.

    Args:
        config: The run's configuration.
        directory: The run's directory.
    """
    if registry.get(config.experiment).prepare is None:
        return config
    return config.replace(assets_dir=str(directory.assets))


@contextlib.contextmanager
def run_assets(config: RunConfig, directory: RunDirectory) -> Iterator[RunConfig]:
    """Makes a run's assets from its training examples, unless the run has trained with some.

    They are written to a temporary folder, and `keep_assets` copies them into the run directory
    after this process has claimed it. The same data and flags make the same assets.

    Args:
        config: The run's configuration.
        directory: The run's directory.

    Yields:
        The configuration with the folder of the assets, which is valid inside the context.

    Raises:
        UserError: The data are missing or unusable, or the settings are not those of the assets.
    """
    experiment = registry.get(config.experiment)
    if experiment.prepare is None:
        yield config
        return
    options = options_of(config, experiment)
    if directory.assets.is_dir() and any(directory.checkpoints.glob("*")):
        if experiment.check_assets is not None:
            experiment.check_assets(directory.assets, **options)
        yield with_assets(config, directory)
        return
    with tempfile.TemporaryDirectory() as folder:
        split = incomplete_split(config, "train")
        experiment.prepare(split, pathlib.Path(folder), **options)
        yield config.replace(assets_dir=folder)


def keep_assets(config: RunConfig, directory: RunDirectory) -> None:
    """Copies assets into the run directory, unless they are the run's own.

    Args:
        config: The run's configuration with its `assets_dir`.
        directory: The run's directory.
    """
    if config.assets_dir is None or pathlib.Path(config.assets_dir) == directory.assets:
        return
    temporary = directory.path / ".assets.tmp"
    shutil.rmtree(temporary, ignore_errors=True)
    shutil.copytree(config.assets_dir, temporary)
    shutil.rmtree(directory.assets, ignore_errors=True)  # of a run without a checkpoint
    temporary.rename(directory.assets)
