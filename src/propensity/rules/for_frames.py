"""Fitted expressions on pandas frames, with SQL's three values: true, false and unknown.

Every node gives a pair of arrays of shape (n,): the values, and where they are known.
"""

import functools
from collections.abc import Collection
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from propensity.errors import ConfigError
from propensity.rules.kinds import Kind
from propensity.rules.nodes import (
    AllOf,
    AnyOf,
    Arithmetic,
    Column,
    Compare,
    IsMissing,
    Like,
    Literal,
    Matches,
    Negative,
    Node,
    Not,
    OneOf,
)

Array = np.ndarray[Any, Any]
Values = tuple[Array, Array]

_COMPARE: dict[str, Any] = {
    "=": np.equal,
    "<>": np.not_equal,
    "<": np.less,
    "<=": np.less_equal,
    ">": np.greater,
    ">=": np.greater_equal,
}
_INFERRED: dict[str, Kind] = {
    "string": "text",
    "boolean": "boolean",
    "integer": "number",
    "floating": "number",
    "mixed-integer-float": "number",
    "decimal": "number",
    "date": "date",
    "datetime": "date",
    "datetime64": "date",
    "empty": "unknown",
}


def frame_kinds(frame: pd.DataFrame, columns: Collection[str], *, where: str) -> dict[str, Kind]:
    """The kind of those of `columns` that `frame` has, and of no other (they would cost a look at each value)."""
    kinds: dict[str, Kind] = dict.fromkeys((str(name) for name in frame.columns), "unknown")
    for name in columns:
        if name in kinds:
            kinds[name] = _kind(frame[name], where=where)
    return kinds


def _kind(column: pd.Series, *, where: str = "") -> Kind:
    dtype = column.dtype
    if isinstance(dtype, pd.CategoricalDtype):
        return _kind(pd.Series(dtype.categories), where=where) if len(dtype.categories) else "unknown"
    if isinstance(dtype, pd.DatetimeTZDtype):
        return "zoned date"
    if not bool(column.notna().any()):
        return "unknown"
    if pd.api.types.is_bool_dtype(dtype):
        return "boolean"
    if pd.api.types.is_numeric_dtype(dtype):
        return "number"
    if pd.api.types.is_datetime64_dtype(dtype):
        return "date"
    found = pd.api.types.infer_dtype(column, skipna=True)
    if found not in _INFERRED:
        raise ConfigError(f"{where}: the column {column.name!r} holds {found} values; an expression cannot use it.")
    return _INFERRED[found]


def on_frame(node: Node, frame: pd.DataFrame) -> Values:
    """The values of the fitted `node` in each row, and where they are known: two arrays of shape (n,)."""
    match node:
        case Column(name):
            return _column(frame[name])
        case Literal(value):
            return np.full(len(frame), _plain(value)), np.full(len(frame), True)
        case Compare(symbol, left, right):
            (a, a_known), (b, b_known) = _side(left, frame), _side(right, frame)
            return np.broadcast_to(_COMPARE[symbol](a, b), len(frame)).astype(np.bool_), a_known & b_known
        case OneOf(operand, values):
            return _one_of(on_frame(operand, frame), [_plain(value.value) for value in values])
        case Arithmetic(symbol, left, right):
            return _calculated(symbol, on_frame(left, frame), on_frame(right, frame))
        case Negative(operand):
            number, known = on_frame(operand, frame)
            return -number.astype(np.float64), known
        case _:
            return _logic(node, frame)


def _logic(node: Node, frame: pd.DataFrame) -> Values:
    match node:
        case AllOf(parts):
            return functools.reduce(_and, (on_frame(part, frame) for part in parts))
        case AnyOf(parts):
            # a OR b is NOT (NOT a AND NOT b), in three values too.
            return _not(functools.reduce(_and, (_not(on_frame(part, frame)) for part in parts)))
        case Not(operand):
            return _not(on_frame(operand, frame))
        case IsMissing(operand):
            return ~on_frame(operand, frame)[1], np.full(len(frame), True)
        case Like(operand, pattern, ignore_case):
            return _like(on_frame(operand, frame), pattern, ignore_case=ignore_case)
        case Matches(operand, pattern):
            text, known = on_frame(operand, frame)
            return _found(pc.match_substring_regex(_arrow(text), f"(?s){pattern}")), known
        case _:
            return np.full(len(frame), False), np.full(len(frame), False)


def _column(column: pd.Series) -> Values:
    known = column.notna().to_numpy(dtype=np.bool_)
    kind = _kind(column)
    if kind == "unknown":
        return np.zeros(len(column)), known
    if isinstance(column.dtype, pd.CategoricalDtype):
        column = column.astype(object)
    if kind == "boolean":
        return column.fillna(value=False).to_numpy(dtype=np.bool_), known
    if kind == "number":
        return _numbers(column), known
    if kind == "text":
        text = column.to_numpy(dtype=object, copy=True)
        text[~known] = ""
        return text, known
    moments = pd.to_datetime(column)
    if moments.dt.tz is not None:
        moments = moments.dt.tz_convert("UTC").dt.tz_localize(None)
    return moments.to_numpy(), known


def _numbers(column: pd.Series) -> Array:
    if isinstance(column.dtype, np.dtype) and column.dtype != object:
        return column.to_numpy()
    if pd.api.types.is_integer_dtype(column.dtype):
        return column.fillna(0).to_numpy(dtype=np.int64)
    return pd.to_numeric(column.astype(object)).to_numpy(dtype=np.float64)


def _side(node: Node, frame: pd.DataFrame) -> tuple[Any, Array]:
    """Like `on_frame`, but a literal stays a scalar: beside float32 it is then the nearest float32."""
    if isinstance(node, Literal):
        return _plain(node.value), np.full(len(frame), True)
    return on_frame(node, frame)


def _plain(value: Any) -> Any:
    if not isinstance(value, pd.Timestamp):
        return value
    return (value if value.tzinfo is None else value.tz_convert("UTC").tz_localize(None)).to_datetime64()


def _one_of(operand: Values, options: list[Any]) -> Values:
    values, known = operand
    if values.dtype == object:
        return pd.Series(values, dtype=object).isin(options).to_numpy(), known
    return np.isin(values, np.array(options, dtype=values.dtype if values.dtype == np.float32 else None)), known


def _calculated(symbol: str, left: Values, right: Values) -> Values:
    (a, a_known), (b, b_known) = left, right
    a, b, known = a.astype(np.float64), b.astype(np.float64), a_known & b_known
    if symbol == "/":
        # Engines differ in what a division by zero gives: here it is unknown.
        zero = b == 0
        return a / np.where(zero, 1.0, b), known & ~zero
    return {"+": np.add, "-": np.subtract, "*": np.multiply}[symbol](a, b), known


def _and(left: Values, right: Values) -> Values:
    (a, a_known), (b, b_known) = left, right
    false = (a_known & ~a) | (b_known & ~b)
    return a & b & ~false, (a_known & b_known) | false


def _not(operand: Values) -> Values:
    value, known = operand
    return ~value, known


def _like(operand: Values, pattern: str, *, ignore_case: bool) -> Values:
    text, known = _arrow(operand[0]), operand[1]
    if ignore_case:
        text, pattern = pc.utf8_lower(text), pc.utf8_lower(pattern).as_py()
    return _found(pc.match_like(text, pattern)), known


def _arrow(text: Array) -> Any:
    return pa.array(text, type=pa.large_string())


def _found(matches: Any) -> Array:
    return np.asarray(matches.to_numpy(zero_copy_only=False), dtype=np.bool_)
