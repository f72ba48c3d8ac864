"""Metrics of a handful of rows, worked by hand."""

import math

import numpy as np
import pytest

from propensity.evaluation.bootstrap import BootstrapResult
from propensity.evaluation.compare import compare, select
from propensity.evaluation.curves import calibration_table, gains_curve, wilson_interval
from propensity.evaluation.metrics import METRICS, compute_metrics
from propensity.evaluation.ranking import rows_at
from propensity.evaluation.recalibration import calibration_intercept, calibration_slope


def test_ranking_without_ties():
    # best first: 1 0 1 0 0
    # AUC: the positive at place 1 outranks 3 of 3, that at place 3 outranks 2 of 3: (3 + 2) / (2 * 3)
    # average precision: (1/1 + 2/3) / 2
    # 20 % of 5 = 1 row: 1 hit, by chance 2/5: lift 2.5, capture 1/2; 1, 5, 10 % also round up to 1 row
    # capacity 60 % = 3 rows: 2 hits, by chance 6/5: lift 5/3, capture 2/2
    found = compute_metrics([0, 1, 0, 1, 0], [0.2, 0.9, 0.6, 0.4, 0.1], capacity=0.6)
    assert found["n"] == 5
    assert found["positives"] == 2
    assert found["roc_auc"] == pytest.approx(5 / 6)
    assert found["average_precision"] == pytest.approx(5 / 6)
    assert found["lift_at_20pct"] == found["lift_at_1pct"] == pytest.approx(2.5)
    assert found["capture_at_20pct"] == pytest.approx(0.5)
    assert found["lift_at_capacity"] == pytest.approx(5 / 3)
    assert found["capture_at_capacity"] == 1.0
    assert found["ties"] == {"distinct_scores": 5}


def test_probabilities():
    # Brier: (0.1² + 0.6² + 0.2² + 0.5²) / 4 = (0.01 + 0.36 + 0.04 + 0.25) / 4
    # log loss: -(log 0.9 + log 0.4 + log 0.8 + log 0.5) / 4
    found = compute_metrics([1, 0, 0, 1], [0.9, 0.6, 0.2, 0.5], capacity=0.5)
    assert found["brier"] == pytest.approx(0.66 / 4)
    assert found["log_loss"] == pytest.approx(-math.log(0.9 * 0.4 * 0.8 * 0.5) / 4)
    assert found["mean_probability"] == pytest.approx(0.55)
    assert found["base_rate"] == 0.5


def test_ties_across_k_count_with_their_average():
    # scores 0.8 (1), then three rows tied at 0.5 (1, 0, 0), then 0.1 (0); capacity 40 % of 5 = 2 rows
    # 1 sure hit + 1 row of three that hold 1 positive: 4/3 hits; by chance 2 * 2/5 = 0.8: lift 5/3, capture 2/3
    # worst: 1 hit, lift 1.25; best: 2 hits, lift 2.5; the tie break puts row 3 (label 0) first: 1 hit
    # AUC: 0.8 outranks 3; in the tie it outranks 0.1 and half of two: 2: (3 + 2) / 6
    # average precision: (1/1 + 2/4) / 2
    y, p = [1, 1, 0, 0, 0], [0.8, 0.5, 0.5, 0.5, 0.1]
    hashes = np.array([9, 7, 8, 2, 1], dtype=np.uint64)
    found = compute_metrics(y, p, capacity=0.4, tie_break=hashes)
    assert found["lift_at_capacity"] == pytest.approx(5 / 3)
    assert found["capture_at_capacity"] == pytest.approx(2 / 3)
    assert found["roc_auc"] == pytest.approx(5 / 6)
    assert found["average_precision"] == pytest.approx(0.75)
    assert found["ties"]["distinct_scores"] == 3
    assert found["ties"]["lift_at_capacity"] == pytest.approx({"worst": 1.25, "best": 2.5, "listed": 1.25})
    # 20 % = 1 row: the first one, no tie there
    assert "lift_at_20pct" not in found["ties"]


def test_a_weight_of_two_is_two_rows():
    # row 1 twice: 1 1 0 1: AUC (1 + 1 + 0) / 3, average precision (2/2 * 2 + 3/4) / 3
    found = compute_metrics([1, 0, 1, 0], [0.9, 0.5, 0.2, 0.1], capacity=0.5, sample_weight=[2, 1, 1, 0])
    assert (found["n"], found["positives"]) == (4, 3)
    assert found["roc_auc"] == pytest.approx(2 / 3)
    assert found["average_precision"] == pytest.approx((2 + 0.75) / 3)
    assert found["lift_at_capacity"] == pytest.approx((2 / 2) / (3 / 4))
    assert found["ties"] == {"distinct_scores": 3}


@pytest.mark.parametrize(
    ("share", "n", "expected"),
    [
        (0.1, 10, 1),
        (0.1, 11, 2),
        (0.07, 100, 7),
        (0.29, 100, 29),
        (1 / 3, 3, 1),
        (0.01, 5, 1),
        (1.0, 7, 7),
        (0.5, 0, 0),
    ],
)
def test_rows_in_a_share(share, n, expected):
    # 0.07 * 100 and 0.29 * 100 are not whole in binary, but are 7 and 29 rows
    assert rows_at(share, n) == expected


def test_calibration_numbers():
    # promised odds 1:3 for 40 rows, 3:1 for 40 rows. Seen: 10 and 30, as promised: slope 1, intercept 0
    z, rows = np.log([1 / 3, 3]), [40, 40]
    assert calibration_slope(z, [10, 30], rows) == pytest.approx(1)
    assert calibration_intercept(z, [10, 30], rows) == pytest.approx(0, abs=1e-8)
    # seen 4:36 and 36:4, odds 1:9 and 9:1: log 9 where log 3 was promised, twice too timid, right on average
    assert calibration_slope(z, [4, 36], rows) == pytest.approx(2)
    assert calibration_intercept(z, [4, 36], rows) == pytest.approx(0, abs=1e-8)
    # backwards: slope -1
    assert calibration_slope(z, [30, 10], rows) == pytest.approx(-1)


@pytest.mark.parametrize(
    ("y", "p"),
    [([0, 0, 1], [0.1, 0.2, 0.9]), ([1, 0, 0], [0.1, 0.2, 0.9]), ([0, 1, 0], [0.3, 0.3, 0.3]), ([0, 1, 0], [0, 0, 0])],
)
def test_a_slope_that_does_not_exist_is_none(y, p):
    # separated, separated backwards, constant: the likelihood has no single highest point
    assert compute_metrics(y, p, capacity=0.5)["calibration_slope"] is None


@pytest.mark.parametrize(("y", "rate"), [([0, 0, 0], 0.0), ([1, 1, 1], 1.0)])
def test_one_class_ranks_nothing(y, rate):
    found = compute_metrics(y, [0.1, 0.5, 0.5], capacity=0.5, tie_break=np.arange(3, dtype=np.uint64))
    defined = {"brier", "log_loss", "mean_probability", "base_rate"}
    assert {metric for metric in METRICS if found[metric] is not None} == defined
    assert found["base_rate"] == rate
    assert found["ties"] == {"distinct_scores": 2}


def test_no_rows_measure_nothing():
    found = compute_metrics([], [], capacity=0.5)
    assert (found["n"], found["positives"]) == (0, 0)
    assert all(found[metric] is None for metric in METRICS)


def test_gains():
    # best first: 1 0 0 1; thirds of 4 rows round up to 2, 3, 4: hits 1, 1, 2; lift 1/2 * 2, 1/3 * 2, 1
    curve = gains_curve([0, 1, 1, 0], [0.3, 0.1, 0.9, 0.2], points=4)
    assert curve["share"] == pytest.approx([0, 1 / 3, 2 / 3, 1])
    assert curve["capture"] == [0, 0.5, 0.5, 1]
    assert curve["lift"][0] is None
    assert curve["lift"][1:] == pytest.approx([1, 2 / 3, 1])


def test_calibration_table():
    # six rows, three bins of two: (0.1, 0.2 | 0, 0), (0.3, 0.5 | 0, 1), (0.6, 0.8 | 1, 1)
    table = calibration_table([0, 1, 0, 1, 0, 1], [0.1, 0.5, 0.2, 0.6, 0.3, 0.8], bins=3)
    assert [row["bin"] for row in table] == [1, 2, 3]
    assert [row["n"] for row in table] == [2, 2, 2]
    assert [row["predicted"] for row in table] == pytest.approx([0.15, 0.4, 0.7])
    assert [row["observed"] for row in table] == [0, 0.5, 1]
    assert table[0]["low"] == 0
    assert table[2]["high"] == 1


def test_calibration_bins_keep_ties_together():
    # two bins of three rows would cut the four rows at 0.5; their middle, 2 rows of 6, lies in the lower half: 4 and 2
    table = calibration_table([0, 0, 1, 0, 1, 1], [0.5, 0.5, 0.5, 0.5, 0.8, 0.9], bins=2)
    assert [row["n"] for row in table] == [4, 2]
    assert [row["observed"] for row in table] == [0.25, 1]


def test_wilson_interval():
    # 1 of 10, z = 1.96, z² = 3.8415: centre (1 + 1.9207) / 13.8415 = 0.2110,
    # half sqrt(3.8415 * (1 * 9 / 10 + 0.9604)) / 13.8415 = 0.1931
    assert wilson_interval(1, 10) == pytest.approx((0.0179, 0.4042), abs=1e-4)


def test_comparison_is_paired():
    # both models swing between draws by 0.2, always together: the difference is 0.05 in every draw
    metrics = ("roc_auc", "average_precision", "lift_at_10pct", "lift_at_capacity", "capture_at_capacity", "log_loss")
    swing = np.array([0.5, 0.6, 0.7])
    result = BootstrapResult(
        estimates={"scorecard": dict.fromkeys(metrics, 0.6), "logistic": dict.fromkeys(metrics, 0.65)},
        draws={"scorecard": dict.fromkeys(metrics, swing), "logistic": dict.fromkeys(metrics, swing + 0.05)},
        level=0.95,
    )
    rows = compare(result, baseline="scorecard", split="validation")
    assert [row["metric"] for row in rows] == list(metrics)
    assert {(row["model"], row["baseline"], row["split"]) for row in rows} == {("logistic", "scorecard", "validation")}
    assert rows[0]["difference"] == pytest.approx(0.05)
    assert rows[0]["interval"] == pytest.approx([0.05, 0.05])


ORDER = ["single_indicator", "scorecard", "logistic", "lightgbm", "blend"]


def choose(precision, draws):
    metrics = {name: {"average_precision": value} for name, value in precision.items()}
    return select(metrics, {name: np.array(values) for name, values in draws.items()}, simplicity=ORDER)


def test_selection_takes_the_simplest_within_one_standard_error():
    # to lightgbm, the best: scorecard 0.10 behind, differences 0.1 ± 0.01; logistic 0.01 behind, differences ± 0.02
    name, reason = choose(
        {"lightgbm": 0.30, "logistic": 0.29, "scorecard": 0.20},
        {"lightgbm": [0.30, 0.30, 0.30], "logistic": [0.27, 0.29, 0.31], "scorecard": [0.19, 0.20, 0.21]},
    )
    assert name == "logistic"
    assert reason == (
        "lightgbm has the highest average precision on validation (0.3000), but logistic (0.2900) is simpler and "
        "within one standard error of it (difference 0.0100, standard error 0.0200)."
    )


def test_selection_keeps_a_best_that_is_clear_of_the_simpler_ones():
    # 0.05 behind, but the pair differs by 0.05 ± 0.01 in the draws, however much both swing
    name, reason = choose(
        {"lightgbm": 0.30, "logistic": 0.25}, {"lightgbm": [0.20, 0.30, 0.40], "logistic": [0.16, 0.25, 0.34]}
    )
    assert name == "lightgbm"
    assert "no simpler model is within one standard error of it (nearest: logistic, 0.2500" in reason
    assert "difference 0.0500, standard error 0.0100" in reason


def test_selection_among_equals_takes_the_simpler():
    name, reason = choose({"blend": 0.3, "logistic": 0.3}, {"blend": [0.3, 0.3], "logistic": [0.3, 0.3]})
    assert name == "logistic"
    assert reason.endswith("and no model is simpler.")
