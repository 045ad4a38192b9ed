"""Tasks: one picture from another, with metrics and simple guesses."""

import dataclasses
from collections.abc import Callable, Iterable, Mapping

import numpy as np

__all__ = ["Correction", "Guess", "Task", "possible"]

# From the given pictures `[batch, height, width, channels]` and the target's mean over the
# training split, both in [0, 1], to a guess at the targets.
Guess = Callable[[np.ndarray, np.ndarray], np.ndarray]
# From given and predicted pictures, `[batch, height, width, channels]` in [0, 1], to pictures that
# agree with the given ones.
Correction = Callable[[np.ndarray, np.ndarray], np.ndarray]


@dataclasses.dataclass(frozen=True)
class Task:
    """A picture that is asked for, given another one.

    Attributes:
        name: Of the task, such as colourisation.
        given: The modality that is given.
        target: The modality that is asked for.
        guesses: Simple guesses to compare with, by name.
        binary: Whether the target's pixels are yes or no: then F1 and the like measure it,
            and PSNR and SSIM if not.
        parts: By what they are called, parts of the picture that are measured by
            themselves too, `(rows, columns)`.
        tolerance: Of a binary target, whether a pixel next to a true one is measured too.
        corrections: By what they are called, what makes a prediction agree with the given
            picture; the corrected prediction is measured too.
    """

    name: str
    given: str
    target: str
    guesses: Mapping[str, Guess]
    binary: bool = False
    parts: Mapping[str, tuple[slice, slice]] = dataclasses.field(default_factory=dict)
    tolerance: bool = False
    corrections: Mapping[str, Correction] = dataclasses.field(default_factory=dict)


def possible(tasks: Iterable[Task], names: Iterable[str]) -> list[Task]:
    """Returns the tasks whose modalities are among `names`."""
    known = set(names)
    return [task for task in tasks if {task.given, task.target} <= known]
