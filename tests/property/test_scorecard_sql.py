"""A scorecard as SQL gives the points that Python gives, and its file reads back as it was, whatever it holds."""

import tempfile
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from propensity.rules.evidence import scorecard_table
from propensity.rules.scorecard import Scorecard, indicator_points, lines, load_scorecard, total_points
from propensity.rules.scorecard_file import scorecard_yaml
from propensity.rules.scorecard_sql import scorecard_sql

POINTS = st.integers(-500, 500) | st.floats(-100, 100, allow_nan=False).map(lambda x: round(x, 3))
EDGES = st.sampled_from([-1.0, 0.0, 0.1, 0.7, 1.0, 2.5, 7.0, 1e6])
TEXTS = st.sampled_from(["north", "o'hara", 'a "b"', "--", "é; DROP TABLE matrix", " x", "\\"])
WEIGHTS = st.sampled_from([1.0, 0.5, 2.0, 0.333, 7.0])


def numeric(position: int) -> st.SearchStrategy[dict[str, Any]]:
    return st.builds(
        lambda edges, points, special, missing, weight: {
            "name": f"Number {position}",
            "feature": f'number "{position}"',
            "weight": weight,
            "kind": "current",
            "buckets": [
                *({"below": e, "points": p} for e, p in zip(edges, points, strict=False)),
                {"points": points[-1]},
            ],
            "special": special,
            "missing": missing,
        },
        st.sets(EDGES, max_size=4).map(sorted),
        st.lists(POINTS, min_size=5, max_size=5),
        st.dictionaries(EDGES, POINTS, max_size=2),
        POINTS,
        WEIGHTS,
    )


def categorical(position: int) -> st.SearchStrategy[dict[str, Any]]:
    return st.builds(
        lambda categories, otherwise, missing, weight: {
            "name": f"Text: {position}",
            "feature": f"text'{position}",
            "weight": weight,
            "kind": "potential",
            "categories": categories,
            "otherwise": otherwise,
            "missing": missing,
        },
        st.dictionaries(TEXTS, POINTS, min_size=1, max_size=4),
        POINTS,
        POINTS,
        WEIGHTS,
    )


CARDS = st.builds(
    lambda name, indicators, weights: Scorecard.model_validate(
        {"scorecard": name, "about": "what it is for: a test", "weights": weights, "indicators": indicators}
    ),
    TEXTS,
    st.tuples(numeric(0), categorical(1), numeric(2)).map(list),
    st.none() | st.sampled_from([{"current": 3, "potential": 2}, {"current": 1, "potential": 2}]),
)
VALUES = st.sampled_from([-1.0, 0.0, 0.1, 0.7, 0.99, 1.0, 2.5, 3.0, 7.0, 1e6, 2e6, None])
ROWS = st.lists(st.tuples(VALUES, TEXTS | st.none() | st.just("elsewhere"), VALUES), min_size=1, max_size=8)


def as_frame(rows: list[tuple[Any, ...]]) -> pd.DataFrame:
    first, second, third = zip(*rows, strict=True)
    return pd.DataFrame(
        {
            'number "0"': np.array([np.nan if v is None else v for v in first], np.float32),
            "text'1": pd.Series(list(second), dtype=object),
            'number "2"': np.array([np.nan if v is None else v for v in third], np.float32),
        }
    )


def as_matrix(frame: pd.DataFrame) -> pa.Table:
    """As ``features --out`` writes it: float32, text, null where missing."""
    columns = {name: pa.array(frame[name], from_pandas=True) for name in frame.columns}
    return pa.table({"customer_id": pa.array(range(len(frame))), **columns})


@settings(max_examples=150, deadline=None)
@given(CARDS, ROWS)
def test_duckdb_gives_the_same_points(card: Scorecard, rows: list[tuple[Any, ...]]) -> None:
    frame = as_frame(rows)
    query = scorecard_sql(card, table="matrix", key="customer_id", dialect="duckdb")
    with duckdb.connect() as connection:
        connection.register("matrix", as_matrix(frame))
        found = connection.sql(query).to_arrow_table().to_pandas().set_index("customer_id").sort_index()
    assert found["points"].tolist() == total_points(card, frame).tolist()
    by_indicator = indicator_points(card, frame)
    assert found.drop(columns="points").to_numpy().tolist() == by_indicator.to_numpy().tolist()


@settings(max_examples=100, deadline=None)
@given(CARDS, ROWS)
def test_a_scorecards_file_reads_back_as_it_was(card: Scorecard, rows: list[tuple[Any, ...]]) -> None:
    frame = as_frame(rows)
    with tempfile.TemporaryDirectory() as folder:
        for table in (None, scorecard_table(card, frame, np.arange(len(frame)) % 2)):
            file = Path(folder) / "card.yaml"
            file.write_text(scorecard_yaml(card, table), encoding="utf-8")
            assert load_scorecard(file) == card


@settings(max_examples=100, deadline=None)
@given(CARDS, ROWS)
def test_every_prospect_is_in_one_line_and_points_add_up(card: Scorecard, rows: list[tuple[Any, ...]]) -> None:
    frame = as_frame(rows)
    table = scorecard_table(card, frame, np.zeros(len(frame)))
    for indicator in card.indicators:
        own = table[table["indicator"] == indicator.name]
        assert own["prospects"].sum() == len(frame)
        assert len(own) == len(lines(indicator))
    np.testing.assert_allclose((table["points"] * table["prospects"]).sum(), total_points(card, frame).sum(), atol=1e-6)
