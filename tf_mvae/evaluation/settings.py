"""What every analysis is told."""

import dataclasses
from collections.abc import Callable, Iterable
from typing import Any

__all__ = ["Settings"]


def _as_it_is(items: Iterable, **kwargs: Any) -> Iterable:
    return items


@dataclasses.dataclass(frozen=True)
class Settings:
    """How to evaluate.

    Attributes:
        split: The split to evaluate on.
        num_samples: Samples of the latent for an example.
        seed: Seed of all samples, and of what is random about the data.
        batch_size: Examples a batch.
        max_examples: The first so many examples only; all where None.
        questions: The log-likelihoods to estimate
            (`tf_mvae.evaluation.likelihood.Question`); the usual ones where empty.
        decoding: How sentences are said, `'greedy'` or `'beam'`; greedily where None.
        beam_width: Sentences that a beam search keeps.
        progress: Wraps an iterable, to show progress; takes `desc` and `total`.
        memory: What analyses of one run, under the same settings, leave for each other.
    """

    split: str = "test"
    num_samples: int = 16
    seed: int = 0
    batch_size: int = 100
    max_examples: int | None = None
    questions: tuple[Any, ...] = ()
    decoding: str | None = None
    beam_width: int = 5
    progress: Callable[..., Iterable] = _as_it_is
    memory: dict[str, Any] = dataclasses.field(default_factory=dict, compare=False, repr=False)

    def recorded(self) -> dict[str, Any]:
        """Returns what decides the figures, for the report."""
        beam = {"beam_width": self.beam_width} if self.decoding == "beam" else {}
        decoding = {} if self.decoding is None else {"decoding": self.decoding, **beam}
        return {
            "split": self.split,
            "num_samples": self.num_samples,
            "seed": self.seed,
            "batch_size": self.batch_size,
            "max_examples": self.max_examples,
            **decoding,
        }
