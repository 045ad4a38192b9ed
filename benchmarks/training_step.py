"""Compares our training step with MultiVae's and with a loop in the published way.

`python benchmarks/training_step.py --peer_python=PATH` measures examples a second, peak memory
and the time to the first step, each contestant in a process of its own, all with the same
networks, weights, batches, terms and precision. First it checks, for the paper's objective, that
all agree on the loss and on the gradient's norm for the same subsets and noise; the exit status is
1 if they do not. (For later models `objective_agreement.py` does that.) Then contestants take
turns; figures are medians of rounds, ratios medians of the ratios of each round.
`benchmarks/README.md` says what is counted. It prints a table and writes
`benchmarks/results/training_step.{json,md}`.
"""

import argparse
import json
import os
import pathlib
import platform
import statistics
import sys
import tempfile
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import contestants
import records
import rounds
import step_contestant
from contestants import Contestant, Failed

RESULTS = pathlib.Path(__file__).parent / "results" / "training_step.json"
TOLERANCE = 1e-3  # relative
WARM_STEPS = 2  # between the first step and the reading of memory
LONG = 30.0  # seconds of a first step, which then is warm enough
SLOW = 10  # times the reference's step: one round is enough
STEPS = {  # in a turn
    "mnist": 50,
    "mnist_mvtcae": 50,
    "mnist_mopoe": 50,
    "mnist_mmvae": 50,
    "mnist_mmvae_plus": 50,
    "celeba19": 3,
    "six_images": 2,
}
REFERENCE = "MultiVae"
SEVERAL = f"ours, XLA, {step_contestant.SEVERAL} steps a program"


def commands(
    options: argparse.Namespace, folder: pathlib.Path, jit_compile: bool, papers: bool
) -> dict[str, list[str]]:
    """Returns every contestant's command by its name in the table; ours come first.

    Args:
        options: The command line.
        folder: The set-up's.
        jit_compile: Whether runs of it are compiled by XLA.
        papers: Whether its objective is the paper's, for which there are more contestants.
    """
    compiled, kind = ("xla", "XLA") if jit_compile else ("graph", "no XLA")
    theirs = contestants.theirs
    found = {
        "ours, XLA": contestants.ours(folder, "xla"),
        **({SEVERAL: contestants.ours(folder, "several_xla")} if jit_compile else {}),
        "ours, no XLA": contestants.ours(folder, "graph"),
        f"ours, fit, {kind}": contestants.ours(folder, f"fit_{compiled}"),
        REFERENCE: theirs(options.peer_python, "multivae_step.py", folder),
    }
    if not papers:
        return found
    return found | {
        **{
            f"{REFERENCE}, torch.compile of {what}": theirs(
                options.peer_python, "multivae_step.py", folder, f"--compile={flag}"
            )
            for what, flag in (("the model", "model"), ("its networks", "networks"))
        },
        "published way, PyTorch": theirs(options.peer_python, "published_loop.py", folder),
    }


def measure(options: argparse.Namespace, name: str, folder: pathlib.Path) -> dict[str, Any]:
    """Measures one set-up.

    Raises:
        SystemExit: A contestant that has to run does not.
    """
    import arithmetic
    import step_setups

    setup = step_setups.SETUPS[name]
    config = setup.config
    if options.batch_size:
        config = config.replace(batch_size=options.batch_size)
    model = step_setups.write(name, folder, config)
    papers = setup.peer is None
    record: dict[str, Any] = {
        "title": setup.title,
        "batch_size": config.batch_size,
        "modalities": sum(m.size for m in model.modalities),
        "jit_compile": config.jit_compile,
        "contestants": {},
    }
    if papers:
        mean_size = arithmetic.mean_subset_size(model)
        record["terms"] = 1 + record["modalities"] + config.num_random_subsets
        record["needed"] = arithmetic.needed(model, config.batch_size, mean_size).total
        record["with_static_shapes"] = arithmetic.needed(model, config.batch_size).total
    del model
    running: dict[str, Contestant] = {}
    try:
        for label, command in commands(options, folder, config.jit_compile, papers).items():
            limit = options.compile_limit if "torch.compile" in label else None
            found = record["contestants"][label] = {}
            try:
                running[label] = begin(command, limit, found, papers)
            except Failed as failure:
                refused(label, failure, found)
        if papers:
            disagreements(record)
            if not record["agree"]:
                return record
        take_turns(name, options, running, record)
        record["compiled"] = running["ours, XLA"].ask("arithmetic")["compiled"]
        for label, contestant in running.items():
            record["contestants"][label] |= contestant.ask("about")
    finally:
        for contestant in running.values():
            contestant.stop()
    return record


def take_turns(
    name: str, options: argparse.Namespace, running: dict[str, Contestant], record: dict[str, Any]
) -> None:
    """Lets contestants take steps in turns, and adds their times to the record.

    One whose steps take `SLOW` times the reference's takes part in the first round only.
    """
    steps = options.steps or STEPS[name]
    known, rates = record["contestants"], record.setdefault("matmul", [])
    turns = list(running)
    for index in range(options.rounds):
        print(f"{name}: round {index + 1} of {options.rounds}", flush=True)
        for label in turns:
            found = known[label]
            try:
                turn = running[label].ask("steps", number=steps)
            except Failed as failure:
                refused(label, failure, found)
                running.pop(label).stop()
                continue
            found["seconds"].append(turn["seconds"] / steps)
        rates.append(running["ours, XLA"].ask("matmul", dim=options.matmul_size))
        limit = SLOW * known[REFERENCE]["seconds"][0]
        turns = [x for x in running if known[x]["seconds"][0] <= limit]


def begin(
    command: list[str], limit: float | None, found: dict[str, Any], checked: bool
) -> Contestant:
    """Starts a contestant, lets it take its first steps, and asks for its check if there is one."""
    contestant = Contestant(command, limit)
    try:
        found["start_seconds"] = contestant.start_seconds
        found["first_step_seconds"] = contestant.ask("first_step")["seconds"]
        if found["first_step_seconds"] < LONG:
            contestant.ask("steps", number=WARM_STEPS)
        found["peak_bytes"] = contestant.ask("memory")
        if checked:
            found["check"] = contestant.ask("check")
        found["seconds"] = []
    except BaseException:
        contestant.stop()
        raise
    return contestant


def refused(label: str, failure: Failed, found: dict[str, Any]) -> None:
    """Keeps the reason of a contestant that may fail; the others have to run."""
    if "torch.compile" not in label:
        raise SystemExit(f"{label}: {failure}")
    found.clear()
    found["failed"] = str(failure)


def disagreements(record: dict[str, Any]) -> None:
    """Notes how far contestants are apart in loss and gradient, relative to the first."""
    checks = {k: v["check"] for k, v in record["contestants"].items() if "check" in v}
    first = next(iter(checks.values()))
    apart = {
        label: max(abs(check[what] / first[what] - 1) for what in first)
        for label, check in checks.items()
    }
    record["largest_difference"] = max(apart.values())
    record["agree"] = all(value <= TOLERANCE for value in apart.values())
    if not record["agree"]:
        print(f"{record['title']}: losses or gradients disagree: {json.dumps(checks, indent=1)}")


# What is said about it ----------------------------------------------------------------


def machine(options: argparse.Namespace, setup: dict[str, Any], load: float) -> dict[str, Any]:
    """Returns what a set-up was measured on, and how."""
    found = [c["versions"] for c in setup["contestants"].values() if "versions" in c]
    return {
        **contestants.machine(),
        "load_before": load,
        "rounds": options.rounds,
        "matmul_size": options.matmul_size,
        "versions": {
            "Python": platform.python_version(),
            **{name: number for versions in found for name, number in versions.items()},
        },
    }


def report(record: dict[str, Any]) -> str:
    """Returns the tables."""
    return "\n\n".join(map(_setup_report, record["setups"].values())) + "\n"


def _setup_report(setup: dict[str, Any]) -> str:
    terms = f"{setup['terms']} terms of " if "terms" in setup else ""
    head = (
        f"**{setup['title']}**: a batch of {setup['batch_size']}, {terms}"
        f"{setup['modalities']} modalities."
    )
    if not setup.get("agree", True):
        return f"{head} LOSSES DISAGREE by {setup['largest_difference']:.2g}."
    rate, size = statistics.median(setup["matmul"]), setup["matmul_size"]
    versions = ", ".join(f"{name} {number}" for name, number in setup["versions"].items())
    seconds = {
        label: found["seconds"]
        for label, found in setup["contestants"].items()
        if found.get("seconds")
    }
    needed = setup.get("needed", setup["compiled"])
    lines = [
        "| contestant | examples/s | step, ms | speed over MultiVae's | share of the limit "
        "| peak memory, MB | first step, s | start to first step, s |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for label, found in setup["contestants"].items():
        if label not in seconds:
            lines.append(f"| {label} | {found['failed'].replace('|', ' ')} | | | | | | |")
            continue
        took, few = statistics.median(seconds[label]), len(seconds[label]) < setup["rounds"]
        reached = rounds.ratio([needed / one for one in seconds[label]], setup["matmul"])
        lines.append(
            f"| {label}{' (one round)' * few} "
            f"| {setup['batch_size'] / took:,.0f} | {1e3 * took:,.1f} "
            f"| {rounds.ratio(seconds[REFERENCE], seconds[label]):.2f} | {reached:.0%} "
            f"| {found['peak_bytes'] / 1e6:,.0f} | {found['first_step_seconds']:.1f} "
            f"| {found['start_seconds'] + found['first_step_seconds']:.1f} |"
        )
    fit = next(label for label in seconds if "fit" in label)
    bare = seconds[SEVERAL if setup["jit_compile"] else "ours, no XLA"]
    note = (
        f"{_work(setup)} `tf.matmul` of {size} x {size}: {rate / 1e9:.0f} GFLOP/s. `fit` costs "
        f"{rounds.ratio(seconds[fit], bare) - 1:+.1%} over the bare step. {setup['processor']}, "
        f"{setup['cores']} cores, load before {setup['load_before']:.1f}; {versions}; float32; "
        f"medians of {setup['rounds']} rounds, ratios by round."
    )
    return f"{head}\n\n" + "\n".join(lines) + f"\n\n{note}"


def _work(setup: dict[str, Any]) -> str:
    """Says what a step computes, and that all contestants compute it."""
    compiled = f"{setup['compiled'] / 1e9:.3g}"
    if "needed" not in setup:
        return (
            f"The limit is that of the {compiled} GFLOP that are compiled for a step. "
            "`objective_agreement.py` shows that both compute the same loss."
        )
    return (
        f"Losses and gradients' norms differ by {setup['largest_difference']:.1g} at most. The "
        f"objective needs {setup['needed'] / 1e9:.3g} GFLOP a step, shapes known beforehand "
        f"{setup['with_static_shapes'] / 1e9:.3g}; compiled are {compiled}."
    )


def main() -> int:
    """Measures what the command line asks for; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--peer_python", required=True, help="the python of MultiVae's environment")
    parser.add_argument(
        "--setups", type=lambda text: text.split(","), default=list(STEPS), help="which of them"
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, help="in a turn; by set-up where left out")
    parser.add_argument("--batch_size", type=int, help="the set-up's own where left out")
    parser.add_argument("--matmul_size", type=int, default=2048)
    parser.add_argument("--compile_limit", type=float, default=900, help="seconds an answer takes")
    parser.add_argument("--output", type=pathlib.Path, default=RESULTS)
    options = parser.parse_args()
    if unknown := set(options.setups) - set(STEPS):
        parser.error(f"--setups knows {', '.join(STEPS)}; not {', '.join(sorted(unknown))}")
    measured = {}
    for name in options.setups:
        load = os.getloadavg()[0]
        with tempfile.TemporaryDirectory() as folder:
            found = measure(options, name, pathlib.Path(folder) / name)
        measured[name] = found | machine(options, found, load)
        print(_setup_report(measured[name]), flush=True)
        if load > 0.5:
            print("other work kept the processor busy: measure speed again when it is quiet")
        records.keep(options.output, measured, report, STEPS)
    return 0 if all(setup.get("agree", True) for setup in measured.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
