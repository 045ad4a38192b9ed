r"""Compares proposals of importance sampling on one run that has a sampler.

    python benchmarks/proposals.py --run_dir=RUN --output=benchmarks/results/proposals.json

It estimates the likelihoods of `--analysis=log_likelihood` for test examples with as many samples
from each proposal: the prior p(z), which knows nothing of an example; q(z | S); and half of each of
q and the run's sampler, which that analysis uses. It prints the effective sample size (mean over
examples, and the lowest tenth), the likelihood and its standard error over samples, and adds them
to the JSON under the run's name. `--num_samples=20 --max_examples=20` is a rehearsal.
"""

import argparse
import json
import pathlib
import sys
from collections.abc import Callable
from typing import Any

sys.path.insert(0, str(pathlib.Path(__file__).parents[1]))

import numpy as np  # noqa: E402

from tf_mvae.evaluation import Estimate, ImportanceSampler, Question  # noqa: E402
from tf_mvae.evaluation.questions import default_questions  # noqa: E402
from tf_mvae.training import Run, load_run  # noqa: E402

PROPOSALS = ("prior", "q", "q and sampler")


def asked(proposal: str, question: Question) -> Callable[..., Estimate]:
    """Returns a call of an `ImportanceSampler` on a batch."""
    target, given, *_ = question
    how = {"proposal": []} if proposal == "prior" else {}
    if given:
        return lambda sampler, batch: sampler.conditional(batch, target, given, **how)
    return lambda sampler, batch: sampler(batch, target, **how)


def compare(run: Run, num_samples: int, max_examples: int, batch_size: int) -> dict[str, Any]:
    """Returns a row of figures for each question and proposal."""
    model, rows = run.model, {}
    batches = list(run.batches("test", batch_size).take(max(1, max_examples // batch_size)))
    for proposal in PROPOSALS:
        latents = model.sampler if proposal == "q and sampler" else None
        sampler = ImportanceSampler(model, num_samples, proposal=latents)
        for question in default_questions(model):
            name, call = str(question), asked(proposal, question)
            found = [call(sampler, batch) for batch in batches]
            size, value, error = (
                np.concatenate([np.asarray(getattr(one, field)) for one in found])
                for field in ("effective_sample_size", "log_likelihood", "standard_error")
            )
            rows.setdefault(name, {})[proposal] = {
                "effective_sample_size": float(size.mean()),
                "lowest_tenth": float(np.quantile(size, 0.1)),
                "log_likelihood": float(value.mean()),
                "standard_error": float(error.mean()),
                "examples": len(size),
            }
            print(name, proposal, rows[name][proposal], flush=True)
    return rows


def main() -> None:
    """Prints the figures, and writes them as JSON if asked to."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--run_dir", required=True)
    parser.add_argument("--data_dir", default=None)
    parser.add_argument("--num_samples", type=int, default=1000)
    parser.add_argument("--max_examples", type=int, default=500)
    parser.add_argument("--batch_size", type=int, default=100)
    parser.add_argument("--output", type=pathlib.Path, default=None)
    given = parser.parse_args()
    run = load_run(given.run_dir, data_dir=given.data_dir)
    if run.model.sampler is None:
        parser.error(f"{given.run_dir} has no sampler: python -m tf_mvae.fit_sampler makes one")
    size = min(given.batch_size, given.max_examples)
    rows = compare(run, given.num_samples, given.max_examples, size)
    if given.output:
        kept = json.loads(given.output.read_text()) if given.output.exists() else {}
        kept[pathlib.Path(given.run_dir).name] = {"num_samples": given.num_samples, "rows": rows}
        given.output.write_text(json.dumps(kept, indent=1) + "\n")


if __name__ == "__main__":
    main()
