"""Settings, out-of-fold scores and the blend's weight: chosen inside folds only."""

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit
from sklearn.linear_model import LogisticRegression

from propensity.models import make_model
from propensity.models.blend import blend_weight
from propensity.models.gbm import LightGBMModel
from propensity.models.linear import LogisticModel
from propensity.models.ridge import fit_ridge
from propensity.models.terms import learn_category, learn_number, term_from_dict, term_to_dict
from propensity.models.tuning import C_GRID, MAX_ROUNDS, choose_settings, cross_fit


def _drawn(*, n=1_200, signal=1.0, seed=0):
    rng = np.random.default_rng(seed)
    X = pd.DataFrame(rng.normal(size=(n, 4)).astype(np.float32), columns=list("abcd"))
    z = signal * (X["a"] + np.where(X["b"] > 0, X["c"], -X["c"])) - 1.5
    return X, (rng.random(n) < expit(z)).to_numpy().astype(np.int8)


def _folds(n, k=3):
    rows = np.arange(n)
    return [(rows[rows % k != fold], rows[rows % k == fold]) for fold in range(k)]


def test_noise_is_shrunk_and_signal_is_not():
    chosen = {}
    for signal in (0.0, 1.0):
        X, y = _drawn(signal=signal)
        chosen[signal] = choose_settings("logistic", X, y, folds=_folds(len(y))).settings["C"]
    assert chosen[0.0] == C_GRID[0]
    assert chosen[1.0] > chosen[0.0]


def test_signal_asks_for_more_rounds_than_noise():
    rounds = {}
    for signal in (0.0, 1.0):
        X, y = _drawn(signal=signal)
        rounds[signal] = choose_settings("lightgbm", X, y, folds=_folds(len(y)), seed=1).settings["rounds"]
    assert rounds[0.0] < 60 < rounds[1.0] < MAX_ROUNDS


def test_rounds_come_with_the_trees_and_steps_that_they_were_found_with():
    X, y = _drawn()
    settings = choose_settings("lightgbm", X, y, folds=_folds(len(y)), params={"learning_rate": 0.2}).settings
    # What the user fixed is not a choice.
    assert sorted(settings) == ["num_leaves", "rounds"]


@pytest.mark.parametrize(
    ("name", "params"),
    [("single_indicator", {}), ("scorecard", {}), ("lightgbm", {"rounds": 10}), ("logistic", {"C": 1.0})],
)
def test_nothing_is_chosen_where_nothing_is_left_to_choose(name, params):
    X, y = _drawn(n=60)
    assert choose_settings(name, X, y, folds=_folds(60), params=params).settings == {}


def test_tuning_sees_only_the_rows_of_the_folds():
    X, y = _drawn()
    folds = [(np.arange(0, 400), np.arange(400, 600))]
    other = y.copy()
    other[600:] = 1 - other[600:]
    for name in ("logistic", "lightgbm"):
        known = {"num_leaves": 8, "learning_rate": 0.1} if name == "lightgbm" else {}
        ours, theirs = (choose_settings(name, X, labels, folds=folds, params=known) for labels in (y, other))
        assert ours.settings == theirs.settings
        np.testing.assert_array_equal(ours.held_out, theirs.held_out)


def test_tuning_hands_out_what_the_chosen_models_say_of_held_out_rows():
    X, y = _drawn(n=600)
    folds = _folds(600)
    tuned = choose_settings("logistic", X, y, folds=folds)
    np.testing.assert_allclose(
        tuned.held_out, cross_fit(LogisticModel(**tuned.settings), X, y, folds=folds), rtol=1e-6, atol=1e-9
    )
    tuned = choose_settings("lightgbm", X, y, folds=folds, seed=3)
    train, test = folds[0]
    assert not np.isnan(tuned.held_out).any()
    alone = LightGBMModel(seed=3, seeds=1, **tuned.settings).fit(X.iloc[train], y[train])
    assert np.corrcoef(tuned.held_out[test], alone.decision_function(X.iloc[test]))[0, 1] > 0.95


def test_cross_fit_scores_rows_by_models_that_did_not_see_them():
    X, y = _drawn(n=90)
    folds = _folds(90)[:2]
    model = LogisticModel(C=1.0)
    scores = cross_fit(model, X, y, folds=folds)
    assert not hasattr(model, "terms_")
    np.testing.assert_array_equal(np.isnan(scores), np.arange(90) % 3 == 2)
    train, test = folds[0]
    np.testing.assert_array_equal(
        scores[test], LogisticModel(C=1.0).fit(X.iloc[train], y[train]).decision_function(X.iloc[test])
    )
    np.testing.assert_array_equal(cross_fit(model, X.to_numpy(), y, folds=folds), scores)


def test_cross_fit_averages_rows_that_are_tested_twice():
    X, y = _drawn(n=60)
    first, second = (np.arange(0, 30), np.arange(40, 60)), (np.arange(0, 40), np.arange(40, 60))
    apart = [cross_fit(LogisticModel(), X, y, folds=[fold])[40:] for fold in (first, second)]
    np.testing.assert_allclose(cross_fit(LogisticModel(), X, y, folds=[first, second])[40:], np.mean(apart, axis=0))


def test_the_better_part_gets_the_weight_when_data_can_tell():
    rng = np.random.default_rng(4)
    true, noise = rng.normal(-2, 1, 8_000), rng.normal(-2, 1, 8_000)
    y = rng.random(8_000) < expit(true)
    assert blend_weight(true, noise, y) == 1.0
    assert blend_weight(noise, true, y) == 0.0


def test_few_positives_leave_the_weight_near_one_half():
    rng = np.random.default_rng(5)
    true, noise = rng.normal(0, 1, 24), rng.normal(0, 1, 24)
    y = rng.random(24) < expit(true)
    assert 0.3 <= blend_weight(true, noise, y) <= 0.85
    assert blend_weight(true, true, y) == 0.5


def test_the_weight_leaves_out_rows_that_no_fold_tested():
    rng = np.random.default_rng(6)
    true, noise = rng.normal(-1, 1, 2_000), rng.normal(-1, 1, 2_000)
    y = rng.random(2_000) < expit(true)
    holes = np.where(np.arange(2_000) % 2 == 0, np.nan, true)
    assert blend_weight(holes, noise, y) == blend_weight(true[1::2], noise[1::2], y[1::2])


def test_newton_reaches_the_optimum_of_a_ridge():
    rng = np.random.default_rng(7)
    x = rng.normal(size=(500, 6))
    y = (rng.random(500) < expit(x[:, 0] - 1)).astype(float)
    design = np.column_stack([np.ones(500), x])
    coef = fit_ridge(design, y, np.ones(500), np.array([0.0] + [1 / 0.3] * 6))
    peer = LogisticRegression(C=0.3, solver="newton-cholesky", tol=1e-12).fit(x, y)
    np.testing.assert_allclose(coef, [*peer.intercept_, *peer.coef_[0]], rtol=1e-6)


def test_newton_starts_large_data_on_a_part_and_ends_at_the_optimum_of_all():
    rng = np.random.default_rng(8)
    design = np.column_stack([np.ones(60_000), rng.normal(size=(60_000, 3))])
    y = (rng.random(60_000) < expit(design[:, 1] - 2)).astype(float)
    penalty = np.array([0.0, 1.0, 1.0, 1.0])
    coef = fit_ridge(design, y, np.ones(60_000), penalty)
    gradient = design.T @ (expit(design @ coef) - y) + penalty * coef
    np.testing.assert_allclose(gradient, 0.0, atol=1e-6)


def test_a_number_enters_as_value_bend_zero_and_gap():
    column = np.array([0, 0, 0, 0, 1, 2, 3, 5, 9, np.nan], dtype=np.float32)
    term = learn_number(column, np.ones(10))
    encoded = term.encode(column)
    assert term.width == encoded.shape[1] == 4
    np.testing.assert_allclose(encoded.mean(axis=0), 0.0, atol=1e-12)
    # zero flag: 4 of 9 values are zero; gap flag: 1 of 10 is missing
    np.testing.assert_allclose(encoded[[0, 4, 9], 2], [5 / 9, -4 / 9, 0.0])
    np.testing.assert_allclose(encoded[[0, 9], 3], [-0.1, 0.9])
    np.testing.assert_array_equal(encoded[9, :3], 0.0)
    assert term_from_dict(term_to_dict(term)) == term


def test_a_yes_or_no_is_one_column_and_a_constant_none():
    assert learn_number(np.array([0, 1, 1, 0], dtype=np.float32), np.ones(4)).width == 1
    assert learn_number(np.array([7, 7, 7], dtype=np.float32), np.ones(3)).width == 0
    assert learn_number(np.full(3, np.nan, dtype=np.float32), np.ones(3)).width == 0
    # Only whether it is there is known.
    assert learn_number(np.array([7, 7, np.nan], dtype=np.float32), np.ones(3)).width == 1


def test_rare_levels_are_pooled_and_unknown_ones_are_average():
    codes = np.repeat(np.array([0, 1, 2, 3, np.nan], dtype=np.float32), [50, 30, 5, 5, 10])
    term = learn_category(codes, np.ones(100))
    assert (term.levels, term.pooled, term.shares) == ((0.0, 1.0), (2.0, 3.0), (0.5, 0.3, 0.1, 0.1))
    rows = term.encode(np.array([0, 2, 3, np.nan, 8], dtype=np.float32))
    np.testing.assert_allclose(rows[0], [0.5, -0.3, -0.1, -0.1])
    np.testing.assert_array_equal(rows[1], rows[2])
    np.testing.assert_array_equal(rows[4], 0.0)
    assert term_from_dict(term_to_dict(term)) == term


def test_default_settings_work_without_tuning():
    X, y = _drawn(n=300)
    for name in ("logistic", "lightgbm", "blend"):
        assert np.isfinite(make_model(name).fit(X, y).decision_function(X)).all()
