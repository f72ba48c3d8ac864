"""An expression means the same on a frame and on DuckDB, whatever is missing."""

import ibis
import pandas as pd
import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from propensity.rules.expressions import parse_expression

NUMBERS = ["small", "real", "single"]
TYPES = {
    "small": pa.int8(),
    "real": pa.float64(),
    "single": pa.float32(),
    "word": pa.string(),
    "flag": pa.bool_(),
    "day": pa.date32(),
    "moment": pa.timestamp("us"),
}
WORDS = ["", "a", "A", "ab", "a%", "a_b", "a\nb", "é", "É", "zz"]
DATES = ["2024-02-29", "2025-01-01"]
MOMENTS = [*DATES, "2024-02-29 23:59:59.999999"]
LITERALS = st.sampled_from(["0", "1", "-1", "0.1", "0.7", "100", "1e3"])


def rows() -> st.SearchStrategy[list[dict[str, object]]]:
    reals = st.sampled_from([0.0, 0.1, 0.7, -1.0, 1.0, 2.5, 100.0])
    values: dict[str, st.SearchStrategy[object]] = {
        "small": st.integers(-128, 127),
        "real": reals,
        "single": reals,
        "word": st.sampled_from(WORDS),
        "flag": st.booleans(),
        "day": st.sampled_from(DATES).map(lambda text: pd.Timestamp(text).date()),
        "moment": st.sampled_from(MOMENTS).map(lambda text: pd.Timestamp(text).to_pydatetime()),
    }
    row = st.fixed_dictionaries({name: st.none() | strategy for name, strategy in values.items()})
    return st.lists(row, min_size=1, max_size=12)


def conditions() -> st.SearchStrategy[str]:
    comparison = st.sampled_from(["=", "<>", "<", "<=", ">", ">="])
    number = st.sampled_from(NUMBERS) | LITERALS
    number |= st.tuples(number, st.sampled_from("+-*/"), number).map(lambda parts: f"({' '.join(parts)})")
    word = st.sampled_from(WORDS).map(lambda text: f"'{text}'")
    pattern = st.sampled_from(["%", "a%", "_", "a_b", "%B", "", "a%b"]).map(lambda text: f"'{text}'")
    regex = st.sampled_from(["a", "^a.b$", "(?i)é", "a|z", "^$"]).map(lambda text: f"'{text}'")
    base = st.one_of(
        st.tuples(number, comparison, number).map(" ".join),
        st.tuples(st.just("word"), comparison, word).map(" ".join),
        st.tuples(st.just("word"), st.sampled_from(["LIKE", "NOT LIKE", "ILIKE", "NOT ILIKE"]), pattern).map(" ".join),
        st.tuples(st.just("word"), st.sampled_from(["~", "NOT MATCHES"]), regex).map(" ".join),
        st.lists(word, min_size=1, max_size=3).map(lambda words: f"word NOT IN ({', '.join(words)})"),
        st.tuples(st.sampled_from(NUMBERS), st.lists(LITERALS, min_size=1, max_size=3)).map(
            lambda parts: f"{parts[0]} IN ({', '.join(parts[1])})"
        ),
        st.tuples(st.just("day"), comparison, st.sampled_from(MOMENTS).map("'{}'".format)).map(" ".join),
        st.tuples(st.just("moment"), comparison, st.sampled_from(MOMENTS).map("'{}'".format)).map(" ".join),
        st.tuples(st.just("moment"), comparison, st.just("day")).map(" ".join),
        st.sampled_from([*TYPES]).map(lambda name: f"{name} IS NULL"),
        st.sampled_from(["flag", "small", "flag = FALSE", "real BETWEEN 0.1 AND 0.7"]),
    )
    return st.recursive(
        base,
        lambda inner: st.one_of(
            st.tuples(inner, st.sampled_from(["AND", "OR"]), inner).map(lambda parts: f"({' '.join(parts)})"),
            inner.map(lambda text: f"NOT ({text})"),
        ),
        max_leaves=5,
    )


@settings(max_examples=150, deadline=None)
@given(records=rows(), text=conditions())
def test_tables_and_frames_agree(records: list[dict[str, object]], text: str) -> None:
    data = pa.table({name: pa.array([row[name] for row in records], dtype) for name, dtype in TYPES.items()})
    expression = parse_expression(text, columns=list(TYPES), where="test")
    table = ibis.memtable(data)
    on_table = table.select(value=expression.condition(table)).to_pyarrow()["value"].to_pylist()
    frame = data.to_pandas()
    assert [value is True for value in on_table] == expression.mask(frame).tolist()
    if text not in NUMBERS:
        # A column that holds nothing in this frame has no kind there, and its conditions are unknown.
        assert on_table == expression.evaluate(frame).tolist()
