"""Images and their labels: likelihoods, coherence, objectives, parameters and few labels."""

import collections
import math
import pathlib
import statistics

from result_tables.kept import Result, nats, share, table, weights
from tf_mvae.sweeps.rows import Rows, accuracy_table, average
from tf_mvae.training import RunConfig
from tf_mvae.training.build import build_model
from tf_mvae.visualization import write_accuracy_curves

LIKELIHOODS = ("log p(image)", "log p(image, label)", "log p(image | label)")
# What the first two differ by, and what the last one's estimate uses; the paper does not give them.
OF_LABEL, CLASSES = ("log p(label | image)", "log p(label)"), 10
FROM_PRIOR = ", z of log p(label) from p(z)"
# In the order of the rows. Runs that are named `generation-EXPERIMENT-default` have the package's
# default objective and a sampler; all others the objective of the paper.
DEFAULT = "mvae, default objective"
MODELS = ("vae", "cvae", "bivcca", "jmvae", "telbo", "mvae_q", "mvae", DEFAULT)


def coherence_table(results: list[Result]) -> str:
    """The table of docs/experiments.md: what is predicted from what, by weights."""
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
                *_pair(result, "image | label"),
                *_pair(result, "image, label from the prior"),
                share(result.of("coherence", "judge on real image")),
                _pair(result, "image, reconstructions")[1],
            ]
        )
    head = [
        "data", "likelihood weight", "cross weight", "term weight", "epochs / annealing",
        "label predicted from the image", "image from the label named right", "Fréchet distance",
        "image and label from the prior agree", "Fréchet distance", "classifier on real images",
        "Fréchet distance of reconstructions",
    ]  # fmt: skip
    return table(head, rows)


def _pair(result: Result, what: str) -> tuple[str, str]:
    """Coherence and Fréchet distance, which is missing where it was not measured yet."""
    distance = result.of("coherence", f"{what}: Frechet distance")
    return share(result.of("coherence", what)), nats(distance, 1)


def likelihood_table(results: list[Result], paper: dict, experiment: str) -> str:
    """Log-likelihoods next to the paper's, models in rows; seeds are averaged over."""
    found = _trained_alike(results, experiment, "log_likelihood")
    rows = []
    for model, schedule in sorted(found, key=lambda key: (MODELS.index(key[0]), key[1])):
        runs = found[model, schedule]
        row = [model, schedule, str(len(runs))]
        for what in LIKELIHOODS:
            row += [
                _likelihood(runs, what),
                _paper(paper[what], experiment, model),
            ]
        rows.append([*row, *(_over_seeds(runs, "log_likelihood", what) for what in OF_LABEL)])
    useless = ["useless: a label that says nothing of the image", "", ""]
    uniform = [f"{-math.log(CLASSES):.2f}"] * len(OF_LABEL)
    rows.append([*useless, *["-"] * 2 * len(LIKELIHOODS), *uniform])
    examples = {
        str(result["examples"])
        for runs in found.values()
        for run in runs
        for result in run.report["log_likelihood"]["results"].values()
    }
    head = ["model", "epochs / annealing, learning rate", "seeds"]
    for what in LIKELIHOODS:
        head += [what.replace("|", "\\|"), "paper"]
    head += [what.replace("|", "\\|") for what in OF_LABEL]
    note = f"\n\nTest examples: {', '.join(sorted(examples)) or 'none yet'}."
    return table(head, rows) + note


def _likelihood(runs: list[Result], what: str) -> str:
    """Writes a likelihood; marked, if the label's was estimated from the prior."""
    if any(run.of("log_likelihood", what + FROM_PRIOR) for run in runs):
        return _over_seeds(runs, "log_likelihood", what + FROM_PRIOR) + " †"
    return _over_seeds(runs, "log_likelihood", what)


def variance_table(results: list[Result], paper: dict, experiments: list[str]) -> str:
    """Variances of the log importance weights, proposal q(z | image)."""
    what = "variance of log w, log p(image)"
    rows, note = [], ""
    for model in MODELS:
        row = [model]
        for experiment in experiments:
            found = _trained_alike(results, experiment, "weight_variance")
            run = _run_name(experiment, model)
            usual = (r.schedule() for r in results if r.name == run)
            runs = found.get((model, next(usual, None)), [])
            value = _over_seeds(runs, "weight_variance", what)
            if any(_of_a_sampler(run, what) for run in runs):
                value += " *"
                note = "\n\n\\* Half of the draws are from `q(z | image)`, half from the sampler."
            row += [value, _paper(paper["variance"], experiment, model)]
        rows.append(row)
    head = ["model"]
    for experiment in experiments:
        head += [experiment, "paper"]
    return table(head, rows) + note


def _of_a_sampler(run: Result, what: str) -> bool:
    """Says whether a variance was measured with draws of the run's sampler, as it once was."""
    variance = run.of("weight_variance", what)
    if variance is None or "proposal" in variance:
        return False
    return run.report["weight_variance"].get("settings", {}).get("latents") == "sampler"


def _run_name(experiment: str, model: str) -> str:
    return f"generation-{experiment}-default" if model == DEFAULT else f"{experiment}-{model}"


def _trained_alike(
    results: list[Result], experiment: str, analysis: str
) -> dict[tuple[str, str], list[Result]]:
    """Returns an experiment's runs that have an analysis, by model and how long they trained."""
    found = collections.defaultdict(list)
    for result in results:
        if analysis not in result.report:
            continue
        if result.name.startswith(f"{experiment}-"):
            found[result.config.model, result.schedule()].append(result)
        elif result.name.startswith(_run_name(experiment, DEFAULT)):
            found[DEFAULT, result.schedule()].append(result)
    return found


def _over_seeds(runs: list[Result], analysis: str, what: str) -> str:
    """Writes one run's figure, or the mean and the standard deviation of several."""
    found = [result for run in runs if (result := run.of(analysis, what))]
    if len(found) < 2:
        return nats(found[0] if found else None)
    values = [result["value"] for result in found]
    return f"{statistics.mean(values):.2f} (sd {statistics.stdev(values):.2f})"


def _paper(numbers: dict, experiment: str, model: str) -> str:
    row = "mvae" if model == DEFAULT else model  # the paper has one objective
    value = numbers.get(experiment, {}).get(row)
    return "-" if value is None else f"{value:g}"


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
        "log p(image)", "variance of log w", "label predicted from the image",
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
    head = ["label weight", "epochs / annealing", "self-training", "label predicted from the image"]
    return table(head, rows)


def weak_supervision(folder: pathlib.Path) -> str:
    """The table of a sweep in `results/runs/`, and where its plot is, which is drawn too."""
    rows = list(Rows(folder / "rows.csv"))
    write_accuracy_curves(average(rows), folder / "accuracy.png")
    plot = f"![accuracy by share of paired examples](runs/{folder.name}/accuracy.png)"
    return f"{accuracy_table(rows)}\n\n{plot}"
