"""Trains and evaluates the runs behind results/results.md, one after another.

`python results/run_results.py --data_dir=DIR --runs_dir=RUNS [NAME …]` takes up whatever is
not finished yet; without names all runs are made, in the order below, but for those of
`transformations-`, `attributes-` and `translation-`, which take `--dataset_dir` (or TFDS's celeb_a
and ted_multi_translate), and `imputation`, which takes `--table`; the name of these data is put
behind the run's. Each leaves `results/runs/NAME/`:
`flags.cfg` and `evaluation.json`, and a picture or some sentences of some.
Then `python results/write_results.py` writes the tables.
"""

import argparse
import json
import pathlib
import re
import shutil
import subprocess
import sys
from typing import Any

import tensorflow as tf
from result_runs import OTHER_DATA, RUNS, SAME_NETWORKS, evaluations
from result_tables.sentence_files import keep_sentences

from tf_mvae.training.places import data_name

HERE = pathlib.Path(__file__).parent
ROOT = HERE.parent

# What the documents show of a run, where it has them.
_PICTURES = (
    "image_given_attributes",
    "image_given_caption",
    "image_given_text",
    "image_given_label",
    "sampled_colourisation",
    "tasks",
)
_SENTENCES = ("translation", "translation_baseline")
_FIRST = 4  # sentences of each direction
_DONE = "evaluations_done.json"


def run(module: str, *flags: str) -> None:
    """Runs one of the package's commands."""
    subprocess.run([sys.executable, "-m", f"tf_mvae.{module}", *flags], cwd=ROOT, check=True)


def take_networks(run_dir: pathlib.Path, name: str) -> None:
    """Copies the supervised networks of the run that has the same ones, if it has been made."""
    if name not in SAME_NETWORKS:
        return
    other = run_dir.with_name(run_dir.name.replace(name, SAME_NETWORKS[name], 1))
    (run_dir / "evaluation").mkdir(exist_ok=True)
    for path in (other / "evaluation").glob("supervised_*.keras"):
        target = run_dir / "evaluation" / path.name
        if not target.exists():
            shutil.copy(path, target)


def evaluated(run_dir: pathlib.Path, flags: list[str]) -> bool:
    """Says whether a run has what flags ask for, made with these flags, of its newest weights."""
    return _done(run_dir).get(" ".join(flags)) == _left(run_dir, flags)


def note(run_dir: pathlib.Path, flags: list[str]) -> None:
    """Keeps what an evaluation left, so that `evaluated` knows it."""
    done = _done(run_dir) | {" ".join(flags): _left(run_dir, flags)}
    (run_dir / _DONE).write_text(json.dumps(done, indent=1))


def _done(run_dir: pathlib.Path) -> dict[str, Any]:
    path = run_dir / _DONE
    return json.loads(path.read_text()) if path.exists() else {}


def _left(run_dir: pathlib.Path, flags: list[str]) -> dict[str, Any]:
    """Returns when the weights were written, and the analyses that flags name as they stand."""
    weights = [*(run_dir / "checkpoints").iterdir(), *run_dir.glob("sampler/checkpoints/*")]
    report = run_dir / "evaluation.json"
    found = json.loads(report.read_text()) if report.exists() else {}
    names = flags[0].removeprefix("--analysis=").split(",")
    newest = max(path.stat().st_mtime for path in weights)
    return {"weights": newest, "analyses": {name: found.get(name) for name in names}}


def keep(run_dir: pathlib.Path, target: pathlib.Path) -> None:
    """Copies what the tables are made of; without the place of the data."""
    target.mkdir(parents=True, exist_ok=True)
    lines = (run_dir / "flags.cfg").read_text().splitlines(keepends=True)
    kept = [_named(line) for line in lines if not line.startswith("--data_dir")]
    (target / "flags.cfg").write_text("".join(kept))
    shutil.copy(run_dir / "evaluation.json", target)
    for name in _PICTURES:
        path = run_dir / "pictures" / f"{name}.png"
        if path.exists():  # a JPEG is a tenth as large
            pixels = tf.io.decode_png(path.read_bytes(), channels=3)
            (target / f"{name}.jpg").write_bytes(tf.io.encode_jpeg(pixels, quality=80).numpy())
    for name in _SENTENCES:
        path = run_dir / "evaluation" / f"{name}.txt"
        if path.exists():
            keep_sentences(path, target / path.name, _FIRST)


def _named(line: str) -> str:
    """Leaves a data set's name and version of where it lay."""
    flag, _, path = line.rstrip("\n").partition("=")
    if flag not in ("--dataset_dir", "--table", "--schema"):
        return line
    return f"{flag}={data_name(path)}\n"


def main() -> None:
    """Makes the runs that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data_dir", required=True)
    parser.add_argument("--runs_dir", type=pathlib.Path, default=ROOT / "runs")
    parser.add_argument(
        "--dataset_dir", help="for transformations-…, attributes-… and translation-…"
    )
    parser.add_argument("--table", help="for imputation: a file, or a folder of files")
    parser.add_argument("--schema", help="for imputation: the table's, if not inferred")
    parser.add_argument("--evaluate_only", action="store_true", help="also if it was done before")
    parser.add_argument("--train_only", action="store_true")
    parser.add_argument("names", nargs="*", metavar="NAME")
    arguments = parser.parse_args()
    unknown = set(arguments.names) - set(RUNS)
    if unknown:
        parser.error(f"{sorted(unknown)} are no runs; there are {', '.join(RUNS)}")
    usual = [name for name in RUNS if not name.startswith(tuple(OTHER_DATA))]
    for name in arguments.names or usual:
        place = OTHER_DATA.get(name.partition("-")[0])
        given = place and getattr(arguments, place)
        other = given and str(pathlib.Path(given).resolve())
        called = f"{name}-{re.split(r'[./]', data_name(other))[0]}" if other else name
        run_dir = (arguments.runs_dir / called).resolve()
        data = f"--data_dir={pathlib.Path(arguments.data_dir).resolve()}"
        if not arguments.evaluate_only:
            flags = [f"--{place}={other}"] if other else []
            if other and arguments.schema and place == "table":
                flags.append(f"--schema={pathlib.Path(arguments.schema).resolve()}")
            run("train", *RUNS[name], *flags, data, f"--run_dir={run_dir}")
        if not arguments.train_only:
            take_networks(run_dir, name)
            for flags in evaluations(name):
                if arguments.evaluate_only or not evaluated(run_dir, flags):
                    run("evaluate", *flags, data, f"--run_dir={run_dir}")
                    note(run_dir, flags)
            keep(run_dir, HERE / "runs" / called)


if __name__ == "__main__":
    main()
