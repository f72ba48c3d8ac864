"""The scorecard's arithmetic, worked by hand."""

from pathlib import Path

import pandas as pd
import pytest

from propensity.errors import ConfigError
from propensity.rules.scorecard import indicator_points, load_scorecard, total_points

CARD = """
scorecard: home-insurance
about: Who asked for a quote of late, lives where we are strong, and owns a car policy.
indicators:
  - name: Quote recency
    feature: recency_days_quote
    weight: 1.5
    buckets: [{below: 7, points: 40}, {below: 30, points: 25}, {points: 5}]
    missing: 0
  - {name: Region, feature: region, categories: {north: 10, south: 5}, otherwise: 1, missing: -2}
  - name: Contacts
    feature: contacts
    kind: potential
    buckets: [{below: 1, points: 0}, {points: 3}]
    special: {999: -5}
"""


def test_points_add_up_by_hand(tmp_path: Path) -> None:
    path = tmp_path / "card.yaml"
    path.write_text(CARD)
    card = load_scorecard(path)
    frame = pd.DataFrame(
        {
            "recency_days_quote": [6.99, 7.0, 29.0, 30.0, None],
            "region": ["north", "south", "west", None, "north"],
            "contacts": [0.0, 1.0, 999.0, 998.0, None],
        },
        index=["a", "b", "c", "d", "e"],
    )
    points = indicator_points(card, frame)
    # below 7: 40 x 1.5 = 60; 7 and 29 lie in [7, 30): 25 x 1.5 = 37.5; 30 is not below 30: 5 x 1.5 = 7.5; missing: 0
    assert points["Quote recency"].tolist() == [60.0, 37.5, 37.5, 7.5, 0.0]
    # west is no category of the card: otherwise 1; not known: -2
    assert points["Region"].tolist() == [10.0, 5.0, 1.0, -2.0, 10.0]
    # 999 is special and goes before the buckets; 998 is an ordinary number; missing is 0 unless said
    assert points["Contacts"].tolist() == [0.0, 3.0, -5.0, 3.0, 0.0]
    # 60+10+0, 37.5+5+3, 37.5+1-5, 7.5-2+3, 0+10+0
    assert total_points(card, frame).tolist() == [70.0, 45.5, 33.5, 8.5, 10.0]
    assert points.index.tolist() == ["a", "b", "c", "d", "e"]


VALUE_CARD = """
scorecard: value
weights: {current: 3, potential: 1}
indicators:
  - {name: Sales, feature: sales, kind: current, weight: 2, buckets: [{below: 100, points: 10}, {points: 30}]}
  - {name: Visits, feature: visits, kind: current, buckets: [{below: 1, points: 0}, {points: 8}]}
  - {name: Size, feature: size, kind: potential, categories: {small: 40, large: 4}, missing: 12}
"""


def test_points_are_the_weighted_mean_of_current_and_potential_value(tmp_path: Path) -> None:
    path = tmp_path / "card.yaml"
    path.write_text(VALUE_CARD)
    card = load_scorecard(path)
    frame = pd.DataFrame({"sales": [50.0, 100.0], "visits": [1.0, 0.0], "size": ["small", None]})
    # Current value: 10 x 2 + 8 = 28, and 30 x 2 + 0 = 60; potential value: 40, and 12 where it is not known.
    # The mean weighs them 3 to 1: 0.75 x 28 + 0.25 x 40 = 31; 0.75 x 60 + 0.25 x 12 = 48.
    assert total_points(card, frame).tolist() == [31.0, 48.0]
    assert indicator_points(card, frame)["Sales"].tolist() == [15.0, 45.0]
    assert card.shares() == {"current": 0.75, "potential": 0.25}


def test_a_weighted_mean_needs_to_know_of_each_indicator_which_value_it_shows(tmp_path: Path) -> None:
    path = tmp_path / "card.yaml"
    path.write_text(VALUE_CARD.replace("feature: visits, kind: current,", "feature: visits,"))
    with pytest.raises(ConfigError) as error:
        load_scorecard(path)
    assert str(error.value).startswith(f"{path}:6: indicators.1: 'Visits' has no kind")
    path.write_text(VALUE_CARD.replace("current: 3, potential: 1", "current: 0, potential: 0"))
    with pytest.raises(ConfigError, match=r":3: weights: both weights are 0"):
        load_scorecard(path)
