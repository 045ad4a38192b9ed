"""Accuracy of a column of classes, predicted from every subset of a table's modalities."""

import itertools
from typing import Any

import numpy as np
import tensorflow as tf

from tf_mvae.data.tables import Table
from tf_mvae.errors import UserError
from tf_mvae.evaluation.registry import analysis
from tf_mvae.evaluation.run import Run
from tf_mvae.evaluation.settings import Settings
from tf_mvae.evaluation.statistics import share
from tf_mvae.extras import needing

__all__ = ["analyze"]

_MOST_OTHERS = 5  # the largest number of other modalities: 31 subsets
_TREES = 300
_BLOCK = 500  # rows to encode at a time
METHODS = (
    "model",
    "latent, logistic regression",
    "logistic regression, complete rows",
    "random forest, complete rows",
    "most frequent class",
)


@analysis(
    "label_prediction",
    "a modality that is one class, predicted from every subset of a table's other modalities",
    num_samples=200,
)
def analyze(run: Run, settings: Settings) -> dict[str, Any]:
    """Predicts the class of each row from every subset of the other modalities.

    These methods are compared:

    - the class that the model imputes;
    - a logistic regression on the mean of `q(z | subset)`, trained on all rows with the class and
      at least one modality of the subset;
    - a logistic regression and a random forest of 300 trees on the cells themselves (standardised,
      one-hot classes, missing cells filled with means), trained on the rows with the class and all
      modalities of the subset (complete cases);
    - the most frequent class.

    Accuracy is measured on the rows of the split with the class and all modalities of the subset.

    Raises:
        UserError: No modality is one column of classes, there are more than five others, the data
            are not a table, or scikit-learn is not installed.
    """
    with needing("--analysis=label_prediction", "sweep"):
        import sklearn  # noqa: F401
    train, test = run.table("train"), run.table(settings.split)
    test = Table(test.frame.iloc[: settings.max_examples], test.schema)
    label, others = _label_and_others(train)
    column = train.schema.of(label)[0]
    codes = [column.encode(table.frame[column.name]) for table in (train, test)]
    subsets = [
        subset
        for size in range(1, len(others) + 1)
        for subset in itertools.combinations(others, size)
    ]
    results: dict[str, Any] = {}
    for subset in settings.progress(subsets, desc="subsets", total=len(subsets)):
        # Rows with the class and the complete subset, of both splits; then training rows with the
        # class and a part of the subset.
        there = [
            _has(table, subset, all) & ~np.isnan(own)
            for table, own in zip((train, test), codes, strict=True)
        ]
        known = _has(train, subset, any) & ~np.isnan(codes[0])
        if not there[1].any() or len(np.unique(codes[0][there[0]])) < 2:
            continue
        truth = codes[1][there[1]]
        found = _predictions(run, settings, train, test, subset, label, codes[0], there, known)
        for method, guess in zip(METHODS, found, strict=True):
            name = " + ".join(subset)
            entry = share(int((guess == truth).sum()), len(truth))
            entry |= {"cell": [f"right {label}", name, method], "rows": int(there[0].sum())}
            results[f"right {label} | {name}: {method}"] = entry
    return results


def _label_and_others(table: Table) -> tuple[str, list[str]]:
    """Returns the first modality that is one column of classes, and the other modalities."""
    names = list(table.schema.modalities)
    for name in names:
        (first, *rest) = table.schema.of(name)
        others = [other for other in names if other != name]
        if not rest and first.is_class and 1 <= len(others) <= _MOST_OTHERS:
            return name, others
    raise UserError(
        "--analysis=label_prediction needs a modality that is one column of classes, and one to "
        f"{_MOST_OTHERS} others; the table has {', '.join(names)}"
    )


def _has(table: Table, subset: tuple[str, ...], how: Any) -> np.ndarray:
    """Says which rows have a cell of all modalities of a subset, or of any."""
    there = ~table.schema.missing_cells(table.frame)
    each = [
        there[[c.name for c in table.schema.of(name)]].any(axis=1).to_numpy() for name in subset
    ]
    return np.array([how(row) for row in zip(*each, strict=True)], bool)


def _predictions(
    run: Run,
    settings: Settings,
    train: Table,
    test: Table,
    subset: tuple[str, ...],
    label: str,
    codes: np.ndarray,
    there: list[np.ndarray],
    known: np.ndarray,
) -> list[np.ndarray]:
    """Returns the classes that each of `METHODS` predicts for the test rows with the subset.

    Args:
        run: The run.
        settings: The settings of the evaluation.
        train: The training table.
        test: The evaluated table.
        subset: The given modalities.
        label: The modality of the class.
        codes: The classes of the training rows.
        there: Rows with the class and the complete subset, of the training and the evaluated table.
        known: Training rows with the class and a part of the subset.
    """
    from sklearn.ensemble import RandomForestClassifier

    column = train.schema.of(label)[0]
    asked = _only(test, subset, there[1])
    imputed = run.model.impute(asked, settings.num_samples, (), settings.seed)
    guesses = [imputed.probabilities[column.name].to_numpy().argmax(axis=1)]
    latents = [_latents(run, table) for table in (_only(train, subset, known), asked)]
    guesses.append(_regression().fit(latents[0], codes[known]).predict(latents[1]))
    learned = _only(train, subset, there[0])
    units = _Units(learned, subset)
    cells, own = [units.of(table) for table in (learned, asked)], codes[there[0]]
    guesses.append(_regression().fit(cells[0], own).predict(cells[1]))
    forest = RandomForestClassifier(_TREES, random_state=settings.seed)
    guesses.append(forest.fit(cells[0], own).predict(cells[1]))
    values, counts = np.unique(own, return_counts=True)
    guesses.append(np.full(len(asked.frame), values[counts.argmax()]))
    return guesses


def _regression() -> Any:
    """Returns a logistic regression on standardised inputs."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    return make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000))


def _only(table: Table, subset: tuple[str, ...], rows: np.ndarray) -> Table:
    """Returns some rows of a table, with all modalities but a subset missing."""
    frame = table.frame.loc[rows].copy()
    hidden = [
        c.name
        for name in table.schema.modalities
        if name not in subset
        for c in table.schema.of(name)
    ]
    frame[hidden] = None
    return Table(frame, table.schema)


def _latents(run: Run, table: Table) -> np.ndarray:
    """Returns the means of `q(z | observed modalities)`, `[rows, latent]`."""
    found = []
    for start in range(0, len(table.frame), _BLOCK):
        rows = slice(start, start + _BLOCK)
        part = tf.nest.map_structure(lambda values, rows=rows: values[rows], table.batch)
        found.append(run.model.posterior(**part).mean().numpy())
    return np.concatenate(found)


class _Units:
    """Encodes cells as numbers; missing ones become the means of the training rows."""

    def __init__(self, table: Table, subset: tuple[str, ...]):
        self._columns = [c for name in subset for c in table.schema.of(name)]
        values = self._numbers(table)
        self._means = _means(values)

    def of(self, table: Table) -> np.ndarray:
        """Returns the encoded cells of a table, `[rows, numbers]`."""
        values = self._numbers(table)
        return np.where(np.isnan(values), self._means, values)

    def _numbers(self, table: Table) -> np.ndarray:
        parts = []
        for column in self._columns:
            values = column.encode(table.frame[column.name]).astype(np.float64)[:, np.newaxis]
            if column.is_class and column.type == "categorical":
                hot = values == np.arange(len(column.categories))
                values = np.where(np.isnan(values), np.nan, hot)
            parts.append(values)
        return np.concatenate(parts, axis=1)


def _means(values: np.ndarray) -> np.ndarray:
    """Returns the columns' means without NaN; 0 for a column without a number."""
    there = ~np.isnan(values)
    return np.where(there, values, 0.0).sum(axis=0) / np.maximum(there.sum(axis=0), 1)
