"""Checked expressions: what is read, what is refused and how, and what unknown values do."""

import datetime as dt

import ibis
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from propensity.errors import ConfigError
from propensity.rules.expressions import Expression, parse_expression

COLUMNS = ["age", "region", "member", "joined", "seen", "share", "emp.var.rate", "empty"]
FRAME = pd.DataFrame(
    {
        "age": [17.0, 18.0, None],
        "region": ["north", None, "south_east"],
        "member": pd.array([True, None, False], dtype="boolean"),
        "joined": [dt.date(2024, 12, 31), dt.date(2025, 1, 1), None],
        "seen": pd.to_datetime(["2025-01-01 00:00", None, "2025-01-01 12:00"]),
        "share": np.array([0.1, 0.7, np.nan], dtype=np.float32),
        "emp.var.rate": [1.0, -1.0, 0.0],
        "empty": [None, None, None],
    }
)


def parse(text: str) -> Expression:
    return parse_expression(text, columns=COLUMNS, where="home.yaml: target.where")


def on_duckdb(expression: Expression) -> list[object]:
    table = ibis.memtable(pa.Table.from_pandas(FRAME.drop(columns="empty"), preserve_index=False))
    return list(table.select(value=expression.to_ibis(table)).to_pyarrow()["value"].to_pylist())


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("age >= 18", [False, True, None]),
        ("age >= 18 AND region = 'north'", [False, None, False]),
        ("age >= 18 OR region = 'north'", [True, True, None]),
        ("NOT (age < 18)", [False, True, None]),
        ("age BETWEEN 17 AND 17.5", [True, False, None]),
        ("age NOT BETWEEN 17 AND 17.5", [False, True, None]),
        ("age IS NULL", [False, False, True]),
        ("age IS NOT NULL", [True, True, False]),
        ("region IN ('north', 'west')", [True, None, False]),
        ("region NOT IN ('north')", [False, None, True]),
        ("region LIKE '%h'", [True, None, False]),
        ("region NOT LIKE 'n%'", [False, None, True]),
        ("region LIKE 'south_____'", [False, None, True]),
        ("region ILIKE 'NORTH'", [True, None, False]),
        ("region ~ '^(north|west)$'", [True, None, False]),
        ("region MATCHES 'north|west'", [True, None, False]),
        ("region NOT MATCHES 'north'", [False, None, True]),
        ("region !~ 'north'", [False, None, True]),
        ("region > 'p'", [False, None, True]),
        ("member", [True, None, False]),
        ("NOT member", [False, None, True]),
        ("member = TRUE OR age = 18", [True, True, None]),
        ("member = 1", [True, None, False]),
        ("member <> TRUE", [False, None, True]),
        ("joined < '2025-01-01'", [True, False, None]),
        ("joined IN ('2025-01-01')", [False, True, None]),
        ("seen <= '2025-01-01'", [True, None, False]),
        ("seen > '2025-01-01 11:59:59'", [False, None, True]),
        ("seen >= joined", [True, None, None]),
        ("share >= 0.7", [False, True, None]),
        ("share IN (0.1, 3)", [True, False, None]),
        ("share BETWEEN 0.1 AND 0.7", [True, True, None]),
        ('"emp.var.rate" <> 0', [True, True, False]),
        ("-age < -17", [False, True, None]),
        ("(age - 17) * 2 = 2", [False, True, None]),
        ("1 = 1", [True, True, True]),
        ("FALSE", [False, False, False]),
    ],
)
def test_conditions_are_the_same_on_frames_and_tables(text: str, expected: list[object]) -> None:
    assert parse(text).evaluate(FRAME).tolist() == expected
    assert on_duckdb(parse(text)) == expected
    assert parse(text).mask(FRAME).tolist() == [value is True for value in expected]


def test_calculations_give_float64_and_divide_by_zero_to_nothing() -> None:
    expression = parse('age / "emp.var.rate" + 1')
    np.testing.assert_array_equal(expression.evaluate(FRAME), [18.0, -17.0, np.nan])
    assert on_duckdb(parse('1 / "emp.var.rate"')) == [1.0, -1.0, None]
    assert not expression.is_condition


def test_small_integers_do_not_overflow() -> None:
    table = ibis.memtable(pa.table({"price": pa.array([100], pa.int8())}))
    value = parse_expression("price * price", columns=None, where="compute").to_ibis(table)
    assert table.select(v=value).to_pyarrow()["v"].to_pylist() == [10_000.0]


def test_values_of_a_bare_column_keep_their_kind() -> None:
    assert parse("region").evaluate(FRAME).tolist() == ["north", None, "south_east"]
    assert parse("seen").evaluate(FRAME).tolist()[1] is None
    np.testing.assert_array_equal(parse("age").evaluate(FRAME), [17.0, 18.0, np.nan])


@pytest.mark.parametrize("text", ["empty > 3", "empty", "empty LIKE 'x'", "empty IN ('a')", "NOT empty"])
def test_a_column_without_a_value_is_unknown(text: str) -> None:
    assert parse(text).evaluate(FRAME).tolist() == [None, None, None]
    assert not parse(text).mask(FRAME).any()


def test_a_flag_of_zeros_and_ones_is_a_condition() -> None:
    frame = pd.DataFrame({"flag": [1.0, 0.0, np.nan]})
    flag = parse_expression("flag", columns=["flag"], where="stages")
    assert flag.mask(frame).tolist() == [True, False, False]
    assert parse_expression("flag = TRUE", columns=None, where="stages").mask(frame).tolist() == [True, False, False]
    table = ibis.memtable(pa.table({"flag": [1.0, 0.0, None]}))
    assert table.select(v=flag.condition(table)).to_pyarrow()["v"].to_pylist() == [True, False, None]


def test_categories_are_text() -> None:
    frame = pd.DataFrame({"region": pd.Categorical(["north", None, "south"])})
    assert parse("region = 'north' OR region LIKE 's%'").evaluate(frame).tolist() == [True, None, True]


def test_dates_with_a_time_zone_are_compared_as_instants() -> None:
    instants = pd.to_datetime(["2025-01-01 00:00", "2025-01-01 02:00"]).tz_localize("Europe/Berlin")
    frame = pd.DataFrame({"seen": instants})
    late = parse("seen >= '2025-01-01'")
    assert late.mask(frame).tolist() == [False, True]
    assert parse("seen >= '2025-01-01T00:00+01:00'").mask(frame).tolist() == [True, True]
    table = ibis.memtable(pa.table({"seen": pa.array(list(instants), pa.timestamp("us", "UTC"))}))
    assert table.select(v=late.to_ibis(table)).to_pyarrow()["v"].to_pylist() == [False, True]
    naive = pd.DataFrame({"seen": instants, "joined": instants.tz_localize(None)})
    with pytest.raises(ConfigError, match="seen is a date with a time zone and joined is a date"):
        parse("seen = joined").mask(naive)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("upper(region) = 'N'", r"the function call upper\(\.\.\.\)"),
        ("regexp_matches(region, 'n')", r"the function call regexp_matches\(\.\.\.\)"),
        ("region (1)", r"the function call region\(\.\.\.\)"),
        ("EXISTS (age)", r"the function call EXISTS"),
        ("age; DROP TABLE customers", "a semicolon"),
        ("age > 1;", "a semicolon"),
        ("age > 1 -- and so on", "a comment"),
        ("age /* years */ > 1", "a comment"),
        ("(SELECT 1) = 1", "a query"),
        ("age IN (SELECT 1)", "SELECT 1"),
        ("SELECT 1", "cannot be read"),
        ("age::int = 1", "a cast"),
        ("joined < DATE '2025-01-01'", "a cast"),
        ("joined < current_date", "CURRENT_DATE"),
        ("customers.age > 1", r"'customers.age' \(a column of another table\)"),
        ("emp.var.rate > 1", 'A name with dots is quoted: "emp.var.rate"'),
        ("CASE WHEN age > 1 THEN TRUE END", "CASE"),
        ("age ^ 2 > 4", "a power"),
        ("age % 2 = 0", "%"),
        ("age // 2 = 0", "//"),
        ("region || 'x' = 'nx'", r"\|\|"),
        ("region LIKE 'a!_' ESCAPE '!'", "ESCAPE"),
        ("region LIKE '10\\%'", "a backslash in LIKE"),
        ("region LIKE region", "a pattern that is not text in single quotes"),
        ("region ~ '(?=n)'", "invalid perl operator"),
        ("age IS TRUE", "IS TRUE"),
        ("age = NULL", "write IS NULL"),
        ("age IN (1, NULL)", "write IS NULL"),
        ("age IN (age)", "IN without a list of literals"),
        ("*", "is not allowed"),
        ("?", "is not allowed"),
        ("age > 1, age > 2", "cannot be read"),
        ("age > ", "cannot be read"),
        ("age BETWEEN 1", "cannot be read"),
        ("age > 1 AS adult", "cannot be read"),
        ("  ", "the expression is empty"),
        ("'unfinished", "cannot be read"),
    ],
)
def test_anything_else_is_refused_by_name_and_place(text: str, found: str) -> None:
    with pytest.raises(ConfigError, match=f"^home.yaml: target.where: .*{found}"):
        parse(text)


@pytest.mark.parametrize("text", ["(" * 300 + "age" + ")" * 300 + " = 1", "+".join(["age"] * 900) + " > 1"])
def test_deep_nesting_is_an_error_and_not_a_crash(text: str) -> None:
    with pytest.raises(ConfigError, match="nested too deeply"):
        parse(text)


def test_endless_texts_are_refused_and_long_chains_are_not() -> None:
    with pytest.raises(ConfigError, match="at most 10,000"):
        parse(" OR ".join(["age = 1"] * 2_000))
    assert parse(" OR ".join(["age = 18"] * 800)).mask(FRAME).tolist() == [False, True, False]


def test_unknown_columns_come_with_the_nearest_known_one() -> None:
    with pytest.raises(ConfigError, match=r"no column 'regoin' for .* Did you mean 'region'\?"):
        parse("regoin = 'north'")
    with pytest.raises(ConfigError, match=r"no column 'Age' .* Did you mean 'age'\?"):
        parse("Age > 3")
    with pytest.raises(ConfigError, match="text is in single quotes: 'north'"):
        parse('region = "north"')
    with pytest.raises(ConfigError, match="no column 'wage'"):
        parse_expression("wage > 3", columns=None, where="w").mask(FRAME)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("age = '18'", "age is a number and '18' is text, .* a number is written without quotes"),
        ("region = 3", "region is text and 3 is a number, .* text is written in single quotes"),
        ("region IN (1)", "region is text and 1 is a number"),
        ("joined > '2025-13-01'", "'2025-13-01' is not a date"),
        ("joined > '2025-01-01T00:00+01:00'", "names a time zone"),
        ("joined > 20250101", "joined is a date and 20250101 is a number"),
        ("member > FALSE", "compare it with = or <>"),
        ("region + 1 = 2", "region is text; only numbers can be calculated with"),
        ("age LIKE '1%'", "age is a number; patterns are for text"),
        ("age > 1 AND region", "region is text where a condition is expected"),
        ("age + 1 AND member", "a calculation is a number where a condition is expected"),
        ("1 < age < 3", "a condition is true or false and 3 is a number"),
    ],
)
def test_kinds_that_do_not_fit_are_one_error_in_both_engines(text: str, problem: str) -> None:
    table = ibis.memtable(pa.Table.from_pandas(FRAME.drop(columns="empty"), preserve_index=False))
    for use in (lambda: parse(text).evaluate(FRAME), lambda: parse(text).to_ibis(table)):
        with pytest.raises(ConfigError, match=f"^home.yaml: target.where: .*{problem}"):
            use()


def test_columns_that_hold_lists_cannot_be_used() -> None:
    table = ibis.memtable(pa.table({"age": pa.array([[1]])}))
    with pytest.raises(ConfigError, match=r"target.where: the column 'age' is of type array"):
        parse("age = 1").to_ibis(table)
    with pytest.raises(ConfigError, match=r"target.where: the column 'age' holds mixed values"):
        parse("age = 1").mask(pd.DataFrame({"age": [[1], {}]}))


def test_expressions_compare_by_what_they_say() -> None:
    assert parse("age > 1") == parse("age > 1")
    assert parse("age > 1 OR age = 0").columns == {"age"}
    assert "Compare" not in repr(parse("age > 1"))
