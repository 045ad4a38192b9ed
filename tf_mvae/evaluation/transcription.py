"""The accuracy of a sequence that is predicted from another modality."""

import collections
from collections.abc import Iterable
from typing import Any

import numpy as np
import tensorflow as tf

from tf_mvae.batch import unpack
from tf_mvae.errors import UserError
from tf_mvae.evaluation.registry import analysis
from tf_mvae.evaluation.run import Run
from tf_mvae.evaluation.settings import Settings
from tf_mvae.evaluation.statistics import mean_share, ratio_and_error, share
from tf_mvae.models import BaseVAE
from tf_mvae.ops import random
from tf_mvae.ops.tokens import blank_rest

__all__ = ["analyze", "transcription_accuracy"]


def transcription_accuracy(
    model: BaseVAE, batches: Iterable[Any], num_samples: int = 4, seed: int = 0
) -> dict[str, dict[str, float]]:
    """Measures the accuracy of greedily decoded sequences, predicted from another modality.

    Examples in which the sequence or the given modality is missing are excluded; without any other,
    a result is NaN.

    Args:
        model: The model.
        batches: Batches of `{"x": ..., "mask": ...}`.
        num_samples: Samples `z ~ q(z | given)` per example; a sequence is decoded from each, and
            results are averaged.
        seed: The seed of the samples; a batch's samples also depend on its index.

    Returns:
        For each sequence and each other modality, `"TARGET | GIVEN, whole"`, the fraction of
        sequences that are entirely right, and `"TARGET | GIVEN, symbols"`, the fraction of symbols
        that are right, up to the end of the longer of the two sequences. Standard errors treat
        examples as independent. `"TARGET | GIVEN, whole: always the same"` and `"TARGET | GIVEN,
        symbols: always the same"` are what a constant answer scores, the most frequent sequence.
    """
    questions = _questions(model)
    functions = {q: _counter(model, *q, num_samples) for q in questions}
    rows = {q: [] for q in questions}
    sequences = {q: collections.Counter() for q in questions}
    for place, batch in enumerate(batches):
        x, mask = unpack(batch, model.batch_inputs)
        stream = random.fold_in(tf.constant([seed, 22]), place)
        for question, function in functions.items():
            there, true, *counts = (part.numpy() for part in function(x, mask, stream))
            rows[question].append(np.stack(counts, axis=1)[there > 0])
            sequences[question].update(map(tuple, true[there > 0]))
    found = {}
    for target, given in questions:
        whole, *symbols = np.concatenate(rows[target, given]).astype(float).T
        same_whole, *same_symbols = _always_the_same(sequences[target, given]).T
        name = f"{target} | {given}"
        found |= {
            f"{name}, whole": mean_share(whole),
            f"{name}, whole: always the same": mean_share(same_whole),
            f"{name}, symbols": _ratio(np.stack(symbols, 1)),
            f"{name}, symbols: always the same": _ratio(np.stack(same_symbols, 1)),
        }
    return found


def _always_the_same(sequences: collections.Counter) -> np.ndarray:
    """Counts what `_counter` does where the answer is always the most frequent sequence.

    Returns:
        Whether the whole is right, right symbols and symbols, `[examples, 3]`.
    """
    if not sequences:
        return np.zeros([0, 3])
    true = np.array(list(sequences.elements()))
    said = np.array(sequences.most_common(1)[0][0])
    places, right = (said > 0) | (true > 0), said == true
    return np.stack([right.all(1), (right & places).sum(1), places.sum(1)], axis=1).astype(float)


def _ratio(counts: np.ndarray) -> dict[str, float]:
    """Returns the fraction of symbols that are right; `counts` are `[examples, 2]`."""
    if not len(counts):
        return share(0, 0)
    value, error = ratio_and_error(lambda sums: sums[..., 0] / sums[..., 1], counts)
    return {"value": value, "standard_error": error, "examples": len(counts)}


@analysis("transcription", "sequences predicted from images", num_samples=4)
def analyze(run: Run, settings: Settings) -> dict[str, Any]:
    """Runs `transcription_accuracy` on a split of a run; the `transcription` analysis.

    Raises:
        UserError: The model has no sequence to predict.
    """
    if not _questions(run.model):
        raise UserError(
            "--analysis=transcription needs a model that predicts a sequence from another "
            f"modality; {run.config.model} of {run.config.experiment} does not; choose another "
            "--analysis"
        )
    batches = settings.shown_batches(run, "transcription")
    return transcription_accuracy(run.model, batches, settings.num_samples, settings.seed)


def _questions(model: BaseVAE) -> list[tuple[str, str]]:
    """Returns pairs of a sequence and a modality that it is predicted from."""
    return [
        (target.name, other.name)
        for target in model.targets
        for other in model.modalities
        if target.likelihood.is_sequence
        and other is not target
        and set(model.conditions) <= {other.name}
    ]


def _counter(model: BaseVAE, target: str, given: str, num_samples: int):
    """Returns a function from a batch to what is counted of its examples, mostly `[batch]`.

    They are whether the example counts, its sequence, `[batch, length]`, the fraction of right
    sequences over the samples, and the mean numbers of right symbols and of symbols.
    """

    @tf.function(autograph=False)
    def count(x, mask, seed):
        chosen = {given: x[given]}
        z = model.latent_samples(chosen, num_samples, {given: mask[given]}, seed)
        said = model.from_latent(z, None, [target], chosen)[target]
        true = blank_rest(tf.cast(x[target], tf.int32))
        there = mask[target] * mask[given]
        # Positions up to the end of the longer sequence; both are [sample, batch, length].
        places = tf.cast((said > 0) | (true > 0), tf.float32)
        right = tf.cast(said == true, tf.float32)
        whole = tf.reduce_mean(tf.reduce_prod(right, axis=-1), axis=0)
        by_example = [tf.reduce_mean(tf.reduce_sum(v, -1), 0) for v in (right * places, places)]
        return there, true, whole, *by_example

    return count
