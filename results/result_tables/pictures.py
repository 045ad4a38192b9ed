"""Pictures from pictures, and attributes predicted from them: one table per run."""

import collections
import json
import pathlib

from result_tables.kept import Result, measured_on, picture, reported, seen, share, table, weights

_METHODS = ("model", "supervised")

# What a constant answer scores, for runs whose evaluation did not say so.
_FREQUENT = pathlib.Path(__file__).parents[1] / "attribute_frequencies.json"


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
        words = "several sampled colourisations of each of some grey pictures"
        parts += picture(result, "sampled_colourisation.jpg", words)
    return "\n\n".join(parts) or "No run yet."


def latents_table(results: list[Result], dataset: str) -> str:
    """Compares the runs on one data set by their latents, and with networks and guesses.

    Args:
        results: The runs that are kept.
        dataset: The data set's name.
    """
    runs = [
        (result, found)
        for result, found in reported(results, "transformations")
        if (result.config.dataset_dir or "").split("/")[0] == dataset
    ]
    if not runs:
        return "No run yet."
    head = ["task", "measure"]
    rows = collections.defaultdict(dict)
    for number, (result, found) in enumerate(runs):
        latent = " x ".join(result.config.latent_shape) or f"{result.config.latent_dim}"
        head += [f"model, {latent}", f"supervised, {latent}"]
        for measured in found["results"].values():
            row = rows[measured["task"], measured["metric"]]
            method = measured["method"]
            row["guess" if method == "guess" else (number, method)] = measured
    columns = [(number, method) for number in range(len(runs)) for method in _METHODS]
    lines = [
        [*place, *(measure(row.get(column), notes=False) for column in [*columns, "guess"])]
        for place, row in rows.items()
    ]
    described = "; ".join(
        f"`{result.name}` {found['settings']['step']:,} steps of {result.config.batch_size}, "
        f"{measured_on(found)}"
        for result, found in runs
    )
    return f"{table([*head, 'simple guess'], lines)}\n\n{described}."


def attributes_tables(results: list[Result]) -> str:
    """Attributes predicted from images, one table per run: the model and a supervised network."""
    parts, known = [], json.loads(_FREQUENT.read_text())
    for result, found in reported(results, "attributes"):
        rows = collections.defaultdict(dict)
        frequent = dict(known.get(result.config.dataset_dir, {}))
        for name, measured in found["results"].items():
            attribute, metric = name.partition(" | ")[0].split(", ")
            rows[attribute][metric, measured["method"]] = share(measured)
            frequent |= {attribute: measured["frequent"]} if "frequent" in measured else {}
        places = [(m, by) for m in ("accuracy", "balanced accuracy") for by in _METHODS]
        lines = [
            [
                name,
                f"{100 * frequent[name]:.1f} %" if name in frequent else "-",
                *(row.get(place, "-") for place in places),
            ]
            for name, row in rows.items()
        ]
        useless = "useless: accuracy of the more frequent answer"
        head = ["attribute", useless, *(f"{metric}, {by}" for metric, by in places)]
        config, settings = result.config, found["settings"]
        note = (
            f"`{result.name}`: {config.dataset_dir or 'celeb_a'}, k = {config.num_random_subsets}, "
            f"{seen(config)}; epochs / annealing, learning rate {result.schedule()}, "
            f"{settings['step']:,} steps of {config.batch_size}, the classifier "
            f"{settings.get('baseline_steps', settings['step']):,}; {measured_on(found)}."
        )
        parts.append(f"{note}\n\n{table(head, lines)}")
        parts += picture(result, "image_given_attributes.jpg", "images given an attribute")
    return "\n\n".join(parts) or "No run yet."


def measure(result: dict | None, notes: bool = True) -> str:
    """Writes a measure of pictures with its standard error and the threshold, if there is one.

    Args:
        result: What an evaluation left of it.
        notes: Whether the threshold is written.
    """
    if result is None:
        return "-"
    unit = result["unit"]
    scale, digits = {"%": (100, 1), "dB": (1, 2)}.get(unit, (1, 3))
    value, error = scale * result["value"], scale * result["standard_error"]
    note = f" ({result['note']})" if notes and "note" in result else ""
    return f"{value:.{digits}f} ± {error:.{digits}f} {unit}".rstrip() + note


def _described(result: Result, found: dict) -> str:
    config, settings = result.config, found["settings"]
    supervised = next(
        (r["name"] for r in found["results"].values() if r["method"] == "supervised"), "none"
    )
    return (
        f"`{result.name}`: {config.dataset_dir or 'celeb_a'}, `--model={config.model}`, cross "
        f"weights {weights(config.cross_weight, 'the same')}, epochs / annealing, learning rate "
        f"{result.schedule()}, {settings['step']} steps of {config.batch_size}; {seen(config)}; "
        f"{measured_on(found)}; supervised network: {supervised}."
    )
