"""The gate lets a better challenger through, and nothing else."""

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit

from propensity.config import PromotionSpec
from propensity.drift import drift_table, stability_index
from propensity.promotion import Scores, judge

N = 20_000
STILL = pd.DataFrame({"feature": ["age", "visits"], "stability_index": [0.01, 0.02], "weight": [1.0, 3.0]})


@pytest.fixture(scope="module")
def market():
    """What is known of prospects: two signals, the true log-odds, and who bought."""
    rng = np.random.default_rng(5)
    first, second = rng.normal(size=(2, N))
    log_odds = -4.0 + 1.2 * first + 0.9 * second
    return {"first": first, "second": second, "truth": log_odds, "y": (rng.random(N) < expit(log_odds)).astype(int)}


def calibrated(market, signal):
    """A model that knows `signal` alone, calibrated on other draws of the same market."""
    from sklearn.linear_model import LogisticRegression

    rng = np.random.default_rng(6)
    again = (rng.random(N) < expit(market["truth"])).astype(int)
    fitted = LogisticRegression().fit(signal[:, None], again)
    z = fitted.decision_function(signal[:, None])
    return Scores(z, expit(z))


@pytest.fixture(scope="module")
def champion(market):
    return calibrated(market, market["first"])


@pytest.fixture(scope="module")
def better(market):
    return calibrated(market, market["truth"])


def decide(
    market, challenger, champion, *, leaks=(False, "no leak found"), drift=STILL, points=None, moved=0.0, **spec
):
    scores = {"challenger": challenger} | ({} if champion is None else {"champion": champion})
    decision = judge(
        market["y"], scores, points=points, drift=drift, score_drift=moved, leaks=leaks, spec=PromotionSpec(**spec),
        capacity=0.05, seed=1,
    )  # fmt: skip
    return decision, [rule.name for rule in decision.rules if not rule.is_met]


def test_a_better_one_is_promoted(market, better, champion):
    decision, failed = decide(market, better, champion)
    assert failed == []
    assert decision.is_promoted
    own = next(r for r in decision.comparisons if r["baseline"] == "champion" and r["metric"] == "lift_at_capacity")
    assert own["interval"][0] > 0


def test_one_trained_on_shuffled_labels_is_refused(market, champion):
    shuffled = calibrated(market, np.random.default_rng(7).normal(size=N))
    _, failed = decide(market, shuffled, champion)
    assert "champion" in failed
    _, failed = decide(market, shuffled, champion, allow="not_worse")
    assert "champion" in failed
    # nor does it become the first champion: it tells nobody apart, and the scorecard does
    _, failed = decide(market, shuffled, None, points=market["first"])
    assert "scorecard" in failed


def test_a_worse_one_is_refused_whatever_is_allowed(market, better, champion):
    for allow in ("better", "not_worse"):
        decision, failed = decide(market, champion, better, allow=allow)
        assert failed == ["champion"]
        assert not decision.is_promoted


def test_one_that_is_no_better_within_noise_is_refused_unless_allowed(market, champion):
    rng = np.random.default_rng(8)
    same = calibrated(market, market["first"] + 0.05 * rng.normal(size=N))
    _, failed = decide(market, same, champion)
    assert failed == ["champion"]
    _, failed = decide(market, same, champion, allow="not_worse", margin=0.25)
    assert failed == []


def test_one_with_a_leak_is_refused_however_good(market, better, champion):
    _, failed = decide(market, better, champion, leaks=(True, "leak proven"))
    assert failed == ["leaks"]


def test_an_overconfident_one_is_refused(market, better, champion):
    overconfident = Scores(better.ranked_by, expit(3 * better.ranked_by + 8.0))
    _, failed = decide(market, overconfident, champion)
    assert failed == ["calibration"]
    twice = Scores(better.ranked_by, expit(better.ranked_by + np.log(2.5)))
    _, failed = decide(market, twice, champion)
    assert failed == ["calibration"]


def test_drift_counts_by_importance(market, better, champion):
    moved = STILL.assign(stability_index=[3.0, 0.0])
    for weight, expected in (([0.01, 3.0], []), ([3.0, 3.0], ["drift"])):
        _, failed = decide(market, better, champion, drift=moved.assign(weight=weight))
        assert failed == expected
    _, failed = decide(market, better, champion, moved=0.4)
    assert failed == ["drift"]


def test_too_few_buyers_decide_nothing(market, better):
    _, failed = decide(market, better, None, min_buyers=N)
    assert failed == ["buyers"]


def test_without_points_of_most_there_is_no_comparison_with_the_scorecard(market, better, champion):
    points = np.where(np.arange(N) % 10 == 0, np.nan, market["first"])
    _, failed = decide(market, better, champion, points=points)
    assert failed == ["scorecard"]


def test_the_stability_index_by_hand():
    # shares 0.5, 0.5 and 0.25, 0.75 over two categories
    found = stability_index([0, 0, 1, 1], [0, 1, 1, 1], is_category=True)
    assert found == pytest.approx(-0.25 * np.log(0.5) + 0.25 * np.log(1.5))
    # tenths of 1 to 100; everything moved into the last
    values = np.arange(1.0, 101.0)
    moved = stability_index(values, np.full(100, 99.0))
    assert moved == pytest.approx(0.9 * np.log(10) + 9 * (1e-4 - 0.1) * np.log(1e-3))


@pytest.mark.parametrize("is_category", [False, True])
def test_nothing_moves_in_other_draws_of_the_same(is_category):
    rng = np.random.default_rng(9)
    before, after = (np.where(rng.random(20_000) < 0.1, np.nan, rng.poisson(3, 20_000)) for _ in range(2))
    # twice the chi-square over n of some twelve bins
    assert 0 < stability_index(before, after, is_category=is_category) < 0.005


def test_new_categories_and_new_gaps_are_seen():
    before = pd.DataFrame({"colour": [0.0, 1.0] * 50, "age": np.arange(100.0), "still": np.arange(100.0)})
    after = before.assign(colour=[7.0, 1.0] * 50, age=before["age"].where(before["age"] > 50))
    found = drift_table(before, after, categorical=["colour"]).set_index("feature")
    assert found.loc["colour", "stability_index"] > 1
    assert found.loc["age", "stability_index"] > 1
    assert (found.loc["age", "missing_before"], found.loc["age", "missing_after"]) == (0.0, 0.51)
    assert found.loc["still", "stability_index"] == 0.0


@pytest.mark.parametrize(
    "given", [{"calibration": (1.1, 1.2)}, {"calibration": (0.0, 2.0)}, {"max_drift": 0}, {"x": 1}]
)
def test_rules_that_make_no_sense_are_refused(given):
    with pytest.raises(ValueError, match=r"range around 1|greater than 0|[Uu]nknown|Extra"):
        PromotionSpec(**given)
