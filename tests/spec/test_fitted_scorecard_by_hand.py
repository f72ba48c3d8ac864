"""What a scorecard that is learnt from data must come to, worked by hand."""

import numpy as np
import pandas as pd
import pytest

from propensity.rules.evidence import information_value, scorecard_table, stability_index, weight_of_evidence
from propensity.rules.fitting import FitSettings, fit_scorecard
from propensity.rules.scorecard import Scorecard, lines, total_points

GENTLE = FitSettings(shrinkage=1e9, reference_points=600, reference_odds=50, pdo=20)  # next to no shrinkage


def groups(**counts: tuple[int, int]) -> tuple[pd.DataFrame, np.ndarray]:
    """Prospects of groups: (bought, did not)."""
    name = [group for group, (p, n) in counts.items() for _ in range(p + n)]
    bought = [label for p, n in counts.values() for label in [1] * p + [0] * n]
    return pd.DataFrame({"group": pd.Series(name, dtype=object)}), np.array(bought)


def test_600_points_at_odds_of_50_and_20_points_double_the_odds() -> None:
    # The published example: 50 : 1 is 600 points, pdo 20, so that 100 : 1 is 620, and 25 : 1 is 580.
    frame, bought = groups(fifty=(5_000, 100), hundred=(10_000, 100), half=(2_500, 100))
    card = fit_scorecard(frame, bought, name="x", settings=GENTLE)
    assert card is not None
    assert card.indicators[0].categories == {"fifty": 600, "half": 580, "hundred": 620}


def test_points_are_spread_evenly_over_indicators() -> None:
    # Two features that know nothing of each other: each carries half of the base, and its own part of the odds.
    frame, bought = groups(a=(200, 800), b=(500, 500))
    both = pd.concat([frame, frame], ignore_index=True).assign(other=["x"] * 2_000 + ["y"] * 2_000)
    y = np.concatenate([bought, bought])
    card = fit_scorecard(both, y, name="x", settings=FitSettings(shrinkage=1e9, least_information=0))
    assert card is not None
    by_feature = {indicator.feature: indicator for indicator in card.indicators}
    # Odds of a are 1 : 4, of b 1 : 1: two doublings apart, 40 points.
    assert by_feature["group"].categories["b"] - by_feature["group"].categories["a"] == 40
    assert set(by_feature) == {"group"} or len(set(by_feature["other"].categories.values())) == 1


def test_buckets_rise_or_fall_throughout_and_as_demanded() -> None:
    rng = np.random.default_rng(2)
    x = rng.integers(0, 10, 6_000).astype(np.float32)
    bought = rng.random(6_000) < 0.02 + 0.03 * (x > 2) + 0.05 * (x > 6)
    frame = pd.DataFrame({"x": x})
    rising = fit_scorecard(frame, bought, name="x", settings=FitSettings())
    assert rising is not None
    points = [bucket.points for bucket in rising.indicators[0].buckets]
    assert len(points) >= 3
    assert points == sorted(points)
    # Demanded the wrong way round, there is nothing to say.
    falling = fit_scorecard(frame, bought, name="x", settings=FitSettings(directions={"x": "falling"}))
    assert falling is not None
    assert len({bucket.points for bucket in falling.indicators[0].buckets}) == 1


def test_edges_are_round_numbers_between_the_values_that_they_part() -> None:
    x = np.repeat(np.array([0.11, 0.48, 0.52, 0.9], dtype=np.float32), 500)
    bought = np.tile(np.arange(500) % 10, 4) < np.repeat([1, 1, 6, 6], 500)
    card = fit_scorecard(pd.DataFrame({"x": x}), bought, name="x", settings=FitSettings(most_buckets=2))
    assert card is not None
    assert [bucket.below for bucket in card.indicators[0].buckets] == [0.5, None]


def test_what_does_not_vary_makes_no_scorecard() -> None:
    frame = pd.DataFrame({"x": np.ones(10, np.float32), "c": pd.Series(["a"] * 10, dtype=object)})
    assert fit_scorecard(frame, np.arange(10) % 2, name="x", settings=FitSettings()) is None


def test_weight_of_evidence_and_information_value() -> None:
    # 40 bought, 160 did not; half a row more in each line: 30.5/41 against 70.5/161, and 10.5/41 against 90.5/161.
    evidence = weight_of_evidence([30, 10], [70, 90])
    np.testing.assert_allclose(evidence, [np.log(30.5 / 41 * 161 / 70.5), np.log(10.5 / 41 * 161 / 90.5)])
    # 30/40 - 70/160 = 0.3125, and 10/40 - 90/160 = -0.3125.
    assert information_value([30, 10], [70, 90]) == pytest.approx(0.3125 * (evidence[0] - evidence[1]))
    assert weight_of_evidence([30, 0, 10], [70, 0, 90])[1] == 0  # nobody


def test_the_stability_index() -> None:
    # 999.5 + 0.5 against 999.5 + 0.5, then 499.5 + 0.5 of 2,000: shares of a half and a half, a quarter and three.
    expected = 0.25 * np.log(0.75 / 0.5) - 0.25 * np.log(0.25 / 0.5)
    assert stability_index([999.5, 999.5], [499.5, 1499.5]) == pytest.approx(expected)
    assert stability_index([10, 90], [100, 900]) == pytest.approx(0, abs=1e-3)


def test_a_scorecard_line_by_line() -> None:
    card = Scorecard.model_validate(
        {
            "scorecard": "x",
            "indicators": [
                {
                    "name": "Visits",
                    "feature": "visits",
                    "weight": 2,
                    "buckets": [{"below": 3, "points": 1}, {"points": 5}],
                    "special": {-1: -4},
                    "missing": 2,
                }
            ],
        }
    )
    frame = pd.DataFrame({"visits": np.array([-1, 0, 2, 3, np.nan, 9, 0, 0], np.float32)})
    bought = np.array([0, 1, 0, 1, 0, 1, 0, 0])
    table = scorecard_table(card, frame, bought, later=frame)
    assert table["line"].tolist() == ["-1", "below 3", "3 and more", "missing"]
    assert table["points"].tolist() == [-8, 2, 10, 4]
    assert table["prospects"].tolist() == [1, 4, 2, 1]
    assert table["conversion"].tolist() == [0, 0.25, 1, 0]
    assert table["share"].sum() == 1
    assert (table["psi"] == 0).all()
    # What the lines say, times their prospects, is what all prospects have.
    assert (table["points"] * table["prospects"]).sum() == total_points(card, frame).sum()
    assert [line.points for line in lines(card.indicators[0])] == [-4, 1, 5, 2]
