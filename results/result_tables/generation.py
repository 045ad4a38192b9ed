"""What models generate from each subset, next to scales and useless models."""

import math

from result_tables.kept import Result, nats, share, table


def generation_tables(results: list[Result], name: str) -> str:
    """The tables of a run's `generation` analysis, as the terminal shows them."""
    grids: dict[str, dict[str, dict[str, str]]] = {}
    for result in results:
        if result.name == name and "generation" in result.report:
            found = result.report["generation"]["results"]
            for one in sorted(found.values(), key=lambda one: one["place"]):
                title, row, column = one["cell"]
                grids.setdefault(title, {}).setdefault(row, {})[column] = figure(one)
    return "\n\n".join(_grid(title, rows) for title, rows in grids.items()) or "No run yet."


def figure(result: dict | None) -> str:
    """Writes a figure with its standard error, in its unit."""
    if result is None:
        return "-"
    unit = result.get("unit", "%")
    scale, digits = (100, 1) if unit == "%" else (1, 3 if abs(result["value"]) < 10 else 1)
    value, error = scale * result["value"], scale * result["standard_error"]
    known = "" if math.isnan(error) else f" ± {error:.{digits}f}"
    return f"{value:.{digits}f}{known} {unit}".strip()


def _grid(title: str, rows: dict[str, dict[str, str]]) -> str:
    columns = list(dict.fromkeys(column for row in rows.values() for column in row))
    body = [[name, *(row.get(column, "-") for column in columns)] for name, row in rows.items()]
    return table([title, *columns], body)


# What the table of objectives shows: the head, then which results of which analysis.
_FIGURES = {
    "image from label: named right": ("generation", "image | label: coherence"),
    "FD": ("generation", "image | label: Frechet distance"),
    "variance / reconstructions": ("generation", "image | label: variance / reconstructions"),
    "label from image": ("accuracy", "label | image"),
    "from nothing: image and label agree": ("generation", "image from the prior: coherence"),
    "from nothing: FD": ("generation", "image from the prior: Frechet distance"),
    "reconstructions: named right": ("generation", "image, reconstructions: coherence"),
    "reconstructions: FD": ("generation", "image, reconstructions: Frechet distance"),
}
_LIKELIHOODS = {
    "log p(image)": "log p(image)",
    "log p(image, label)": "log p(image, label)",
    "log p(image \\| label)": "log p(image | label)",
}
_USELESS = ("class mean", "random training image", "noise")


def objectives_table(results: list[Result], experiment: str) -> str:
    """The runs `generation-EXPERIMENT-OBJECTIVE[-seedK]`, a row each, and useless models."""
    runs = [r for r in results if r.name.startswith(f"generation-{experiment}-")]
    if not runs:
        return "No run yet."
    head = ["objective, seed", "epochs / annealing", "sampler: epochs", *_FIGURES, *_LIKELIHOODS]
    rows = [_row(result, experiment, way) for result in runs for way in _ways(result)]
    rows += [
        [f"useless: {name}", "-", "-", *cells, *("-" for _ in _LIKELIHOODS)]
        for name, cells in _useless(runs[0])
    ]
    return table(head, rows)


def weak_table(results: list[Result]) -> str:
    """The runs `generation-weak-FRACTION`, a row each, and useless models."""
    runs = [result for result in results if result.name.startswith("generation-weak-")]
    if not runs:
        return "No run yet."
    rows = [
        [
            f"{100 * result.config.paired_fraction:g} %",
            *(_cell(result, "", *place) for place in _FIGURES.values()),
        ]
        for result in runs
    ]
    rows += [[f"useless: {name}", *cells] for name, cells in _useless(runs[0])]
    return table(["paired", *_FIGURES], rows)


_CAPTIONS = {
    "image given caption": "image | caption: coherence",
    "FD": "image | caption: Frechet distance",
    "FD of reconstructions": "image, reconstructions: Frechet distance",
    "FD of random training images": "image, useless: random training image: Frechet distance",
    "caption given image": "caption | image: coherence",
    "both from nothing": "image from the prior: coherence",
    "reconstructions": "image, reconstructions: coherence",
    "useless: random image": "image, useless: random training image: coherence",
    "useless: most frequent caption": "caption, useless: most frequent: coherence",
    "real images": "image, real examples: coherence",
}


def captions_table(results: list[Result]) -> str:
    """The runs `cd_sprites-levelN`, a row each."""
    runs = [result for result in results if result.name.startswith("cd_sprites-level")]
    if not runs:
        return "No run yet."
    rows = [
        [
            str(result.config.get("level")),
            result.schedule(),
            str(result.config.get("sampler_epochs")),
            *(figure(result.of("generation", what)) for what in _CAPTIONS.values()),
        ]
        for result in runs
    ]
    return table(["level", "epochs / annealing", "sampler: epochs", *_CAPTIONS], rows)


def _useless(result: Result) -> list[tuple[str, list[str]]]:
    """Returns the names of useless models, and their cells below the columns of `_FIGURES`."""

    def cell(name: str, what: str) -> str:
        # A useless model's images are scored as those given a label are, and nothing else.
        given, _, metric = what.rpartition(": ")
        if given != "image | label":
            return "-"
        return figure(result.of("generation", f"image, useless: {name}: {metric}"))

    return [(name, [cell(name, what) for _, what in _FIGURES.values()]) for name in _USELESS]


def _ways(result: Result) -> list[str]:
    """Returns the ways of drawing latents that a run was measured with; the default first."""
    found = result.report["generation"]["results"]
    start, end = "image | label", ": coherence"
    names = [n for n in found if n.startswith((start + ",", start + ":")) and n.endswith(end)]
    return sorted(name.removeprefix(start).removesuffix(end) for name in names)


def _row(result: Result, experiment: str, way: str) -> list[str]:
    name, _, seed = result.name.removeprefix(f"generation-{experiment}-").partition("-seed")
    figures = [_cell(result, way, *place) for place in _FIGURES.values()]
    likelihoods = [nats(result.of("log_likelihood", what)) for what in _LIKELIHOODS.values()]
    sampler = f"{result.config.get('sampler_kind')}: {result.config.get('sampler_epochs')}"
    if way:  # nothing else of the run depends on it
        likelihoods = ["the same"] * len(likelihoods)
    return [f"{name}, {seed or 0}{way}", result.schedule(), sampler, *figures, *likelihoods]


def _cell(result: Result, way: str, analysis: str, what: str) -> str:
    if analysis == "accuracy":
        return share(result.of(analysis, what)) if not way else "the same"
    source, _, name = what.rpartition(": ")
    if source.endswith("reconstructions"):
        return figure(result.of(analysis, what)) if not way else "the same"
    return figure(result.of(analysis, f"{source}{way}: {name}"))
