"""The grammar of checked expressions: text in, a small tree of known nodes out, everything else refused.

The text is parsed by sqlglot and copied node by node into those of `propensity.rules.nodes`. What has no
class there cannot get through: no function, no query, no cast, no second statement. Nothing is executed.
"""

import difflib
import re
from collections.abc import Collection
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError
from sqlglot.tokens import TokenType

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
)

ALLOWED = (
    "Allowed are column names, numbers, 'text', TRUE, FALSE, AND, OR, NOT, =, <>, <, <=, >, >=, IN (...), BETWEEN, "
    "IS NULL, LIKE, ILIKE, MATCHES (or ~), +, -, *, / and parentheses."
)
_QUOTING = 'Text is written in single quotes, names with spaces or dots in double quotes ("emp.var.rate").'
_LONGEST = 10_000
_DEEPEST = 60


_COMPARISONS = {exp.EQ: "=", exp.NEQ: "<>", exp.LT: "<", exp.LTE: "<=", exp.GT: ">", exp.GTE: ">="}
_CALCULATIONS = {exp.Add: "+", exp.Sub: "-", exp.Mul: "*", exp.Div: "/"}
_NAMES = {
    exp.Subquery: "a query",
    exp.Select: "a query",
    exp.Cast: "a cast (write dates as text: '2025-07-01')",
    exp.Case: "CASE",
    exp.Star: "*",
    exp.Escape: "ESCAPE",
    exp.Pow: "a power",
    exp.Mod: "%",
    exp.IntDiv: "//",
    exp.DPipe: "||",
}
_BEFORE_PARENTHESIS = {
    *(TokenType.L_PAREN, TokenType.AND, TokenType.OR, TokenType.NOT, TokenType.IN, TokenType.BETWEEN),
    *(TokenType.EQ, TokenType.NEQ, TokenType.LT, TokenType.LTE, TokenType.GT, TokenType.GTE),
    *(TokenType.PLUS, TokenType.DASH, TokenType.STAR, TokenType.SLASH),
}


def did_you_mean(name: str, known: Collection[str]) -> str:
    """A hint with the names closest to `name`, or with the first known ones.

    Examples
    --------
    >>> did_you_mean("regoin", ["age", "region"])
    "Did you mean 'region'?"
    """
    folded = {candidate.casefold(): candidate for candidate in known}
    near = [folded[match] for match in difflib.get_close_matches(name.casefold(), list(folded), n=3, cutoff=0.6)]
    if near:
        return f"Did you mean {' or '.join(repr(candidate) for candidate in near)}?"
    shown = sorted(known)[:12]
    return f"Known are: {', '.join(shown)}{', ...' if len(known) > len(shown) else ''}."


def parse(text: str, *, where: str) -> Node:
    """Read one expression into a tree.

    Parameters
    ----------
    text : str
        The expression, in the words of SQL.
    where : str
        Its place in the user's file, for messages.

    Raises
    ------
    ConfigError
        When the text is not an expression or holds anything that is not allowed.
    """
    if not text.strip():
        raise ConfigError(f"{where}: the expression is empty. Write a condition such as age >= 18, or leave it out.")
    if len(text) > _LONGEST:
        raise ConfigError(f"{where}: the expression has {len(text):,} characters; at most {_LONGEST:,} are allowed.")
    try:
        return _Reader(text, where).read()
    except RecursionError:
        raise ConfigError(f"{where}: the expression is nested too deeply. Use fewer parentheses.") from None


class _Reader:
    """Copies sqlglot's tree into ours; a method's refusal is the whitelist."""

    def __init__(self, text: str, where: str) -> None:
        self.text = text
        self.where = where

    def refuse(self, found: str, hint: str = ALLOWED) -> ConfigError:
        return ConfigError(f"{self.where}: {found} is not allowed in {self.text!r}. {hint}")

    def read(self) -> Node:
        dialect = sqlglot.Dialect.get_or_raise("duckdb")
        try:
            tokens = self.checked(dialect.tokenize(self.text))
            trees = dialect.parser().parse_into(exp.Condition, tokens, self.text)
        except SqlglotError as error:
            raise ConfigError(f"{self.where}: {self.text!r} cannot be read{_column_of(error)}. {_QUOTING}") from None
        if len(trees) != 1 or trees[0] is None:
            raise self.refuse("more than one expression")
        return self.node(trees[0], depth=0)

    def checked(self, tokens: list[Any]) -> list[Any]:
        """Refuse what the tree no longer shows (comments, semicolons, calls), and spell MATCHES as sqlglot does."""
        for position, token in enumerate(tokens):
            before = tokens[position - 1] if position else None
            if token.comments:
                raise self.refuse("a comment")
            if token.token_type == TokenType.SEMICOLON:
                raise self.refuse("a semicolon")
            if token.token_type == TokenType.L_PAREN and before and before.token_type not in _BEFORE_PARENTHESIS:
                raise self.refuse(f"the function call {before.text}(...)")
            if token.token_type == TokenType.STRING and before and before.text.upper() in ("MATCH", "MATCHES"):
                before.token_type = TokenType.RLIKE
        return tokens

    def node(self, tree: Any, *, depth: int) -> Node:
        if depth > _DEEPEST:
            raise RecursionError
        node = self.positive(tree, depth=depth + 1)
        # sqlglot writes NOT LIKE as a mark on LIKE, other negations as a node of their own.
        return Not(node) if tree.args.get("negate") else node

    def positive(self, tree: Any, *, depth: int) -> Node:
        kind = type(tree)
        if kind in (exp.Literal, exp.Boolean, exp.Null):
            return self.literal(tree)
        if kind is exp.Column:
            return self.column(tree)
        if kind in (exp.And, exp.Or):
            parts = tuple(self.node(part, depth=depth) for part in _joined(tree, kind))
            return AllOf(parts) if kind is exp.And else AnyOf(parts)
        if kind in (exp.Paren, exp.Not, exp.Neg):
            self.only(tree, "this")
            return self.single(kind, self.node(tree.this, depth=depth))
        if kind in _COMPARISONS or kind in _CALCULATIONS:
            self.only(tree, "this", "expression", "typed", "safe")
            left, right = self.node(tree.this, depth=depth), self.node(tree.expression, depth=depth)
            if kind in _COMPARISONS:
                return Compare(_COMPARISONS[kind], left, right)
            return Arithmetic(_CALCULATIONS[kind], left, right)
        return self.test(tree, kind, depth=depth)

    def single(self, kind: type, operand: Node) -> Node:
        if kind is exp.Paren:
            return operand
        if kind is exp.Not:
            return Not(operand)
        if isinstance(operand, Literal) and isinstance(operand.value, int | float):
            return Literal(-operand.value)
        return Negative(operand)

    def test(self, tree: Any, kind: type, *, depth: int) -> Node:
        """IN, BETWEEN, IS NULL, LIKE and MATCHES."""
        if kind is exp.In:
            self.only(tree, "this", "expressions")
            values = tuple(self.node(value, depth=depth) for value in tree.expressions)
            if not values or not all(isinstance(value, Literal) for value in values):
                raise self.refuse("IN without a list of literals", "Write it as region IN ('north', 'south').")
            return OneOf(self.node(tree.this, depth=depth), tuple(v for v in values if isinstance(v, Literal)))
        if kind is exp.Between:
            self.only(tree, "this", "low", "high")
            operand = self.node(tree.this, depth=depth)
            low, high = (self.node(tree.args[end], depth=depth) for end in ("low", "high"))
            return AllOf((Compare(">=", operand, low), Compare("<=", operand, high)))
        if kind is exp.Is and isinstance(tree.expression, exp.Null):
            self.only(tree, "this", "expression")
            return IsMissing(self.node(tree.this, depth=depth))
        if kind in (exp.Like, exp.ILike, exp.RegexpLike):
            self.only(tree, "this", "expression")
            operand, pattern = self.node(tree.this, depth=depth), self.pattern(tree)
            return Matches(operand, pattern) if kind is exp.RegexpLike else Like(operand, pattern, kind is exp.ILike)
        raise self.refuse(_NAMES.get(kind, f"{tree.sql(dialect='duckdb')!r}"))

    def literal(self, tree: Any) -> Literal:
        if isinstance(tree, exp.Null):
            raise self.refuse("NULL as a value", "A comparison with NULL is never true: write IS NULL or IS NOT NULL.")
        if isinstance(tree, exp.Boolean):
            return Literal(bool(tree.this))
        if tree.is_string:
            return Literal(str(tree.this))
        try:
            number = float(tree.this)
        except ValueError:
            raise self.refuse(f"{tree.this!r}") from None
        exact = re.fullmatch(r"\d{1,18}", tree.this)
        return Literal(int(tree.this) if exact else number)

    def column(self, tree: Any) -> Column:
        if not isinstance(tree.this, exp.Identifier):
            raise self.refuse(f"{tree.sql(dialect='duckdb')!r}")
        if tree.args.get("table"):
            dotted = ".".join(part.name for part in tree.parts)
            raise self.refuse(f"{dotted!r} (a column of another table)", f'A name with dots is quoted: "{dotted}".')
        self.only(tree, "this")
        return Column(str(tree.this.this))

    def pattern(self, tree: Any) -> str:
        pattern = tree.expression
        if not (isinstance(pattern, exp.Literal) and pattern.is_string):
            raise self.refuse("a pattern that is not text in single quotes", "Write it as name LIKE 'A%'.")
        text = str(pattern.this)
        if not isinstance(tree, exp.RegexpLike):
            # Engines differ in what a backslash means in LIKE.
            if "\\" in text:
                raise self.refuse("a backslash in LIKE", "Use MATCHES with a regular expression.")
            return text
        try:
            pc.match_substring_regex(pa.array([""]), text)
        except pa.ArrowInvalid as error:
            raise self.refuse(f"the pattern {text!r}", f"{str(error).splitlines()[0]}.") from None
        return text

    def only(self, tree: Any, *names: str) -> None:
        """Refuse a node that carries more than `names`, such as IN (SELECT ...)."""
        extra = [name for name, value in tree.args.items() if value and name not in (*names, "negate")]
        if extra:
            raise self.refuse(f"{tree.sql(dialect='duckdb')!r}")


def _joined(tree: Any, kind: Any) -> list[Any]:
    """The parts of a chain of ANDs (or ORs) in their order: sqlglot nests them one in another."""
    parts: list[Any] = []
    while isinstance(tree, kind):
        parts.append(tree.expression)
        tree = tree.this
    return [tree, *reversed(parts)]


def _column_of(error: SqlglotError) -> str:
    details = getattr(error, "errors", None)
    found = details[0].get("highlight") if details else None
    return f" at {found!r} (character {details[0].get('col')})" if details and found else ""
