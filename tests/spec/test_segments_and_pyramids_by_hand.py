"""Segments, value pyramids, barriers, moves between stages: small frames, the answer worked out beside them."""

import numpy as np
import pandas as pd
import pytest

from propensity.config import PyramidSpec
from propensity.errors import ConfigError
from propensity.rules.approach import check_tags, tag
from propensity.rules.pyramid import check_pyramids, pyramid_values, tiers
from propensity.rules.segments import Dimension, first_match, propose
from propensity.rules.stages import stage_transitions


def pyramid(*indicators: dict, **tiers_of: dict) -> PyramidSpec:
    return PyramidSpec.model_validate({"indicators": list(indicators), **tiers_of})


HALVES = {"shares": {"key": 0.5, "rest": 0.5}}


def test_the_first_rule_that_holds_counts_and_what_is_unknown_does_not_hold():
    frame = pd.DataFrame({"age": [20.0, 40.0, np.nan, 70.0]})
    rules = {"young": "age < 30", "grown": "age < 65"}
    assert first_match(frame, rules, otherwise="other", where="segments").tolist() == [
        "young",
        "grown",
        "other",
        "other",
    ]
    assert first_match(frame, dict(reversed(rules.items())), otherwise=None, where="segments").tolist() == [
        "grown", "grown", None, None,
    ]  # fmt: skip


def test_a_group_begins_at_its_edge_and_ends_before_the_next():
    third = np.float32(0.7)
    frame = pd.DataFrame({"x": np.array([third, np.nextafter(third, np.float32(0)), 2.0, np.nan], dtype=np.float32)})
    groups = Dimension("d", "x", edges=(0.7, 2.0))
    assert groups.group_of(frame).tolist() == ["0.7 to 2", "below 0.7", "2 and more", "missing"]
    assert groups.groups == ("below 0.7", "0.7 to 2", "2 and more", "missing")


def test_a_category_has_a_group_and_rare_ones_are_together():
    frame = pd.DataFrame({"region": ["north", "south", "moon", None]})
    groups = Dimension("d", "region", categories=("north", "south"))
    assert groups.group_of(frame).tolist() == ["north", "south", "other", "missing"]
    # What the data itself calls "other" is with the rare ones, and no group stands twice.
    pooled = Dimension("d", "region", categories=("north", "other"))
    assert pooled.group_of(frame.replace("moon", "other")).tolist() == ["north", "other", "other", "missing"]
    assert pooled.groups == ("north", "other", "missing")


def test_dimensions_are_proposed_out_of_what_attributes_tell():
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(
        {
            "years": rng.uniform(18, 90, 4000),
            "town": rng.choice(["a", "b", "c"], 4000, p=[0.5, 0.3, 0.2]),
            "events_ever": np.where(rng.random(4000) < 0.95, 1.0, 0.0),  # hardly divides anybody
            "purchases_ever": rng.integers(0, 30, 4000).astype(float),
        }
    )
    catalogue = [{"name": name, "kind": "category" if name == "town" else "number"} for name in frame]
    found = {d.name: d for d in propose(frame, catalogue, {"years": "age", "town": "location"})}
    assert found["age group"].edges == (35.0, 55.0, 70.0)  # quarters at 36, 54 and 72, to whole fives
    assert found["geography"].categories == ("a", "b", "c")
    assert found["behaviour: purchases_ever"].feature == "purchases_ever"
    assert propose(frame[["years"]], catalogue[:1], {}) == []


def test_the_value_is_the_weighted_mean_of_scaled_indicators():
    frame = pd.DataFrame({"spend": [0.0, 50.0, 100.0, np.nan], "visits": [4.0, 4.0, 8.0, 6.0]})
    fixed = {"feature": "spend", "weight": 3, "scale": {"low": 0, "high": 100}, "missing": 0.5}
    ranged = {"feature": "visits", "scale": "range"}
    # spend 0, 0.5, 1, missing 0.5; visits from 4 to 8: 0, 0, 1, 0.5; three parts to one, of 100.
    assert pyramid_values(frame, pyramid(fixed, ranged, **HALVES)).tolist() == [0.0, 37.5, 100.0, 50.0]


def test_a_rank_is_the_share_of_others_below_and_a_falling_scale_turns_round():
    frame = pd.DataFrame({"x": [1.0, 2.0, 2.0, 9.0, np.nan]})
    # Of the three others with a value: none, one, one, three lie below.
    assert pyramid_values(frame, pyramid({"feature": "x"}, **HALVES)).round(6).tolist() == [
        0.0, 33.333333, 33.333333, 100.0, 0.0,
    ]  # fmt: skip
    turned = pyramid({"feature": "x", "scale": {"low": 10, "high": 0}}, **HALVES)
    assert pyramid_values(frame, turned).tolist() == [90.0, 80.0, 80.0, 10.0, 0.0]
    same = pyramid({"feature": "y"}, **HALVES)
    assert pyramid_values(pd.DataFrame({"y": [3.0, 3.0]}), same).tolist() == [0.0, 0.0]


def test_tiers_by_shares_never_divide_equal_values():
    spec = pyramid({"feature": "x"}, shares={"key": 0.2, "large": 0.3, "rest": 0.5})
    assert tiers(np.arange(10.0), spec).tolist() == ["rest"] * 5 + ["large"] * 3 + ["key"] * 2
    # Two places in the key tier, three prospects with the best value: they go to the next tier, and so on.
    assert tiers([9, 9, 9, 8, 7, 6, 5, 4, 3, 2], spec).tolist() == ["large"] * 5 + ["rest"] * 5
    assert tiers([1.0] * 4, spec).tolist() == ["rest"] * 4


def test_tiers_by_cut_offs_begin_at_their_value():
    spec = pyramid({"feature": "x"}, cut_offs={"gold": 80, "silver": 50, "iron": 0})
    assert tiers([100, 80, 79.999, 50, 49, 0], spec).tolist() == ["gold", "gold", "silver", "silver", "iron", "iron"]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"shares": {"a": 0.5, "b": 0.4}}, "add up to 90%"),
        ({"cut_offs": {"a": 50, "b": 60, "c": 0}}, "cut_offs fall"),
        ({"cut_offs": {"a": 50, "b": 10}}, "begins at 0"),
        ({"shares": {"a": 1.0}}, "two tiers or more"),
        ({}, "either 'shares' or 'cut_offs'"),
    ],
)
def test_a_pyramid_without_sound_tiers_is_refused(wrong, message):
    with pytest.raises(ValueError, match=message):
        pyramid({"feature": "x"}, **wrong)


def test_a_pyramid_of_an_unknown_or_worded_feature_is_refused():
    with pytest.raises(ConfigError, match=r"pyramids.profit: no feature 'spnd'. Did you mean 'spend'"):
        check_pyramids({"profit": pyramid({"feature": "spnd"}, **HALVES)}, columns=["spend"])
    with pytest.raises(ConfigError, match="holds categories"):
        check_pyramids({"profit": pyramid({"feature": "x"}, **HALVES)}, columns=["x"], categories=["x"])


def test_barrier_approach_and_channel_are_the_first_rules_that_hold():
    frame = pd.DataFrame({"quotes": [2.0, 0.0, 1.0], "opened": [1.0, 0.0, np.nan]})
    found = tag(
        frame,
        barriers={"cost": "quotes > 1", "supplier": "quotes > 0"},
        approach={"immediate": "quotes >= 1"},
        channels={"email": "opened > 0", "web": "quotes > 0"},
    )
    assert found["barrier"].tolist() == ["cost", None, "supplier"]
    assert found["approach"].tolist() == ["immediate", None, "immediate"]
    assert found["channel"].tolist() == ["email", None, "web"]
    assert list(tag(frame, barriers={}, approach={}, channels={}).columns) == []
    with pytest.raises(ConfigError, match=r"barriers.cost: .* never true or false"):
        check_tags({"barriers": {"cost": "quotes + 1"}}, columns=["quotes"])


def test_moves_between_stages_count_who_bought_who_left_and_who_came():
    before = pd.Series({1: "unaware", 2: "unaware", 3: "searching", 4: "comparing", 5: "comparing"})
    after = pd.Series({1: "searching", 2: "unaware", 4: "comparing", 6: "unaware"})
    moves = stage_transitions(before, after, [3])
    assert moves.to_numpy().tolist() == [
        ["unaware", "unaware", 1, 0.5],
        ["unaware", "searching", 1, 0.5],
        ["searching", "bought", 1, 1.0],
        ["comparing", "comparing", 1, 0.5],
        ["comparing", "no longer a prospect", 1, 0.5],
        ["new prospect", "unaware", 1, 1.0],
    ]
