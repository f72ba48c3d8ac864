"""Contributions sum to the score, whatever the data: for every model, calibration and scale of points."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from propensity.explain.contributions import contributions, explanation, to_points
from propensity.models import MODEL_NAMES, load_model, make_model
from propensity.models.calibration import PlattCalibrator

CARD = {
    "scorecard": "demo",
    "indicators": [
        {"name": "Low", "feature": "f0", "buckets": [{"below": 0.5, "points": 3}, {"points": 11}], "missing": 1},
        {"name": "Kind", "feature": "f1", "weight": 0.7, "categories": {"x": 5, "y": -4}, "otherwise": 2},
    ],
}


def _frame(seed, n):
    """Heavy tails, gaps, zeros, constants and an identical pair of columns; f1 holds category codes."""
    rng = np.random.default_rng(seed)
    columns = [
        np.where(rng.random(n) < 0.5, 0, rng.lognormal(0, 3, n)),
        rng.integers(0, 5, n).astype(float),
        rng.normal(1e6, 1e3, n),
        np.full(n, 7.0),
        rng.poisson(1, n).astype(float),
    ]
    columns.append(columns[-1])
    X = np.column_stack(columns).astype(np.float32)
    X[rng.random(X.shape) < 0.1] = np.nan
    y = rng.random(n) < 1 / (1 + np.exp(-(np.nan_to_num(X[:, 4]) - 1.5)))
    y[:2] = [False, True]
    return pd.DataFrame(X, columns=[f"f{i}" for i in range(6)]), y.astype(np.int8)


def _fitted(name, X, y, seed):
    few = {"rounds": 15, "seeds": 2, "threads": 1}
    return make_model(
        name,
        categorical=["f1"],
        seed=seed,
        settings={"lightgbm": few, "blend": {"lightgbm": few, "weight": 0.35}}.get(name),
        scorecard=CARD,
        categories={"f1": ["x", "y", "z"]},
    ).fit(X, y)


@pytest.mark.parametrize("name", MODEL_NAMES)
@settings(max_examples=12, deadline=None, derandomize=True)
@given(seed=st.integers(0, 2**16), n=st.integers(20, 300))
def test_contributions_sum_to_the_calibrated_log_odds_and_to_points(name, seed, n):
    X, y = _frame(seed, n)
    model = _fitted(name, X, y, seed)
    calibrator = PlattCalibrator().fit(model.decision_function(X), y)
    phi, base = contributions(model, calibrator, X)
    log_odds = calibrator.transform(model.decision_function(X))
    np.testing.assert_allclose(base + phi.sum(axis=1), log_odds, rtol=1e-9, atol=1e-9)

    phi_points, base_points = to_points(phi, base, pdo=20, reference_points=600, reference_odds=1 / 19)
    points = base_points + phi_points.sum(axis=1)
    np.testing.assert_allclose(points, 600 + 20 / np.log(2) * (log_odds - np.log(1 / 19)), rtol=1e-9)


@pytest.mark.parametrize("name", MODEL_NAMES)
@settings(max_examples=6, deadline=None, derandomize=True)
@given(seed=st.integers(0, 2**16))
def test_files_give_the_same_model_back(name, seed):
    X, y = _frame(seed, 120)
    model = _fitted(name, X, y, seed)
    twin = load_model(name, model.to_files())
    np.testing.assert_array_equal(twin.decision_function(X), model.decision_function(X))
    np.testing.assert_array_equal(twin.contributions(X)[0], model.contributions(X)[0])


@pytest.mark.parametrize("name", MODEL_NAMES)
@settings(max_examples=6, deadline=None, derandomize=True)
@given(seed=st.integers(0, 2**16))
def test_a_features_contribution_depends_on_its_own_value_only_in_additive_models(name, seed):
    if name in ("lightgbm", "blend"):
        # Trees let features act together; their shares do too.
        return
    X, y = _frame(seed, 80)
    model = _fitted(name, X, y, seed)
    other = X.copy()
    other["f0"] = other["f0"].to_numpy()[::-1]
    np.testing.assert_array_equal(model.contributions(other)[0][:, 1:], model.contributions(X)[0][:, 1:])


def test_pdo_more_points_double_the_odds():
    # 600 points at odds 1:19; 620 at 2:19; 580 at 1:38.
    for odds, points in ((1 / 19, 600), (2 / 19, 620), (1 / 38, 580)):
        phi, base = to_points([[0.0]], np.log(odds), pdo=20, reference_points=600, reference_odds=1 / 19)
        assert base + phi.sum() == pytest.approx(points)


def test_points_need_a_positive_pdo():
    with pytest.raises(ValueError, match="pdo and reference_odds must be above 0"):
        to_points([[0.0]], 0.0, pdo=0, reference_points=600, reference_odds=1)


def test_contributions_that_do_not_sum_are_refused():
    X, y = _frame(0, 50)
    model = _fitted("logistic", X, y, 0)
    honest = model.contributions

    def wrong(frame):
        phi, base = honest(frame)
        return phi * 1.001, base

    model.contributions = wrong
    with pytest.raises(ArithmeticError, match="miss the calibrated log-odds"):
        contributions(model, None, X)


@pytest.mark.slow
# shap colours its maps in a way that matplotlib will drop.
@pytest.mark.filterwarnings("ignore:The set_:PendingDeprecationWarning")
def test_shap_explains_lightgbm_to_the_same_numbers():
    import shap

    X, y = _frame(3, 300)
    model = make_model("lightgbm", categorical=["f1"], settings={"rounds": 30, "seeds": 1, "threads": 1}).fit(X, y)
    phi, base = contributions(model, None, X)
    theirs = shap.TreeExplainer(model.boosters_[0])(X.to_numpy())
    np.testing.assert_allclose(np.asarray(theirs.values).reshape(-1, 6), phi, atol=1e-9)
    told = explanation(model, X)
    np.testing.assert_array_equal(told.values, phi)
    assert told.feature_names == list(X)
    assert (told.base_values == base).all()
