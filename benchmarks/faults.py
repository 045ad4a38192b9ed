"""Breaks runs in every way that a machine can, and checks that nothing is lost.

`python benchmarks/faults.py` trains a small model on the digits that come with a dependency,
once undisturbed, and then again and again with faults: killed, asked to stop, out of disk
space, its checkpoints damaged. Every disturbed run has to end as the undisturbed one, to the
bit. It prints a table and writes `faults.json` and `.md` into `benchmarks/results`; the exit
status is 1 if anything was lost. `benchmarks/README.md` says more.
"""

import argparse
import json
import logging
import os
import pathlib
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import records

HERE = pathlib.Path(__file__).parent
RESULTS = HERE / "results" / "faults.json"
KILLS_OF_A_RUN = 11  # then it is let end, and compared
FLAGS = [
    "--experiment=digits", "--latent_dim=16", "--epochs=8", "--annealing_epochs=4",
    "--checkpoint_steps=3", "--picture_epochs=1000",
]  # fmt: skip
TRAIN = "from tf_mvae import command, train; command.run(train.main)"


class Bench:
    """A folder of runs, the undisturbed one among them."""

    def __init__(self, folder: pathlib.Path, seed: int):
        """Trains the undisturbed run."""
        self.folder, self.random = folder, random.Random(seed)
        self.whole = folder / "whole"
        self.addresses = [f"127.0.0.1:{free_port()}" for _ in range(2)]
        (folder / "data").mkdir()
        self.finish(self.whole)

    def spawn(self, run_dir: pathlib.Path, worker: int | None = None) -> subprocess.Popen:
        """Starts a run, or goes on with it; or one of two processes that train together."""
        flags = [*FLAGS, f"--data_dir={self.folder / 'data'}", f"--run_dir={run_dir}"]
        environment = dict(os.environ)
        if worker is not None:
            flags.append("--strategy=multi_worker")
            task = {"type": "worker", "index": worker}
            cluster = {"worker": self.addresses}
            environment["TF_CONFIG"] = json.dumps({"cluster": cluster, "task": task})
        return subprocess.Popen(
            [sys.executable, "-c", TRAIN, *flags], env=environment,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip

    def finish(self, run_dir: pathlib.Path) -> None:
        """Lets a run end."""
        self.end([self.spawn(run_dir)])

    def end(self, processes: list[subprocess.Popen]) -> None:
        """Waits for processes."""
        for process in processes:
            _, errors = process.communicate()
            if process.returncode:
                raise RuntimeError(f"a run ended with status {process.returncode}: {errors}")

    def same(self, run_dir: pathlib.Path, whole: pathlib.Path | None = None) -> bool:
        """Says whether a run left what the undisturbed one left, to the bit."""
        return result_of(run_dir) == result_of(whole or self.whole)

    def wait_for(self, condition: Callable[[], bool], process: subprocess.Popen) -> None:
        """Looks again and again, as often as it can."""
        while not condition():
            if process.poll() is not None:
                raise RuntimeError(f"a run ended by itself: {process.stderr.read()}")
            time.sleep(0.0005)


def free_port() -> int:
    """Returns a port that nobody listens at."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def checkpoints_of(run_dir: pathlib.Path) -> list[pathlib.Path]:
    """Returns whole checkpoints, oldest first."""
    return sorted((run_dir / "checkpoints").glob("step-*"))


def result_of(run_dir: pathlib.Path) -> dict:
    """Returns the last checkpoint's and the export's bytes, and every epoch's metrics."""
    files = [*checkpoints_of(run_dir)[-1].iterdir(), *(run_dir / "saved_model/variables").iterdir()]
    rows = [json.loads(line) for line in (run_dir / "metrics.jsonl").read_text().splitlines()]
    return {path.name: path.read_bytes() for path in files} | {
        "metrics": [{name: row[name] for name in row if name != "seconds"} for row in rows]
    }


def kill(bench: Bench, run_dir: pathlib.Path, moment: str) -> bool:
    """Starts a run and kills it; returns whether it was in the moment asked for."""
    process = bench.spawn(run_dir)
    folder = run_dir / "checkpoints"
    newest = max(checkpoints_of(run_dir), default=folder / "")
    if moment == "starting":
        time.sleep(bench.random.uniform(0, 6))
    else:
        bench.wait_for(lambda: max(checkpoints_of(run_dir), default=newest) > newest, process)
    if moment == "training":
        time.sleep(bench.random.uniform(0, 0.5))
    if moment == "writing":
        bench.wait_for(lambda: list(folder.glob(".step-*.tmp")), process)
        time.sleep(bench.random.uniform(0, 0.04))
    if moment == "finishing":
        bench.wait_for(lambda: (run_dir / "pictures").exists(), process)
        time.sleep(bench.random.uniform(0, 3))
    ended = process.poll() is not None
    process.send_signal(signal.SIGKILL)
    process.communicate()
    if moment == "writing":
        return bool(list(folder.glob(".step-*.tmp")))
    return not ended


def killed(bench: Bench, number: int) -> list[dict]:
    """Kills runs, at moments of every kind; each run several times, one after the other."""
    hits = dict.fromkeys(["starting", "training", "writing", "finishing"], 0)
    tried, same, runs = dict(hits), True, 0
    while sum(tried.values()) < number:
        run_dir = bench.folder / f"killed{runs}"
        for index in range(min(KILLS_OF_A_RUN, number - sum(tried.values()))):
            moment = "finishing" if index == KILLS_OF_A_RUN - 1 else (
                ["writing", "training", "starting"][index % 3]
            )  # fmt: skip
            tried[moment] += 1
            hits[moment] += kill(bench, run_dir, moment)
        bench.finish(run_dir)
        same &= bench.same(run_dir)
        shutil.rmtree(run_dir)
        runs += 1
    return [
        {
            "fault": f"SIGKILL while {moment}",
            "tried": tried[moment],
            "hit": hits[moment],
            "came out": f"{runs} runs end as the undisturbed one, to the bit",
            "lost": 0 if same else 1,
        }
        for moment in tried
    ]


def asked_to_stop(bench: Bench, number: int) -> list[dict]:
    """Sends SIGTERM to a run at random moments of training."""
    run_dir, good = bench.folder / "stopped", 0
    for _ in range(number):
        process, before = bench.spawn(run_dir), max(checkpoints_of(run_dir), default=run_dir / "")
        bench.wait_for(lambda b=before: max(checkpoints_of(run_dir), default=b) > b, process)
        time.sleep(bench.random.uniform(0, 0.5))
        process.send_signal(signal.SIGTERM)
        output, errors = process.communicate()
        step = output.split("stopped at step ")[-1].split(";")[0]
        newest = checkpoints_of(run_dir)[-1].name
        good += (
            process.returncode == 143
            and newest == f"step-{int(step):08d}"
            and "Traceback" not in errors
        )
    bench.finish(run_dir)
    lost = number - good + (not bench.same(run_dir))
    shutil.rmtree(run_dir)
    answer = "a checkpoint of that very step, status 143; the run ends the same"
    return [{"fault": "SIGTERM", "tried": number, "hit": good, "came out": answer, "lost": lost}]


def workers_lost(bench: Bench, number: int) -> list[dict]:
    """Kills one of two processes that train together and starts it again; then stops both."""
    whole, run_dir = bench.folder / "whole2", bench.folder / "lost"
    bench.end([bench.spawn(whole, worker) for worker in range(2)])
    rows = []
    workers = [bench.spawn(run_dir, worker) for worker in range(2)]

    def wait_for_progress():
        before = max(checkpoints_of(run_dir), default=run_dir / "")
        bench.wait_for(lambda: max(checkpoints_of(run_dir), default=before) > before, workers[0])
        time.sleep(bench.random.uniform(0, 0.5))

    for lost, name in ((1, "a worker"), (0, "the chief")):
        for _ in range(number):
            wait_for_progress()
            workers[lost].send_signal(signal.SIGKILL)
            workers[lost].communicate()
            workers[lost] = bench.spawn(run_dir, lost)
        answer = "started again it finds the other, and the run ends as an undisturbed one"
        rows.append({"fault": f"SIGKILL of {name} of two", "tried": number, "hit": number,
                     "came out": answer})  # fmt: skip
    good = 0
    for index in range(2):
        wait_for_progress()
        workers[index].send_signal(signal.SIGTERM)
        outputs = [process.communicate()[0] for process in workers]
        steps = {output.split("stopped at step ")[-1].split(";")[0] for output in outputs}
        newest = checkpoints_of(run_dir)[-1].name
        good += (
            [process.returncode for process in workers] == [143, 143]
            and {newest} == {f"step-{int(step):08d}" for step in steps}
        )  # fmt: skip
        workers = [bench.spawn(run_dir, worker) for worker in range(2)]
    bench.end(workers)
    lost = int(not bench.same(run_dir, whole))
    answer = "both stop after the same step, a checkpoint of it, status 143"
    rows.append({"fault": "SIGTERM to one of two", "tried": 2, "hit": good, "came out": answer,
                 "lost": lost + 2 - good})  # fmt: skip
    for row in rows[:2]:
        row["lost"] = lost
    return rows


def disk_full(bench: Bench, number: int) -> list[dict]:
    """Lets a run fill a small file system, then gives it room. Needs the right to mount."""
    mount = bench.folder / "disk"
    mount.mkdir()
    size = 4 * sum(path.stat().st_size for path in checkpoints_of(bench.whole)[-1].iterdir())
    made = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(mount)])
    if made.returncode:
        return [{"fault": "disk full", "tried": 0, "hit": 0, "came out": "no right to mount here"}]
    try:
        (mount / "ballast").write_bytes(bytes(size // 4))
        process = bench.spawn(mount / "run")
        _, errors = process.communicate()
        lines = [line for line in errors.splitlines() if line.startswith("error: ")]
        good = process.returncode == 2 and len(lines) == 1 and "No space left" in lines[0]
        good &= "Traceback" not in errors and len(checkpoints_of(mount / "run")) > 0
        subprocess.run(["mount", "-o", "remount,size=1g", str(mount)], check=True)
        bench.finish(mount / "run")
        lost = (not good) + (not bench.same(mount / "run"))
    finally:
        subprocess.run(["umount", str(mount)], check=True)
    answer = "one line, the checkpoint before stays; with room the run ends the same"
    return [{"fault": "disk full", "tried": 1, "hit": int(good), "came out": answer, "lost": lost}]


def damaged(bench: Bench, number: int) -> list[dict]:
    """Damages the newest checkpoint in random places and restores."""
    from tf_mvae.training.build import build_model
    from tf_mvae.training.checkpoints import Checkpoints
    from tf_mvae.training.run_directory import RunDirectory

    def cut(path):
        os.truncate(path, bench.random.randrange(path.stat().st_size))

    def flip(path):
        data = bytearray(path.read_bytes())
        data[bench.random.randrange(len(data))] ^= 1 << bench.random.randrange(8)
        path.write_bytes(bytes(data))

    model = build_model(RunDirectory(bench.whole).config(), steps_per_epoch=1)
    newest, second = checkpoints_of(bench.whole)[-1], checkpoints_of(bench.whole)[-2]
    named = []
    handler = logging.Handler()
    handler.emit = lambda record: named.append(record.getMessage())
    logging.getLogger("absl").addHandler(handler)
    rows = []
    for fault, damage in [
        ("cut short", cut),
        ("one bit flipped", flip),
        ("a file missing", os.remove),
    ]:
        good = 0
        for trial in range(number):
            copy = bench.folder / "damaged"
            shutil.copytree(bench.whole / "checkpoints", copy)
            files = sorted((copy / newest.name).iterdir())
            damage(files[trial % len(files)])
            named.clear()
            found = Checkpoints(copy, model).restore().step == int(second.name[5:])
            good += found and len(named) == 1 and newest.name in named[0]
            shutil.rmtree(copy)
        answer = "named, and the one before taken"
        rows.append(
            {"fault": f"checkpoint: {fault}", "tried": number, "hit": number, "came out": answer,
             "lost": number - good}
        )  # fmt: skip
    return rows


def to_table(rows: list[dict]) -> str:
    """Returns rows as a Markdown table."""
    names = ["fault", "tried", "hit", "came out", "lost"]
    lines = [" | ".join(names), " | ".join("---" for _ in names)]
    lines += [" | ".join(str(row.get(name, "-")) for name in names) for row in rows]
    return "\n".join(f"| {line} |" for line in lines) + "\n"


def main() -> int:
    """Tries every fault; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=33, help="SIGKILLs of single-process runs")
    parser.add_argument("--lost", type=int, default=2, help="SIGKILLs of each of two processes")
    parser.add_argument("--only", help="the only fault to try: its function's name")
    parser.add_argument("--stops", type=int, default=3, help="SIGTERMs")
    parser.add_argument("--damages", type=int, default=60, help="damages of each kind")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(pathlib.Path(folder), options.seed)
        rows = []
        for part, number in (
            (damaged, options.damages),
            (disk_full, 1),
            (asked_to_stop, options.stops),
            (killed, options.kills),
            (workers_lost, options.lost),
        ):
            if number and options.only in (None, part.__name__):
                rows += part(bench, number)
                print(to_table(rows), flush=True)
    write(RESULTS, rows, options.seed)
    return int(any(row.get("lost") for row in rows))


def stored(path: pathlib.Path) -> list[dict]:
    """Returns the rows of a file, each with its seed and its flags.

    Older files have these once, for all rows.
    """
    record = json.loads(path.read_text()) if path.exists() else {"faults": []}
    shared = {name: record[name] for name in ("seed", "flags") if name in record}
    return [{**shared, **row} for row in record["faults"]]


def write(path: pathlib.Path, rows: list[dict], seed: int) -> None:
    """Writes rows into a file, in place of those of the same faults; not those never tried."""
    tried = [{"seed": seed, "flags": FLAGS, **row} for row in rows if row["tried"]]
    found = list({row["fault"]: row for row in (*stored(path), *tried)}.values())
    records.write(path, {"faults": found}, to_table(found))


if __name__ == "__main__":
    sys.exit(main())
