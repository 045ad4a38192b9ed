"""The settings of an evaluation."""

import dataclasses
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import tensorflow as tf

from tf_mvae.evaluation.run import Run
from tf_mvae.settings import Setting

__all__ = ["Settings"]


def _as_it_is(items: Iterable, **kwargs: Any) -> Iterable:
    """Returns the items, without a progress bar."""
    return items


@dataclasses.dataclass(frozen=True)
class Settings:
    """The settings of an evaluation.

    Attributes:
        split: The split to evaluate on: `train`, `validation` or `test`.
        num_samples: The number of samples of the latent per example.
        seed: The seed of all samples, and of random parts of the data.
        batch_size: Examples per batch.
        max_examples: Evaluate the first examples only, this many; default: all.
        questions: The log-likelihoods to estimate (`tf_mvae.evaluation.Question`); empty: those of
            `tf_mvae.evaluation.questions.default_questions`.
        given_proposal: If set, conditional likelihoods are differences of two estimates
            (`Question.given_proposal`): names, or `('given',)` for each question's own given,
            or `('prior',)`.
        baseline_steps: Optimizer steps of networks that are trained to compare with; default: the
            step of the evaluated checkpoint. 0: no such networks.
        own: The values of the analysis's own settings, by name.
        progress: Wraps an iterable to show progress; takes `desc` and `total`.
        memory: Intermediate results that analyses of one run share, under the same settings.

    Example:
    ```python
    settings = Settings(split="validation", num_samples=100, max_examples=1000)
    settings.recorded()["max_examples"]  # 1000
    ```
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
        """Returns the value of one of the analysis's own settings.

        Args:
            setting: The setting, as registered with the analysis.
        """
        return self.own.get(setting.name, setting.default)

    def batches(self, run: Run, split: str | None = None) -> tuple[tf.data.Dataset, int]:
        """Returns the examples to evaluate in batches, and the number of batches.

        Args:
            run: The run.
            split: The split; default: that of the settings.
        """
        split = split or self.split
        number = run.split(split).num_examples
        batches = run.batches(split, self.batch_size, self.seed)
        if self.max_examples is not None:
            number = min(number, self.max_examples)
            batches = batches.unbatch().take(number).batch(self.batch_size)
        return batches, -(-number // self.batch_size)

    def shown_batches(self, run: Run, what: str, split: str | None = None) -> Iterable:
        """Returns the examples to evaluate in batches, with a progress bar.

        Args:
            run: The run.
            what: The title of the progress bar.
            split: The split; default: that of the settings.
        """
        batches, total = self.batches(run, split)
        return self.progress(batches, desc=what, total=total)

    def baseline_steps_of(self, run: Run) -> int:
        """Returns the number of optimizer steps of networks that a run is compared with."""
        return run.checkpoint_step if self.baseline_steps is None else self.baseline_steps

    def recorded(self) -> dict[str, Any]:
        """Returns the settings that the results depend on, for the report."""
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
