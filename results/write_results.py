"""Writes the tables of results from the files that runs left, into README.md, results/ and docs/.

`python results/write_results.py` fills what stands between the markers `<!-- NAME -->` and
`<!-- /NAME -->` in README.md, results/results.md and in pages of docs/, from `flags.cfg` and
`evaluation.json` of every run in `results/runs/` (`results/run_results.py` makes these), from
`rows.csv` of every sweep there (`python -m tf_mvae.sweep` makes these), the paper's own numbers in
`results/paper.json`, and the tables that `benchmarks/training_step.py`,
`convolutions.py`, `first_step.py`, `step_profile.py`, `quality_for_time.py` and `field.py` left.
"""

import json
import pathlib
import re

from result_tables import (
    comparison,
    digits,
    generation,
    imputation,
    pictures,
    samplers,
    sentences,
    serving,
)
from result_tables.kept import Result

HERE = pathlib.Path(__file__).parent
DOCS = HERE.parent / "docs"
BENCHMARKS = HERE.parent / "benchmarks" / "results"


def benchmark(name: str) -> str:
    """What `benchmarks/NAME.py` wrote."""
    file = BENCHMARKS / f"{name}.md"
    return file.read_text().strip() if file.exists() else "No run yet."


def fill(path: pathlib.Path, name: str, text: str) -> None:
    """Puts a table between its markers."""
    pattern = rf"(<!-- {name} -->\n).*?(<!-- /{name} -->)"
    old = path.read_text()
    if not re.search(pattern, old, flags=re.S):
        raise SystemExit(f"{path} has no place for {name}")
    path.write_text(re.sub(pattern, lambda m: f"{m[1]}{text}\n{m[2]}", old, flags=re.S))


def main() -> None:
    """Writes every table."""
    folders = sorted((HERE / "runs").iterdir())
    results = [Result(folder) for folder in folders if (folder / "flags.cfg").exists()]
    paper = json.loads((HERE / "paper.json").read_text())
    compared = comparison.comparison_table(BENCHMARKS)
    fill(HERE.parent / "README.md", "comparison", compared)
    fill(DOCS / "experiments.md", "results", digits.coherence_table(results))
    page = HERE / "results.md"
    experiments = ["binary_mnist", "mnist", "fashion_mnist"]
    fill(page, "parameters", digits.parameter_table(paper))
    for experiment in experiments:
        fill(page, experiment, digits.likelihood_table(results, paper, experiment))
    fill(page, "variance", digits.variance_table(results, paper, experiments))
    for folder in folders:
        if folder.name.startswith("weak_supervision-"):
            fill(page, folder.name, digits.weak_supervision(folder))
    fill(DOCS / "weak_supervision.md", "trials", digits.weak_trials(results))
    fill(page, "transformations", pictures.transformations_tables(results))
    fill(DOCS / "transformations.md", "latents", pictures.latents_table(results, "scenes"))
    fill(page, "attributes", pictures.attributes_tables(results))
    fill(page, "multi_mnist", sentences.transcription_table(results))
    canvases = generation.generation_tables(results, "multi_mnist-mvae_cross")
    fill(page, "multi_mnist generated", canvases)
    fill(page, "translation", sentences.translation_table(results))
    fill(page, "sentences", sentences.sentence_tables(results))
    for experiment in ("mnist", "fashion_mnist"):
        text = generation.objectives_table(results, experiment)
        fill(DOCS / "objectives.md", f"sampled {experiment}", text)
    emoji = generation.generation_tables(results, "attributes-sampled-emoji_attributes")
    fill(DOCS / "objectives.md", "sampled attributes", emoji)
    fill(DOCS / "weak_supervision.md", "sampled", generation.weak_table(results))
    kinds = samplers.samplers_table(BENCHMARKS / "samplers.json")
    fill(DOCS / "samplers.md", "samplers", kinds)
    proposals = samplers.proposals_table(BENCHMARKS / "proposals.json")
    fill(DOCS / "samplers.md", "proposals", proposals)
    fill(DOCS / "objectives.md", "objectives", digits.objective_table(results))
    fill(DOCS / "generation.md", "quickstart", generation.generation_tables(results, "quickstart"))
    fill(DOCS / "tables.md", "imputation", imputation.imputation_tables(results))
    fill(DOCS / "tables.md", "label prediction", imputation.prediction_tables(results))
    for name in ("training_step", "convolutions", "first_step", "step_profile", "quality_for_time"):
        fill(DOCS / "performance.md", name, benchmark(name))
    fill(DOCS / "benchmarks.md", "field", benchmark("field"))
    fill(DOCS / "benchmarks.md", "captions", generation.captions_table(results))
    fill(DOCS / "server.md", "apis", serving.apis_table(BENCHMARKS / "serving_grpc.json"))


if __name__ == "__main__":
    main()
