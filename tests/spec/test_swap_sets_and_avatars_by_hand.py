"""Swap sets, agreement and avatars against small examples and published arithmetic."""

import numpy as np
import pandas as pd
import pytest

from propensity.evaluation.swap import agreement, compare_groups, membership, swap_sets
from propensity.explain.avatar import NO_DATA, Trait, describe, tell

# --- swap sets --------------------------------------------------------------------------------------------------


def test_who_enters_and_who_leaves():
    y = [1, 0, 1, 0, 1, 0]
    model, card = [6, 5, 4, 3, 2, 1], [6, 1, 2, 5, 4, 3]
    # The model chooses rows 0, 1, 2, the scorecard rows 0, 3, 4.
    sets, difference = swap_sets(y, model, card, range(6), count=3, seed=0)
    table = sets.set_index("set")
    assert table["prospects"].to_dict() == {"both": 1, "enters": 2, "leaves": 2, "neither": 1}
    assert table["buyers"].to_dict() == {"both": 1, "enters": 1, "leaves": 1, "neither": 0}
    assert difference["conversion"] == 0.0


def test_equal_points_at_the_edge_count_in_part():
    assert membership([3, 2, 2, 2, 1], 2).tolist() == pytest.approx([1, 1 / 3, 1 / 3, 1 / 3, 0])
    sets, _ = swap_sets([1, 0, 0, 0], [4, 3, 2, 1], [1, 1, 1, 1], range(4), count=1, seed=0)
    # The model chooses the buyer; the scorecard, which knows nothing, chooses a quarter of everybody.
    assert sets.set_index("set")["prospects"].to_dict() == {
        "both": 0.25,
        "enters": 0.75,
        "leaves": 0.75,
        "neither": 2.25,
    }


def test_the_difference_of_the_swap_sets_covers_zero_where_both_know_nothing():
    rng = np.random.default_rng(3)
    y = (rng.random(4000) < 0.1).astype(int)
    _, difference = swap_sets(y, rng.random(4000), rng.random(4000), np.arange(4000), count=400, seed=1)
    low, high = difference["interval"]
    assert low < 0 < high
    knowing = y + rng.normal(0, 0.5, 4000)
    _, difference = swap_sets(y, knowing, rng.random(4000), np.arange(4000), count=400, seed=1)
    assert difference["interval"][0] > 0.3


def test_where_everybody_is_chosen_nobody_enters_or_leaves():
    sets, difference = swap_sets([1, 0], [2, 1], [1, 2], [1, 2], count=2, seed=0)
    assert sets["prospects"].tolist() == [2.0, 0.0, 0.0, 0.0]
    assert difference == {"conversion": None, "interval": None}


def test_agreement_counts_tenths_against_tiers():
    score = np.arange(20)[::-1]
    tier = np.where(np.arange(20) < 5, "high", "low")
    table = agreement((np.arange(20) < 2).astype(int), score, tier, tiers=["high", "low"])
    assert table.loc[table["decile"] == 1, ["tier", "prospects", "buyers", "conversion"]].to_numpy().tolist()[0] == [
        "high", 2, 2, 1.0,
    ]  # fmt: skip
    crossed = table.set_index(["decile", "tier"])["prospects"]
    assert crossed[3].to_dict() == {"high": 1, "low": 1}  # rows 4 and 5
    assert table["prospects"].sum() == 20


def test_groups_say_who_ranks_better_or_that_there_are_too_few():
    rng = np.random.default_rng(5)
    y = (rng.random(3000) < 0.2).astype(int)
    group = np.where(np.arange(3000) < 1500, "a", np.where(np.arange(3000) < 2980, "b", "c")).astype(object)
    good, bad = np.clip(y * 0.4 + rng.random(3000) * 0.6, 0, 1), rng.random(3000)
    # In group a the model knows something, in group b the scorecard does.
    model, card = np.where(group == "a", good, bad), np.where(group == "a", bad, good)
    table = compare_groups(
        y, {"logistic": model, "scorecard": card}, np.arange(3000), {"part": group}, baseline="scorecard", seed=0
    ).set_index("group")
    assert table["better"].to_dict() == {"a": "logistic", "b": "scorecard", "c": "too few"}
    assert table.loc["a", "low"] > 0 > table.loc["b", "high"]


# --- avatars ----------------------------------------------------------------------------------------------------


def test_the_interval_of_a_share_is_newcombes():
    """Newcombe (1998), table II: 56 of 70 against 48 of 80 differ by 0.2, 0.0524 to 0.3339 (method 10)."""
    member = np.arange(150) < 70
    likes = np.where(member, np.arange(150) < 56, np.arange(150) - 70 < 48)
    frame = pd.DataFrame({"likes": likes.astype(float)})
    table = describe(frame, {"group": member}, [Trait("like", "likes", "likes tea", "boolean")]).set_index("avatar")
    line = table.loc["group"]
    rest = 80 / 150  # the group's difference to all is its difference to the rest, times the rest's share
    assert line["low"] / rest == pytest.approx(0.0524, abs=5e-5)
    assert line["high"] / rest == pytest.approx(0.3339, abs=5e-5)
    assert (line["value"], line["all_value"]) == (0.8, pytest.approx(104 / 150))
    assert line["lift"] == pytest.approx(0.8 / (104 / 150))
    # Cohen's h: 2 asin(sqrt 0.8) - 2 asin(sqrt 0.6)
    assert line["effect"] == pytest.approx(0.4421, abs=1e-4)
    assert line["is_clear"]


def test_the_difference_of_means_is_welchs_and_its_effect_cohens():
    own, rest = [1.0, 2.0, 3.0, 4.0, 5.0] * 3, [3.0, 5.0, 7.0] * 5
    frame = pd.DataFrame({"x": own + rest})
    member = np.arange(30) < 15
    line = describe(frame, {"g": member}, [Trait("do", "x", "visits", "number")]).set_index("avatar").loc["g"]
    # Means 3 and 5; variances (n - 1) 30/14 and 40/14; half of all are the rest.
    error = np.sqrt(30 / 14 / 15 + 40 / 14 / 15)
    assert line["difference"] == pytest.approx(-1.0)
    assert (line["low"], line["high"]) == pytest.approx((0.5 * (-2 - 1.959964 * error), 0.5 * (-2 + 1.959964 * error)))
    assert line["effect"] == pytest.approx(-2 / np.sqrt(2.5))  # the pooled variance is 70 / 28


def test_what_is_not_given_is_left_out_and_never_invented():
    frame = pd.DataFrame({"goal": ["price"] * 10 + [None] * 30, "age": [np.nan] * 40})
    traits = [Trait("goals and values", "goal", "goal", "category"), Trait("demographics", "age", "age", "number")]
    table = describe(frame, {"g": np.arange(40) < 20}, traits)
    assert table["feature"].unique().tolist() == ["goal"]  # nobody's age is known
    assert table.loc[table["avatar"] == "g", "value"].tolist() == [1.0]  # of those who answered
    told = {line["part"]: line["text"] for line in tell(table, "g")}
    assert told["demographics"] == NO_DATA
    assert told["problems and challenges"] == NO_DATA
    assert told["goals and values"] == "No clear difference from all prospects."
    assert set(told) == {
        "demographics", "goals and values", "information sources", "problems and challenges", "barriers and role",
        "where they go", "what they like", "what they do",
    }  # fmt: skip


def test_an_avatar_is_told_in_words():
    frame = pd.DataFrame({"owner": [1.0] * 45 + [0.0] * 55, "visits": [4.0, 6.0] * 25 + [0.0, 1.0] * 25})
    frame["channel"] = ["by_phone"] * 40 + ["web"] * 60
    traits = [
        Trait("demographics", "owner", "home owner", "boolean"),
        Trait("do", "visits", "visits in the last 30 days", "number", is_count=True),
        Trait("information sources", "channel", "channel", "category"),
    ]
    table = describe(frame, {"first": np.arange(100) < 50, "few": np.arange(100) < 5}, traits)
    assert "few" not in set(table["avatar"])  # five people are nobody's picture
    told = {line["part"]: line["text"] for line in tell(table, "first")}
    assert told["demographics"] == "Home owner: more often, 90% (all prospects: 45%)."
    assert told["what they do"] == "More visits in the last 30 days: 5.0 on average (all prospects: 2.8)."
    assert told["information sources"] == "Channel: “by phone” more often, 80% (all prospects: 40%)."
    everybody = {line["part"]: line["text"] for line in tell(table, "all prospects")}
    assert everybody["information sources"] == "Channel: most often “web” (60%)."
