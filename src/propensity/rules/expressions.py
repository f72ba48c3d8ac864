"""Checked expressions: a marketer's criteria, parsed and checked, never executed as code.

``age >= 18 AND region IN ('north', 'south')`` is read into a small tree (`propensity.rules.parsing`),
checked against the columns that exist, and built once for tables (Ibis) and once for frames (pandas).
Both follow SQL: a comparison with a missing value is unknown, and only what is true counts. Dates are
written as ISO text; those without a time zone are meant in UTC.
"""

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any

import ibis.expr.types as ir
import numpy as np
import pandas as pd

from propensity.errors import ConfigError
from propensity.rules.for_frames import frame_kinds, on_frame
from propensity.rules.for_tables import on_table, table_kinds
from propensity.rules.kinds import Fit, Kind
from propensity.rules.nodes import Arithmetic, Column, Literal, Negative, Node, nodes
from propensity.rules.parsing import did_you_mean, parse

__all__ = ["Expression", "did_you_mean", "parse_expression"]


@dataclass(frozen=True)
class Expression:
    """A checked expression over columns.

    Attributes
    ----------
    text : str
        The expression as written.
    where : str
        Its place in the user's file, for messages.
    columns : frozenset of str
        The columns that it reads.
    """

    text: str
    where: str
    columns: frozenset[str]
    root: Node = field(repr=False)

    @property
    def is_condition(self) -> bool:
        """Whether it can be true or false: a calculation, a number or a text cannot."""
        if isinstance(self.root, Literal):
            return isinstance(self.root.value, bool)
        return not isinstance(self.root, Arithmetic | Negative)

    def to_ibis(self, table: ir.Table) -> ir.Value:
        """The expression's value as an Ibis expression over `table`."""
        return on_table(self._fit(table_kinds(table, self.columns, where=self.where)).value(self.root)[0], table)

    def condition(self, table: ir.Table) -> ir.BooleanValue:
        """The expression as a condition over `table` (a bare column of 0 and 1 counts), to filter by."""
        return on_table(self._fit(table_kinds(table, self.columns, where=self.where)).condition(self.root), table)

    def evaluate(self, frame: pd.DataFrame) -> np.ndarray[Any, Any]:
        """The expression's value in each row of `frame`.

        Returns
        -------
        ndarray of shape (n,)
            Conditions: objects True, False or None (unknown). Numbers: float64, NaN where unknown.
            Texts: objects, None where unknown. Dates: datetime64 in UTC, NaT where unknown.

        Examples
        --------
        >>> adults = parse_expression("age >= 18", columns=["age"], where="target.where")
        >>> adults.evaluate(pd.DataFrame({"age": [17.0, 18.0, None]}))
        array([False, True, None], dtype=object)
        """
        node, kind = self._fit(frame_kinds(frame, self.columns, where=self.where)).value(self.root)
        values, known = on_frame(node, frame)
        if kind == "number":
            return np.where(known, values.astype(np.float64), np.nan)
        if kind in ("date", "zoned date"):
            return np.where(known, values, np.datetime64("NaT"))
        answers = values.astype(object)
        answers[~known] = None
        return answers

    def mask(self, frame: pd.DataFrame) -> np.ndarray[Any, np.dtype[np.bool_]]:
        """Where the expression is true, shape (n,); unknown counts as not true.

        Examples
        --------
        >>> adults = parse_expression("age >= 18", columns=["age"], where="target.where")
        >>> adults.mask(pd.DataFrame({"age": [17.0, 18.0, None]}))
        array([False,  True, False])
        """
        node = self._fit(frame_kinds(frame, self.columns, where=self.where)).condition(self.root)
        values, known = on_frame(node, frame)
        return np.asarray(values & known, dtype=np.bool_)

    def _fit(self, kinds: dict[str, Kind]) -> Fit:
        _check_columns(self.columns, kinds, where=self.where, text=self.text)
        return Fit(kinds=kinds, where=self.where, text=self.text)


def parse_expression(text: str, *, columns: Collection[str] | None, where: str) -> Expression:
    """Read and check one expression.

    Parameters
    ----------
    text : str
        Column names (in double quotes where they hold spaces or dots), literals, AND, OR, NOT,
        comparisons, IN, BETWEEN, IS NULL, LIKE, ILIKE, MATCHES and the four calculations.
    columns : collection of str or None
        The columns that may be used; None leaves that check to the table it is applied to.
    where : str
        Its place in the user's file, such as ``home.yaml: target.where``, for messages.

    Raises
    ------
    ConfigError
        Names the place, what was found and what is allowed.

    Examples
    --------
    >>> sorted(parse_expression("age >= 18 AND region IN ('north', 'south')", columns=None, where="target").columns)
    ['age', 'region']
    >>> parse_expression("regoin = 'north'", columns=["age", "region"], where="target.where")
    Traceback (most recent call last):
    propensity.errors.ConfigError: target.where: no column 'regoin' for "regoin = 'north'". Did you mean 'region'?
    """
    root = parse(text, where=where)
    used = frozenset(node.name for node in nodes(root) if isinstance(node, Column))
    if columns is not None:
        _check_columns(used, columns, where=where, text=text)
    return Expression(text=text, where=where, columns=used, root=root)


def _check_columns(used: Collection[str], known: Collection[str], *, where: str, text: str) -> None:
    for name in sorted(used):
        if name not in known:
            hint = did_you_mean(name, known)
            if f'"{name}"' in text:
                hint += f" (In double quotes it is a column; text is in single quotes: '{name}'.)"
            raise ConfigError(f"{where}: no column {name!r} for {text!r}. {hint}")
