"""Spark gives what DuckDB gives: values, tables, cohorts, labels and features, on one local session for all tests."""

import functools
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import ibis
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest

from propensity.config import ContactsSpec, DataSpec, Study, TableSpec, load_study
from propensity.data.connect import (
    Source,
    epoch_microseconds,
    local_to_utc,
    open_source,
    parse_text_time,
    table_digest,
    to_frame,
    utc_to_local,
)
from propensity.data.tables import Tables, attributes_as_of, open_tables
from propensity.data.values import read_key, read_number, read_text, read_text_number
from propensity.errors import DataError, EnvironmentFailedError
from propensity.features.matrix import build_frame
from propensity.features.plan import learn_plan
from propensity.labels import label_cohort
from propensity.rules.scorecard import Scorecard, total_points
from propensity.rules.scorecard_sql import scorecard_sql
from propensity.samples import criteria_plan, draw, express

pytest.importorskip("pyspark", reason="Spark is not installed: pip install propensity[spark]")
# Spark's Python side leaves the closing of its sockets to the garbage collector.
pytestmark = pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")

ROLES: dict[str, Any] = {"customers": {"table": "customers", "key": "customer_id"}}
# Spark is started for a minute: few partitions, small batches, and code that is compiled once and not thoroughly.
QUICK = (
    "spark.sql.shuffle.partitions=2&spark.sql.execution.arrow.maxRecordsPerBatch=10000"
    "&spark.driver.defaultJavaOptions=-XX:TieredStopAtLevel=1"
)


def spec(source: str | Path, **more: Any) -> DataSpec:
    return DataSpec.model_validate({"source": str(source), **ROLES, **more})


@pytest.fixture(scope="module")
def spark() -> Iterator[Source]:
    """The session: sources that are opened while it runs use it, and leave it running."""
    with open_source(spec(f"pyspark://local[2]?{QUICK}"), Path(), express=express) as source:
        yield source


def plain(frame: pd.DataFrame) -> pd.DataFrame:
    """Rows in one order, whatever order an engine gave them in."""
    return frame.sort_values(list(frame.columns)).reset_index(drop=True)


def on_both(look: Callable[[str], Any]) -> tuple[Any, Any]:
    return look("duckdb"), look("spark")


def rows(folder: Path, name: str, engine: str, **more: Any) -> pd.DataFrame:
    with open_source(spec(folder, engine=engine, **more), folder, express=express) as source:
        return to_frame(source.table(name, place="here"))


# --- values -----------------------------------------------------------------------------------------------------

NUMBERS = ["1e2", "1_000", "12d", "12f", " 1 ", "1.", ".5", "+3", "-7.5", "1e", "inf", "nan", "1,5", "--1", "", "1 2",
           "1__0", "_1", "7.0", "8.5", "9223372036854775807", "9223372036854775808", "1e400", "1e-400", "x", "$90,000 ",
           "(1,200)", "EUR 12.50", "12.50 EUR", "€ 1 234", "90k", "\t5\n", None]  # fmt: skip
FLOATS = [2.5, 3.5, -2.5, 0.49999999999999994, 9.3e18, 1e-5, 12345678.5, 1e15, 123456789012345.5, 1e16, 1.5e300,
          0.00012, 0.002, -1e-7, 0.1, 1.0, -0.0, 100.25, float("nan"), float("inf"), None]  # fmt: skip
TIMES = ["2025-03-01", "2025-3-1", "2025/03/01", "2025-03/01", "2025-03-01T10:20", "2025-03-01 10:20:30+02",
         "20250301", "2025-03-01 10:20:30Z", "2025-03-01 10", "2025-03-01 10:2", "2025", "2025-03",
         "2025-03-01 10:20:30.1234567",
         "2025-03-01 10:20:30.5", "2025-03-01 23:59:60", "2025-02-29", "2024-02-29", "2025-03-01  10:20", "10:20",
         "2025-03-01 10:20:30 Europe/Berlin", "12025-01-01", "yesterday", "", None]  # fmt: skip
FORMATTED = [("2025-1-2", "%Y-%m-%d"), ("202511", "%Y%m%d"), ("20250301", "%Y%m%d"), ("1/2/69", "%m/%d/%y"),
             ("1/2/68", "%m/%d/%y"), ("1 JAN 2025", "%d %b %Y"), ("1 january 2025", "%d %b %Y"),
             ("31 December 2025", "%d %B %Y"), ("Mon 6 Jan 2025", "%a %d %b %Y"), ("13/1/2025", "%m/%d/%Y"),
             ("1.3.2025 12:30 AM", "%d.%m.%Y %I:%M %p"), ("1.3.2025 12:30 pm", "%d.%m.%Y %I:%M %p"),
             ("1.3.2025 13:30 PM", "%d.%m.%Y %I:%M %p"), ("2025-01-01 10:20:30.5", "%Y-%m-%d %H:%M:%S.%f"),
             ("2025-01-01 24:00:00", "%Y-%m-%d %H:%M:%S"), ("2025-001-01", "%Y-%m-%d"), ("2025-01-01x", "%Y-%m-%d"),
             ("2025-01-01T10", "%Y-%m-%dT%H"), ("100%2025", "100%%%Y"), ("2025", "%Y"), ("12025-1-2", "%Y-%m-%d"),
             ("29.2.2025", "%d.%m.%Y"), ("yesterday", "%Y-%m-%d")]  # fmt: skip
STAMPS = pd.to_datetime(
    ["2025-01-15 00:30", "2025-07-15 00:30", "2025-03-30 02:30", "2025-03-30 03:00", "2025-03-30 01:59:59.999999",
     "2025-10-26 01:59:59.999999", "2025-10-26 02:30", "2025-10-26 03:00", "1969-12-31 22:59:59.999999", "1970-01-01",
     "2024-02-29 23:59:59.999999", "2149-06-06 23:59:59.999999", "2280-01-01", "1900-01-01"],
    format="ISO8601",
).tz_localize(None).as_unit("us")  # fmt: skip


def evaluated(spark: Source, column: Any, **readers: Callable[[Any], Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """What DuckDB and Spark make of values, by reader."""
    array = column if isinstance(column, pa.Array) else pa.array(column)
    duck = ibis.duckdb.connect()
    duck.raw_sql("SET TimeZone = 'UTC'")
    found = []
    for connection in (duck, spark.connection):
        table = ibis.memtable(pa.table({"i": range(len(array)), "x": array}))
        chosen = table.select(i=table.i, **{name: reader(table.x) for name, reader in readers.items()}).order_by("i")
        found.append(connection.to_pyarrow(chosen).drop(["i"]).to_pydict())
    return found[0], found[1]


def test_text_and_numbers_are_read_alike(spark: Source) -> None:
    duck, of_spark = evaluated(
        spark,
        pa.array(NUMBERS),
        number=read_number,
        money=read_text_number,
        text=read_text,
        key=lambda x: read_key(x, like=ibis.dtype("int64")),
    )
    assert of_spark == duck
    floats = {"text": read_text, "number": read_number, "units": lambda x: (read_number(x) * 10_000).try_cast("int64")}
    for kind in (pa.float64(), pa.float32()):
        given = [x for x in FLOATS if kind == pa.float64() or x is None or abs(x) < 1e15 or x != x]
        duck, of_spark = evaluated(spark, pa.array(given, kind), **floats)
        assert of_spark == duck
    for array in (
        pa.array([1, None, -5], pa.int8()),
        pa.array([True, False, None]),
        pa.array([Decimal("118.00"), Decimal("-2.25"), None]),
    ):
        duck, of_spark = evaluated(spark, array, text=read_text, number=read_number)
        assert of_spark == duck


def test_times_are_read_alike(spark: Source) -> None:
    duck, of_spark = evaluated(
        spark,
        pa.array(TIMES),
        micros=lambda x: epoch_microseconds(parse_text_time(read_text(x), None)),
        written=lambda x: parse_text_time(read_text(x), None).cast("string").re_replace(r"^\+", ""),
    )
    for name in ("micros", "written"):
        assert dict(zip(TIMES, of_spark[name], strict=True)) == dict(zip(TIMES, duck[name], strict=True))
    forms = sorted({form for _, form in FORMATTED})
    texts = [text for text, _ in FORMATTED]
    readers = {f"form_{i}": functools.partial(parse_text_time, form=form) for i, form in enumerate(forms)}
    duck, of_spark = evaluated(spark, pa.array(texts), **readers)
    for i, form in enumerate(forms):
        found = dict(zip(texts, of_spark[f"form_{i}"], strict=True))
        assert found == dict(zip(texts, duck[f"form_{i}"], strict=True)), form


@pytest.mark.parametrize("zone", ["UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu"])
def test_clocks_are_turned_alike(spark: Source, zone: str) -> None:
    """Also where an hour happens twice (the later one counts) or not at all."""
    where = ZoneInfo(zone)
    duck, of_spark = evaluated(
        spark,
        pa.array(STAMPS, pa.timestamp("us")),
        utc=lambda x: local_to_utc(x, where),
        local=lambda x: utc_to_local(x, where),
    )
    assert of_spark == duck


def test_patterns_and_missing_values_mean_the_same(spark: Source) -> None:
    given = pa.array(["a\\b", "ab", "A%b", "d1\nd2", "O'Neil", "", " \t\n", None])
    duck, of_spark = evaluated(
        spark,
        given,
        like=lambda x: x.like("a\\%"),
        ilike=lambda x: x.ilike("A%B"),
        search=lambda x: x.re_search(r"(?s)d\d.d"),
        quote=lambda x: x.isin(["O'Neil", "a\\b"]),
        text=read_text,
        missing=ibis.Value.isnull,
    )
    assert of_spark == duck
    duck, of_spark = evaluated(
        spark, pa.array([1.0, float("nan"), None]), missing=ibis.Value.isnull, given=ibis.Value.notnull
    )
    assert of_spark == duck


def test_a_digest_sees_every_row_and_no_order(spark: Source) -> None:
    def digest(*found: tuple[object, ...]) -> int:
        table = pa.table({"a": [row[0] for row in found], "b": pa.array([row[1] for row in found], pa.float64())})
        return table_digest(spark.materialise("digest", ibis.memtable(table)))

    base = [("x", 1.0), ("y", None)]
    assert digest(*base) == digest(*reversed(base))
    different = [
        digest(*base),
        digest(*base, base[0]),
        digest(("x", None), ("y", 1.0)),
        digest(("x", None), (None, 1.0)),
    ]
    assert len(set(different)) == len(different)


# --- sources ----------------------------------------------------------------------------------------------------


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    folder = tmp_path / "odd {a} 50% ü"
    folder.mkdir()
    for name, text in {
        "jan": "line,product,price,day\n1,01,2.50,2025-01-02\n2,02,3,2025-01-01\n3,99,1,2025-01-01\n",
        "feb": "price,line,product,day\n4,4,01,2025-02-01\n",
        "products": 'id,name,price\n01,"tea, ""green""\nloose",9\n02,,9\n',
        "two-names.größe": "a,a, b ,,a\n3,4,5,6,7\n",
        "numbered": "a\n" + "\n".join(f"v{n}" for n in range(1, 3001)) + "\n",
    }.items():
        (folder / f"{name}.csv").write_text(text, encoding="utf-8")
    (folder / "marked.csv").write_bytes("\ufeffKey No;Größe;select\r\n1;2;3\r\n".encode())
    (folder / "many parts").mkdir()
    for part in (1, 2):
        pd.DataFrame({"a": [part]}).to_parquet(folder / "many parts" / f"part-{part}.parquet")
    return folder


def test_tables_made_out_of_others_are_the_same(spark: Source, shop: Path) -> None:
    tables = {
        "all": {"union": ["jan", "feb"]},
        "sales": {
            "union": "all",
            "join": [{"table": "products", "on": {"product": "id"}}],
            "types": {"price": "text_number", "line": "number"},
            "compute": {"amount": "price * line", "late": "day >= '2025-01-02'"},
            "where": "amount / line > 0",
            "drop": ["id"],
        },
        "firsts": {"union": "all", "first": {"key": "product", "order": "day"}},
        "counted": {"union": "numbered", "row_number": "n"},
        "marks": {"file": "marked.csv", "csv": {"separator": ";"}},
        "named": {"file": "jan.csv", "csv": {"header": False}, "columns": ["a", "b", "c", "d"]},
    }
    for name in [*tables, "many parts", "products", "two-names.größe"]:
        duck, of_spark = on_both(lambda engine, name=name: plain(rows(shop, name, engine, tables=tables)))  # type: ignore[misc]
        pd.testing.assert_frame_equal(of_spark, duck)
    cased = rows(shop, "cased", "spark", tables={"cased": {"union": "jan", "compute": {"Product": "product"}}})
    assert (cased["Product"] == cased["product"]).all()
    counted = rows(shop, "counted", "spark", tables=tables)
    assert (counted["a"] == [f"v{n}" for n in counted["n"]]).all()


def test_types_of_parquet_mean_the_same(spark: Source, tmp_path: Path) -> None:
    at = pd.to_datetime(["2025-01-01 10:00:00.123456789", None, "1969-12-31 23:59:59.999999999"])
    table = pa.table(
        {
            "ns": pa.array(at, pa.timestamp("ns")),
            "us": pa.array(at.floor("us"), pa.timestamp("us")),
            "zoned": pa.array(at.floor("us"), pa.timestamp("us", "Europe/Berlin")),
            "day": pa.array(at.floor("D").date, pa.date32()),
            "money": pa.array([Decimal("1.50"), None, Decimal("-2.25")], pa.decimal128(9, 2)),
            "small": pa.array([1, None, 255], pa.uint8()),
            "words": pa.array(["a", None, "b"]).dictionary_encode(),
        }
    )
    pq.write_table(table, tmp_path / "t.parquet")

    def read(engine: str) -> dict[str, list[str | None]]:
        with open_source(spec(tmp_path, engine=engine), tmp_path, express=express) as source:
            found = source.table("t", place="here")
            times = {name: found[name].cast("timestamp(6)") for name in ("ns", "us", "zoned", "day")}
            texts = {f"text of {name}": read_text(found[name]) for name in ("zoned", "money", "small", "words")}
            return dict(to_frame(found.select(**times, **texts)).astype("string").fillna("–").to_dict("list"))

    duck, of_spark = on_both(read)
    assert of_spark == duck


def test_what_cannot_be_read_is_said(spark: Source, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"data\.source: .*/none does not exist\. Put the tables there"):
        rows(tmp_path / "none", "a", "spark")
    (tmp_path / "fake.parquet").write_text("no parquet")
    with pytest.raises(DataError, match=r"fake\.parquet: not a readable Parquet file"):
        rows(tmp_path, "fake", "spark")
    (tmp_path / "ragged.csv").write_text("a,b\n1,2\n3\n")
    with pytest.raises(DataError, match="has more or fewer values than the first"):
        rows(tmp_path, "ragged", "spark")
    with pytest.raises(DataError, match=r"data\.source: no database 'nowhere' in Spark's catalogue"):
        rows_of_catalogue("pyspark://?database=nowhere", "t")
    table = {"file": "ragged.csv", "columns": ["a"]}
    with pytest.raises(DataError, match=r"1 names under 'columns' for 2 columns"):
        rows(tmp_path, "t", "spark", tables={"t": table})


def rows_of_catalogue(source: str, name: str) -> pd.DataFrame:
    with open_source(spec(source), Path(), express=express) as opened:
        return to_frame(opened.table(name, place="here"))


def test_tables_of_the_catalogue(spark: Source) -> None:
    session = spark.connection._session
    session.sql("CREATE DATABASE shop")
    session.sql("CREATE TABLE shop.customers AS SELECT '007' AS customer_id, 1.5D AS x")
    session.range(3).createOrReplaceTempView("numbers")
    assert rows_of_catalogue("pyspark://?database=shop", "customers").to_dict("list") == {
        "customer_id": ["007"],
        "x": [1.5],
    }
    assert rows_of_catalogue("pyspark://", "numbers")["id"].tolist() == [0, 1, 2]
    with pytest.raises(DataError, match=r"there is no table 'number' in pyspark://…\. Did you mean 'numbers'\?"):
        rows_of_catalogue("pyspark://", "number")


def test_a_session_that_runs_is_left_as_it_was(spark: Source, shop: Path) -> None:
    session = spark.connection._session
    views = {table.name for table in session.catalog.listTables()}
    session.conf.set("spark.sql.session.timeZone", "Asia/Tokyo")
    session.conf.unset("spark.sql.csv.parser.columnPruning.enabled")
    try:
        rows(shop, "jan", "spark")
        assert session.conf.get("spark.sql.session.timeZone") == "Asia/Tokyo"
    finally:
        session.conf.set("spark.sql.session.timeZone", "UTC")
    assert {table.name for table in session.catalog.listTables()} == views


# --- rows out of the engine, and functions sent to it -----------------------------------------------------------


def big(source: Source, customers: int = 4) -> ibis.Table:
    """Customers 0, 1, … with 11,000 × (number + 1) records, shuffled."""
    sizes = [11_000 * (n + 1) for n in range(customers)]
    code = np.repeat(np.arange(customers), sizes)
    time = np.concatenate([np.arange(size) for size in sizes])
    order = np.random.default_rng(7).permutation(len(code))
    kind = pa.array(np.where(time % 3 == 0, None, "visit")[order], pa.string())
    at = pa.array(time[order], pa.timestamp("us"))
    return source.materialise("big", source.memtable(code=code[order], time=time[order], at=at, kind=kind))


def both_sources(spark: Source, folder: Path) -> Iterator[tuple[str, Source]]:
    folder.mkdir(exist_ok=True)
    with open_source(spec(folder), folder, express=express) as duck:
        yield "duckdb", duck
    yield "spark", spark


def test_batches_come_in_order_and_in_the_size_aimed_at(spark: Source, tmp_path: Path) -> None:
    table = big(spark)
    batches = list(spark.batches(table.order_by(["code", "time"]), rows=30_000))
    assert all(30_000 <= batch.num_rows < 45_000 for batch in batches[:-1])
    found = pa.Table.from_batches(batches).to_pandas()
    assert len(found) == 110_000
    assert found["code"].is_monotonic_increasing
    assert (found.groupby("code")["time"].diff().dropna() == 1).all()
    assert batches[0].schema.field("at").type == pa.timestamp("us")
    assert not list(spark.batches(table.filter(table.code < 0), rows=10))


COUNTED = pa.schema(
    {"code": pa.int64(), "rows": pa.int32(), "parts": pa.int32(), "disorder": pa.int8(), "label": pa.string()}
)


def count_in_order(batches: Iterator[pa.RecordBatch], *, label: str) -> Iterator[pa.RecordBatch]:
    """Rows of each customer, counted across batches; that they are in order, and how many batches they came in."""
    counts: dict[int, list[int]] = {}  # rows, batches, rows out of order
    last = (-1, -1)
    for batch in batches:
        codes, times = batch.column("code").to_pylist(), batch.column("time").to_pylist()
        for code in sorted(set(codes)):
            counts.setdefault(code, [0, 0, 0])[1] += 1
        for code, time in zip(codes, times, strict=True):
            counts[code][0] += 1
            counts[code][2] += (code, time) <= last
            last = (code, time)
    for code, (rows, parts, disorder) in counts.items():
        values = {"code": [code], "rows": [rows], "parts": [parts], "disorder": [disorder], "label": [label]}
        yield pa.RecordBatch.from_pydict(values, schema=COUNTED)


def test_a_function_runs_over_whole_sorted_customers_on_both_engines(spark: Source, tmp_path: Path) -> None:
    for name, source in both_sources(spark, tmp_path / "none"):
        folder = tmp_path / name
        source.map_sorted(
            big(source),
            key="code",
            order=["time"],
            function=functools.partial(count_in_order, label=name),
            schema=COUNTED,
            folder=folder,
        )
        assert all(file.suffix == ".parquet" for file in folder.iterdir())
        found = ds.dataset(folder).to_table().sort_by("code")
        assert found.schema.remove_metadata() == COUNTED
        assert found["rows"].to_pylist() == [11_000, 22_000, 33_000, 44_000]
        assert found["disorder"].to_pylist() == [0, 0, 0, 0]
        assert set(found["label"].to_pylist()) == {name}
        if name == "spark":
            assert min(found["parts"].to_pylist()) > 1  # a customer's rows came in several batches
        # Each customer is in one file.
        held = [pq.read_table(file)["code"].to_pylist() for file in folder.iterdir()]
        assert sorted(code for codes in held for code in codes) == [0, 1, 2, 3]


def as_they_come(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    yield from batches


def test_rows_without_a_value_are_sorted_last_on_both_engines(spark: Source, tmp_path: Path) -> None:
    schema = pa.schema({"code": pa.int64(), "time": pa.int64(), "at": pa.timestamp("us"), "kind": pa.string()})
    found = []
    for name, source in both_sources(spark, tmp_path / "none"):
        table = big(source, customers=1)
        source.map_sorted(
            table, key="code", order=["kind", "time"], function=as_they_come, schema=schema, folder=tmp_path / name
        )
        found.append(ds.dataset(tmp_path / name).to_table())
    assert found[0].equals(found[1].cast(found[0].schema))
    assert found[0]["kind"][-1].as_py() is None


def complain(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    for _ in batches:
        raise ValueError("this function does not like its rows")
    yield from ()


def test_what_a_function_raises_is_told(spark: Source, tmp_path: Path) -> None:
    ask = functools.partial(spark.map_sorted, big(spark), key="code", order=["time"], schema=COUNTED)
    with pytest.raises(EnvironmentFailedError, match="this function does not like its rows"):
        ask(function=complain, folder=tmp_path / "new")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").touch()
    with pytest.raises(FileExistsError, match="full: not empty"):
        ask(function=as_they_come, folder=tmp_path / "full")


# --- whole studies ----------------------------------------------------------------------------------------------


def looked_at(study: Study, engine: str, *, cutoffs: list[datetime], features: bool) -> dict[str, Any]:
    """All that a study's tables say, as plain values."""
    data = study.data.model_copy(update={"engine": engine})
    with open_tables(data, study.source_path, express=express) as tables:
        found: dict[str, Any] = {
            "facts": tables.facts,
            "warnings": tables.warnings,
            "until": tables.until,
            "codes": plain(to_frame(tables.codes)),
        }
        for name in ("customers", "events", "purchases"):
            table = getattr(tables, name)
            found[name] = None if table is None else plain(to_frame(table))
        cohorts = []
        for i, cutoff in enumerate(cutoffs):
            cohort = draw(tables, study, cutoff, plan=criteria_plan(tables, study))
            cohorts.append(cohort.keys)
            found[f"keys {i}"], found[f"funnel {i}"] = cohort.keys, cohort.funnel
            found[f"criteria {i}"] = [(c.fails, c.kept_out["customer_id"].tolist()) for c in cohort.criteria]
            found[f"labels {i}"] = label_cohort(tables, cohort.keys, cutoff, study=study, express=express)
            found[f"attributes {i}"] = plain(to_frame(attributes_as_of(tables, cutoff)))
        if features:
            found |= learnt(tables, study, cohorts, cutoffs)
    return found


def learnt(tables: Tables, study: Study, cohorts: list[pd.DataFrame], cutoffs: list[datetime]) -> dict[str, Any]:
    plan, warnings = learn_plan(tables, study, cohorts=cohorts, cutoffs=cutoffs)
    frame = build_frame(tables, plan, cohorts=cohorts, cutoffs=cutoffs)
    return {"plan": plan.to_dict(), "plan warnings": warnings, "X": frame.X, "frame keys": frame.keys}


def assert_same(study: Study, *, cutoffs: list[datetime], features: bool) -> None:
    duck, of_spark = on_both(lambda engine: looked_at(study, engine, cutoffs=cutoffs, features=features))
    assert duck.keys() == of_spark.keys()
    for name, expected in duck.items():
        if isinstance(expected, pd.DataFrame):
            pd.testing.assert_frame_equal(of_spark[name], expected, check_exact=True, obj=name)
        elif isinstance(expected, np.ndarray):
            np.testing.assert_array_equal(of_spark[name], expected, err_msg=name)
        else:
            assert of_spark[name] == expected, name


def test_a_market_gives_the_same_tables_cohorts_labels_and_features(spark: Source, simulated_market: Path) -> None:
    shipped = Path(__file__).parents[2] / "src" / "propensity" / "data" / "demo" / "demo.yaml"
    study = load_study(shipped)
    mails = TableSpec(file="events.parquet", where="event_type = 'email_sent'")
    contacts = ContactsSpec(table="mails", key="customer_id", occurred_at="occurred_at", by="channel")
    changes = {"source": str(simulated_market), "tables": {"mails": mails}, "contacts": contacts}
    data = study.data.model_copy(update=changes)
    criteria = {**study.target.criteria, "in touch": "events_visit_90d > 0 AND age < 80"}
    target = study.target.model_copy(update={"criteria": criteria})
    study = study.model_copy(update={"data": data, "target": target})
    cutoffs = study.cutoff_instants()
    assert_same(study, cutoffs=[cutoffs["train"][0], cutoffs["test"][0]], features=True)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "data"), [("online_retail_baking", "online_retail"), ("starbucks_bogo", "starbucks")])
def test_a_real_study_gives_the_same(
    name: str, data: str, spark: Source, real_study: Callable[[str, str], Study]
) -> None:
    study = real_study(name, data)
    assert_same(study, cutoffs=study.cutoff_instants()["test"], features=True)


OWN_SESSION = """
import sys, tempfile
from pathlib import Path
from propensity.data.connect import open_source, to_frame
from propensity.samples import express
from propensity.config import DataSpec
from pyspark import SparkContext

tempfile.tempdir = sys.argv[2]
spec = DataSpec.model_validate({"source": sys.argv[1], "engine": "spark", "customers": {"table": "customers"}})
for _ in range(2):
    with open_source(spec, Path(sys.argv[1]), express=express, memory_limit="1GB") as source:
        session = source.connection._session
        settings = session.sparkContext.getConf()
        frame = to_frame(source.table("customers", place="here"))
        print(len(frame), settings.get("spark.master"), settings.get("spark.driver.memory"), session.version)
        print(settings.get("spark.local.dir").startswith(sys.argv[2]), session.conf.get("spark.sql.session.timeZone"))
    assert SparkContext._active_spark_context is None
"""


@pytest.mark.slow
def test_a_session_of_our_own_is_quiet_and_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PYSPARK_PYTHON", raising=False)
    monkeypatch.setenv("PYSPARK_SUBMIT_ARGS", "--master local[1] pyspark-shell")
    folder, work = tmp_path / "tables", tmp_path / "work"
    folder.mkdir()
    work.mkdir()
    pd.DataFrame({"customer_id": [1, 2]}).to_parquet(folder / "customers.parquet")
    command = [sys.executable, "-c", OWN_SESSION, str(folder), str(work)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0].startswith("2 local[1] 1024m 4.")
    assert lines[1] == "True UTC"
    assert lines[:2] == lines[2:]
    assert [line for line in done.stderr.splitlines() if "incubator" not in line] == []
    assert list(work.iterdir()) == []
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["tables", "work"]


def test_a_scorecard_as_sql_gives_the_points_that_python_gives(spark: Source, tmp_path: Path) -> None:
    from pyspark.sql import SparkSession

    numbers = {
        "name": "Number",
        "feature": 'number "0"',
        "weight": 0.333,
        "buckets": [{"below": 0.1, "points": -3}, {"below": 0.7, "points": 5.5}, {"points": 9}],
        "special": {-1: 100},
        "missing": 4,
    }
    texts = {
        "name": "Text",
        "feature": "text'1",
        "categories": {"o'hara": 7, 'a "b"': -2, "\\": 3},
        "otherwise": 1,
        "missing": -1,
    }
    card = Scorecard.model_validate({"scorecard": "x", "indicators": [numbers, texts]})
    rng = np.random.default_rng(1)
    number = rng.choice([-1.0, 0.0, 0.1, 0.3, 0.7, 5.0, np.nan], 500).astype(np.float32)
    text = rng.choice(np.array(["o'hara", 'a "b"', "\\", "x", None], dtype=object), 500)
    frame = pd.DataFrame({'number "0"': number, "text'1": pd.Series(text, dtype=object)})
    columns = {name: pa.array(frame[name], from_pandas=True) for name in frame.columns}
    pq.write_table(pa.table({"customer_id": range(500), **columns}), tmp_path / "matrix.parquet")
    session = SparkSession.active()
    session.read.parquet(str(tmp_path / "matrix.parquet")).createOrReplaceTempView("matrix")
    rows = session.sql(scorecard_sql(card, table="matrix", key="customer_id", dialect="spark")).collect()
    found = {row["customer_id"]: row["points"] for row in rows}
    assert [found[i] for i in range(500)] == total_points(card, frame).tolist()
