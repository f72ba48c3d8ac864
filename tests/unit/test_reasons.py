"""Reasons: the right features, in the right order, in readable words, and sums that hold."""

from typing import Any

import numpy as np
import pandas as pd
import pytest

from propensity.explain.reasons import reason_text, scorecard_reasons, top_reasons, usual_text


def entry(name: str, phrase: str, unit: str = "count", **more: Any) -> dict[str, Any]:
    return {"name": name, "phrase": phrase, "unit": unit, "kind": "number", "source": "events", **more}


CATALOGUE = [
    entry("events_view_30d", "{value} views in the last 30 days"),
    entry("region", "region: {value}", "category", kind="category", categories=["north", "south"], source="customers"),
    entry("income", "income {value}", "money", source="customers"),
    entry("gender", "gender: {value}", "category", kind="category", categories=["f"], sensitive=True),
]
MORE = "{value} more views in the last 30 days than in the 30 days before"


def test_the_strongest_come_first_and_the_rest_is_summed() -> None:
    X = pd.DataFrame(
        {"events_view_30d": [7.0, 0.0], "region": [1.0, np.nan], "income": [52_000.0, np.nan], "gender": [0.0, 0.0]},
        index=["a", "b"],
    )
    points = np.array([[3.0, -8.0, 1.0, 20.0], [-0.5, 0.0, 2.0, 0.25]])
    reasons = top_reasons(points, X, CATALOGUE, count=2)
    assert reasons.columns.tolist() == [
        "reason_1",
        "reason_2",
        "contribution_1",
        "contribution_2",
        "contribution_other",
    ]
    assert reasons.loc["a"].tolist() == ["region: south", "7 views in the last 30 days", -8.0, 3.0, 21.0]
    assert reasons.loc["b"].tolist() == ["income not given", "0 views in the last 30 days", 2.0, -0.5, 0.25]


def test_reasons_for_come_before_reasons_against_where_preferred() -> None:
    X = pd.DataFrame({"events_view_30d": [7.0], "region": [1.0], "income": [3.0], "gender": [0.0]})
    reasons = top_reasons(np.array([[3.0, -8.0, -9.0, 1.0]]), X, CATALOGUE, count=3, prefer="positive")
    assert reasons.filter(like="contribution").iloc[0].tolist() == [3.0, -9.0, -8.0, 1.0]


def test_fewer_features_than_reasons_leaves_none() -> None:
    X = pd.DataFrame({"events_view_30d": [7.0], "region": [1.0], "income": [3.0], "gender": [0.0]})
    reasons = top_reasons(np.array([[3.0, 0.0, 0.0, 1.0]]), X, CATALOGUE, count=6)
    assert reasons.filter(like="reason").iloc[0].tolist() == ["7 views in the last 30 days", *[None] * 5]
    assert reasons.filter(like="contribution").iloc[0].tolist() == [3.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0]


@pytest.mark.parametrize("prefer", ["absolute", "positive"])
def test_contributions_add_up_and_hold_nothing_sensitive(prefer: Any) -> None:
    rng = np.random.default_rng(11)
    n, p = 10_000, 17  # more than two blocks of rows
    names = [f"f{i}" for i in range(p)]
    catalogue = [entry(name, f"{name} {{value}}", sensitive=i % 5 == 0) for i, name in enumerate(names)]
    X = pd.DataFrame(rng.poisson(2.0, size=(n, p)).astype(np.float32), columns=names)
    points = rng.normal(scale=30, size=(n, p)) * (rng.random((n, p)) > 0.2)
    reasons = top_reasons(points, X, catalogue, count=5, prefer=prefer)
    named = reasons.filter(regex=r"contribution_\d").to_numpy()
    total = named.sum(axis=1) + reasons["contribution_other"].to_numpy()
    np.testing.assert_allclose(total, points.sum(axis=1), rtol=0, atol=1e-9)
    strength = np.abs(points) if prefer == "absolute" else points
    best = strength[:, [i % 5 != 0 for i in range(p)]].max(axis=1)
    found = np.abs(named[:, 0]) if prefer == "absolute" else named[:, 0]
    np.testing.assert_array_equal(found[best > 0], best[best > 0])
    texts = {text for text in reasons.filter(like="reason").to_numpy().ravel() if text}
    assert not any(text.startswith(("f0 ", "f5 ", "f10 ", "f15 ")) for text in texts)
    # Each text stands beside its own feature's contribution.
    for row in range(0, n, 1_999):
        name, value = reasons["reason_2"].iloc[row].split()
        assert points[row, names.index(name)] == named[row, 1]
        assert X[name].iloc[row] == float(value)


def test_row_order_changes_no_row() -> None:
    rng = np.random.default_rng(5)
    points, X = rng.integers(-3, 4, size=(500, 4)).astype(float), pd.DataFrame(rng.integers(0, 1, (500, 4)))
    X.columns = pd.Index([line["name"] for line in CATALOGUE])
    order = rng.permutation(500)
    straight = top_reasons(points, X, CATALOGUE, count=2)
    shuffled = top_reasons(points[order], X.iloc[order], CATALOGUE, count=2)
    pd.testing.assert_frame_equal(straight.iloc[order], shuffled)


def test_no_rows_give_no_reasons() -> None:
    X = pd.DataFrame(np.zeros((0, 4)), columns=[line["name"] for line in CATALOGUE])
    assert top_reasons(np.zeros((0, 4)), X, CATALOGUE).shape == (0, 11)


def test_columns_out_of_order_and_infinite_points_are_refused() -> None:
    X = pd.DataFrame(np.zeros((1, 4)), columns=[line["name"] for line in CATALOGUE])
    with pytest.raises(ValueError, match="same rows and columns in the same order"):
        top_reasons(np.zeros((1, 4)), X[X.columns[::-1]], CATALOGUE)
    with pytest.raises(ValueError, match="finite"):
        top_reasons(np.full((1, 4), np.nan), X, CATALOGUE)
    with pytest.raises(ValueError, match="at least 1"):
        top_reasons(np.zeros((1, 4)), X, CATALOGUE, count=0)


@pytest.mark.parametrize(
    ("value", "unit", "phrase", "text"),
    [
        (1, "count", "{value} views in the last 30 days", "1 view in the last 30 days"),
        (7, "count", "{value} views in the last 30 days", "7 views in the last 30 days"),
        (1, "count", "{value} active days in the last 7 days", "1 active day in the last 7 days"),
        (1, "count", "{value} add to cart events in the last 7 days", "1 add to cart event in the last 7 days"),
        (1, "count", "{value} categories bought", "1 category bought"),
        (1, "count", "{value} purchases of cakes", "1 purchase of cakes"),
        (1, "count", "{value} business visits in the last 7 days", "1 business visit in the last 7 days"),
        (1, "count", "{value} news in the last 7 days", "1 news in the last 7 days"),
        (1, "count", "{value} events (channel: shop visits) so far", "1 event (channel: shop visits) so far"),
        (1, "count", "{value} days with views so far", "1 day with views so far"),
        (3, "change", MORE, "3 more views in the last 30 days than in the 30 days before"),
        (-1, "change", MORE, "1 fewer view in the last 30 days than in the 30 days before"),
        (0, "change", MORE, "as many views in the last 30 days as in the 30 days before"),
        (11, "count", "{value} views", "11 views"),
        (12_345, "count", "{value} views", "12,345 views"),
        (1, "days", "{value} days since the last view", "1 day since the last view"),
        (1, "money", "spent {value} on cakes", "spent 1 on cakes"),
        (1_234_567.4, "money", "spent {value}", "spent 1,234,567"),
        (12.5, "money", "spent {value}", "spent 12.50"),
        (-0.001, "money", "spent {value}", "spent -0.00"),
        (34.9, "years", "{value} years old", "34 years old"),
        (0.125, "share", "{value} of views", "12% of views"),
        (0.0312, "share", "{value} of views", "3.1% of views"),
        (0.0, "share", "{value} of views", "0% of views"),
        (2.0, "value", "class {value}", "class 2"),
        (1.2345, "value", "rate {value}", "rate 1.23"),
        (3.0, "count", "visits", "visits: 3"),
        (3.0, "count", "{value} {odd} views", "3 {odd} views"),
    ],
)
def test_values_are_told_in_their_unit(value: float, unit: str, phrase: str, text: str) -> None:
    assert reason_text(value, entry("f", phrase, unit)) == text


def test_missing_values_say_what_is_missing() -> None:
    nan = float("nan")
    recency = entry("recency_days_add_to_cart", "{value} days since the last add to cart", "days")
    assert reason_text(nan, recency) == "no add to cart so far"
    assert reason_text(nan, entry("recency_days_view", "last view {value} days ago", "days")) == "no view so far"
    assert reason_text(nan, entry("income", "income {value}", "money", source="customers")) == "income not given"
    assert reason_text(nan, entry("age_years", "{value} years old", "years", source="customers")) == "age not given"
    assert reason_text(nan, CATALOGUE[1]) == "region not given"
    gaps = entry("gap_days_mean", "{value} days between purchases", "days", description="mean days between purchases")
    assert reason_text(nan, gaps) == "mean days between purchases: not known yet"
    assert reason_text(nan, entry("f", "{value}", phrase_missing="never insured")) == "never insured"


def test_flags_and_categories_are_told_by_name() -> None:
    flag = entry("income_missing", "income not given", "value", kind="boolean")
    assert [reason_text(value, flag) for value in (1.0, 0.0)] == ["income not given", "income not given: no"]
    owner = entry("car", "owns a car: {value}", "value", kind="boolean")
    assert [reason_text(value, owner) for value in (1.0, 0.0)] == ["owns a car: yes", "owns a car: no"]
    missing = entry("income_missing", "income not given: {value}", "value", kind="boolean")
    assert [reason_text(value, missing) for value in (1.0, 0.0)] == ["income not given", "income given"]
    assert reason_text(0.0, CATALOGUE[1]) == "region: north"
    assert reason_text(2.0, CATALOGUE[1]) == "region: a value not seen before"


def test_the_scorecard_gives_its_strongest_indicators_first() -> None:
    row = pd.Series({"Region": 10.0, "Debt": -25.0, "Quote recency": 40.0})
    assert [line["indicator"] for line in scorecard_reasons(row)] == ["Quote recency", "Debt", "Region"]
    assert scorecard_reasons(row, count=1) == [{"indicator": "Quote recency", "points": 40.0}]
    assert sum(line["points"] for line in scorecard_reasons(row)) == row.sum()


def test_features_that_move_together_are_one_reason_with_their_points_together() -> None:
    views = [
        entry(f"events_view_{days}d", f"{{value}} views in the last {days} days", family="events_view_7d")
        for days in (7, 30, 90)
    ]
    catalogue = [views[0], CATALOGUE[2], *views[1:], {**CATALOGUE[3], "family": "events_view_7d"}]
    X = pd.DataFrame([[1.0, 50.0, 4.0, 9.0, 0.0]] * 2, columns=[one["name"] for one in catalogue])
    # The second row's views speak against, though the strongest single one speaks for.
    points = np.array([[2.0, 4.0, 3.0, -1.0, 10.0], [5.0, 0.5, -4.0, -3.0, 10.0]])
    reasons = top_reasons(points, X, catalogue, count=2)
    assert reasons.loc[0].tolist() == ["4 views in the last 30 days", "income 50", 4.0, 4.0, 10.0]
    assert reasons.loc[1].tolist() == ["4 views in the last 30 days", "income 50", -2.0, 0.5, 10.0]


@pytest.mark.parametrize(
    ("value", "more", "told"),
    [
        (4, {"typical": 0.0}, "4 views in the last 30 days (usually 0)"),
        (0, {"typical": 0.0}, "0 views in the last 30 days (as usual)"),
        (4, {"typical": 2.0, "missing_share": 0.6}, "4 views in the last 30 days (usually none)"),
        (4, {}, "4 views in the last 30 days"),
    ],
)
def test_what_is_usual_stands_behind_a_reason(value: float, more: dict[str, Any], told: str) -> None:
    catalogue = [entry("events_view_30d", "{value} views in the last 30 days", **more)]
    reasons = top_reasons(np.array([[1.0]]), pd.DataFrame({"events_view_30d": [value]}), catalogue, count=1)
    assert reasons["reason_1"].tolist() == [told]


def test_what_is_usual_of_categories_flags_and_attributes_that_few_give() -> None:
    region = {**CATALOGUE[1], "typical": "north"}
    assert [usual_text(value, region) for value in (0.0, 1.0, np.nan)] == [
        " (as usual)",
        " (usually north)",
        " (usually north)",
    ]
    flag = entry("is_student", "student: {value}", "value", kind="boolean", typical=0.0)
    assert [usual_text(value, flag) for value in (0.0, 1.0)] == [" (as usual)", " (usually no)"]
    assert usual_text(3.0, {**CATALOGUE[2], "typical": 5.0, "missing_share": 0.9}) == " (usually not given)"


def test_less_than_half_a_day_is_less_than_a_day() -> None:
    quote = entry("recency_days_quote", "last quote {value} days ago", "days")
    told = [reason_text(days, quote) for days in (0.0, 0.4, 0.6, 2.0)]
    assert told == ["last quote less than a day ago"] * 2 + ["last quote 1 day ago", "last quote 2 days ago"]
