"""Helpers that read the configs of this repository."""

import pathlib
import tempfile
from typing import Any

from tf_mvae import command
from tf_mvae.training import RunConfig

CONFIGS = pathlib.Path(__file__).parents[2] / "configs"


def read_flags(path: pathlib.Path) -> dict[str, str]:
    """Reads a config's flags, those of the flagfiles that it includes too."""
    lines = command.expand_flagfiles([f"--flagfile={path}"])
    return dict(line.removeprefix("--").split("=", 1) for line in lines)


def config_of(flags: dict[str, str], **changes: Any) -> RunConfig:
    """Returns the configuration that flags describe, with fields of it changed."""
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "flags.cfg"
        path.write_text("".join(f"--{name}={value}\n" for name, value in flags.items()))
        return RunConfig.read(path).replace(**changes)
