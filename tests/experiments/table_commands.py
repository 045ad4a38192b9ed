"""Commands on a table and its run, in processes of their own."""

import pathlib
import subprocess

from tests import processes


def command(name: str, *flags: object) -> subprocess.CompletedProcess:
    """Runs `python -m tf_mvae.NAME` with flags."""
    return processes.run("-m", f"tf_mvae.{name}", *flags, cwd=pathlib.Path.cwd())


def impute(folder: pathlib.Path, *flags: object) -> subprocess.CompletedProcess:
    """Fills `data.csv` of a folder by the run in its `run`; flags name the output."""
    return command(
        "impute", f"--run_dir={folder / 'run'}", f"--input={folder / 'data.csv'}", *flags
    )
