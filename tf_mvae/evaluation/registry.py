"""The registry of analyses: a decorator registers each at its definition."""

import dataclasses
from collections.abc import Callable
from typing import Any

from tf_mvae.data.tasks import possible
from tf_mvae.evaluation.run import Run
from tf_mvae.evaluation.settings import Settings
from tf_mvae.settings import ANALYSES, Setting

__all__ = ["Analysis", "analysis", "usual_analyses"]

Analyze = Callable[[Run, Settings], dict[str, Any]]


@dataclasses.dataclass(frozen=True)
class Analysis:
    """An analysis of a trained run.

    Attributes:
        name: The name for `--analysis`.
        description: A short description of what it measures.
        analyze: A function from a run and settings to results by name. A result is a dictionary
            with `value`, `standard_error`, `examples`, and `unit` if it is not a fraction.
        num_samples: The default of `--num_samples`, samples of the latent per example.
        trains: Whether it trains networks to compare with, for `Settings.baseline_steps`.
        settings: The analysis's own settings; `Settings.value` returns their values.
        asks: Whether it answers `Settings.questions`, which `--target` asks.
    """

    name: str
    description: str
    analyze: Analyze
    num_samples: int
    trains: bool = False
    settings: tuple[Setting, ...] = ()
    asks: bool = False


def analysis(
    name: str,
    description: str,
    num_samples: int = 16,
    trains: bool = False,
    settings: tuple[Setting, ...] = (),
    asks: bool = False,
) -> Callable[[Analyze], Analyze]:
    """Registers a function as an analysis for `--analysis`; a decorator.

    `--help` reads `name`, `description` and `settings` from the source without importing it, so
    they must be literals (`tf_mvae.settings.source`).

    Args:
        name: See `Analysis`.
        description: See `Analysis`.
        num_samples: See `Analysis`.
        trains: See `Analysis`.
        settings: See `Analysis`.
        asks: See `Analysis`.

    Returns:
        A decorator that returns the function unchanged.

    Example:

    ```python
    from tf_mvae.evaluation.statistics import share

    @analysis("first_class", "the fraction of examples of class 0", num_samples=1)
    def analyze(run: Run, settings: Settings) -> dict:
        batches, _ = settings.batches(run)
        classes = np.concatenate([batch["x"]["label"] for batch in batches])
        return {"class 0": share((classes == 0).sum(), len(classes))}
    ```
    """

    def register(analyze: Analyze) -> Analyze:
        ANALYSES.add(Analysis(name, description, analyze, num_samples, trains, settings, asks))
        return analyze

    return register


def usual_analyses(run: Run) -> tuple[str, ...]:
    """Returns the names of the analyses that `--analysis` has by default for a run.

    These are the analyses of its experiment. If the model does not support them (it has a single
    modality, conditions, or none of the experiment's tasks), it is the log-likelihood.

    Args:
        run: The run.
    """
    names = [modality.name for modality in run.model.modalities]
    tasks = run.experiment.tasks
    several = len(names) > 1 or run.experiment.table is not None
    fits = several and not run.model.conditions and (not tasks or possible(tasks, names))
    return run.experiment.analyses if fits else ("log_likelihood",)
