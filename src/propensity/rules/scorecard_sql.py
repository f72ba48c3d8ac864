"""A scorecard as SQL that gives the same points: for the warehouse in which the features lie.

The features are those of the matrix that ``propensity features STUDY --out`` writes: numbers as 32-bit floats,
categories as texts, NULL where missing.
"""

from typing import Literal

from sqlglot import exp

from propensity.rules.scorecard import Indicator, Scorecard, lines

Dialect = Literal["duckdb", "spark"]
PARTS = 1_000_000


def scorecard_sql(scorecard: Scorecard, *, table: str, key: str, dialect: Dialect) -> str:
    """The points of each row of a table, by indicator and together.

    Parameters
    ----------
    scorecard : Scorecard
    table : str
        The table that holds the features.
    key : str
        Its column that names the customer.
    dialect : {"duckdb", "spark"}

    Returns
    -------
    str
        One ``SELECT``: the key, ``points``, and a column ``points_1``, ``points_2``, … for each indicator in turn.
        Points are summed as whole millionths, as in Python: equal to the last digit.

    Examples
    --------
    >>> card = Scorecard.model_validate({"scorecard": "demo", "indicators": [{"name": "Visits", "feature": "visits",
    ...     "buckets": [{"below": 3, "points": 0}, {"points": 5}]}]})
    >>> print(scorecard_sql(card, table="matrix", key="customer_id", dialect="duckdb"))
    SELECT
      "customer_id",
      CAST((
        CASE
          WHEN "visits" IS NULL
          THEN CAST(0 AS BIGINT)
          ...
    FROM "matrix"
    """
    cases = [_case(indicator, scorecard.share_of(indicator)) for indicator in scorecard.indicators]
    total = cases[0].copy()
    for case in cases[1:]:
        total = exp.Add(this=total, expression=case.copy())
    columns = [exp.column(key, quoted=True), exp.alias_(_in_points(total), "points", quoted=True)]
    columns += [exp.alias_(_in_points(case), f"points_{i}", quoted=True) for i, case in enumerate(cases, start=1)]
    query = exp.select(*columns).from_(exp.table_(table, quoted=True))
    text: str = query.sql(dialect=dialect, pretty=True)
    return text


def _in_points(parts: exp.Expression) -> exp.Expression:
    whole = exp.cast(exp.paren(parts), "double")
    return exp.Div(this=whole, expression=exp.cast(exp.Literal.number(PARTS), "double"))


def _case(indicator: Indicator, share: float) -> exp.Expression:
    """An indicator's weighted points in millionths, as a whole number."""
    column = exp.column(indicator.feature, quoted=True)
    *own, missing = lines(indicator, share)
    case = exp.Case().when(exp.Is(this=column.copy(), expression=exp.Null()), _whole(missing.parts))
    if indicator.categories:
        *own, otherwise = own
        for category, line in zip(indicator.categories, own, strict=True):
            case = case.when(exp.EQ(this=column.copy(), expression=exp.Literal.string(category)), _whole(line.parts))
        return case.else_(_whole(otherwise.parts))
    specials, buckets = own[: len(indicator.special)], own[len(indicator.special) :]
    for value, line in zip(indicator.special, specials, strict=True):
        case = case.when(exp.EQ(this=column.copy(), expression=_single(value)), _whole(line.parts))
    for bucket, line in zip(indicator.buckets[:-1], buckets[:-1], strict=True):
        case = case.when(exp.LT(this=column.copy(), expression=_single(bucket.below or 0.0)), _whole(line.parts))
    return case.else_(_whole(buckets[-1].parts))


def _single(value: float) -> exp.Expression:
    """A number as a 32-bit float, which features are: 0.7 is 0.7."""
    return exp.cast(exp.cast(exp.Literal.string(repr(float(value))), "double"), "float")


def _whole(parts: int) -> exp.Expression:
    literal = exp.Literal.number(abs(parts))
    return exp.cast(exp.Neg(this=literal) if parts < 0 else literal, "bigint")
