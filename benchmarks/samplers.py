"""Compares kinds of samplers on one run, by coherence and the fit's own loss.

    python benchmarks/samplers.py --run_dir=RUN --epochs=30 --analysis=coherence

Fits each kind to the run's best checkpoint, which stays as it is, and prints a row for each, and
for the run's posterior q.
"""

import argparse
import json
import pathlib
import sys
import time
from typing import Any

sys.path.insert(0, str(pathlib.Path(__file__).parents[1]))

from tf_mvae import samplers  # noqa: E402
from tf_mvae.data.pipeline import training_batches  # noqa: E402
from tf_mvae.evaluation import ANALYSES, Settings  # noqa: E402
from tf_mvae.training import Run, load_run  # noqa: E402

KINDS = {
    "coupling_flow": lambda *sizes: samplers.CouplingFlow(*sizes),
    "coupling_flow, 16 layers": lambda *sizes: samplers.CouplingFlow(*sizes, num_layers=16),
    "coupling_flow, 4 layers": lambda *sizes: samplers.CouplingFlow(*sizes, num_layers=4),
    "mixture_density, 32": lambda *sizes: samplers.MixtureDensity(*sizes),
    "mixture_density, 128": lambda *sizes: samplers.MixtureDensity(*sizes, num_components=128),
}


def fit(run: Run, kind: str, epochs: int, batch_size: int) -> dict[str, float]:
    """Fits a sampler and attaches it; returns its time and its loss on the validation split."""
    model, train = run.model, run.seen_split("train")
    model.set_sampler(None)
    sampler = KINDS[kind](model.latent_dim, model.num_columns)
    batches = training_batches(train, batch_size, epochs, 0)
    steps = train.num_examples // batch_size
    began = time.monotonic()
    samplers.fit(model, batches, sampler, epochs, steps_per_epoch=steps, verbose=0)
    seconds = time.monotonic() - began
    trainer = samplers.SamplerTrainer(model, sampler)
    trainer.compile(jit_compile=False)
    loss, kl = trainer.evaluate(run.batches("validation", batch_size), verbose=0)
    model.set_sampler(sampler)
    return {"steps": epochs * steps, "seconds": seconds, "loss": loss, "kl": kl}


def main() -> None:
    """Prints a table, and writes it as JSON if asked to."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--run_dir", required=True)
    parser.add_argument("--data_dir", default=None)
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--batch_size", type=int, default=256)
    parser.add_argument("--analysis", default="coherence")
    parser.add_argument("--kinds", nargs="*", default=list(KINDS), choices=list(KINDS))
    parser.add_argument("--output", type=pathlib.Path, default=None)
    given = parser.parse_args()
    run = load_run(given.run_dir, data_dir=given.data_dir, latents="posterior")
    analysis = ANALYSES[given.analysis]
    settings = Settings(num_samples=analysis.num_samples)
    rows: dict[str, Any] = {"q": {"results": analysis.analyze(run, settings)}}
    for kind in given.kinds:
        found = fit(run, kind, given.epochs, given.batch_size)
        rows[kind] = {"fit": found, "results": analysis.analyze(run, settings)}
        print(kind, json.dumps(rows[kind]), flush=True)
    if given.output is not None:
        given.output.write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
