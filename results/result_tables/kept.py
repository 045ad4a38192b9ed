"""What is kept of a run, and how its figures are written."""

import json
import pathlib

from tf_mvae.training import RunConfig


class Result:
    """What is kept of a run."""

    def __init__(self, folder: pathlib.Path):
        """Reads `results/runs/NAME`."""
        self.name, self.folder = folder.name, folder
        self.config = RunConfig.read(folder / "flags.cfg")
        self.report = json.loads((folder / "evaluation.json").read_text())

    def of(self, analysis: str, what: str) -> dict | None:
        """Returns one result, or nothing if the run has it not."""
        return self.report.get(analysis, {}).get("results", {}).get(what)

    def schedule(self) -> str:
        """Says how long it trained."""
        rate = self.config.learning_rate_schedule
        return f"{self.config.epochs} / {self.config.annealing_epochs}, {rate}"


def share(result: dict | None) -> str:
    """Writes a fraction with its standard error, in per cent."""
    if result is None:
        return "-"
    return f"{100 * result['value']:.1f} ± {100 * result['standard_error']:.1f} %"


def nats(result: dict | None, digits: int = 2) -> str:
    """Writes a number with its standard error over examples."""
    if result is None:
        return "-"
    return f"{result['value']:.{digits}f} ± {result['standard_error']:.{digits}f}"


def weights(values: dict[str, float], otherwise: str) -> str:
    """Writes weights by name."""
    return ", ".join(f"{name} {value:g}" for name, value in values.items()) or otherwise


def table(head: list[str], rows: list[list[str]]) -> str:
    """Writes a Markdown table."""
    return "\n".join("| " + " | ".join(row) + " |" for row in [head, ["---"] * len(head), *rows])


def reported(results: list[Result], analysis: str) -> list[tuple[Result, dict]]:
    """Returns the runs that an analysis was made of, with what it left."""
    return [(r, r.report[analysis]) for r in results if analysis in r.report]


def picture(result: Result, name: str, what: str) -> list[str]:
    """A line that shows a picture of a run, if it is kept."""
    there = (result.folder / name).exists()
    return [f"![{what}](runs/{result.name}/{name})"] if there else []


def counted(result: Result, analysis: str) -> str:
    """Says how many examples an analysis is of, and of how many samples each."""
    found = result.report.get(analysis)
    if not found:
        return "-"
    examples, samples = number_of_examples(found), found["settings"].get("num_samples")
    return f"{examples:,}" if samples is None else f"{examples:,}, {samples:,} samples"


def seen(config: RunConfig) -> str:
    """What a run was not shown."""
    paired = config.paired_fraction
    shares = [] if paired is None else [f"{100 * paired:g} % of examples whole"]
    if config.missing_rate:
        shares.append(f"missing in training: {weights(config.missing_rate, 'nothing')}")
    return ", ".join(shares) or "complete examples in training"


def measured_on(found: dict) -> str:
    """Says what was measured on."""
    return f"{number_of_examples(found):,} examples of the {found['settings']['split']} split"


def number_of_examples(found: dict) -> int:
    """The most examples that any figure of an analysis has."""
    return max(result["examples"] for result in found["results"].values())
