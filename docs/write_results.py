"""Writes the tables of results from the files that runs left, into README.md and docs/.

`python docs/write_results.py` fills what stands between the markers `<!-- NAME -->` and
`<!-- /NAME -->` in README.md, docs/results.md, docs/objectives.md, docs/performance.md and
docs/weak_supervision.md, from `flags.cfg` and `evaluation.json` of every run in `docs/results/`
(`docs/run_results.py` makes these), from `rows.csv` of every sweep there
(`python -m tf_mvae.sweep` makes these), the paper's own numbers in `docs/paper.json`, and the
tables that `benchmarks/training_step.py`, `step_profile.py` and `quality_for_time.py` left.
"""

import collections
import itertools
import json
import pathlib
import re
import statistics

from tf_mvae.training import RunConfig
from tf_mvae.training.build import build_model
from tf_mvae.training.sweep_rows import Rows, accuracy_table, average
from tf_mvae.visualization import write_accuracy_curves

HERE = pathlib.Path(__file__).parent
LIKELIHOODS = ("log p(image)", "log p(image, label)", "log p(image | label)")
_METHODS = ("model", "supervised")
MODELS = ("vae", "cvae", "bivcca", "jmvae", "telbo", "mvae_q", "mvae")


class Result:
    """What is kept of a run."""

    def __init__(self, folder: pathlib.Path):
        """Reads `docs/results/NAME`."""
        self.name = folder.name
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
    """Writes a share with its standard error, in per cent."""
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


def coherence_table(results: list[Result]) -> str:
    """The README's table: what is read off what, by weights."""
    rows = []
    for result in results:
        if "coherence" not in result.report or result.name.startswith("objective"):
            continue
        rows.append(
            [
                result.config.experiment,
                weights(result.config.likelihood_weight, "1"),
                weights(result.config.cross_weight, "the same"),
                weights(result.config.term_weight, "1"),
                result.schedule().split(",")[0],
                share(result.of("accuracy", "label | image")),
                share(result.of("coherence", "image | label")),
                share(result.of("coherence", "image, label from the prior")),
                share(result.of("coherence", "judge on real image")),
            ]
        )
    head = [
        "data", "likelihood weight", "cross weight", "term weight", "epochs / annealing",
        "label read off the image", "image from the label named right",
        "image and label from the prior agree", "classifier on real images",
    ]  # fmt: skip
    return table(head, rows)


def likelihood_table(results: list[Result], paper: dict, experiment: str) -> str:
    """Log-likelihoods beside the paper's, models in rows; seeds are averaged over."""
    found = _trained_alike(results, experiment, "log_likelihood")
    rows = []
    for model, schedule in sorted(found, key=lambda key: (MODELS.index(key[0]), key[1])):
        runs = found[model, schedule]
        row = [model, schedule, str(len(runs))]
        for what in LIKELIHOODS:
            row += [
                _over_seeds(runs, "log_likelihood", what),
                _paper(paper[what], experiment, model),
            ]
        rows.append(row)
    examples = {
        str(result["examples"])
        for runs in found.values()
        for run in runs
        for result in run.report["log_likelihood"]["results"].values()
    }
    head = ["model", "epochs / annealing, learning rate", "seeds"]
    for what in LIKELIHOODS:
        head += [what.replace("|", "\\|"), "paper"]
    note = f"\n\nTest examples: {', '.join(sorted(examples)) or 'none yet'}."
    return table(head, rows) + note


def variance_table(results: list[Result], paper: dict, experiments: list[str]) -> str:
    """Variances of the log importance weights, proposal q(z | image)."""
    what = "variance of log w, log p(image)"
    rows = []
    for model in MODELS:
        row = [model]
        for experiment in experiments:
            found = _trained_alike(results, experiment, "weight_variance")
            usual = (r.schedule() for r in results if r.name == f"{experiment}-{model}")
            runs = found.get((model, next(usual, None)), [])
            row += [
                _over_seeds(runs, "weight_variance", what),
                _paper(paper["variance"], experiment, model),
            ]
        rows.append(row)
    head = ["model"]
    for experiment in experiments:
        head += [experiment, "paper"]
    return table(head, rows)


def _trained_alike(
    results: list[Result], experiment: str, analysis: str
) -> dict[tuple[str, str], list[Result]]:
    """Returns an experiment's runs that have an analysis, by model and how long they trained."""
    found = collections.defaultdict(list)
    for result in results:
        if result.name.startswith(f"{experiment}-") and analysis in result.report:
            found[result.config.model, result.schedule()].append(result)
    return found


def parameter_table(paper: dict) -> str:
    """Parameters of the inference network, counted in models that are built for it."""
    rows = []
    for experiment, counts in paper["parameters"].items():
        for model, wanted in counts.items():
            built = build_model(RunConfig(experiment, model), 1)
            decoders = {id(v) for m in built.modalities for v in m.decoder.variables}
            own = sum(
                v.value.shape.num_elements() for v in built.variables if id(v) not in decoders
            )
            rows.append([experiment, model, f"{own:,}", f"{wanted:,}"])
    return table(["experiment", "model", "here", "paper"], rows)


def objective_table(results: list[Result]) -> str:
    """What was tried to have likelihood and coherence at once."""
    rows = []
    for result in results:
        if not result.name.startswith("objective"):
            continue
        config = result.config
        rows.append(
            [
                weights(config.likelihood_weight, "1"),
                weights(config.cross_weight, "the same"),
                weights(config.term_weight, "1"),
                result.schedule(),
                nats(result.of("log_likelihood", "log p(image)")),
                nats(result.of("weight_variance", "variance of log w, log p(image)"), 1),
                share(result.of("accuracy", "label | image")),
                share(result.of("coherence", "image | label")),
                share(result.of("coherence", "image, label from the prior")),
            ]
        )
    head = [
        "likelihood weight", "cross weight", "term weight", "epochs / annealing, learning rate",
        "log p(image)", "variance of log w", "label read off the image",
        "image from the label named right", "image and label from the prior agree",
    ]  # fmt: skip
    return table(head, rows)


def weak_trials(results: list[Result]) -> str:
    """What was tried where pairs are few."""
    rows = [
        [
            f"{result.config.likelihood_weight['label']:g}",
            f"{result.config.epochs} / {result.config.annealing_epochs}",
            weights(result.config.self_training, "no"),
            share(result.of("accuracy", "label | image")),
        ]
        for result in results
        if result.name.startswith("weak-")
    ]
    head = ["label weight", "epochs / annealing", "self-training", "label read off the image"]
    return table(head, rows)


def weak_supervision(experiment: str) -> str:
    """The table of a sweep, and where its plot is, which is drawn too."""
    folder = HERE / "results" / f"weak_supervision-{experiment}"
    rows = list(Rows(folder / "rows.csv"))
    write_accuracy_curves(average(rows), folder / "accuracy.png")
    plot = f"![accuracy by share of paired examples](results/{folder.name}/accuracy.png)"
    return f"{accuracy_table(rows)}\n\n{plot}"


def reported(results: list[Result], analysis: str) -> list[tuple[Result, dict]]:
    """Returns the runs that an analysis was made of, with what it left."""
    return [(r, r.report[analysis]) for r in results if analysis in r.report]


def transformations_tables(results: list[Result]) -> str:
    """One picture from another, a table a run: the model, the best guess, a supervised network."""
    parts = []
    for result, found in reported(results, "transformations"):
        rows = collections.defaultdict(dict)
        for measured in found["results"].values():
            rows[measured["task"], measured["metric"]][measured["method"]] = measured
        head = ["task", "measure", "model", "supervised network", "simple guess", "which"]
        lines = [
            [
                *place,
                *(measure(by.get(method)) for method in ("model", "supervised", "guess")),
                by["guess"]["name"],
            ]
            for place, by in rows.items()
        ]
        parts.append(f"{_described(result, found)}\n\n{table(head, lines)}")
        parts += picture(result, "tasks.jpg", "what was given, what was generated, what is true")
    return "\n\n".join(parts) or "No run yet."


def attributes_tables(results: list[Result]) -> str:
    """Attributes read off images, a table a run: the model and a supervised classifier."""
    parts = []
    for result, found in reported(results, "attributes"):
        rows = collections.defaultdict(dict)
        for name, measured in found["results"].items():
            attribute, metric = name.partition(" | ")[0].split(", ")
            rows[attribute][metric, measured["method"]] = share(measured)
        places = [(m, by) for m in ("accuracy", "balanced accuracy") for by in _METHODS]
        lines = [[name, *(row.get(place, "-") for place in places)] for name, row in rows.items()]
        head = ["attribute", *(f"{metric}, {by}" for metric, by in places)]
        config, settings = result.config, found["settings"]
        note = (
            f"`{result.name}`: {config.dataset_dir or 'celeb_a'}, k = {config.num_random_subsets}, "
            f"{_seen(config)}; epochs / annealing, learning rate {result.schedule()}, "
            f"{settings['step']:,} steps of {config.batch_size}, the classifier "
            f"{settings.get('baseline_steps', settings['step']):,}; {_measured(found)}."
        )
        parts.append(f"{note}\n\n{table(head, lines)}")
        parts += picture(result, "image_given_attributes.jpg", "images given an attribute")
    return "\n\n".join(parts) or "No run yet."


def picture(result: Result, name: str, what: str) -> list[str]:
    """A line that shows a picture of a run, if it is kept."""
    path = HERE / "results" / result.name / name
    return [f"![{what}](results/{result.name}/{name})"] if path.exists() else []


def transcription_table(results: list[Result]) -> str:
    """MultiMNIST: strings read off canvases, and likelihoods."""
    rows = []
    for result, _ in reported(results, "transcription"):
        config = result.config
        rows.append(
            [
                config.model,
                weights(config.cross_weight, "the same"),
                result.schedule(),
                share(result.of("transcription", "text | image, whole")),
                share(result.of("transcription", "text | image, symbols")),
                nats(result.of("log_likelihood", "log p(image)")),
                nats(result.of("log_likelihood", "log p(image, text)")),
                *(counted(result, analysis) for analysis in ("transcription", "log_likelihood")),
            ]
        )
    head = [
        "model", "cross weight", "epochs / annealing, learning rate", "strings right",
        "symbols right", "log p(image)", "log p(image, text)", "canvases", "canvases of log p",
    ]  # fmt: skip
    return table(head, rows) if rows else "No run yet."


def translation_table(results: list[Result]) -> str:
    """Sentences translated, by the share of pairs: the model and a supervised network."""
    found = [r for r, _ in reported(results, "translation")]
    rows = []
    for result in sorted(found, key=_fraction):
        for source, target in itertools.permutations(result.config.languages, 2):
            scores = [
                nats(result.of(analysis, f"{target} | {source}: {metric}"), 1)
                for metric in ("BLEU", "chrF")
                for analysis in ("translation", "translation_baseline")
            ]
            likelihoods = [
                nats(result.of("log_likelihood", f"log p({what})"), 1)
                for what in (target, f"{target} | {source}")
            ]
            row = [
                _paired(result),
                f"{source} to {target}",
                result.schedule(),
                *scores,
                *likelihoods,
            ]
            rows.append(row + [counted(result, a) for a in ("translation", "log_likelihood")])
    head = [
        "paired", "direction", "epochs / annealing, learning rate", "BLEU", "BLEU, supervised",
        "chrF", "chrF, supervised", "log p(target)", "log p(target \\| source)",
        "sentences", "sentences of log p",
    ]  # fmt: skip
    return table(head, rows) if rows else "No run yet."


def sentence_tables(results: list[Result]) -> str:
    """The first sentences of the test split, and what each run made of them."""
    said: dict[tuple[str, ...], list[list[str]]] = {}
    for result in sorted(results, key=_fraction):
        ours, theirs = (
            _sentences(result, name) for name in ("translation", "translation_baseline")
        )
        for pair, sentence in ours.items():
            row = [_paired(result), sentence, theirs.get(pair, "-")]
            said.setdefault(pair, []).append(row)
    parts = []
    for (source, given, target, wanted), rows in said.items():
        told = f"*{_plain(given)}* ({source}), by people *{_plain(wanted)}* ({target}):"
        rows = [[share_paired, *map(_plain, texts)] for share_paired, *texts in rows]
        parts += [told, table(["paired", "model", "supervised"], rows)]
    return "\n\n".join(parts) or "No run yet."


def _sentences(result: Result, name: str) -> dict[tuple[str, ...], str]:
    """Returns what was said, by source language, source, target language and reference."""
    path = HERE / "results" / result.name / f"{name}.txt"
    if not path.exists():
        return {}
    lines = iter(path.read_text(encoding="utf-8").rstrip("\n").split("\n"))
    said = {}
    for source, reference, hypothesis in zip(lines, lines, lines, strict=True):
        language, _, given = source.partition(": ")
        target, _, wanted = reference.strip().partition(", by people: ")
        sentence = hypothesis.partition(", by the model: ")[2]
        said[language, given, target, wanted] = sentence
    return said


def _plain(text: str) -> str:
    """Writes text so that nothing in it is taken for Markdown."""
    return re.sub(r"([\\`*_<>|\[\]])", r"\\\1", text)


def _fraction(result: Result) -> float:
    """The share of pairs that a run saw whole."""
    fraction = result.config.paired_fraction
    return 1.0 if fraction is None else fraction


def _paired(result: Result) -> str:
    return f"{100 * _fraction(result):g} %"


def counted(result: Result, analysis: str) -> str:
    """Says how many examples an analysis is of, and of how many samples each."""
    found = result.report.get(analysis)
    if not found:
        return "-"
    examples, samples = _examples(found), found["settings"].get("num_samples")
    return f"{examples:,}" if samples is None else f"{examples:,}, {samples:,} samples"


def benchmark(name: str) -> str:
    """What `benchmarks/NAME.py` wrote."""
    file = HERE.parent / "benchmarks" / "results" / f"{name}.md"
    return file.read_text().strip() if file.exists() else "No run yet."


def measure(result: dict | None) -> str:
    """Writes a measure of pictures with its standard error and the threshold, if there is one."""
    if result is None:
        return "-"
    unit = result["unit"]
    scale, digits = {"%": (100, 1), "dB": (1, 2)}.get(unit, (1, 3))
    value, error = scale * result["value"], scale * result["standard_error"]
    note = f" ({result['note']})" if "note" in result else ""
    return f"{value:.{digits}f} ± {error:.{digits}f} {unit}".rstrip() + note


def _described(result: Result, found: dict) -> str:
    config, settings = result.config, found["settings"]
    supervised = next(
        (r["name"] for r in found["results"].values() if r["method"] == "supervised"), "none"
    )
    return (
        f"`{result.name}`: {config.dataset_dir or 'celeb_a'}, `--model={config.model}`, cross "
        f"weights {weights(config.cross_weight, 'the same')}, epochs / annealing, learning rate "
        f"{result.schedule()}, {settings['step']} steps of {config.batch_size}; {_seen(config)}; "
        f"{_measured(found)}; supervised network: {supervised}."
    )


def _seen(config: RunConfig) -> str:
    """What a run was not shown."""
    paired = config.paired_fraction
    shares = [] if paired is None else [f"{100 * paired:g} % of examples whole"]
    if config.missing_rate:
        shares.append(f"missing in training: {weights(config.missing_rate, 'nothing')}")
    return ", ".join(shares) or "complete examples in training"


def _measured(found: dict) -> str:
    """What was measured on: the most examples that any figure has."""
    return f"{_examples(found):,} examples of the {found['settings']['split']} split"


def _examples(found: dict) -> int:
    return max(result["examples"] for result in found["results"].values())


def _over_seeds(runs: list[Result], analysis: str, what: str) -> str:
    """Writes one run's figure, or the mean and the standard deviation of several."""
    found = [result for run in runs if (result := run.of(analysis, what))]
    if len(found) < 2:
        return nats(found[0] if found else None)
    values = [result["value"] for result in found]
    return f"{statistics.mean(values):.2f} (sd {statistics.stdev(values):.2f})"


def _paper(numbers: dict, experiment: str, model: str) -> str:
    value = numbers.get(experiment, {}).get(model)
    return "-" if value is None else f"{value:g}"


def fill(path: pathlib.Path, name: str, text: str) -> None:
    """Puts a table between its markers."""
    pattern = rf"(<!-- {name} -->\n).*?(<!-- /{name} -->)"
    old = path.read_text()
    if not re.search(pattern, old, flags=re.S):
        raise SystemExit(f"{path} has no place for {name}")
    path.write_text(re.sub(pattern, lambda m: f"{m[1]}{text}\n{m[2]}", old, flags=re.S))


def main() -> None:
    """Writes every table."""
    folders = sorted((HERE / "results").iterdir())
    results = [Result(folder) for folder in folders if (folder / "flags.cfg").exists()]
    paper = json.loads((HERE / "paper.json").read_text())
    fill(HERE.parent / "README.md", "results", coherence_table(results))
    page = HERE / "results.md"
    experiments = ["binary_mnist", "mnist", "fashion_mnist"]
    fill(page, "parameters", parameter_table(paper))
    for experiment in experiments:
        fill(page, experiment, likelihood_table(results, paper, experiment))
    fill(page, "variance", variance_table(results, paper, experiments))
    for folder in folders:
        if folder.name.startswith("weak_supervision-"):
            experiment = folder.name.removeprefix("weak_supervision-")
            fill(page, folder.name, weak_supervision(experiment))
    fill(HERE / "weak_supervision.md", "trials", weak_trials(results))
    fill(page, "transformations", transformations_tables(results))
    fill(page, "attributes", attributes_tables(results))
    fill(page, "multi_mnist", transcription_table(results))
    fill(page, "translation", translation_table(results))
    fill(page, "sentences", sentence_tables(results))
    fill(HERE / "objectives.md", "objectives", objective_table(results))
    for name in ("training_step", "step_profile", "quality_for_time"):
        fill(HERE / "performance.md", name, benchmark(name))


if __name__ == "__main__":
    main()
