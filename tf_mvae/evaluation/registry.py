"""Analyses: registered at their definition, by name."""

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
    """One analysis.

    Attributes:
        name: What `--analysis` says.
        description: What it measures, in a few words.
        analyze: From a run and settings to results by name.
        num_samples: Samples of the latent for an example; default of `--num_samples`.
        trains: Whether it trains networks to compare with, for `Settings.baseline_steps`.
        settings: Its own settings; `Settings.value` has their values.
    """

    name: str
    description: str
    analyze: Analyze
    num_samples: int
    trains: bool = False
    settings: tuple[Setting, ...] = ()


def analysis(
    name: str,
    description: str,
    num_samples: int = 16,
    trains: bool = False,
    settings: tuple[Setting, ...] = (),
) -> Callable[[Analyze], Analyze]:
    """Registers a function of a run and settings for `--analysis`; see `Analysis`.

    The settings are written literally (`tf_mvae.settings.source`).

    Example:

    ```python
    @analysis("accuracy", "classes predicted from other modalities")
    def analyze(run: Run, settings: Settings) -> dict[str, Any]: ...
    ```
    """

    def register(analyze: Analyze) -> Analyze:
        ANALYSES.add(Analysis(name, description, analyze, num_samples, trains, settings))
        return analyze

    return register


def usual_analyses(run: Run) -> tuple[str, ...]:
    """Returns the names of the analyses of a run where none are asked for.

    They are its experiment's; of a model that cannot do what these measure (one of a single
    modality, one that cannot do without another, or one without the pictures of any task), its
    log-likelihood.

    Args:
        run: The run.
    """
    names = [modality.name for modality in run.model.modalities]
    tasks = run.experiment.tasks
    several = len(names) > 1 or run.experiment.table is not None
    fits = several and not run.model.conditions and (not tasks or possible(tasks, names))
    return run.experiment.analyses if fits else ("log_likelihood",)
