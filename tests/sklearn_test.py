"""The scikit-learn estimators: scikit-learn's checks, missing values, cross-validation."""

import logging
import pickle
import sys

import numpy as np
import pytest
import tensorflow as tf

pytest.importorskip("sklearn")

import pandas as pd
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.utils import estimator_checks

from tf_mvae.sklearn import MVAEImputer, MVAETransformer

SMALL = {"latent_dim": 2, "epochs": 1, "random_state": 0}

# One model a check at most. All of `check_estimator` trains over a hundred models:
# `python tests/sklearn_test.py`.
CHECKS = [
    (MVAEImputer, estimator_checks.check_no_attributes_set_in_init),
    (MVAEImputer, estimator_checks.check_parameters_default_constructible),
    (MVAEImputer, estimator_checks.check_estimators_unfitted),
    (MVAEImputer, estimator_checks.check_fit2d_1sample),
    (MVAEImputer, estimator_checks.check_n_features_in_after_fitting),
    (MVAETransformer, estimator_checks.check_no_attributes_set_in_init),
    (MVAETransformer, estimator_checks.check_parameters_default_constructible),
    (MVAETransformer, estimator_checks.check_estimators_unfitted),
    (MVAETransformer, estimator_checks.check_dict_unchanged),
]


def make_data(rows=60):
    rng = np.random.default_rng(0)
    z = rng.normal(size=rows)
    values = np.stack([z, -2 * z, 3 + z], 1) + 0.1 * rng.normal(size=[rows, 3])
    return np.where(rng.uniform(size=values.shape) < 0.15, np.nan, values), (z > 0).astype(int)


@pytest.mark.parametrize(("make", "check"), CHECKS, ids=lambda each: each.__name__)
def test_it_passes_the_checks_of_scikit_learn(make, check):
    check(make.__name__, make(**SMALL))


def test_gaps_alone_are_filled_and_empty_columns_are_dropped():
    values, _ = make_data()
    values = np.concatenate([values, np.full([60, 1], np.nan)], 1)
    imputer = MVAEImputer(**SMALL, num_samples=5).fit(values)
    filled = imputer.transform(values)
    observed = ~np.isnan(values[:, :3])
    assert filled.shape == (60, 3) and np.isfinite(filled).all()
    np.testing.assert_array_equal(filled[observed], values[:, :3][observed])
    assert list(imputer.get_feature_names_out()) == ["x0", "x1", "x2"]
    np.testing.assert_array_equal(imputer.transform(values), filled)
    again = pickle.loads(pickle.dumps(imputer))
    np.testing.assert_allclose(again.transform(values), filled, rtol=1e-5)


def test_a_data_frame_comes_back_with_its_types_and_unknown_classes_stay():
    values, labels = make_data()
    frame = pd.DataFrame(values, columns=["a", "b", "c"]).assign(kind=np.array(["x", "y"])[labels])
    frame.loc[::7, "kind"] = None
    frame["one"], frame["unit"] = 5.0, "mg"  # constants, which are not modelled
    frame.loc[::5, ["one", "unit"]] = None
    imputer = MVAEImputer(**SMALL, num_samples=5).fit(frame)
    assert imputer.schema_.columns["kind"].type == "binary"
    new = frame.iloc[:10].copy()
    new["b"] = new["b"].astype(object)
    new.loc[1, ["b", "kind"]] = "z"
    with pytest.warns(UserWarning, match="columns .'b', 'kind'. hold values that were not there"):
        filled = imputer.transform(new)
    assert filled.loc[1, "kind"] == "z" and not filled.isna().any(axis=None)
    assert filled["a"].dtype == np.float64 and list(filled.columns) == list(frame.columns)
    assert (filled["one"] == 5).all() and (filled["unit"] == "mg").all()


@pytest.mark.parametrize("rate", [-1.0, 0.0, np.nan, "fast"])
def test_a_learning_rate_that_is_none_is_refused(rate):
    with pytest.raises(ValueError, match="learning_rate must be a finite number above 0"):
        MVAEImputer(**SMALL, learning_rate=rate).fit(make_data(20)[0])


@pytest.mark.parametrize("make", [MVAEImputer, MVAETransformer])
def test_a_list_is_an_array(make):
    values, _ = make_data(20)
    estimator = make(**SMALL).fit(values.tolist())
    np.testing.assert_array_equal(estimator.transform(values.tolist()), estimator.transform(values))


def test_many_fits_do_not_warn_of_retracing_and_other_warnings_are_shown(monkeypatch):
    shown = []

    class Handler(logging.Handler):
        def emit(self, record):
            shown.append(record.getMessage())

    def fit(self, *_, **__):
        tf.get_logger().warning("%d out of the last 9 calls triggered tf.function retracing.", 5)
        tf.get_logger().warning("another warning")

    monkeypatch.setattr("tf_mvae.sklearn.MVAE.fit", fit)
    handler = Handler()
    tf.get_logger().addHandler(handler)
    try:
        MVAEImputer(**SMALL).fit(make_data()[0])
    finally:
        tf.get_logger().removeHandler(handler)
    assert shown == ["another warning"] and not tf.get_logger().filters


def test_a_pipeline_is_cross_validated_with_gaps():
    values, labels = make_data()
    transformer = MVAETransformer(latent_dim=2, epochs=40, learning_rate=1e-2, random_state=0)
    scores = cross_val_score(make_pipeline(transformer, LogisticRegression()), values, labels, cv=2)
    assert scores.mean() > 0.75  # half by chance


def run_all_checks():
    """Runs `check_estimator` on both estimators and prints the results; returns the exit status."""
    # To trace a model's functions takes a hundred times as long as its few steps here.
    tf.config.run_functions_eagerly(True)
    failed = []
    for estimator in (MVAEImputer(**SMALL, num_samples=5), MVAETransformer(**SMALL)):
        results = estimator_checks.check_estimator(estimator, on_fail=None, on_skip=None)
        name = type(estimator).__name__
        for status in sorted({r["status"] for r in results}):
            found = [r["check_name"] for r in results if r["status"] == status]
            print(f"{name}: {len(found)} {status}: {', '.join(sorted(set(found)))}")
        failed += [r for r in results if r["status"] == "failed"]
    for result in failed:
        print(result["check_name"], result["exception"])
    return bool(failed)


if __name__ == "__main__":
    sys.exit(run_all_checks())
