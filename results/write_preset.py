"""Puts the model of a run among those that the package carries.

    python -m tf_mvae.train --flagfile=configs/quickstart.cfg
    python -m tf_mvae.evaluate --run_dir=runs/quickstart --analysis=accuracy,generation
    python results/write_preset.py digits runs/quickstart "Images of digits and their labels."

writes tf_mvae/pretrained/digits.keras and its model card, digits.md, whose first line is what
`tf_mvae.list_presets()` says of it. The file is without the optimizer, and its numbers are float16,
which makes it a quarter as large; a loaded model has float32.
"""

import argparse
import pathlib
import tempfile

from tf_mvae import files
from tf_mvae.models.archive import without_optimizer
from tf_mvae.serving import export_format
from tf_mvae.training import load_run, run_card
from tf_mvae.training.run_directory import RunDirectory

TARGET = pathlib.Path(__file__).parents[1] / "tf_mvae" / "pretrained"
_HEADING = "# Model card\n\n"
_MOST_BYTES = 12_000_000  # of all presets; every installation carries them


def main() -> None:
    """Writes the files of the preset that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name")
    parser.add_argument("run_dir", type=pathlib.Path)
    parser.add_argument("what", help="the model in one sentence")
    arguments = parser.parse_args()
    run = load_run(arguments.run_dir)
    card = run_card(run.config, RunDirectory(run.directory), run.metrics, run.checkpoint_step)
    with tempfile.TemporaryDirectory() as folder:
        place, _ = export_format(run.model, pathlib.Path(folder, "export"), "keras", None, card)
        text = (place / "model_card.md").read_text(encoding="utf-8")
        data = without_optimizer(place / "model.keras", dtype="float16")
        others = (path for path in TARGET.glob("*.keras") if path.stem != arguments.name)
        size = len(data) + sum(path.stat().st_size for path in others)
        if size > _MOST_BYTES:
            parser.error(f"presets would have {size:,} bytes, more than {_MOST_BYTES:,}")
        TARGET.mkdir(exist_ok=True)
        files.write_bytes(TARGET / f"{arguments.name}.keras", data)
        text = f"# {arguments.what}\n\n{text.removeprefix(_HEADING)}"
        files.write_text(TARGET / f"{arguments.name}.md", text)


if __name__ == "__main__":
    main()
