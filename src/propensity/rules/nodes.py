"""The nodes that a checked expression is made of; what has no class here cannot be said."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Column:
    """A column by its exact name."""

    name: str


@dataclass(frozen=True, slots=True)
class Literal:
    """A number, a text, TRUE or FALSE; once fitted to a table also an instant (`pandas.Timestamp`)."""

    value: Any


@dataclass(frozen=True, slots=True)
class Compare:
    """A comparison: ``=``, ``<>``, ``<``, ``<=``, ``>`` or ``>=``."""

    operator: str
    left: "Node"
    right: "Node"


@dataclass(frozen=True, slots=True)
class Arithmetic:
    """A calculation: ``+``, ``-``, ``*`` or ``/``."""

    operator: str
    left: "Node"
    right: "Node"


@dataclass(frozen=True, slots=True)
class Negative:
    """A number with its sign turned."""

    operand: "Node"


@dataclass(frozen=True, slots=True)
class AllOf:
    """Conditions joined by AND."""

    parts: tuple["Node", ...]


@dataclass(frozen=True, slots=True)
class AnyOf:
    """Conditions joined by OR."""

    parts: tuple["Node", ...]


@dataclass(frozen=True, slots=True)
class Not:
    """A condition turned round."""

    operand: "Node"


@dataclass(frozen=True, slots=True)
class OneOf:
    """A value that must be one of some literals (IN)."""

    operand: "Node"
    values: tuple[Literal, ...]


@dataclass(frozen=True, slots=True)
class IsMissing:
    """A value that is NULL."""

    operand: "Node"


@dataclass(frozen=True, slots=True)
class Like:
    """A text against a pattern of ``%`` (any characters) and ``_`` (one character)."""

    operand: "Node"
    pattern: str
    ignore_case: bool


@dataclass(frozen=True, slots=True)
class Matches:
    """A text in which a regular expression (RE2) is found."""

    operand: "Node"
    pattern: str


@dataclass(frozen=True, slots=True)
class Unknown:
    """A condition that is NULL in every row, since it asks for a column that holds nothing."""


Node = (
    Column
    | Literal
    | Compare
    | Arithmetic
    | Negative
    | AllOf
    | AnyOf
    | Not
    | OneOf
    | IsMissing
    | Like
    | Matches
    | Unknown
)


def nodes(node: Node) -> Iterator[Node]:
    """Every node of a tree, the root first."""
    yield node
    for name in node.__slots__:
        value = getattr(node, name)
        for child in value if isinstance(value, tuple) else (value,):
            if isinstance(child, Node):
                yield from nodes(child)
