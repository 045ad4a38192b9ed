"""What a run makes of its training data before its model, and keeps next to its weights."""

import contextlib
import pathlib
import shutil
import tempfile
from collections.abc import Iterator

from tf_mvae.experiments import registry
from tf_mvae.training.build import options_of
from tf_mvae.training.config import RunConfig
from tf_mvae.training.incomplete import incomplete_split
from tf_mvae.training.run_directory import RunDirectory

__all__ = ["keep_assets", "run_assets", "with_assets"]


def with_assets(config: RunConfig, directory: RunDirectory) -> RunConfig:
    """Returns a run's configuration with the place of its assets, if its experiment has some."""
    if registry.get(config.experiment).prepare is None:
        return config
    return config.replace(assets_dir=str(directory.assets))


@contextlib.contextmanager
def run_assets(config: RunConfig, directory: RunDirectory) -> Iterator[RunConfig]:
    """Makes a run's assets, of what its training may see, unless the run has them already.

    They are made apart, and `keep_assets` puts them into the run directory once it is the
    run's; the same data and flags make the same ones.

    Args:
        config: The run's configuration.
        directory: Its directory.

    Yields:
        The configuration with the place of the assets, for as long as the run is trained.

    Raises:
        UserError: The data are not there, or nothing can be made of them.
    """
    experiment = registry.get(config.experiment)
    if experiment.prepare is None or directory.assets.is_dir():
        yield with_assets(config, directory)
        return
    with tempfile.TemporaryDirectory() as folder:
        split, options = incomplete_split(config, "train"), options_of(config, experiment)
        experiment.prepare(split, pathlib.Path(folder), **options)
        yield config.replace(assets_dir=folder)


def keep_assets(config: RunConfig, directory: RunDirectory) -> None:
    """Copies assets into the run directory, all or none, unless they are there."""
    if config.assets_dir is None or directory.assets.is_dir():
        return
    temporary = directory.path / ".assets.tmp"
    shutil.rmtree(temporary, ignore_errors=True)
    shutil.copytree(config.assets_dir, temporary)
    temporary.rename(directory.assets)
