"""What may be compared with what: an expression's tree fitted to the kinds of a table's columns.

Both engines get the same fitted tree, so that a mistake is the same error in each, and a date written
as text is the same instant in each.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Literal as OneOfThese

import pandas as pd

from propensity.errors import ConfigError
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
    Unknown,
)

Kind = OneOfThese["number", "text", "boolean", "date", "zoned date", "unknown"]
_WORDS: dict[Kind, str] = {
    "number": "a number",
    "text": "text",
    "boolean": "true or false",
    "date": "a date",
    "zoned date": "a date with a time zone",
    "unknown": "empty",
}


@dataclass(frozen=True)
class Fit:
    """Fits trees to column kinds; `where` and `text` go into messages."""

    kinds: Mapping[str, Kind]
    where: str
    text: str

    def _error(self, problem: str) -> ConfigError:
        return ConfigError(f"{self.where}: {problem}, in {self.text!r}.")

    def value(self, node: Node) -> tuple[Node, Kind]:
        """The fitted node and the kind of its values."""
        match node:
            case Column(name):
                return node, self.kinds[name]
            case Literal(value):
                return node, _kind_of(value)
            case Compare():
                return self._compare(node), "boolean"
            case OneOf():
                return self._one_of(node), "boolean"
            case Arithmetic(operator, left, right):
                return Arithmetic(operator, self._number(left), self._number(right)), "number"
            case Negative(operand):
                return Negative(self._number(operand)), "number"
            case _:
                return self._logic(node), "boolean"

    def condition(self, node: Node) -> Node:
        """The fitted node as something that is true, false or unknown."""
        fitted, kind = self.value(node)
        if kind == "unknown":
            return Unknown()
        if kind == "number" and isinstance(node, Column):
            # Flags often arrive as 0 and 1.
            return Compare("<>", fitted, Literal(0))
        if kind != "boolean":
            raise self._error(f"{_show(node)} is {_WORDS[kind]} where a condition is expected")
        return fitted

    def _number(self, node: Node) -> Node:
        fitted, kind = self.value(node)
        if kind not in ("number", "unknown"):
            raise self._error(f"{_show(node)} is {_WORDS[kind]}; only numbers can be calculated with")
        return fitted

    def _logic(self, node: Node) -> Node:
        match node:
            case AllOf(parts):
                return AllOf(tuple(self.condition(part) for part in parts))
            case AnyOf(parts):
                return AnyOf(tuple(self.condition(part) for part in parts))
            case Not(operand):
                return Not(self.condition(operand))
            case IsMissing(operand):
                return IsMissing(self.value(operand)[0])
            case Like(operand) | Matches(operand):
                kind = self.value(operand)[1]
                if kind not in ("text", "unknown"):
                    raise self._error(f"{_show(operand)} is {_WORDS[kind]}; patterns are for text")
                return node if kind == "text" else Unknown()
            case _:
                return node

    def _compare(self, node: Compare) -> Node:
        (left, left_kind), (right, right_kind) = self.value(node.left), self.value(node.right)
        if "unknown" in (left_kind, right_kind):
            return Unknown()
        if left_kind != right_kind:
            left, right = self._adapt(left, right_kind), self._adapt(right, left_kind)
            left_kind, right_kind = self.value(left)[1], self.value(right)[1]
        if left_kind != right_kind:
            raise self._error(self._mismatch(node.left, left_kind, node.right, right_kind))
        if left_kind == "boolean" and node.operator not in ("=", "<>"):
            raise self._error(f"{_show(node.left)} is true or false: compare it with = or <>")
        return Compare(node.operator, left, right)

    def _one_of(self, node: OneOf) -> Node:
        operand, kind = self.value(node.operand)
        if kind == "unknown":
            return Unknown()
        values = []
        for literal in node.values:
            fitted = self._adapt(literal, kind)
            found = self.value(fitted)[1]
            if not isinstance(fitted, Literal) or found != kind:
                raise self._error(self._mismatch(node.operand, kind, literal, found))
            values.append(fitted)
        return OneOf(operand, tuple(values))

    def _adapt(self, node: Node, kind: Kind) -> Node:
        """A literal as the other side needs it: a date out of text, 1 out of TRUE, TRUE out of 1."""
        if not isinstance(node, Literal):
            return node
        value = node.value
        if kind in ("date", "zoned date") and isinstance(value, str):
            return Literal(self._instant(value, zoned=kind == "zoned date"))
        if kind == "number" and isinstance(value, bool):
            return Literal(int(value))
        if kind == "boolean" and not isinstance(value, str | pd.Timestamp) and value in (0, 1):
            return Literal(bool(value))
        return node

    def _instant(self, text: str, *, zoned: bool) -> pd.Timestamp:
        try:
            moment = pd.Timestamp(datetime.fromisoformat(text))
        except ValueError:
            raise self._error(f"{text!r} is not a date; write it as '2025-07-01' or '2025-07-01 12:30'") from None
        if moment.tzinfo is not None and not zoned:
            raise self._error(f"{text!r} names a time zone, and the column that it is compared with has none")
        if not zoned:
            return moment
        return moment.tz_localize("UTC") if moment.tzinfo is None else moment.tz_convert("UTC")

    def _mismatch(self, left: Node, left_kind: Kind, right: Node, right_kind: Kind) -> str:
        hint = ""
        for node, other in ((left, right_kind), (right, left_kind)):
            if isinstance(node, Literal) and isinstance(node.value, str) and other == "number":
                hint = "; a number is written without quotes"
            if isinstance(node, Literal) and isinstance(node.value, int | float) and other == "text":
                hint = "; text is written in single quotes"
        found = f"{_show(left)} is {_WORDS[left_kind]} and {_show(right)} is {_WORDS[right_kind]}"
        return f"{found}, which cannot be compared{hint}"


def _kind_of(value: object) -> Kind:
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, str):
        return "text"
    if isinstance(value, pd.Timestamp):
        return "date" if value.tzinfo is None else "zoned date"
    return "number"


def _show(node: Node) -> str:
    match node:
        case Column(name):
            return name
        case Literal(value):
            return repr(value)
        case Arithmetic() | Negative():
            return "a calculation"
        case _:
            return "a condition"
