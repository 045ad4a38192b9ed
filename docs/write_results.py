"""Writes the README's table of results from the files that runs left.

`python docs/write_results.py [RUN_DIR …]` first copies `flags.cfg` and `evaluation.json`
of the runs named into `docs/results/`, by experiment and cross weight, then writes the
table from all that is there.
"""

import json
import pathlib
import re
import shutil
import sys

HERE = pathlib.Path(__file__).parent
README = HERE.parent / "README.md"


def read_flags(folder: pathlib.Path) -> dict[str, str]:
    """Reads a run's flagfile."""
    lines = (folder / "flags.cfg").read_text().splitlines()
    return dict(line.removeprefix("--").split("=", 1) for line in lines)


def keep(run_dir: pathlib.Path) -> None:
    """Copies what a run's row of the table is made of; where its data lay is left out."""
    flags = read_flags(run_dir)
    objective = "paper" if "=0.0" in flags["cross_weight"] else "cross"
    target = HERE / "results" / f"{flags['experiment']}_{flags['model']}_{objective}"
    target.mkdir(parents=True, exist_ok=True)
    text = "".join(f"--{k}={v}\n" for k, v in flags.items() if k != "data_dir")
    (target / "flags.cfg").write_text(text)
    shutil.copy(run_dir / "evaluation.json", target)


def row(folder: pathlib.Path) -> str:
    """Returns a run's line of the table."""
    flags = read_flags(folder)
    report = json.loads((folder / "evaluation.json").read_text())
    results = {**report["accuracy"]["results"], **report["coherence"]["results"]}
    cells = [flags["experiment"], flags["likelihood_weight"], flags["cross_weight"]]
    cells += [f"{flags['epochs']} / {flags['annealing_epochs']}"]
    for name in (
        "label | image",
        "image | label",
        "image, label from the prior",
        "judge on real image",
    ):
        result = results[name]
        cells.append(f"{100 * result['value']:.1f} ± {100 * result['standard_error']:.1f} %")
    return "| " + " | ".join(cells) + " |"


def main() -> None:
    """Copies, then writes the table."""
    for argument in sys.argv[1:]:
        keep(pathlib.Path(argument))
    head = [
        "| data | likelihood weight | cross weight | epochs / annealing | label read off the image "
        "| image from the label named right | image and label from the prior agree "
        "| classifier on real images |",
        "|---|---|---|---|---|---|---|---|",
    ]
    rows = [row(folder) for folder in sorted((HERE / "results").iterdir())]
    table = "\n".join([*head, *rows])
    pattern = r"(<!-- results -->\n).*?(<!-- /results -->)"
    text = re.sub(pattern, lambda m: f"{m[1]}{table}\n{m[2]}", README.read_text(), flags=re.S)
    README.write_text(text)


if __name__ == "__main__":
    main()
