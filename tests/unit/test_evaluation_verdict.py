"""The verdict by hand, and that noise is not called better more often than it says."""

import numpy as np
import pytest

from propensity.evaluation.bootstrap import cluster_bootstrap
from propensity.evaluation.compare import select
from propensity.evaluation.verdict import Verdict, judge_against


def judged(y: np.ndarray, model: np.ndarray, rule: np.ndarray, *, capacity: float, seed: int = 0) -> Verdict:
    scores = {"blend": model, "scorecard": rule}
    result = cluster_bootstrap(y, scores, np.arange(len(y)), capacity=capacity, seed=seed, replicates=200)
    return judge_against(result, y, scores, model="blend", rival="scorecard", capacity=capacity)


def lists(only_model: int, only_rule: int, both: int, neither: int, *, n: int = 1_000):
    """Lists of 100 of 1,000 that reach so many of the buyers."""
    y, model, rule = np.zeros(n), np.full(n, 0.1), np.full(n, 0.1)
    y[: only_model + only_rule + both + neither] = 1
    model[:only_model] = rule[only_model : only_model + only_rule] = 0.9
    start = only_model + only_rule
    model[start : start + both] = rule[start : start + both] = 0.9
    # the rest of each list are people who do not buy
    model[500 : 600 - only_model - both] = 0.9
    rule[600 : 700 - only_rule - both] = 0.9
    return y, model, rule


@pytest.mark.parametrize(
    ("counts", "p_value", "expected"),
    [
        ((20, 5, 30, 25), 0.00408, "better"),  # 2 * P(at most 5 of 25) = 2 * 68406 / 2**25
        ((5, 20, 30, 25), 0.00408, "worse"),
        ((12, 10, 30, 25), 0.83181, "as good"),
        ((5, 0, 3, 4), 0.0625, "too few"),  # five to none: 2 / 2**5
        ((6, 0, 3, 4), 0.03125, "better"),  # six to none: 2 / 2**6
        ((0, 0, 30, 30), 1.0, "as good"),
    ],
)
def test_the_verdict_by_hand(counts, p_value, expected) -> None:
    found = judged(*lists(*counts), capacity=0.1)
    assert (found.only_model, found.only_rival) == counts[:2]
    assert found.positives == sum(counts)
    assert found.difference == counts[0] - counts[1]
    assert found.p_value == pytest.approx(p_value, abs=1e-5)
    assert found.verdict == expected
    assert f"Of {sum(counts)} test buyers" in found.text
    if expected in ("as good", "too few"):
        assert "keep" in found.text


def test_ties_at_the_capacity_count_in_part() -> None:
    # Two of four rows are contacted. The rule knows nothing: each buyer is reached with a chance of one half.
    y = np.array([1.0, 0, 0, 1])
    found = judged(y, np.array([0.9, 0.1, 0.2, 0.8]), np.full(4, 0.5), capacity=0.5)
    assert (found.only_model, found.only_rival, found.difference) == (1.0, 0.0, 1.0)


@pytest.mark.parametrize("buyers", [12, 60])
def test_noise_is_seldom_called_better(buyers: int) -> None:
    n, called = 1_200, {"better": 0, "worse": 0}
    for seed in range(120):
        rng = np.random.default_rng(seed)
        y = np.zeros(n)
        y[:buyers] = 1
        found = judged(y, rng.random(n), rng.random(n), capacity=0.2, seed=seed)
        if found.verdict in called:
            called[found.verdict] += 1
    # 2.5 % on either side, exactly bounded: of 120, more than 7 have a chance of about 1 in 100
    assert max(called.values()) <= 7


def test_a_clear_difference_is_seen_with_enough_buyers() -> None:
    rng = np.random.default_rng(1)
    y = np.zeros(4_000)
    y[:200] = 1
    model = 1 / (1 + np.exp(-(1.5 * y + rng.normal(size=4_000))))
    assert judged(y, model, rng.random(4_000), capacity=0.1).verdict == "better"


def test_a_scorecard_stays_with_few_buyers_unless_clearly_beaten() -> None:
    # The differences 0.10, 0 and 0.02 have a standard deviation of 0.0529: 0.065 is 1.2 of it, 0.09 is 1.7.
    draws = {"scorecard": np.array([0.09, 0.10, 0.11]), "lightgbm": np.array([0.19, 0.10, 0.13])}
    for buyers, precision, expected in ((20, 0.165, "scorecard"), (20, 0.19, "lightgbm"), (80, 0.165, "lightgbm")):
        metrics = {
            "scorecard": {"average_precision": 0.10, "positives": buyers},
            "lightgbm": {"average_precision": precision, "positives": buyers},
        }
        name, reason = select(metrics, draws, simplicity=["scorecard", "lightgbm"], keep="scorecard")
        assert name == expected
        assert ("20 buyers" in reason) == (expected == "scorecard")
