"""Draws of customers: what they measure, that they are paired, and that they can be repeated."""

import json

import numpy as np
import pytest

from propensity.errors import DataError
from propensity.evaluation.bootstrap import cluster_bootstrap, percentile_interval
from propensity.evaluation.compare import COMPARED, compare, select
from propensity.evaluation.metrics import METRICS, compute_metrics


@pytest.fixture(scope="module")
def market():
    """Three rows a customer on average, two models of different worth."""
    rng = np.random.default_rng(0)
    z = rng.normal(-2, 1, 3000)
    y = (rng.random(3000) < 1 / (1 + np.exp(-z))).astype(int)
    scores = {"good": 1 / (1 + np.exp(-z)), "rough": np.round(1 / (1 + np.exp(-z - rng.normal(0, 2, 3000))), 2)}
    return y, scores, rng.integers(0, 1000, 3000) * 7


@pytest.fixture(scope="module")
def result(market):
    return cluster_bootstrap(*market, capacity=0.03, seed=5, replicates=40)


def test_a_draw_measures_what_the_metrics_measure(market, result):
    y, scores, groups = market
    customers, code = np.unique(groups, return_inverse=True)
    rng = np.random.default_rng(5)
    for replicate in range(3):
        drawn = rng.integers(customers.size, size=customers.size)
        counts = np.bincount(drawn, minlength=customers.size)[code]
        for name, p in scores.items():
            expected = compute_metrics(y, p, capacity=0.03, sample_weight=counts)
            for metric in set(METRICS) - {"average_precision"}:
                # calibration reads log-odds in cells far narrower than any interval
                tolerance = 5e-4 if metric.startswith("calibration") else 1e-10
                found = result.draws[name][metric][replicate]
                assert found == pytest.approx(expected[metric], rel=tolerance, abs=tolerance), metric


def test_average_precision_of_draws_is_not_raised_by_copies(market):
    # 60 buyers at most: a positive that meets its own copies would lift the mean of the draws clearly
    y, scores, groups = (market[0][:400], {"good": market[1]["good"][:400]}, np.arange(400))
    result = cluster_bootstrap(y, scores, groups, capacity=0.05, seed=1, replicates=300)
    draws = result.draws["good"]["average_precision"]
    error = np.std(draws) / np.sqrt(draws.size)
    assert np.mean(draws) == pytest.approx(result.estimates["good"]["average_precision"], abs=4 * error)


def test_customers_drawn_once_each_give_the_estimate(market):
    # one customer holds all rows: every draw is the data itself
    y, scores, _ = market
    result = cluster_bootstrap(y, scores, np.zeros(y.size), capacity=0.03, seed=1, replicates=2)
    for name in scores:
        for metric in METRICS:
            tolerance = 5e-4 if metric.startswith("calibration") else 1e-10
            expected = result.estimates[name][metric]
            assert result.draws[name][metric][0] == pytest.approx(expected, rel=tolerance, abs=tolerance), metric


def test_a_seed_gives_the_same_draws_and_another_gives_others(market, result):
    again = cluster_bootstrap(*market, capacity=0.03, seed=5, replicates=40)
    other = cluster_bootstrap(*market, capacity=0.03, seed=6, replicates=40)
    np.testing.assert_array_equal(again.draws["good"]["roc_auc"], result.draws["good"]["roc_auc"])
    assert (other.draws["good"]["roc_auc"] != result.draws["good"]["roc_auc"]).all()


def test_another_model_beside_it_changes_no_draw(market, result):
    y, scores, groups = market
    alone = cluster_bootstrap(y, {"rough": scores["rough"]}, groups, capacity=0.03, seed=5, replicates=40)
    for metric in METRICS:
        np.testing.assert_array_equal(alone.draws["rough"][metric], result.draws["rough"][metric])


def test_intervals_surround_the_estimates_and_go_into_json(result):
    for name in ("good", "rough"):
        intervals = result.intervals(name)
        assert set(intervals) == set(METRICS)
        for metric, (low, high) in intervals.items():
            assert low <= result.estimates[name][metric] <= high, metric
        json.dumps(intervals, allow_nan=False)


def test_rows_of_the_same_customer_are_not_taken_for_independent(market):
    # each row six times over: taken for independent they would promise an interval narrower by sqrt(6), about 2.4
    y, p, customers = (np.repeat(values, 6) for values in (market[0][:500], market[1]["good"][:500], np.arange(500)))
    width = {}
    for name, groups in {"customers": customers, "rows": np.arange(y.size)}.items():
        result = cluster_bootstrap(y, {"m": p}, groups, capacity=0.05, seed=2, replicates=200)
        low, high = result.intervals("m")["roc_auc"]
        width[name] = high - low
    assert 2 < width["customers"] / width["rows"] < 3


def test_a_paired_difference_is_surer_than_its_parts(market):
    # two nearly equal models: their errors are shared and leave the difference
    y, scores, groups = market
    near = {"scorecard": scores["good"], "near": np.clip(scores["good"] * 1.02 + 0.001 * (np.arange(y.size) % 7), 0, 1)}
    result = cluster_bootstrap(y, near, groups, capacity=0.03, seed=5, replicates=100)
    low, high = next(row for row in compare(result, baseline="scorecard") if row["metric"] == "roc_auc")["interval"]
    own_low, own_high = result.intervals("near")["roc_auc"]
    assert high - low < (own_high - own_low) / 3


def test_comparisons_hold_every_other_model_and_metric(result):
    rows = compare(result, baseline="rough")
    assert [(row["model"], row["metric"]) for row in rows] == [("good", metric) for metric in COMPARED]
    assert {row["split"] for row in rows} == {"test"}
    by_metric = {row["metric"]: row for row in rows}
    assert by_metric["roc_auc"]["interval"][0] > 0
    assert by_metric["log_loss"]["interval"][1] < 0
    json.dumps(rows, allow_nan=False)


def test_a_baseline_that_was_not_measured_is_refused(result):
    with pytest.raises(ValueError, match="baseline: 'scorecard' was not measured; there are good, rough"):
        compare(result, baseline="scorecard")


@pytest.mark.parametrize(("y", "n"), [([0, 0, 0], 3), ([1, 1, 1], 3), ([], 0)])
def test_one_class_or_no_rows_give_no_interval_for_ranking(y, n):
    scores = {"scorecard": np.full(n, 0.4), "other": np.full(n, 0.3)}
    result = cluster_bootstrap(y, scores, np.arange(n), capacity=0.5, seed=0, replicates=5)
    assert result.intervals("other")["roc_auc"] is None
    assert (result.intervals("other")["brier"] is None) == (n == 0)
    rows = compare(result, baseline="scorecard")
    assert rows[0]["difference"] is None
    assert rows[0]["interval"] is None
    json.dumps(rows, allow_nan=False)


def test_a_metric_that_many_draws_leave_undefined_has_no_interval():
    # one buyer: more than a third of the draws hold none
    y, p = [1, 0, 0, 0, 0, 0], [0.5, 0.6, 0.2, 0.1, 0.3, 0.2]
    result = cluster_bootstrap(y, {"m": p}, np.arange(6), capacity=0.5, seed=0, replicates=100)
    assert result.estimates["m"]["roc_auc"] == pytest.approx(0.8)
    assert result.intervals("m")["roc_auc"] is None
    assert result.intervals("m")["brier"] is not None


def test_few_undefined_draws_are_left_out():
    assert percentile_interval(np.array([*np.arange(11.0), np.nan]), level=0.8) == pytest.approx([1, 9])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"level": 95}, "level 95 must lie between 0 and 1"),
        ({"replicates": 0}, "replicates 0 be at least 1"),
        ({"groups": [1]}, r"one customer a row is needed \(2\)"),
    ],
)
def test_what_cannot_be_drawn_is_said(arguments, message):
    given = {"y": [0, 1], "scores": {"m": [0.1, 0.2]}, "groups": [1, 2], "capacity": 0.5, "seed": 0, **arguments}
    with pytest.raises(ValueError, match=message):
        cluster_bootstrap(**given)


def test_selection_without_buyers_is_the_users_to_mend():
    with pytest.raises(DataError, match="selection: no model has an average precision on validation"):
        select({"logistic": {"average_precision": None}}, {"logistic": np.full(3, np.nan)}, simplicity=["logistic"])


def test_selection_needs_a_place_for_every_model():
    with pytest.raises(ValueError, match=r"simplicity: blend has no place in the order \(logistic\)"):
        select({"blend": {"average_precision": 0.2}}, {"blend": np.ones(3)}, simplicity=["logistic"])
