"""What became of a list, by hand."""

import numpy as np
import pandas as pd
import pytest

from propensity.config import ContactSpec
from propensity.outcomes import bands, control_effect, expected_buyers, realised


def test_realised_figures_follow_the_lists_order_not_the_probability():
    # ranked by profit: the first is not the most probable
    listed = pd.DataFrame(
        {"rank": [1, 2, 3, 4], "probability": [0.2, 0.6, 0.3, 0.1], "decile": [1, 1, 2, 2], "bought": [1, 0, 0, 1]}
    )
    found = realised(listed, contact=ContactSpec(capacity=0.25), seed=0)
    assert (found["buyers"], found["ratio"]) == (2, pytest.approx(2 / 1.2))
    assert found["lift_at_capacity"] == 2.0  # one of one, against two of four
    assert found["capture_at_capacity"] == 0.5
    # buyers at places 1 and 4: of the four pairs the first buyer wins both, the second none
    assert found["roc_auc"] == 0.5


def test_bands_add_up_and_say_whether_the_promise_was_kept():
    # 150 of 500 bought where 0.3 was promised; 25 of 500 where four times as many were
    listed = pd.DataFrame({"decile": np.repeat([1, 2], 500), "probability": np.repeat([0.3, 0.2], 500)})
    listed["bought"] = [1] * 150 + [0] * 350 + [1] * 25 + [0] * 475
    found = bands(listed)
    assert found["prospects"].tolist() == [500, 500]
    assert found["buyers"].sum() == listed["bought"].sum()
    assert found["is_kept"].tolist() == [True, False]


def test_expected_figures_hold_what_chance_gives():
    rng = np.random.default_rng(1)
    p = rng.uniform(0.0, 0.3, 2_000)
    told = expected_buyers(pd.DataFrame({"probability": p}))
    drawn = (rng.random((2_000, p.size)) < p).sum(axis=1)
    inside = np.mean((drawn >= told["expected_low"]) & (drawn <= told["expected_high"]))
    assert 0.93 < inside < 0.97


def test_the_effect_is_found_and_its_interval_covers():
    rng = np.random.default_rng(2)
    n, kept, differences = 4_000, 0, []
    decile = np.repeat(np.arange(1, 11), n // 10)
    alone_share = np.linspace(0.12, 0.02, 10)[decile - 1]
    effect = 0.5 * alone_share  # more where buyers are, so that the strata matter
    for _ in range(200):
        control = rng.random(n) < 0.1
        bought = rng.random(n) < alone_share + np.where(control, 0.0, effect)
        listed = pd.DataFrame({"rank": np.arange(1, n + 1), "decile": decile, "control": control, "bought": bought})
        found = control_effect(listed, contact=ContactSpec(capacity=0.5))
        assert found is not None
        assert found["contacted"] + found["left_alone"] == n // 2
        truth = float(effect[: n // 2].mean())
        kept += found["low"] <= truth <= found["high"]
        differences.append(found["difference"] - truth)
    assert kept >= 180  # 190 are promised; 180 is three standard errors below
    assert abs(np.mean(differences)) < 4 * np.std(differences) / np.sqrt(200)


def test_few_left_alone_give_a_wide_interval_not_a_discovery():
    listed = pd.DataFrame({"rank": np.arange(1, 121), "decile": 1, "control": [True] * 12 + [False] * 108})
    listed["bought"] = [0] * 12 + [1] * 18 + [0] * 90
    found = control_effect(listed, contact=ContactSpec(capacity=1.0))
    assert found is not None
    assert found["difference"] == pytest.approx(18 / 108)
    assert found["low"] < 0 < found["high"]


def test_in_reach_goes_down_to_the_last_who_is_contacted():
    listed = pd.DataFrame(
        {
            "rank": [1, 2, 3, 4, 5],
            "decile": 1,
            "control": [False, True, False, True, False],
            "contact": [True, False, True, False, False],
            "bought": [1, 0, 0, 1, 1],
        }
    )
    found = control_effect(listed, contact=ContactSpec(capacity=1.0))
    assert found is not None
    assert (found["contacted"], found["left_alone"]) == (2, 1)
    assert found["difference"] == 0.5


@pytest.mark.parametrize("control", [[False, False], [True, True]])
def test_without_both_groups_there_is_no_effect(control):
    listed = pd.DataFrame({"rank": [1, 2], "decile": 1, "control": control, "bought": [0, 1]})
    assert control_effect(listed, contact=ContactSpec(capacity=1.0)) is None
