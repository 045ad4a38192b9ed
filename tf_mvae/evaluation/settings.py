"""The settings of an analysis."""

import dataclasses
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import tensorflow as tf

from tf_mvae.evaluation.run import Run
from tf_mvae.settings import Setting

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
            (`tf_mvae.evaluation.Question`); the usual ones if empty.
        given_proposal: If set, conditional likelihoods are differences of two estimates
            (`Question.given_proposal`); names, or `('given',)` for each question's own given,
            or `('prior',)`.
        baseline_steps: Steps of networks that are trained to compare with; as many as the
            evaluated weights have had where None, no such networks where 0.
        own: The values of the analysis's own settings, by name.
        progress: Wraps an iterable, to show progress; takes `desc` and `total`.
        memory: What analyses of one run, under the same settings, leave for each other.
    """

    split: str = "test"
    num_samples: int = 16
    seed: int = 0
    batch_size: int = 100
    max_examples: int | None = None
    questions: tuple[Any, ...] = ()
    given_proposal: tuple[str, ...] | None = None
    baseline_steps: int | None = None
    own: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    progress: Callable[..., Iterable] = _as_it_is
    memory: dict[str, Any] = dataclasses.field(default_factory=dict, compare=False, repr=False)

    def value(self, setting: Setting) -> Any:
        """Returns the value of one of the analysis's own settings."""
        return self.own.get(setting.name, setting.default)

    def batches(self, run: Run, split: str | None = None) -> tuple[tf.data.Dataset, int]:
        """Returns a run's examples that count, in batches, and how many batches.

        Args:
            run: The run.
            split: The split, if not that of the settings.
        """
        split = split or self.split
        number = run.split(split).num_examples
        batches = run.batches(split, self.batch_size, self.seed)
        if self.max_examples is not None:
            number = min(number, self.max_examples)
            batches = batches.unbatch().take(number).batch(self.batch_size)
        return batches, -(-number // self.batch_size)

    def shown_batches(self, run: Run, what: str, split: str | None = None) -> Iterable:
        """Returns the examples that count, in batches, with progress under a name."""
        batches, total = self.batches(run, split)
        return self.progress(batches, desc=what, total=total)

    def baseline_steps_of(self, run: Run) -> int:
        """Returns the steps of networks that are trained to compare a run with."""
        return run.checkpoint_step if self.baseline_steps is None else self.baseline_steps

    def recorded(self) -> dict[str, Any]:
        """Returns what decides the figures, for the report."""
        asked = {"questions": [str(q) for q in self.questions]} if self.questions else {}
        if self.given_proposal is not None:
            asked["given_proposal"] = list(self.given_proposal)
        return {
            "split": self.split,
            "num_samples": self.num_samples,
            "seed": self.seed,
            "batch_size": self.batch_size,
            "max_examples": self.max_examples,
            **asked,
            **self.own,
        }
