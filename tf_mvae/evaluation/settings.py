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
        seed: Seed of all samples.
        batch_size: Examples a batch.
        max_examples: The first so many examples only; all where None.
        progress: Wraps an iterable, to show progress; takes `desc` and `total`.
    """

    split: str = "test"
    num_samples: int = 16
    seed: int = 0
    batch_size: int = 100
    max_examples: int | None = None
    progress: Callable[..., Iterable] = _as_it_is

    def recorded(self) -> dict[str, Any]:
        """Returns what decides the figures, for the report."""
        return {
            "split": self.split,
            "num_samples": self.num_samples,
            "seed": self.seed,
            "max_examples": self.max_examples,
        }
