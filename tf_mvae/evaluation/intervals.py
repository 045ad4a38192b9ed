"""Coverage of a model's central intervals for hidden numbers, for data of any kind."""

from typing import Any

import numpy as np

from tf_mvae.batch import unpack
from tf_mvae.distributions.likelihood import Likelihood
from tf_mvae.errors import UserError
from tf_mvae.evaluation.imputation_calibration import LEVELS, central_ends
from tf_mvae.evaluation.registry import analysis
from tf_mvae.evaluation.run import Run
from tf_mvae.evaluation.settings import Settings
from tf_mvae.evaluation.statistics import share_of_rows

__all__ = ["analyze"]

_HIDDEN = 0.5  # probability of hiding a modality


@analysis(
    "intervals",
    "hidden modalities of numbers: the fraction inside central intervals of 50, 80 and 90 %",
    num_samples=200,
)
def analyze(run: Run, settings: Settings) -> dict[str, Any]:
    """Measures the coverage of central intervals for hidden modalities; the `intervals` analysis.

    Each modality, and each member of a group, is hidden with probability 1/2 and imputed. Coverage
    is the fraction of hidden numbers between the two quantiles of an interval. Standard errors are
    over examples, since the numbers of one example depend on each other (`share_of_rows`). For
    tables use `--analysis=imputation`.

    Raises:
        UserError: The model has conditions, or no modality of numbers.
    """
    model = run.model
    numbers = [m for m in model.targets if _is_of_numbers(m.likelihood)]
    if model.conditions or not numbers:
        raise UserError(
            "--analysis=intervals needs a modality of numbers and a model without conditions; "
            "choose another --analysis (of a table: imputation)"
        )
    rng = np.random.default_rng([settings.seed, 37])
    # Of each example, how many numbers are hidden, and how many are inside each interval.
    counts: list[np.ndarray] = []
    ends = {level: central_ends(level) for level in LEVELS}
    probabilities = sorted({end for pair in ends.values() for end in pair})
    batches, number = settings.batches(run)
    for place, batch in enumerate(settings.progress(batches, desc="intervals", total=number)):
        x, mask = unpack(batch, model.batch_inputs)
        seen = {
            name: there * (rng.uniform(size=there.shape) >= _HIDDEN) for name, there in mask.items()
        }
        how = settings.num_samples, probabilities, settings.seed + place
        found = model.impute({"x": x, "mask": seen}, *how)
        counts.append(np.zeros([1 + len(LEVELS), len(next(iter(mask.values())))]))
        for modality in numbers:
            # Hidden numbers: observed in the data, not given to the model; [batch, *event_shape].
            there = (mask[modality.name].numpy() > 0) & (seen[modality.name].numpy() <= 0)
            truth = modality.prepare(x[modality.name], mask[modality.name]).numpy()
            there = there.reshape(there.shape + (1,) * (truth.ndim - there.ndim))
            there = np.broadcast_to(there, truth.shape) & ~np.isnan(truth)
            own, axes = found[modality.name].quantiles, tuple(range(1, truth.ndim))
            counts[-1][0] += there.sum(axis=axes)
            for level, (low, high) in enumerate(ends.values(), start=1):
                within = (truth >= own[low]) & (truth <= own[high])
                counts[-1][level] += (within & there).sum(axis=axes)
    total, *inside = np.concatenate(counts, axis=1)
    results = {}
    for level, number_inside in zip(LEVELS, inside, strict=True):
        entry: dict[str, Any] = share_of_rows(number_inside, total)
        entry["note"] = f"{entry['rows']:,} examples"
        results[f"numbers inside the {level:.0%} interval"] = entry
    return results


def _is_of_numbers(likelihood: Likelihood) -> bool:
    """Says whether all parts are: no classes, no yes or no, no sequences, no censored times."""
    parts = [part for part, _ in likelihood.independent_parts()]
    return all(
        part.has_single_elements and not (part.is_categorical or part.is_binary or part.is_sequence)
        for part in parts
    )
