"""Metrics against scikit-learn's, on random rows with many ties."""

import json

import numpy as np
import pytest
from scipy.optimize import minimize
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score, brier_score_loss, log_loss, roc_auc_score

from propensity.evaluation.curves import share_grid
from propensity.evaluation.metrics import METRICS, compute_metrics
from propensity.evaluation.recalibration import log_odds


def rows(seed, n=400, digits=1):
    """Give labels, probabilities with ties, and counts."""
    rng = np.random.default_rng(seed)
    p = np.round(rng.random(n), digits)
    y = (rng.random(n) < 0.1 + 0.5 * p**2).astype(int)
    return y, p, rng.integers(0, 4, n)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("digits", [1, 2, 12])
@pytest.mark.parametrize("weighted", [None, "counts"])
def test_metrics_equal_sklearn(seed, digits, weighted):
    y, p, counts = rows(seed, digits=digits)
    weight = counts if weighted else None
    found = compute_metrics(y, p, capacity=0.05, sample_weight=weight)
    assert found["roc_auc"] == pytest.approx(roc_auc_score(y, p, sample_weight=weight), rel=1e-12)
    assert found["average_precision"] == pytest.approx(average_precision_score(y, p, sample_weight=weight), rel=1e-12)
    assert found["brier"] == pytest.approx(brier_score_loss(y, p, sample_weight=weight), rel=1e-12)
    # scikit-learn divides each row's two probabilities by their sum, which moves the clipped ones by a bit
    assert found["log_loss"] == pytest.approx(log_loss(y, p, sample_weight=weight), rel=1e-9)


@pytest.mark.parametrize("seed", range(3))
def test_slope_equals_an_unpenalised_logistic_regression(seed):
    y, p, counts = rows(seed, digits=3)
    p = np.clip(p, 0.001, 0.999)
    fit = LogisticRegression(C=np.inf, tol=1e-10, max_iter=1000)
    fit.fit(log_odds(p)[:, None], y, sample_weight=counts)
    found = compute_metrics(y, p, capacity=0.05, sample_weight=counts)
    assert found["calibration_slope"] == pytest.approx(fit.coef_[0, 0], rel=1e-4)


def test_intercept_minimises_the_loss_at_slope_one():
    y, p, _ = rows(5, digits=3)
    z = log_odds(np.clip(p, 0.001, 0.999))
    best = minimize(lambda a: np.sum(np.logaddexp(0, a[0] + z) - y * (a[0] + z)), [0.0]).x[0]
    found = compute_metrics(y, np.clip(p, 0.001, 0.999), capacity=0.05)
    assert found["calibration_intercept"] == pytest.approx(best, abs=1e-4)


@pytest.mark.parametrize("p", [[0, 0, 1, 1], [1, 1, 0, 0], [1e-300, 0.5, 1, 0.5], [0, 1, 0, 1]])
def test_probabilities_at_their_ends_give_finite_numbers(p):
    found = compute_metrics([0, 1, 1, 0], p, capacity=0.5)
    for metric in METRICS:
        assert found[metric] is None or np.isfinite(found[metric]), metric


def test_a_wildly_wrong_scale_still_has_its_slope_and_intercept():
    # log-odds 20 times too far out, and a base rate far from what was promised
    rng = np.random.default_rng(1)
    z = rng.normal(-3, 1, 20_000)
    y = rng.random(z.size) < 1 / (1 + np.exp(-z))
    far = 1 / (1 + np.exp(-8 * (z + 3)))
    found = compute_metrics(y, far, capacity=0.05)
    assert found["calibration_slope"] == pytest.approx(1 / 8, abs=0.02)
    assert found["calibration_intercept"] < -5


def test_keys_are_the_contract_and_go_into_json():
    y, p, _ = rows(0)
    found = compute_metrics(y, p, capacity=0.05)
    assert set(found) == {"n", "positives", "ties", *METRICS}
    assert set(METRICS) == {
        *("roc_auc", "average_precision", "brier", "log_loss", "calibration_slope", "calibration_intercept"),
        *("mean_probability", "base_rate"),
        *(
            f"{kind}_at_{share}"
            for kind in ("lift", "capture")
            for share in ("1pct", "5pct", "10pct", "20pct", "capacity")
        ),
    }
    assert json.loads(json.dumps(found, allow_nan=False)) == found


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"y": [0, 2]}, "labels are 0 or 1, found 2.0 in 1 of 2 rows"),
        ({"y": [[0, 1]]}, "one label a row"),
        ({"probability": [0.1, 1.2]}, "within 0 and 1, found 1.2 in 1 of 2 rows"),
        ({"probability": [0.1, np.nan]}, "1 of 2 are not finite"),
        ({"probability": [0.1]}, r"one a row is needed \(2 rows\), found an array of shape \(1,\)"),
        ({"capacity": 0.0}, "a share above 0, up to 1, is needed, found 0.0"),
        ({"capacity": 5}, "a share above 0, up to 1, is needed, found 5"),
        ({"sample_weight": [0.5, 1]}, "whole numbers from 0"),
        ({"sample_weight": [-1, 1]}, "whole numbers from 0"),
    ],
)
def test_what_cannot_be_measured_is_said(arguments, message):
    given = {"y": [0, 1], "probability": [0.1, 0.2], "capacity": 0.5, **arguments}
    with pytest.raises(ValueError, match=message):
        compute_metrics(**given)


def test_a_curve_needs_two_points():
    with pytest.raises(ValueError, match="at least 2 are needed"):
        share_grid(1)
