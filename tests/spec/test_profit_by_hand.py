"""What a campaign earns, worked out by hand on a few rows."""

import numpy as np
import pytest

from propensity.config import ContactSpec
from propensity.evaluation.profit import Plan, campaign_profit, profit_at
from propensity.models.amount import gamma_loss
from propensity.models.folding import clustered_error
from propensity.value import expected_values, worth_contacting


def plan(score, expected_profit, probability=None) -> Plan:
    given = score if probability is None else probability
    return Plan(np.array(score, float), np.array(expected_profit, float), np.array(given, float))


def test_profit_with_ties():
    # best first: 10 | 0 and 10 tied | 0; a contact costs 4
    # 1 contact: 10 - 4; 2 contacts: 10 + half of 10 - 8; 3: 20 - 12; 4: 20 - 16; a fifth there is not
    profit = profit_at([10, 0, 10, 0], [0.9, 0.5, 0.5, 0.1], [0, 1, 2, 3, 4, 5], cost=4)
    assert profit == pytest.approx([0, 6, 7, 8, 4, 4])


def test_profit_with_amounts():
    # best first: 100, 0, 30, 5; a contact costs 10: 90, 80, 100, 95
    assert profit_at([5, 30, 0, 100], [1, 2, 3, 4], [1, 2, 3, 4], cost=10).tolist() == [90, 80, 100, 95]


def test_the_rule_skips_whom_it_expects_a_loss_of_and_keeps_to_the_capacity():
    # by probability: b (expected 2), a (-1), d (1), e (3), c (-2). Capacity 60 % of 5 = 3: b, d, e, down to place 4
    # bought: a for 50, b for 20, e for 8; a contact costs 5
    found = campaign_profit(
        [1, 1, 0, 0, 1],
        [50, 20, 999, 999, 8],  # what non-buyers would have paid counts nothing
        {"m": plan([0.8, 0.9, 0.1, 0.7, 0.6], [-1, 2, -2, 1, 3])},
        [1, 2, 3, 4, 5],
        cost=5,
        capacity=0.6,
        seed=0,
        points=6,
    )["models"]["m"]
    rule = found["down_to"]
    assert (rule["contacted"], rule["rank"], rule["buyers"]) == (3, 4, 2)
    assert rule["expected_profit"] == pytest.approx(2 + 1 + 3)
    assert rule["expected_buyers"] == pytest.approx(0.9 + 0.7 + 0.6)
    assert rule["profit"] == pytest.approx(20 + 8 - 3 * 5)
    # at the capacity the first three are contacted, whatever is expected of them: b, a, d
    assert (found["at_capacity"]["contacted"], found["at_capacity"]["buyers"]) == (3, 2)
    assert found["at_capacity"]["profit"] == pytest.approx(20 + 50 - 3 * 5)
    assert found["curve"]["contacted"] == [0, 1, 2, 3, 4, 5]
    assert found["curve"]["profit"] == pytest.approx([0, 15, 60, 55, 58, 53])
    assert (np.array(found["curve"]["low"]) <= found["curve"]["high"]).all()


def test_nobody_is_contacted_where_no_profit_is_expected():
    found = campaign_profit([1, 0], [10, 10], {"m": plan([0.9, 0.1], [-1, 0])}, [1, 2], cost=2, capacity=1, seed=0)
    rule = found["models"]["m"]["down_to"]
    assert (rule["contacted"], rule["rank"], rule["profit"], rule["interval"]) == (0, 0, 0, [0, 0])


def test_the_depth_is_not_chosen_by_what_was_earned():
    # the best length afterwards is 1 (10 - 4); the model expects a profit of all four, and loses
    found = campaign_profit(
        [1, 0, 0, 0], [10] * 4, {"m": plan([4, 3, 2, 1], [1] * 4)}, [1, 2, 3, 4], cost=4, capacity=1, seed=0
    )
    assert found["models"]["m"]["down_to"]["profit"] == 10 - 4 * 4


def test_differences_are_paired():
    # the twin ranks alike, so that in every draw the difference is 0, though profits differ from draw to draw
    y, value = [1, 0, 1, 0, 0, 1], [10, 0, 90, 0, 0, 40]
    twins = {name: plan([6, 5, 4, 3, 2, 1], [1] * 6) for name in ("scorecard", "twin")}
    found = campaign_profit(y, value, twins, range(6), cost=1, capacity=0.5, seed=0, baseline="scorecard")["models"]
    low, high = found["twin"]["at_capacity"]["interval"]
    assert low < high
    for at in ("at_capacity", "down_to"):
        assert found["twin"][at]["against"] == {"difference": 0.0, "interval": [0.0, 0.0]}
        assert found["scorecard"][at]["against"] is None


def test_intervals_draw_whole_customers():
    # one customer owns all rows: every draw is the rows themselves
    found = campaign_profit(
        [1, 0, 1], [10, 10, 30], {"m": plan([3, 2, 1], [1] * 3)}, [7, 7, 7], cost=1, capacity=1, seed=0, points=2
    )["models"]["m"]
    assert found["at_capacity"]["profit"] == 40 - 3
    assert found["at_capacity"]["interval"] == [37, 37]


def test_expected_value_is_the_parts_multiplied():
    # 0.5 × 0.3 × 40 = 6, less 1; with a fixed value 0.5 × 60 = 30, less 1
    learnt = expected_values(ContactSpec(cost=1, value="amount", margin=0.3), np.array([0.5]), np.array([40.0]))
    assert learnt.to_dict("list") == {"expected_amount": [40], "expected_value": [6], "expected_profit": [5]}
    fixed = expected_values(ContactSpec(cost=1, value=60), np.array([0.5]), None)
    assert fixed.to_dict("list") == {"expected_value": [30], "expected_profit": [29]}


def test_contacts_end_with_the_capacity():
    assert worth_contacting(np.array([3.0, 0.0, 2.0, 1.0]), capacity=2).tolist() == [True, False, True, False]
    assert not worth_contacting(np.array([0.0, -1.0]), capacity=2).any()


def test_gamma_loss_is_least_at_the_mean_whatever_is_below_zero():
    # amounts 0, 10, -4 and 30: mean 9
    amounts, tried = np.array([0.0, 10.0, -4.0, 30.0]), np.arange(1.0, 31.0)
    losses = [gamma_loss(amounts, np.full(4, expected)).mean() for expected in tried]
    assert tried[int(np.argmin(losses))] == 9


def test_standard_error_of_a_mean_counts_customers():
    # 1, 3 and 8 of three customers: residuals -3, -1 and 4, sum of squares 26: sqrt(3 / 2 * 26) / 3
    assert clustered_error(np.array([1.0, 3, 8]), np.array([1, 2, 3])) == pytest.approx(np.sqrt(39) / 3)
    # the first two are one customer's: residuals -4 and 4: sqrt(2 / 1 * 32) / 3
    assert clustered_error(np.array([1.0, 3, 8]), np.array([1, 1, 3])) == pytest.approx(8 / 3)
