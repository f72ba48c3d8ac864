"""Reasons: the right features, in the right order, in readable words, and sums that hold."""

from typing import Any

import numpy as np
import pandas as pd
import pytest

from propensity.explain.reasons import customer_reasons, scorecard_reasons, top_reasons
from propensity.wording import Wording, WordingSpec, english


def entry(name: str, measure: str, words: dict[str, str], unit: str = "count", **more: Any) -> dict[str, Any]:
    head = {"name": name, "measure": measure, "words": words, "unit": unit}
    return {**head, "kind": "number", "source": "events", **more}


def views(days: int, **more: Any) -> dict[str, Any]:
    words = {"what": "kind", "of": "view", "label": "views"}
    return entry(f"events_view_{days}d", "count", words, window=f"{days}d", **more)


def attribute(name: str, unit: str = "value", **more: Any) -> dict[str, Any]:
    return entry(name, "attribute", {"label": name, "name": name}, unit, source="customers", **more)


CATALOGUE = [
    views(30),
    attribute("region", "category", kind="category", categories=["north", "south"]),
    attribute("income", "money"),
    attribute("gender", "category", kind="category", categories=["f"], sensitive=True),
]


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
    catalogue = [attribute(name, sensitive=i % 5 == 0) for i, name in enumerate(names)]
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
    assert not any(text.startswith(("f0:", "f5:", "f10:", "f15:")) for text in texts)
    # Each text stands beside its own feature's contribution.
    for row in range(0, n, 1_999):
        name, value = reasons["reason_2"].iloc[row].split(": ")
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


def test_the_scorecard_gives_its_strongest_indicators_first() -> None:
    row = pd.Series({"Region": 10.0, "Debt": -25.0, "Quote recency": 40.0})
    assert [line["indicator"] for line in scorecard_reasons(row)] == ["Quote recency", "Debt", "Region"]
    assert scorecard_reasons(row, count=1) == [{"indicator": "Quote recency", "points": 40.0}]
    assert sum(line["points"] for line in scorecard_reasons(row)) == row.sum()


def test_features_that_move_together_are_one_reason_with_their_points_together() -> None:
    of_days = [views(days, family="events_view_7d") for days in (7, 30, 90)]
    catalogue = [of_days[0], CATALOGUE[2], *of_days[1:], {**CATALOGUE[3], "family": "events_view_7d"}]
    X = pd.DataFrame([[1.0, 50.0, 4.0, 9.0, 0.0]] * 2, columns=[one["name"] for one in catalogue])
    # The second row's views speak against, though the strongest single one speaks for.
    points = np.array([[2.0, 4.0, 3.0, -1.0, 10.0], [5.0, 0.5, -4.0, -3.0, 10.0]])
    reasons = top_reasons(points, X, catalogue, count=2)
    assert reasons.loc[0].tolist() == ["4 views in the last 30 days", "income: 50", 4.0, 4.0, 10.0]
    assert reasons.loc[1].tolist() == ["4 views in the last 30 days", "income: 50", -2.0, 0.5, 10.0]


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
    catalogue = [views(30, **more)]
    reasons = top_reasons(np.array([[1.0]]), pd.DataFrame({"events_view_30d": [value]}), catalogue, count=1)
    assert reasons["reason_1"].tolist() == [told]


def test_a_customer_is_told_of_the_strongest_reason_that_has_a_sentence_and_is_there() -> None:
    sentences = {
        "events_view_*": "You looked at it {value} times.",
        "region": "You live in the {value}.",
        "gender": "!",
    }
    wording = Wording(english().base, WordingSpec.model_validate({"customer": sentences}))
    X = pd.DataFrame(
        {
            "events_view_30d": [7.0, 0.0, 2.0, np.nan],
            "region": [0.0, 1.0, np.nan, 0.0],
            "income": [9.0] * 4,
            "gender": [0.0] * 4,
        }
    )
    points = np.array([[3.0, 2.0, 9.0, 9.0], [5.0, 2.0, 9.0, 9.0], [-1.0, 5.0, 9.0, 9.0], [1.0, -2.0, 9.0, 9.0]])
    told = customer_reasons(points, X, CATALOGUE, wording)
    # Not told: income has no sentence, gender is sensitive; no views, no region given, and what speaks against.
    assert told.tolist() == ["You looked at it 7 times.", "You live in the south.", None, None]
    assert customer_reasons(points[:0], X.iloc[:0], CATALOGUE, wording).tolist() == []
    assert customer_reasons(points, X, CATALOGUE, english()).tolist() == [None] * 4
