"""Trains and evaluates the runs behind docs/results.md, one after another.

`python docs/run_results.py --data_dir=DIR --runs_dir=RUNS [NAME …]` takes up whatever is
not finished yet; without names all runs are made, in the order below, but for those of
`transformations-`, `attributes-` and `translation-`, which take `--dataset_dir` (or TFDS's celeb_a
and ted_multi_translate), whose name is put behind the run's. Each leaves `docs/results/NAME/`:
`flags.cfg` and `evaluation.json`, and a picture or some sentences of some.
Then `python docs/write_results.py` writes the tables.
"""

import argparse
import collections
import json
import pathlib
import shutil
import subprocess
import sys
from collections.abc import Sequence

import tensorflow as tf

from tf_mvae.training.config import data_name

HERE = pathlib.Path(__file__).parent
ROOT = HERE.parent

# What is trained: name -> flags of tf_mvae.train, beside where data and run are.
_SHORT = "--flagfile=configs/short.cfg"
RUNS = {
    f"{experiment}-{model}": [f"--flagfile=configs/{experiment}/{model}.cfg", _SHORT]
    for experiment, models in (
        ("binary_mnist", ("mvae", "vae", "jmvae", "cvae", "bivcca", "mvae_q")),
        ("mnist", ("mvae", "vae", "jmvae")),
    )
    for model in models
}
for _seed in (1, 2):
    RUNS[f"binary_mnist-mvae-seed{_seed}"] = [*RUNS["binary_mnist-mvae"], f"--seed={_seed}"]
# A quarter of that: convolutions take seven times as long on a CPU.
RUNS |= {
    f"fashion_mnist-{model}": [
        f"--flagfile=configs/fashion_mnist/{model}.cfg",
        *("--epochs=25", "--annealing_epochs=10", "--learning_rate_schedule=cosine"),
    ]
    for model in ("mvae", "jmvae")
}
# The paper's length, at its constant learning rate and at one that falls.
RUNS["binary_mnist-mvae-500"] = ["--flagfile=configs/binary_mnist/mvae.cfg"]
RUNS["binary_mnist-mvae-500-cosine"] = [
    *RUNS["binary_mnist-mvae-500"],
    "--learning_rate_schedule=cosine",
]


# The trials of docs/objectives.md: the weights of the engine's terms.
_TRIAL = [
    "--experiment=mnist",
    "--epochs=20",
    "--annealing_epochs=10",
    "--likelihood_weight=image=1,label=1",
]
_PAPER = ["--likelihood_weight=image=1,label=50", "--cross_weight=image=0,label=0"]
RUNS |= {
    "objective-paper": [*_TRIAL, *_PAPER],
    "objective-label0.1": [*_TRIAL, "--term_weight=label=0.1"],
    "objective-label0.15": [*_TRIAL, "--term_weight=label=0.15"],
    "objective-weight2-label0.1": [
        *_TRIAL,
        "--likelihood_weight=image=1,label=2",
        "--term_weight=label=0.1",
    ],
    "objective-label0.1-cosine": [
        *_TRIAL,
        "--term_weight=label=0.1",
        "--learning_rate_schedule=cosine",
    ],
    "objective-weight2-label0.05": [
        *_TRIAL,
        "--likelihood_weight=image=1,label=2",
        "--term_weight=label=0.05",
    ],
    "objective-weight5-label0.1": [
        *_TRIAL,
        "--likelihood_weight=image=1,label=5",
        "--term_weight=label=0.1",
    ],
    "objective-everything0.1-label0.1": [*_TRIAL, "--term_weight=everything=0.1,label=0.1"],
}
# The same at the length of docs/results.md.
_LONG = ["--experiment=mnist", _SHORT, "--steps_per_execution=10"]
RUNS |= {
    "objective-long-paper": [*_LONG, *_PAPER],
    **{
        f"objective-long-label{weight}": [
            *_LONG,
            "--likelihood_weight=image=1,label=1",
            f"--term_weight=label={weight}",
        ]
        for weight in (0.1, 0.15)
    },
}
RUNS |= {
    "coherence-mnist-mvae_cross": ["--flagfile=configs/mnist/mvae_cross.cfg"],
    "coherence-mnist-mvae_paper": ["--flagfile=configs/mnist/mvae.cfg", *_TRIAL[1:3]],
}

# The trials of docs/weak_supervision.md, at 0.5 % paired.
_WEAK = [
    "--experiment=mnist",
    "--paired_fraction=0.005",
    "--paired_share=0.2",
    "--learning_rate_schedule=cosine",
    "--term_weight=label=1",
]
_LABEL_10 = "--likelihood_weight=image=1,label=10"
_SHORT_WEAK = [*_WEAK, _LABEL_10, "--epochs=8"]
RUNS |= {
    "weak-label10": [*_WEAK, _LABEL_10, "--epochs=19", "--annealing_epochs=9"],
    "weak-label1": [
        *_WEAK,
        "--likelihood_weight=image=1,label=1",
        "--epochs=19",
        "--annealing_epochs=9",
    ],
    "weak-short": [*_SHORT_WEAK, "--annealing_epochs=4"],
    "weak-short-no_annealing": [*_SHORT_WEAK, "--annealing_epochs=0"],
    "weak-short-self_training": [
        *_SHORT_WEAK,
        "--annealing_epochs=4",
        "--self_training=label=0.95",
    ],
}

# A step of 50 pictures in six guises takes two seconds of one core, and five where every subset
# reconstructs all, so that the configurations' 100 epochs of ten thousand pictures are a day of it.
_SCHEDULES = {
    "": ["--epochs=3", "--annealing_epochs=1"],
    "small-": ["--epochs=40", "--annealing_epochs=13"],  # for hundreds of pictures
}
RUNS |= {
    f"transformations-{size}{model}": [
        f"--flagfile=configs/celeba_transformations/{model}.cfg",
        *schedule,
        *("--learning_rate=1e-3", "--learning_rate_schedule=cosine"),
    ]
    for size, schedule in _SCHEDULES.items()
    for model in ("mvae", "mvae_cross")
}

# With the configuration's constant 1e-4 two thousand pictures take more epochs than there is time.
_ATTRIBUTES = [
    *("--flagfile=configs/celeba19/mvae_cross.cfg", "--attributes=all"),
    *("--epochs=40", "--annealing_epochs=8"),
    *("--learning_rate=1e-3", "--learning_rate_schedule=cosine"),
]
RUNS |= {
    "attributes-k1": [*_ATTRIBUTES, "--num_random_subsets=1"],
    "attributes-k5": [*_ATTRIBUTES, "--num_random_subsets=5"],
    "attributes-half": [*_ATTRIBUTES, "--num_random_subsets=1", "--missing_rate=attributes=0.5"],
}
# The configurations' 500 epochs take days on two cores.
_TWENTY = ["--epochs=20", "--annealing_epochs=8", "--learning_rate_schedule=cosine"]
RUNS |= {
    f"multi_mnist-{config}": [f"--flagfile=configs/multi_mnist/{config}.cfg", *_TWENTY]
    for config in ("mvae", "mvae_cross")
}
# By the share of pairs that stay whole. The KL weight rises all the way: a decoder that has learned
# to do without the latent does not come back to it, and then nothing is translated.
RUNS |= {
    f"translation-{fraction}": [
        "--flagfile=configs/translation/mvae.cfg",
        f"--paired_fraction={fraction}",
        *("--epochs=5", "--annealing_epochs=5"),
        *([] if fraction == 1 else ["--paired_share=0.2"]),
    ]
    for fraction in (0.001, 0.01, 0.1, 1)
}
# Runs whose supervised networks would be another's to the bit where they take as many steps, which
# the networks' file names tell: what they see and the seed are the same.
_SAME_NETWORKS = {
    "transformations-mvae_cross": "transformations-mvae",
    "transformations-small-mvae_cross": "transformations-small-mvae",
}
# Runs on data sets that the user names; nothing is run on them without a name.
_OTHER_DATA = ("transformations", "attributes", "translation")

# What the documents show of a run, where it has them.
_PICTURES = ("image_given_attributes", "tasks")
_SENTENCES = ("translation", "translation_baseline")
_LINES_OF_ONE = 3  # the source, the reference, what was said
_FIRST = 4  # sentences of each direction

_LIKELIHOOD = ["--analysis=log_likelihood,weight_variance", "--max_examples=2000"]
_COHERENCE = ["--analysis=accuracy,coherence"]


def evaluations(name: str) -> list[list[str]]:
    """Returns the flags of each evaluation of a run."""
    if name.startswith("translation"):
        return [
            ["--analysis=translation"],
            ["--analysis=translation_baseline"],
            ["--analysis=log_likelihood", "--num_samples=100", "--max_examples=500"],
        ]
    if name.startswith(_OTHER_DATA):
        return [[f"--analysis={name.partition('-')[0]}"]]
    if name.startswith("multi_mnist"):
        return [["--analysis=transcription"], _LIKELIHOOD]
    if name.startswith("weak"):
        return [["--analysis=accuracy", "--split=validation", "--checkpoint=last"]]
    if name.startswith("objective"):
        return [[*_LIKELIHOOD, "--target=image"], _COHERENCE]
    return [_COHERENCE] if name.startswith("coherence") else [_LIKELIHOOD]


def run(module: str, *flags: str) -> None:
    """Runs one of the package's commands."""
    subprocess.run([sys.executable, "-m", f"tf_mvae.{module}", *flags], cwd=ROOT, check=True)


def take_networks(run_dir: pathlib.Path, name: str) -> None:
    """Copies the supervised networks of the run that has the same ones, if it has been made."""
    if name not in _SAME_NETWORKS:
        return
    other = run_dir.with_name(run_dir.name.replace(name, _SAME_NETWORKS[name], 1))
    (run_dir / "evaluation").mkdir(exist_ok=True)
    for path in (other / "evaluation").glob("supervised_*.keras"):
        target = run_dir / "evaluation" / path.name
        if not target.exists():
            shutil.copy(path, target)


def evaluated(run_dir: pathlib.Path, flags: list[str]) -> bool:
    """Says whether a run has the analyses that flags name, of its newest weights."""
    report = run_dir / "evaluation.json"
    if not report.exists():
        return False
    newest = max(path.stat().st_mtime for path in (run_dir / "checkpoints").iterdir())
    names = flags[0].removeprefix("--analysis=").split(",")
    return report.stat().st_mtime > newest and set(names) <= set(json.loads(report.read_text()))


def keep(run_dir: pathlib.Path, target: pathlib.Path) -> None:
    """Copies what the tables are made of; where the data lay is left out."""
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
            lines = _first_sentences(path.read_text(encoding="utf-8").rstrip("\n").split("\n"))
            (target / path.name).write_text("\n".join(lines) + "\n", encoding="utf-8")


def _first_sentences(lines: Sequence[str]) -> list[str]:
    """Takes the first few sentences of each direction."""
    count, kept = collections.Counter(), []
    for begin in range(0, len(lines), _LINES_OF_ONE):
        one = lines[begin : begin + _LINES_OF_ONE]
        direction = tuple(line.split(": ")[0] for line in one)
        count[direction] += 1
        kept += one if count[direction] <= _FIRST else []
    return kept


def _named(line: str) -> str:
    """Leaves a data set's name and version of where it lay."""
    flag, _, path = line.rstrip("\n").partition("=")
    if flag != "--dataset_dir":
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
    parser.add_argument("--evaluate_only", action="store_true", help="anew, if need be")
    parser.add_argument("--train_only", action="store_true")
    parser.add_argument("names", nargs="*", metavar="NAME")
    arguments = parser.parse_args()
    unknown = set(arguments.names) - set(RUNS)
    if unknown:
        parser.error(f"{sorted(unknown)} are no runs; there are {', '.join(RUNS)}")
    usual = [name for name in RUNS if not name.startswith(_OTHER_DATA)]
    for name in arguments.names or usual:
        given = arguments.dataset_dir if name.startswith(_OTHER_DATA) else None
        other = given and str(pathlib.Path(given).resolve())
        called = f"{name}-{data_name(other).partition('/')[0]}" if other else name
        run_dir = (arguments.runs_dir / called).resolve()
        data = f"--data_dir={pathlib.Path(arguments.data_dir).resolve()}"
        if not arguments.evaluate_only:
            flags = [f"--dataset_dir={other}"] if other else []
            run("train", *RUNS[name], *flags, data, f"--run_dir={run_dir}")
        if not arguments.train_only:
            take_networks(run_dir, name)
            # Chosen before the first one makes the report newer than the weights.
            wanted = [
                flags
                for flags in evaluations(name)
                if arguments.evaluate_only or not evaluated(run_dir, flags)
            ]
            for flags in wanted:
                run("evaluate", *flags, data, f"--run_dir={run_dir}")
            keep(run_dir, HERE / "results" / called)


if __name__ == "__main__":
    main()
