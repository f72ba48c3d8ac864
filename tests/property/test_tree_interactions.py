"""Interactions are the Shapley interaction index of each path, SHAP's own where SHAP can, and add up everywhere."""

from itertools import combinations
from math import factorial

import lightgbm as lgb
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from propensity.models.blend import BlendModel
from propensity.models.gbm import LightGBMModel
from propensity.models.linear import LogisticModel
from propensity.models.tree_interactions import TreeInteractions
from propensity.models.tree_shap import TreeShap


def rows(rng, n):
    X = rng.normal(size=(n, 5)).astype(np.float32)
    X[:, 0] = rng.poisson(0.7, n)
    X[:, 4] = rng.integers(0, 9, n)
    X[rng.random(X.shape) < 0.1] = np.nan
    return X


def trained(seed, *, categorical, **parameters):
    rng = np.random.default_rng(seed)
    X = rows(rng, 500)
    z = np.nan_to_num(X[:, 0] * X[:, 1]) + np.nan_to_num(X[:, 2]) * (np.nan_to_num(X[:, 4]) % 2)
    y = rng.random(len(X)) < 1 / (1 + np.exp(-z))
    data = lgb.Dataset(X, y, categorical_feature=[4] if categorical else [], params={"verbosity": -1, **parameters})
    common = {"objective": "binary", "verbosity": -1, "num_threads": 1, "seed": seed, "min_data_per_group": 5}
    return lgb.train({**common, "min_data_in_leaf": 5, **parameters}, data, num_boost_round=6), rng


@settings(max_examples=25, deadline=None, derandomize=True)
@given(seed=st.integers(0, 2**16), leaves=st.integers(2, 40), zero=st.booleans(), categorical=st.booleans())
def test_they_are_symmetric_and_add_up_to_the_contributions(seed, leaves, zero, categorical):
    booster, rng = trained(seed, categorical=categorical, num_leaves=leaves, zero_as_missing=zero)
    X, texts = rows(rng, 200), [booster.model_to_string()]
    phi = TreeInteractions(texts, 5)(X)
    assert np.abs(phi - phi.transpose(0, 2, 1)).max() == 0
    assert np.abs(phi.sum(axis=2) - TreeShap(texts, 5)(X)).max() < 1e-12


# shap colours its maps in a way that matplotlib will drop.
@pytest.mark.filterwarnings("ignore:The set_:PendingDeprecationWarning")
@pytest.mark.parametrize("seed", range(4))
def test_they_are_shaps_own_without_categories(seed):
    import shap

    booster, rng = trained(seed, categorical=False, num_leaves=20)
    X = rows(rng, 100)
    theirs = shap.TreeExplainer(booster).shap_interaction_values(X)
    assert np.abs(TreeInteractions([booster.model_to_string()], 5)(X) - theirs).max() < 1e-6


def test_with_categories_they_are_what_the_definition_says():
    """By all subsets of features, on a model that splits by a category: SHAP's own are not to be relied on there."""
    booster, rng = trained(2, categorical=True, num_leaves=20)
    X = rows(rng, 6)
    dump = [tree["tree_structure"] for tree in booster.dump_model()["tree_info"]]
    assert "'decision_type': '=='" in str(dump)

    def expected(node, row, known):
        """The value of a tree for a row of which some features are known: LightGBM's own leaf, or the mean by cover."""
        if "leaf_value" in node:
            return node["leaf_value"]
        children = [node["left_child"], node["right_child"]]
        if node["split_feature"] in known:
            return expected(children[0 if left(node, row) else 1], row, known)
        counts = [child.get("internal_count", child.get("leaf_count")) for child in children]
        return sum(n * expected(child, row, known) for n, child in zip(counts, children, strict=True)) / sum(counts)

    def left(node, row):
        value = row[node["split_feature"]]
        if node["decision_type"] == "==":
            return not np.isnan(value) and str(int(value)) in str(node["threshold"]).split("||")
        if np.isnan(value) and node["missing_type"] == "NaN":
            return node["default_left"]
        return (0.0 if np.isnan(value) else float(value)) <= node["threshold"]

    phi = TreeInteractions([booster.model_to_string()], 5)(X)
    for row, found in zip(X, phi, strict=True):
        worth = {
            known: sum(expected(tree, row, known) for tree in dump)
            for size in range(6)
            for known in map(frozenset, combinations(range(5), size))
        }
        for i, j in combinations(range(5), 2):
            others = [k for k in range(5) if k not in (i, j)]
            index = 0.0
            for size in range(4):
                for chosen in map(frozenset, combinations(others, size)):
                    gain = worth[chosen | {i, j}] - worth[chosen | {i}] - worth[chosen | {j}] + worth[chosen]
                    index += factorial(size) * factorial(3 - size) / factorial(4) * gain
            assert 2 * found[i, j] == pytest.approx(index, abs=1e-12)


def test_a_model_that_adds_up_has_none_and_a_blend_its_share():
    rng = np.random.default_rng(0)
    X = rows(rng, 400)
    y = rng.random(400) < 1 / (1 + np.exp(-np.nan_to_num(X[:, 0] * X[:, 1])))
    logistic, trees = LogisticModel().fit(X, y), LightGBMModel().fit(X, y)
    alone = logistic.interactions(X[:50])
    assert np.abs(alone * (1 - np.eye(5))).max() == 0
    assert np.allclose(alone.sum(axis=2), logistic.contributions(X[:50])[0])
    blend = BlendModel.of(logistic, trees, weight=0.25)
    assert np.allclose(blend.interactions(X[:50]), 0.25 * trees.interactions(X[:50]) + 0.75 * alone)
    assert np.abs(trees.interactions(X[:50])[:, 0, 1]).max() > 0
