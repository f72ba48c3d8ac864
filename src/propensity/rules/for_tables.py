"""Fitted expressions as Ibis expressions: built node by node, never through SQL text."""

import functools
import operator
from collections.abc import Collection
from typing import Any

import ibis
import ibis.expr.datatypes as dt
import ibis.expr.types as ir

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

_COMPARE = {
    "=": operator.eq,
    "<>": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_CALCULATE = {"+": operator.add, "-": operator.sub, "*": operator.mul}


def table_kinds(table: ir.Table, columns: Collection[str], *, where: str) -> dict[str, Kind]:
    """The kind of every column of `table`; one of `columns` that has none is an error."""
    kinds: dict[str, Kind] = {}
    for name, dtype in table.schema().items():
        kind = _kind(dtype)
        if kind is not None:
            kinds[name] = kind
        elif name in columns:
            raise ConfigError(
                f"{where}: the column {name!r} is of type {dtype}; an expression cannot use it. Choose another."
            )
    return kinds


def _kind(dtype: dt.DataType) -> Kind | None:
    if dtype.is_boolean():
        return "boolean"
    if dtype.is_numeric():
        return "number"
    if dtype.is_string():
        return "text"
    if dtype.is_date():
        return "date"
    if dtype.is_timestamp():
        return "date" if dtype.timezone is None else "zoned date"
    return "unknown" if dtype.is_null() else None


def on_table(node: Node, table: ir.Table) -> Any:
    """The fitted `node` as an Ibis value over `table`."""
    match node:
        case Column(name):
            # A date is its midnight, in tables as in frames.
            return table[name].cast("timestamp") if table[name].type().is_date() else table[name]
        case Literal(value):
            return ibis.literal(value)
        case Compare(symbol, left, right):
            return _COMPARE[symbol](_beside(left, right, table), _beside(right, left, table))
        case OneOf(operand, values):
            return on_table(operand, table).isin([_beside(value, operand, table) for value in values])
        case Arithmetic(symbol, left, right):
            return _calculated(symbol, _number(left, table), _number(right, table))
        case Negative(operand):
            return -_number(operand, table)
        case _:
            return _logic(node, table)


def _logic(node: Node, table: ir.Table) -> Any:
    match node:
        case AllOf(parts):
            return functools.reduce(operator.and_, (on_table(part, table) for part in parts))
        case AnyOf(parts):
            return functools.reduce(operator.or_, (on_table(part, table) for part in parts))
        case Not(operand):
            return ~on_table(operand, table)
        case IsMissing(operand):
            return on_table(operand, table).isnull()
        case Like(operand, pattern, ignore_case):
            text = on_table(operand, table)
            return text.ilike(pattern) if ignore_case else text.like(pattern)
        case Matches(operand, pattern):
            return on_table(operand, table).re_search(f"(?s){pattern}")
        case _:
            return ibis.null("boolean")


def _beside(node: Node, other: Node, table: ir.Table) -> Any:
    """A value to compare with `other`: a number beside a float32 column is that column's nearest number.

    So 0.7 equals what the column holds for 0.7, here as in NumPy.
    """
    single = isinstance(other, Column) and table[other.name].type().is_float32()
    if single and isinstance(node, Literal):
        return ibis.literal(node.value, type="float32")
    return on_table(node, table)


def _number(node: Node, table: ir.Table) -> Any:
    """Calculations run in float64: whole numbers of a byte would overflow in some engines."""
    return ibis.literal(float(node.value)) if isinstance(node, Literal) else on_table(node, table).cast("float64")


def _calculated(symbol: str, left: Any, right: Any) -> Any:
    # Engines differ in what a division by zero gives: here it is unknown.
    return left / right.nullif(0.0) if symbol == "/" else _CALCULATE[symbol](left, right)
