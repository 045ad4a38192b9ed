"""Commands on a table and its run, in processes of their own."""

import pathlib
import subprocess
import sys


def command(name: str, *flags: object) -> subprocess.CompletedProcess:
    """Runs `python -m tf_mvae.NAME` with flags."""
    return subprocess.run(
        [sys.executable, "-m", f"tf_mvae.{name}", *map(str, flags)], capture_output=True, text=True
    )


def impute(folder: pathlib.Path, *flags: object) -> subprocess.CompletedProcess:
    """Fills `data.csv` of a folder by the run in its `run`; flags name the output."""
    return command(
        "impute", f"--run_dir={folder / 'run'}", f"--input={folder / 'data.csv'}", *flags
    )
