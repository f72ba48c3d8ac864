"""Contributions by quadrature are LightGBM's own, whatever the trees and the data."""

import re

import lightgbm as lgb
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from propensity.models import tree_shap_kernel
from propensity.models.base import UnsupportedTreesError
from propensity.models.gbm import LightGBMModel
from propensity.models.tree_shap import TreeShap

COLUMNS = 9
TINY = float(np.float32(1e-35))


def rows(rng, n):
    """Heavy ties around 0 and around LightGBM's own thresholds there, gaps, categories, a repeated column."""
    X = rng.normal(size=(n, COLUMNS)).astype(np.float32)
    X[:, 0] = rng.poisson(0.5, n)
    X[:, 1] = rng.choice([0.0, -0.0, TINY, -TINY, 2 * TINY, -2 * TINY, 1.0, np.nan], n)
    X[:, 2] = rng.integers(0, 70, n)
    X[:, 3] = X[:, 0]
    X[:, 4] = np.where(rng.random(n) < 0.5, np.nan, X[:, 4])
    X[rng.random(X.shape) < 0.05] = np.nan
    return X


def trained(seed, **parameters):
    rng = np.random.default_rng(seed)
    X = rows(rng, 600)
    z = np.nan_to_num(X[:, 5] + X[:, 0] * X[:, 6]) + (np.nan_to_num(X[:, 2]) % 3 == 1) - 1 + np.isnan(X[:, 4])
    y = rng.random(len(X)) < 1 / (1 + np.exp(-z))
    y[:2] = False, True
    data = lgb.Dataset(X, y, categorical_feature=[2], params={"verbosity": -1, **parameters})
    common = {"objective": "binary", "verbosity": -1, "num_threads": 1, "seed": seed, "min_data_per_group": 5}
    return lgb.train({**common, "min_data_in_leaf": 3, **parameters}, data, num_boost_round=12), rng


def differences(booster, X):
    shap = TreeShap([booster.model_to_string()], X.shape[1])
    theirs = booster.predict(X, pred_contrib=True, num_threads=1)
    return np.abs(np.column_stack([shap(X), np.full(len(X), shap.base)]) - theirs).max()


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    seed=st.integers(0, 2**16),
    leaves=st.integers(2, 60),
    zero_as_missing=st.booleans(),
    use_missing=st.booleans(),
    extra_trees=st.booleans(),
    bagging=st.booleans(),
    one_hot=st.sampled_from([1, 100]),
)
def test_they_are_lightgbms(seed, leaves, zero_as_missing, use_missing, extra_trees, bagging, one_hot):
    parameters = {
        "num_leaves": leaves,
        "zero_as_missing": zero_as_missing,
        "use_missing": use_missing,
        "extra_trees": extra_trees,
        "max_cat_to_onehot": one_hot,
        **({"bagging_fraction": 0.5, "bagging_freq": 1} if bagging else {}),
    }
    booster, rng = trained(seed, **parameters)
    X = rows(rng, 2 * tree_shap_kernel.LANES + 7)
    # Categories that training has not seen, negative ones and parts of one; numbers far outside.
    X[:, 2] = rng.choice([-1.0, -0.5, 0.5, 3.0, 31.0, 32.0, 69.7, 500.0, 3e9, 1e30, np.inf, -np.inf, np.nan], len(X))
    X[::7, 5] = rng.choice([np.inf, -np.inf, 1e38, -1e38], len(X[::7]))
    assert differences(booster, X) < 1e-9


@pytest.mark.parametrize("depth", [1, 30])
def test_stumps_and_long_paths(depth):
    booster, rng = trained(1, num_leaves=200, max_depth=depth, min_data_in_leaf=1, min_sum_hessian_in_leaf=0)
    assert differences(booster, rows(rng, 300)) < 1e-9


def test_trees_of_one_leaf_add_their_value():
    X = np.zeros((50, COLUMNS), dtype=np.float32)
    booster = lgb.train({"objective": "binary", "verbosity": -1}, lgb.Dataset(X, np.arange(50) < 5), num_boost_round=3)
    shap = TreeShap([booster.model_to_string()], COLUMNS)
    assert not shap(X).any()
    assert shap.base == pytest.approx(booster.predict(X, raw_score=True)[0])


def test_the_mean_of_boosters_and_any_number_of_threads(monkeypatch):
    (one, rng), (two, _) = trained(3), trained(4)
    X = rows(rng, 1_000)
    both = TreeShap([one.model_to_string(), two.model_to_string()], COLUMNS)
    alone = [TreeShap([booster.model_to_string()], COLUMNS)(X) for booster in (one, two)]
    np.testing.assert_allclose(both(X), (alone[0] + alone[1]) / 2, atol=1e-12)
    whole = both(X)
    monkeypatch.setattr("propensity.models.tree_shap._ROWS_OF_A_THREAD", 256)
    np.testing.assert_array_equal(both(X, threads=2), whole)


def test_linear_trees_and_several_classes_are_refused():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(300, 3)).astype(np.float32)
    linear = lgb.train(
        {"objective": "binary", "linear_tree": True, "verbosity": -1}, lgb.Dataset(X, X[:, 0] > 0), num_boost_round=3
    )
    with pytest.raises(UnsupportedTreesError, match="linear trees"):
        TreeShap([linear.model_to_string()], 3)
    classes = {"objective": "multiclass", "num_class": 3, "verbosity": -1}
    several = lgb.train(classes, lgb.Dataset(X, np.arange(300) % 3), num_boost_round=3)
    with pytest.raises(UnsupportedTreesError, match="two classes"):
        TreeShap([several.model_to_string()], 3)


def test_a_model_outside_of_its_domain_is_explained_by_lightgbm_and_says_so(caplog):
    _, rng = trained(5)
    X = rows(rng, 100)
    model = LightGBMModel(rounds=3, seeds=1, threads=1).fit(X, rng.random(100) < 0.5)
    # Another count of as many digits: the text keeps its length, which LightGBM relies on.
    text = model.boosters_[0].model_to_string()
    text = re.sub("leaf_count=[0-9]", lambda found: "leaf_count=" + "12"[found[0][-1] == "1"], text)
    model.boosters_ = [lgb.Booster(model_str=text)]
    with caplog.at_level("WARNING"):
        phi, base = model.contributions(X)
    assert "contributions come from LightGBM itself" in caplog.text
    theirs = model.boosters_[0].predict(X, pred_contrib=True)
    np.testing.assert_array_equal(np.column_stack([phi, np.full(100, base)]), theirs)
