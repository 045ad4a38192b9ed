"""Scikit-learn estimators: `MVAEImputer` fills gaps, `MVAETransformer` gives latents.

They need the extra `sklearn` (`pip install 'tf-mvae[sklearn]'`); no other module imports this one.
"""

import contextlib
import logging
import random
import warnings
from collections.abc import Iterator, Mapping
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tf_mvae import checks
from tf_mvae.data.schema_inference import infer_schema
from tf_mvae.data.tables import Table
from tf_mvae.errors import UserError
from tf_mvae.extras import needing
from tf_mvae.models import MVAE, LinearAnnealing

with needing("tf_mvae.sklearn", "sklearn"):
    import pandas as pd
    from sklearn.base import (
        BaseEstimator,
        ClassNamePrefixFeaturesOutMixin,
        OneToOneFeatureMixin,
        TransformerMixin,
    )
    from sklearn.utils import check_random_state
    from sklearn.utils.validation import check_is_fitted, validate_data

__all__ = ["MVAEImputer", "MVAETransformer"]

_FLOATS = ["float64", "float32"]
_ANNEALED = 0.1  # of the steps
_BLOCK = 200  # rows


class _TableEstimator(TransformerMixin, BaseEstimator):
    """What both estimators share: an `MVAE` of the columns of an array or a data frame."""

    def __init__(
        self,
        latent_dim: int = 8,
        epochs: int = 200,
        batch_size: int = 64,
        learning_rate: float = 1e-3,
        types: Mapping[Any, str] | None = None,
        element_dropout: float = 0.5,
        random_state: Any = None,
    ):
        self.latent_dim = latent_dim
        self.epochs = epochs
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.types = types
        self.element_dropout = element_dropout
        self.random_state = random_state

    def fit(self, X: Any, y: Any = None) -> "_TableEstimator":
        """Trains a model on rows, which may have gaps.

        Args:
            X: `[rows, columns]`, an array of numbers or a pandas data frame.
            y: Not used.

        Raises:
            ValueError: X does not fit, or nothing in it can be modelled.
        """
        frame = self._frame(X, reset=True)
        types = dict(self.types or {})
        if not hasattr(X, "iloc"):
            types = dict.fromkeys(frame.columns, "real") | types
        self.schema_, _ = infer_schema(frame, "one", types)
        seed = int(check_random_state(self.random_state).randint(2**31 - 1))
        self.model_ = _trained(
            self._table(frame),
            checks.positive_integer("latent_dim", self.latent_dim),
            checks.positive_integer("epochs", self.epochs),
            checks.positive_integer("batch_size", self.batch_size),
            checks.positive("learning_rate", self.learning_rate),
            checks.fraction("element_dropout", self.element_dropout),
            seed,
        )
        self._seed = seed
        self._kept = frame.notna().any().to_numpy()
        self._constants = _constants(frame.drop(columns=list(self.schema_.columns)))
        return self

    def _frame(self, X: Any, reset: bool) -> Any:
        """Returns rows as a data frame, checked as scikit-learn does."""
        if hasattr(X, "iloc") and not all(
            pd.api.types.is_numeric_dtype(dtype) for dtype in X.dtypes
        ):
            validate_data(self, X, reset=reset, skip_check_array=True)
            if not len(X):
                raise UserError("Found array with 0 sample(s): the data frame has no rows")
            return X
        array = validate_data(
            self, X, reset=reset, dtype=[np.float64, np.float32], ensure_all_finite="allow-nan"
        )
        names = getattr(self, "feature_names_in_", range(array.shape[1]))
        index = X.index if hasattr(X, "iloc") else None  # `index` of a list is a method
        return pd.DataFrame(array, index, list(names))

    def _table(self, frame: Any) -> Table:
        """Returns rows as a table; what a column's type cannot hold is missing from it."""
        known, unknown = {}, []
        for name, column in self.schema_.columns.items():
            fits = column.holds(frame[name])
            known[name] = frame[name] if fits.all() else frame[name].where(fits)
            unknown += [name] * (not fits.all())
        if unknown:
            warnings.warn(
                f"columns {unknown} hold values that were not there, or not possible, in fit(); "
                "the model takes them for missing",
                stacklevel=3,
            )
        return Table(pd.DataFrame(known, frame.index), self.schema_)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        tags.transformer_tags.preserves_dtype = list(_FLOATS)
        return tags


class MVAEImputer(OneToOneFeatureMixin, _TableEstimator):
    """Fills gaps with `E[x_missing | x_observed]`, of classes with the most probable one.

    The model is an `MVAE` of one modality, the table, trained on the observed cells
    (`tf_mvae.data.from_frame`); see `GenerativeModel.impute` for the estimate. What is observed is
    not touched. Columns without a value in `fit` are dropped, as by scikit-learn's own imputers.
    Gaps of a column with a single value are filled with it. Of a data frame, columns that the
    inferred schema omits otherwise (text of many values, dates) are passed through as they are,
    gaps too.

    Attributes:
        schema_: The columns, a `tf_mvae.data.Schema`.
        model_: The model.
        n_features_in_: The number of columns.
        feature_names_in_: Their names, of a data frame.

    Example:

    ```python
    imputer = MVAEImputer(random_state=0).fit(X)   # X: an array with NaN, or a data frame
    imputer.transform(X)
    make_pipeline(MVAEImputer(epochs=50), LogisticRegression()).fit(X, y)
    ```
    """

    def __init__(
        self,
        latent_dim: int = 8,
        epochs: int = 200,
        batch_size: int = 64,
        learning_rate: float = 1e-3,
        types: Mapping[Any, str] | None = None,
        element_dropout: float = 0.5,
        num_samples: int = 100,
        importance: bool = False,
        random_state: Any = None,
    ):
        """Keeps the arguments; `fit` checks them.

        Args:
            latent_dim: Size of the latent.
            epochs: Passes over the rows.
            batch_size: Rows per step, at most.
            learning_rate: Adam's.
            types: By column (of an array by its place) its type, see `docs/tables.md`; others are
                `real` in an array and inferred in a data frame.
            element_dropout: The largest fraction of a row's cells that training hides.
            num_samples: Samples of the latent for a row.
            importance: Whether these are weighed by the observed cells.
            random_state: Seed of everything random; scikit-learn's.
        """
        super().__init__(
            latent_dim, epochs, batch_size, learning_rate, types, element_dropout, random_state
        )
        self.num_samples = num_samples
        self.importance = importance

    def transform(self, X: Any) -> Any:
        """Returns X without gaps.

        Args:
            X: `[rows, columns]`, the columns of `fit`.

        Returns:
            An array of X's type; for a data frame that holds more than numbers a data frame.
        """
        check_is_fitted(self)
        frame = self._frame(X, reset=False)
        filled = frame.copy()
        table = self._table(frame)
        if frame[list(self.schema_.columns)].isna().any(axis=None):
            found = self.model_.impute(table, self.num_samples, (), self._seed, self.importance)
            for name in self.schema_.columns:
                gaps = frame[name].isna()
                if gaps.any():
                    filled[name] = found.filled[name].where(gaps, frame[name])
        for name, value in self._constants.items():
            filled[name] = frame[name].where(frame[name].notna(), value)
        filled = filled.loc[:, self._kept]
        numbers = all(pd.api.types.is_numeric_dtype(dtype) for dtype in frame.dtypes)
        return filled.to_numpy(frame.to_numpy().dtype) if numbers else filled

    def get_feature_names_out(self, input_features: Any = None) -> np.ndarray:
        """Returns the names of the columns that `transform` returns."""
        check_is_fitted(self)
        return super().get_feature_names_out(input_features)[self._kept]


class MVAETransformer(ClassNamePrefixFeaturesOutMixin, _TableEstimator):
    """Replaces rows, which may have gaps, by the posterior's mean `E_q[z | x_observed]`.

    See `MVAEImputer` for the model and for its attributes.

    Example:

    ```python
    pipeline = make_pipeline(MVAETransformer(latent_dim=4), LogisticRegression())
    cross_val_score(pipeline, X, y)
    ```
    """

    def __init__(
        self,
        latent_dim: int = 8,
        epochs: int = 200,
        batch_size: int = 64,
        learning_rate: float = 1e-3,
        types: Mapping[Any, str] | None = None,
        element_dropout: float = 0.5,
        random_state: Any = None,
    ):
        """Keeps the arguments; see `MVAEImputer`."""
        super().__init__(
            latent_dim, epochs, batch_size, learning_rate, types, element_dropout, random_state
        )

    def transform(self, X: Any) -> np.ndarray:
        """Returns the means of latents, `[rows, latent_dim]`.

        Args:
            X: `[rows, columns]`, the columns of `fit`.
        """
        check_is_fitted(self)
        frame = self._frame(X, reset=False)
        batch = self._table(frame).batch
        rows, found = len(frame), []
        for start in range(0, rows, _BLOCK):
            # Blocks of one size: a row's result does not depend on the number of the others.
            places = np.minimum(np.arange(start, start + _BLOCK), rows - 1)
            part = tf.nest.map_structure(lambda values, p=places: values[p], batch)
            found.append(self.model_.posterior(**part).mean().numpy())
        dtype = frame.to_numpy().dtype
        return np.concatenate(found)[:rows].astype(dtype if dtype in _FLOATS else np.float64)

    @property
    def _n_features_out(self) -> int:
        return self.model_.latent_dim


def _constants(frame: Any) -> dict[Any, Any]:
    """Returns the value of each column that has a single one, gaps aside."""
    found = {}
    for name in frame.columns:
        observed = frame[name].dropna()
        with contextlib.suppress(TypeError):  # lists in cells
            if observed.nunique() == 1:
                found[name] = observed.iloc[0]
    return found


def _trained(
    table: Table,
    latent_dim: int,
    epochs: int,
    batch_size: int,
    learning_rate: float,
    element_dropout: float,
    seed: int,
) -> MVAE:
    """Returns a model trained on a table; the same seed gives the same one."""
    rows = len(table.frame)
    size = min(batch_size, rows)
    options = tf.data.Options()
    options.autotune.enabled = False  # which makes the end of an iterator wait for seconds
    data = tf.data.Dataset.from_tensor_slices(table.batch).shuffle(rows, seed=seed)
    data = data.batch(size, drop_remainder=True).with_options(options)
    with _weights_seeded(seed):
        model = MVAE(
            table.modalities(element_dropout=element_dropout),
            latent_dim,
            kl_weight=LinearAnnealing(int(_ANNEALED * epochs * (rows // size))),
            seed=seed,
        )
        model.compile(keras.optimizers.Adam(learning_rate), jit_compile=False)
        with _traced_silently():
            model.fit(data, epochs=epochs, verbose=0)
    return model


@contextlib.contextmanager
def _traced_silently() -> Iterator[None]:
    """Keeps TensorFlow from warnings of retracing.

    Each `fit` of a cross-validation trains a model of its own, whose training step is traced once;
    TensorFlow counts these traces as those of one function.
    """

    def is_other(record: logging.LogRecord) -> bool:
        return "triggered tf.function retracing" not in record.getMessage()

    logger = tf.get_logger()
    logger.addFilter(is_other)
    try:
        yield
    finally:
        logger.removeFilter(is_other)


@contextlib.contextmanager
def _weights_seeded(seed: int) -> Iterator[None]:
    """Seeds what Keras draws the seeds of new weights from, and puts it back as it was."""
    state = random.getstate()
    random.seed(seed)
    try:
        yield
    finally:
        random.setstate(state)
