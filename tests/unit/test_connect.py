"""Sources: folders of Parquet and CSV, DuckDB and SQLite files, tables made out of others, and values as written."""

import sqlite3
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import duckdb
import ibis
import pandas as pd
import pyarrow as pa
import pytest

from propensity.config import DataSpec
from propensity.data.connect import (
    DuckSource,
    local_to_utc,
    open_source,
    parse_text_time,
    table_digest,
    to_frame,
)
from propensity.data.values import read_key, read_number, read_text, read_text_number, scalar_text
from propensity.errors import DataError
from propensity.samples import express

ROLES: dict[str, Any] = {"customers": {"table": "customers", "key": "customer_id"}}
Read = Callable[..., pd.DataFrame]


def spec(source: str | Path, **more: Any) -> DataSpec:
    return DataSpec.model_validate({"source": str(source), **ROLES, **more})


def rows(source: Path | str, name: str, *, order: str | None = None, **more: Any) -> pd.DataFrame:
    """The rows of a table, as the source gives them."""
    with open_source(spec(source, **more), Path(source), express=express) as opened:
        table = opened.table(name, place="here")
        return to_frame(table.order_by(order) if order else table)


def csv(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


# --- where tables are found -------------------------------------------------------------------------------------


def test_a_folder_holds_parquet_files_folders_of_them_and_text(tmp_path: Path) -> None:
    pd.DataFrame({"a": [1, 2]}).to_parquet(tmp_path / "one.parquet")
    (tmp_path / "many").mkdir()
    for part in (1, 2):
        pd.DataFrame({"a": [part]}).to_parquet(tmp_path / "many" / f"part-{part}.parquet")
    csv(tmp_path, "text.csv", "a\n007\n")
    csv(tmp_path, "UPPER.CSV", "a\nx\n")
    csv(tmp_path, "tabs.tsv", "a\nx\n")
    csv(tmp_path, "._text.csv", "what a Mac leaves behind")
    csv(tmp_path, "readme.md", "no table")
    assert rows(tmp_path, "one")["a"].tolist() == [1, 2]
    assert rows(tmp_path, "many", order="a")["a"].tolist() == [1, 2]
    assert rows(tmp_path, "text")["a"].tolist() == ["007"]  # leading zeros survive: nothing is guessed
    with pytest.raises(DataError, match=r"there is no table 'txt' in .*\. Did you mean 'text'\?"):
        rows(tmp_path, "txt")
    with pytest.raises(DataError, match=r"here: there is no table 'zzz' in .* Known: UPPER, many, one, tabs, text"):
        rows(tmp_path, "zzz")


def test_a_name_that_two_files_bear_is_refused_only_where_it_is_asked_for(tmp_path: Path) -> None:
    csv(tmp_path, "a.csv", "x\n1\n")
    pd.DataFrame({"x": [2]}).to_parquet(tmp_path / "a.parquet")
    csv(tmp_path, "b.csv", "x\n3\n")
    assert rows(tmp_path, "b")["x"].tolist() == ["3"]
    with pytest.raises(DataError, match=r"the table 'a' could be a\.csv or a\.parquet"):
        rows(tmp_path, "a")
    assert rows(tmp_path, "chosen", tables={"chosen": {"file": "a.parquet"}})["x"].tolist() == [2]


def test_what_is_not_there_or_not_readable_is_said(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"data\.source: .*/nowhere does not exist\. Put the tables there, or change"):
        rows(tmp_path / "nowhere", "a")
    csv(tmp_path, "fake.parquet", "no parquet")
    with pytest.raises(DataError, match=r"fake\.parquet: not a readable Parquet file"):
        rows(tmp_path, "fake")
    with pytest.raises(DataError, match=r"fake\.parquet is not a DuckDB file"):
        rows(tmp_path / "fake.parquet", "a")
    with pytest.raises(DataError, match=r"data\.tables\.made\.file: .*none\.csv does not exist\. Put the file there"):
        rows(tmp_path, "made", tables={"made": {"file": "none.csv"}})


def test_a_duckdb_file_is_read_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "shop.duckdb"
    with duckdb.connect(path) as connection:
        connection.execute("CREATE TABLE customers AS SELECT '007' AS customer_id, 1.5 AS x")
        connection.execute("CREATE VIEW wise AS SELECT customer_id FROM customers")
    before = path.read_bytes()
    for source in (str(path), f"duckdb://{path}"):
        with open_source(spec(source), path, express=express) as opened:
            assert to_frame(opened.table("customers", place="here"))["customer_id"].tolist() == ["007"]
            assert to_frame(opened.table("wise", place="here"))["customer_id"].tolist() == ["007"]
    assert path.read_bytes() == before


def test_sqlite_is_reached_through_ibis(tmp_path: Path) -> None:
    path = tmp_path / "shop.db"
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE customers (customer_id TEXT, x REAL)")
    connection.executemany("INSERT INTO customers VALUES (?, ?)", [("007", 1.5), ("8", None)])
    connection.commit()
    connection.close()
    found = rows(f"sqlite://{path}", "customers", order="customer_id")
    assert found["customer_id"].tolist() == ["007", "8"]
    assert found["x"].fillna(-1).tolist() == [1.5, -1]


def test_no_message_holds_what_may_be_a_password(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot connect to nowhere://…") as error:
        rows("nowhere://me:secret@host/shop", "a")
    assert "secret" not in str(error.value)
    assert error.value.__cause__ is None
    path = tmp_path / "secret.db"
    sqlite3.connect(path).close()
    with pytest.raises(DataError, match=r"there is no table 'a' in sqlite://…\. Known: none") as error:
        rows(f"sqlite://{path}", "a")
    assert "secret" not in str(error.value)


def test_nothing_is_left_on_disk_when_a_source_is_closed_or_cannot_be_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(work))
    (tmp_path / "tables").mkdir()
    source = DuckSource(spec(tmp_path / "tables"), tmp_path / "tables", express=express)
    assert list(work.iterdir())
    source.close()
    with pytest.raises(DataError):
        DuckSource(spec(tmp_path / "none"), tmp_path / "none", express=express)
    assert not list(work.iterdir())


# --- delimited text ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
def test_any_separator_with_quotes_and_line_ends_inside(separator: str, tmp_path: Path) -> None:
    lines = ["key,note", '01,"a, b; c"', '2,"say ""so""\nand so"', "3,"]
    text = "\n".join(lines[:1] + [line.replace(",", separator, 1) for line in lines[1:]]).replace(
        "key,note", f"key{separator}note"
    )
    csv(tmp_path, "t.csv", text + "\n")
    found = rows(tmp_path, "t", csv={"separator": separator})
    assert found["key"].tolist() == ["01", "2", "3"]
    assert found["note"].tolist()[:2] == ["a, b; c", 'say "so"\nand so']
    assert found["note"].isna().tolist() == [False, False, True]


def test_names_come_from_the_study_where_the_file_has_none(tmp_path: Path) -> None:
    csv(tmp_path, "t.txt", "1\t2\n3\t4\n")
    table = {"file": "t.txt", "csv": {"separator": "\t", "header": False}, "columns": ["a", "b"]}
    found = rows(tmp_path, "t2", tables={"t2": table})
    assert found.to_dict("list") == {"a": ["1", "3"], "b": ["2", "4"]}
    for names in (["a"], ["a", "b", "c"]):
        with pytest.raises(DataError, match=r"t\.txt: "):
            rows(tmp_path, "t2", tables={"t2": {**table, "columns": names}})


def test_a_byte_order_mark_and_odd_names_do_no_harm(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_bytes("\ufeffKey No,Größe,select\n1,2,3\n".encode())
    assert rows(tmp_path, "t").to_dict("list") == {"Key No": ["1"], "Größe": ["2"], "select": ["3"]}


# --- tables out of tables ---------------------------------------------------------------------------------------


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    csv(tmp_path, "jan.csv", "line,product,price\n1,01,2.50\n2,02,3\n3,99,1\n")
    csv(tmp_path, "feb.csv", "price,line,product\n4,4,01\n")
    csv(tmp_path, "products.csv", "id,name,price\n01,tea,9\n02,cup,9\n")
    csv(tmp_path, "doubled.csv", "id,name\n01,tea\n01,Tea\n02,cup\n02,Cup\n")
    csv(tmp_path, "three.csv", "line,product,colour\n1,01,red\n")
    return tmp_path


def test_a_look_up_table_adds_its_columns_and_no_rows(shop: Path) -> None:
    table = {"union": "jan", "join": [{"table": "products", "on": {"product": "id"}}]}
    found = rows(shop, "sales", order="line", tables={"sales": table})
    # Line 3 has a product that is not looked up; the line's own price stays.
    assert found.fillna("–").to_dict("list") == {
        "line": ["1", "2", "3"],
        "product": ["01", "02", "99"],
        "price": ["2.50", "3", "1"],
        "id": ["01", "02", "–"],
        "name": ["tea", "cup", "–"],
    }
    inner = {**table, "join": [{"table": "products", "on": {"product": "id"}, "how": "inner"}]}
    assert rows(shop, "sales", order="line", tables={"sales": inner})["line"].tolist() == ["1", "2"]


def test_a_join_that_would_double_rows_is_refused(shop: Path) -> None:
    table = {"union": "jan", "join": [{"table": "doubled", "on": {"product": "id"}}]}
    with pytest.raises(DataError, match=r"data\.tables\.sales\.join: doubled has 2 values of id more than once"):
        rows(shop, "sales", tables={"sales": table})


def test_rows_without_a_key_are_joined_to_nothing_and_refuse_nothing(tmp_path: Path) -> None:
    pd.DataFrame({"k": ["a", None]}).to_parquet(tmp_path / "left.parquet")
    pd.DataFrame({"k": ["a", None, None], "v": [1.0, 2.0, 3.0]}).to_parquet(tmp_path / "right.parquet")
    found = rows(tmp_path, "t", tables={"t": {"union": "left", "join": [{"table": "right", "on": "k"}]}})
    assert found.sort_values("k", na_position="last")["v"].fillna(-1).tolist() == [1.0, -1.0]


def test_columns_keep_their_names_in_a_join_whatever_they_end_in(tmp_path: Path) -> None:
    pd.DataFrame({"k": [1], "foot_right": ["own"]}).to_parquet(tmp_path / "left.parquet")
    pd.DataFrame({"k": [1], "foot_right": ["other"], "hand_right": ["new"]}).to_parquet(tmp_path / "right.parquet")
    found = rows(tmp_path, "t", tables={"t": {"union": "left", "join": [{"table": "right", "on": "k"}]}})
    assert found.to_dict("list") == {"k": [1], "foot_right": ["own"], "hand_right": ["new"]}


def test_keys_are_joined_across_text_and_number(tmp_path: Path) -> None:
    csv(tmp_path, "left.csv", "k\n7\n8\n")
    pd.DataFrame({"k": [7, 9], "v": ["x", "y"]}).to_parquet(tmp_path / "right.parquet")
    found = rows(tmp_path, "t", order="k", tables={"t": {"union": "left", "join": [{"table": "right", "on": "k"}]}})
    assert found["v"].fillna("–").tolist() == ["x", "–"]


def test_unions_stack_by_name_and_refuse_different_columns(shop: Path) -> None:
    found = rows(shop, "all", order="line", tables={"all": {"union": ["jan", "feb"]}})
    assert found["price"].tolist() == ["2.50", "3", "1", "4"]
    assert found.columns.tolist() == ["line", "product", "price"]
    with pytest.raises(
        DataError, match=r"data\.tables\.all\.union: three and jan differ in columns \['colour', 'price'\]"
    ):
        rows(shop, "all", tables={"all": {"union": ["jan", "three"]}})


def test_unions_keep_equal_rows_and_widen_types(tmp_path: Path) -> None:
    pd.DataFrame({"a": [1, 1]}).to_parquet(tmp_path / "whole.parquet")
    pd.DataFrame({"a": [1.0, 2.5]}).to_parquet(tmp_path / "parts.parquet")
    pd.DataFrame({"a": ["x"]}).to_parquet(tmp_path / "words.parquet")
    found = rows(tmp_path, "all", order="a", tables={"all": {"union": ["whole", "parts"]}})
    assert found["a"].tolist() == [1.0, 1.0, 1.0, 2.5]
    with pytest.raises(DataError, match=r"all\.union: the column 'a' is int64 and string\. Give it one type"):
        rows(tmp_path, "all", tables={"all": {"union": ["whole", "words"]}})


def test_a_table_is_typed_then_computed_then_filtered_then_reduced_to_first_rows(tmp_path: Path) -> None:
    csv(
        tmp_path,
        "t.csv",
        "k,price,n,day\na,$2.50,2,2025-01-02\na,$9,1,2025-01-01\nb,$1,1,2025-01-01\n,$8,1,2025-01-01\n",
    )
    table = {
        "union": "t",
        "types": {"price": "text_number", "n": "number"},
        "compute": {"amount": "price * n"},
        "where": "amount > 1",
        "first": {"key": "k", "order": "day"},
        "drop": ["n"],
    }
    found = rows(tmp_path, "t2", tables={"t2": table})
    # b is filtered out, the row without a key has none; a's first day is 1 January.
    assert found.to_dict("list") == {"k": ["a"], "price": [9.0], "day": ["2025-01-01"], "amount": [9.0]}


def test_the_first_row_does_not_depend_on_the_order_of_rows(tmp_path: Path) -> None:
    table = {"union": "t", "first": {"key": "k", "order": "day"}}
    for name, lines in (("there", ["a,1,x", "a,1,b"]), ("back", ["a,1,b", "a,1,x"])):
        (tmp_path / name).mkdir()
        csv(tmp_path / name, "t.csv", "\n".join(["k,day,v", *lines]) + "\n")
        assert rows(tmp_path / name, "first", tables={"first": table})["v"].tolist() == ["b"]


def test_rows_are_numbered_as_they_stand(tmp_path: Path) -> None:
    csv(tmp_path, "t.csv", "a\n" + "\n".join(f"v{n}" for n in range(1, 3001)) + "\n")
    found = rows(tmp_path, "t2", order="n", tables={"t2": {"union": "t", "row_number": "n"}})
    assert (found["a"] == [f"v{n}" for n in found["n"]]).all()
    assert found["n"].tolist() == list(range(1, 3001))


def test_columns_that_tables_ask_for_must_be_there(shop: Path) -> None:
    for table, message in (
        (
            {"union": "jan", "join": [{"table": "products", "on": "product"}]},
            r"join\.on \(products\): there is no column",
        ),
        (
            {"union": "jan", "types": {"prices": "number"}},
            r"types: there is no column 'prices'\. Did you mean 'price'\?",
        ),
        ({"union": "jan", "first": {"key": "line", "order": "day"}}, r"first: there is no column 'day'"),
        ({"union": "jan", "drop": ["q"]}, r"drop: there is no column 'q'\. Found: line, product, price"),
    ):
        with pytest.raises(DataError, match=message):
            rows(shop, "sales", tables={"sales": table})


# --- values as they are written ---------------------------------------------------------------------------------


def values(reader: Callable[..., Any], given: Any, **options: Any) -> list[Any]:
    """What a reader makes of values, None where it is NULL (NaN would be a failure)."""
    connection = ibis.duckdb.connect()
    connection.raw_sql("SET TimeZone = 'UTC'")
    array = given if isinstance(given, pa.Array) else pa.array(given)
    table = ibis.memtable(pa.table({"i": range(len(array)), "x": array}))
    expression = table.select(i=table.i, y=reader(table.x, **options)).order_by("i")
    return list(connection.to_pyarrow(expression)["y"].to_pylist())


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("$90,000 ", 90_000.0),
        ("(1,200)", -1200.0),
        ("($1,200.50)", -1200.5),
        ("-$5", -5.0),
        ("EUR 12.50", 12.5),
        ("12.50 EUR", 12.5),
        ("€ 1 234", 1234.0),
        ("£7", 7.0),
        ("CHF 1'000", 1000.0),
        ("1e3", 1000.0),
        ("+3", 3.0),
        ("0", 0.0),
        (".5", 0.5),
        ("90k", None),  # thousands, or a slip of the keyboard: not guessed
        ("1-2", None),
        ("n/a", None),
        ("unknown", None),
        ("nan", None),
        ("inf", None),
        ("-", None),
        ("", None),
        (" ", None),
    ],
)
def test_numbers_out_of_text(text: str, number: float | None) -> None:
    assert values(read_text_number, [text]) == [number]


def test_text_that_is_no_number_and_nan_are_missing() -> None:
    assert values(read_number, [" 1.5 ", "007", "1e2", "x", "", "nan", "Infinity", None]) == [
        1.5, 7.0, 100.0, None, None, None, None, None,
    ]  # fmt: skip
    assert values(read_number, pa.array([1.5, float("nan"), float("inf"), None])) == [1.5, None, None, None]
    assert values(read_number, pa.array([1, None], pa.int16())) == [1.0, None]
    assert values(read_number, pa.array([True, False, None])) == [1.0, 0.0, None]
    assert values(read_text_number, pa.array([1e20, float("nan")])) == [1e20, None]


def test_whole_numbers_are_the_same_text_however_they_are_stored() -> None:
    # A missing value turns a column of integers into floats: the category "1" must stay what it was.
    assert values(read_text, pa.array([1, 2], pa.int64())) == ["1", "2"]
    assert values(read_text, pa.array([1.0, 2.5, float("nan"), None, -0.0])) == ["1", "2.5", None, None, "0"]
    assert values(read_text, pa.array([Decimal("118.00"), Decimal("2.25")])) == ["118", "2.25"]
    assert values(read_text, [" a ", "", "  ", "nan", None]) == ["a", None, None, "nan", None]
    assert values(read_text, [True, False]) == ["true", "false"]
    assert [scalar_text(value) for value in (1, 1.0, 2.5, "1", True, "yes")] == ["1", "1", "2.5", "1", "true", "yes"]


def test_keys_keep_their_zeros_and_take_the_type_of_the_other_tables_key() -> None:
    assert values(read_key, ["007", " 7 ", "", None]) == ["007", "7", None, None]
    assert values(read_key, [7, 8]) == [7, 8]
    text, whole = ibis.dtype("string"), ibis.dtype("int64")
    assert values(read_key, [7, 8], like=text) == ["7", "8"]
    assert values(read_key, pa.array([7.0, float("nan")]), like=whole) == [7, None]
    assert values(read_key, pa.array([7.0, float("nan")]), like=text) == ["7", None]
    assert values(read_key, ["7", "x", None], like=whole) == [7, None, None]
    assert values(read_key, pa.array([7], pa.int32()), like=whole) == [7]


# --- times ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "form", "read"),
    [
        ("2025-03-01", None, "2025-03-01"),
        ("2025-03-01 10:20:30.123456", None, "2025-03-01T10:20:30.123456"),
        ("2025-03-01T10:20:30", None, "2025-03-01T10:20:30"),
        ("3/1/2025", "%m/%d/%Y", "2025-03-01"),
        ("01.03.2025 07:05", "%d.%m.%Y %H:%M", "2025-03-01T07:05"),
        ("20250301", "%Y%m%d", "2025-03-01"),
        ("1 Mar 2025 7:05 PM", "%d %b %Y %I:%M %p", "2025-03-01T19:05"),
        ("2024-02-29", None, "2024-02-29"),
        ("2025-02-29", None, None),
        ("13/1/2025", "%m/%d/%Y", None),
        ("yesterday", None, None),
        ("2025-03-01", "%d.%m.%Y", None),
    ],
)
def test_times_out_of_text(text: str, form: str | None, read: str | None) -> None:
    found = values(parse_text_time, [text], form=form)[0]
    assert (found and pd.Timestamp(found)) == (read and pd.Timestamp(read))


def test_local_times_become_utc() -> None:
    berlin = ZoneInfo("Europe/Berlin")
    given = ["2025-01-15 00:30", "2025-07-15 00:30", "2025-03-30 03:00", "2025-10-26 01:59:59.999999"]
    stamps = pa.array([pd.Timestamp(text) for text in given], pa.timestamp("us"))
    assert [str(value) for value in values(local_to_utc, stamps, zone=berlin)] == [
        "2025-01-14 23:30:00", "2025-07-14 22:30:00", "2025-03-30 01:00:00", "2025-10-25 23:59:59.999999",
    ]  # fmt: skip


def test_a_digest_sees_every_row_and_no_order() -> None:
    def digest(*rows: tuple[object, ...]) -> int:
        connection = ibis.duckdb.connect()
        table = pa.table({"a": [row[0] for row in rows], "b": pa.array([row[1] for row in rows], pa.float64())})
        return table_digest(connection.create_table("t", ibis.memtable(table)))

    base = [("x", 1.0), ("y", None)]
    assert digest(*base) == digest(*reversed(base))
    different = [
        digest(*base),
        digest(*base, base[0]),
        digest(*base, base[0], base[0]),
        digest(("x", None), ("y", 1.0)),
    ]
    assert len(set(different)) == 4
