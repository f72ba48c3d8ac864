"""The sweep against a plain, slow reference in pandas that filters all records anew for each window."""

import math
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

import ibis
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from propensity.data.connect import to_frame
from propensity.features.dealing import Spill
from propensity.features.layout import NO_VALUE
from propensity.features.sweep import Column, Records, Sweep, sweep_blocks
from propensity.temporal import Duration, microseconds

START = datetime(2025, 3, 30, tzinfo=UTC)
ZONES = ("UTC", "Europe/Berlin", "America/St_Johns")  # clocks in Berlin go forward on 30 March
WINDOWS = [Duration.parse(text) for text in ("6h", "18h", "1d", "3d", "1mo")]
SLOTS = 2
DAY = timedelta(days=1)
WINDOWED = ("count", "sum", "days", "trend", "recency", "mean", "min", "max", "share", "distinct")
EVER = ("since_first", "gap_mean", "gap_sd", "gap_last", "streak", "streak_longest")
COLUMNS = [
    Column(f"{measure}_{slot}_{window}", measure, slot, window, **more)
    for slot in range(SLOTS)
    for measure in (*WINDOWED, *EVER)
    for window in ([*WINDOWS, None] if measure in WINDOWED else [None])
    for more in {"share": [{"of": 0}], "distinct": [{"key": 0}, {"key": 1}]}.get(measure, [{}])
    if (measure, window) != ("trend", None) and (measure, slot) not in (("share", 0), ("distinct", 1))
]

# A coarse grid of hours over a few days (and some far ones), now and then a microsecond off it: records, cutoffs and
# window starts meet often, and days are cut by windows.
MOMENTS = st.builds(
    lambda hours, off: START + timedelta(hours=hours, microseconds=off),
    st.sampled_from(range(-36, 37, 6)) | st.sampled_from([-24 * 40, -24 * 7, 24 * 7, 24 * 11]),
    st.sampled_from([0, 0, 0, 0, -1, 1]),
)


class Record(NamedTuple):
    """A record as the reference sees it."""

    customer: int
    time: datetime
    known: datetime
    slots: frozenset[int]
    value: int
    keys: tuple[int, int]


RECORDS = st.builds(
    lambda customer, time, lag, *more: Record(customer, time, time + timedelta(hours=lag), *more),
    st.sampled_from([0, 0, 1, 2]),
    MOMENTS,
    st.sampled_from([0, 0, 0, 6, 24, 24 * 6]),  # hours until it is known
    st.sampled_from([frozenset(), frozenset([0]), frozenset([1]), frozenset([0, 1])]),
    st.integers(-5, 10**9) | st.just(NO_VALUE),
    st.tuples(st.integers(0, 2), st.sampled_from([0, -(2**63), 2**40, 2**40 + 1])),  # 0: no category
)


@dataclass(frozen=True)
class Case:
    """What is swept."""

    records: list[Record]
    customers: list[int]
    cutoffs: list[datetime]
    zone: ZoneInfo


CASES = st.builds(
    Case,
    records=st.lists(RECORDS, max_size=6) | st.lists(RECORDS, min_size=12, max_size=24),  # few, or crowded
    customers=st.sets(st.integers(0, 3), min_size=1).map(sorted),
    cutoffs=st.sets(MOMENTS, min_size=1, max_size=4).map(sorted),
    zone=st.sampled_from(ZONES).map(ZoneInfo),
)


def local_day(time: datetime, zone: ZoneInfo) -> int:
    return time.astimezone(zone).date().toordinal() - date(1970, 1, 1).toordinal()


def as_records(records: Sequence[Record], zone: ZoneInfo) -> Records:
    """Records as arrays, sorted by customer, time, and then everything."""
    rows = sorted(
        (
            r.customer,
            microseconds(r.time),
            microseconds(r.known),
            r.value,
            r.keys,
            sorted(r.slots),
        )
        for r in records
    )
    slots = [[slot if slot in row[5] else -1 for slot in range(SLOTS)] for row in rows]
    columns: list[tuple[int, ...]] = list(zip(*[row[:4] for row in rows], strict=True)) or [()] * 4
    return Records(
        code=np.array(columns[0], np.int64),
        time=np.array(columns[1], np.int64),
        known=np.array(columns[2], np.int64),
        slots=np.array(slots, np.int16).reshape(len(rows), SLOTS),
        value=np.array(columns[3], np.int64),
        keys=np.array([row[4] for row in rows], np.int64).reshape(len(rows), 2),
    )


def some(given: Records, rows: Any) -> Records:
    """Some of the records."""
    return Records(*[None if column is None else column[rows] for column in vars(given).values()])


def table(case: Case) -> pd.DataFrame:
    """The records as a table, with the local day of each and a column for each slot and key."""
    rows = [
        (r.customer, r.time, r.known, local_day(r.time, case.zone), None if r.value == NO_VALUE else r.value)
        for r in case.records
    ]
    frame = pd.DataFrame(rows, columns=["customer", "time", "known", "day", "value"])
    for slot in range(SLOTS):
        frame[f"slot_{slot}"] = np.array([slot in r.slots for r in case.records], dtype=bool)
    for key in range(2):
        frame[f"key_{key}"] = np.array([r.keys[key] for r in case.records], dtype=np.int64)
    return frame


def within(seen: pd.DataFrame, window: Duration | None, cutoff: datetime, zone: ZoneInfo) -> pd.DataFrame:
    return seen if window is None else seen[seen["time"] >= window.before(cutoff, zone=zone)]


def reference(seen: pd.DataFrame, cutoff: datetime, column: Column, zone: ZoneInfo) -> float:
    """One figure of what a customer did and was known before the cutoff: filter, then look."""
    inside = within(seen, column.window, cutoff, zone)
    if column.of is not None:
        whole = inside[f"slot_{column.of}"].sum()
        return inside[f"slot_{column.slot}"].sum() / whole if whole else math.nan
    mine = inside[inside[f"slot_{column.slot}"]]
    values = [int(value) for value in mine["value"].dropna()]
    match column.measure:
        case "count":
            return len(mine)
        case "sum":
            return sum(values)
        case "mean":
            return sum(values) / len(values) if values else math.nan
        case "min" | "max":
            return {"min": min, "max": max}[column.measure](values, default=math.nan)
        case "days":
            return mine["day"].nunique()
        case "distinct":
            keys = mine[f"key_{column.key}"]
            return keys[keys != 0].nunique()
        case "trend":
            assert column.window is not None
            double = within(seen, Duration(column.window.count * 2, column.window.unit), cutoff, zone)
            return 2 * len(mine) - double[f"slot_{column.slot}"].sum()
        case "recency":
            return (cutoff - mine["time"].max()) / DAY if len(mine) else math.nan
        case "since_first":
            return (cutoff - mine["time"].min()) / DAY if len(mine) else math.nan
    days = mine["day"].drop_duplicates().sort_values()
    if column.measure.startswith("streak"):
        runs = days.groupby((days.diff() != 1).cumsum()).size()
        return 0 if runs.empty else float(runs.iloc[-1] if column.measure == "streak" else runs.max())
    gaps = days.diff().dropna()
    if len(gaps) < (2 if column.measure == "gap_sd" else 1):
        return math.nan
    return float({"gap_mean": gaps.mean(), "gap_sd": gaps.std(ddof=0), "gap_last": gaps.iloc[-1]}[column.measure])


def expected(case: Case) -> np.ndarray:
    rows, records = [], table(case)
    for customer in case.customers:
        for cutoff in case.cutoffs:
            own = records["customer"] == customer
            seen = records[own & (records["time"] < cutoff) & (records["known"] < cutoff)]
            rows.append([reference(seen, cutoff, column, case.zone) for column in COLUMNS])
    return np.array(rows, dtype=np.float32)


def as_sweep(case: Case, columns: Sequence[Column], *, threads: int = 1) -> Sweep:
    return Sweep(columns=tuple(columns), cutoffs=tuple(case.cutoffs), zone=case.zone, slots=SLOTS, threads=threads)


def swept(
    case: Case,
    batches: list[Records],
    *,
    columns: Sequence[Column] = COLUMNS,
    threads: int = 1,
    spill: Spill | None = None,
) -> np.ndarray:
    sweep = as_sweep(case, columns, threads=threads)
    row_code = np.repeat(np.array(case.customers, np.int64), len(case.cutoffs))
    row_cutoff = np.tile(np.arange(len(case.cutoffs), dtype=np.int64), len(case.customers))
    return np.concatenate([block for _, block in sweep_blocks(batches, sweep, row_code, row_cutoff, spill=spill)])


@settings(max_examples=60)
@given(CASES)
def test_the_sweep_gives_what_filtering_gives(case: Case) -> None:
    out, slow = swept(case, [as_records(case.records, case.zone)]), expected(case)
    whole = ("count", "sum", "days", "trend", "gap_last", "min", "max", "distinct", "streak", "streak_longest")
    exact = [column.measure in whole for column in COLUMNS]
    np.testing.assert_array_equal(out[:, exact], slow[:, exact])
    np.testing.assert_allclose(out, slow, rtol=1e-6, atol=1e-6)


def test_many_customers_shared_out_among_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    """Many groups, and threads that share them; every customer's figures are those of the customer alone."""
    rng = np.random.default_rng(3)
    base = [START + timedelta(hours=int(h)) for h in rng.integers(-900, 24, 4000)]
    records = [
        Record(int(c), at, at + timedelta(hours=int(lag)), frozenset([0, int(s)]), int(v), (int(s), int(v)))
        for c, at, lag, s, v in zip(
            rng.integers(0, 300, 4000),
            base,
            rng.choice([0, 0, 9], 4000),
            rng.integers(0, 2, 4000),
            rng.integers(0, 50, 4000),
            strict=True,
        )
    ]
    case = Case(records, list(range(310)), [START - timedelta(days=3), START], ZoneInfo("UTC"))
    one = swept(case, [as_records(records, case.zone)])
    monkeypatch.setattr("propensity.features.sweep.GROUP_ROWS", 50)
    assert swept(case, [as_records(records, case.zone)], threads=3).tobytes() == one.tobytes()
    some = replace(case, customers=[7, 150, 305])
    slow, rows = expected(some), [2 * c + i for c in some.customers for i in range(2)]
    np.testing.assert_allclose(one[rows], slow, rtol=1e-6, atol=1e-6)


@settings(max_examples=200)
@given(CASES, st.lists(st.integers(0, 20), max_size=4).map(sorted))
def test_where_batches_are_cut_changes_nothing(case: Case, cuts: list[int]) -> None:
    records = as_records(case.records, case.zone)
    edges = [0, *[min(cut, len(records)) for cut in cuts], len(records)]
    batches = [some(records, slice(start, stop)) for start, stop in pairwise(edges)]
    assert swept(case, batches).tobytes() == swept(case, [records]).tobytes()


@settings(max_examples=200)
@given(CASES, st.randoms(use_true_random=False), st.integers(0, 24))
def test_the_order_of_records_changes_nothing(case: Case, random: Any, cut: int) -> None:
    records = as_records(case.records, case.zone)
    order = list(range(len(records)))
    random.shuffle(order)
    batches = [some(records, np.array(rows, np.intp)) for rows in (order[:cut], order[cut:])]
    assert swept(case, batches).tobytes() == swept(case, [records]).tobytes()


@settings(max_examples=100)
@given(CASES, st.integers(0, 24))
def test_records_that_were_on_disk_are_the_same(case: Case, cut: int) -> None:
    records = as_records(case.records, case.zone)
    batches = [some(records, slice(0, cut)), some(records, slice(cut, None))]
    with TemporaryDirectory() as folder:
        for limit in (0, 200):  # every batch is written, or only the first
            spilled = swept(case, batches, spill=Spill(Path(folder), limit))
            assert spilled.tobytes() == swept(case, [records]).tobytes()


@settings(max_examples=100)
@given(CASES)
def test_columns_beside_others_are_the_same(case: Case) -> None:
    """What is asked besides decides what is kept of records: times, values, categories. No figure knows of it."""
    together = swept(case, [as_records(case.records, case.zone)])
    for measure in (*WINDOWED, *EVER):
        at = [j for j, column in enumerate(COLUMNS) if column.measure == measure]
        alone = swept(case, [as_records(case.records, case.zone)], columns=[COLUMNS[j] for j in at])
        assert together[:, at].tobytes() == alone.tobytes(), measure


@settings(max_examples=100)
@given(CASES)
def test_nothing_before_the_earliest_window_matters(case: Case) -> None:
    """What `since` leaves unread is in no window."""
    windowed = [column for column in COLUMNS if column.window is not None]
    since = as_sweep(case, windowed).since
    assert since is not None
    recent = [record for record in case.records if record.time >= since]
    few = swept(case, [as_records(recent, case.zone)], columns=windowed)
    assert few.tobytes() == swept(case, [as_records(case.records, case.zone)], columns=windowed).tobytes()
    assert as_sweep(case, COLUMNS).since is None


@settings(max_examples=200)
@given(CASES, st.lists(RECORDS, max_size=5))
def test_what_happens_or_becomes_known_at_or_after_the_cutoff_changes_nothing(case: Case, others: list[Record]) -> None:
    last = case.cutoffs[-1]
    past = [r for r in case.records if r.time < last and r.known < last]
    future = [r for r in [*case.records, *others] if r.time >= last or r.known >= last]
    only_past = swept(case, [as_records(past, case.zone)])
    assert swept(case, [as_records([*past, *future], case.zone)]).tobytes() == only_past.tobytes()


@settings(max_examples=100)
@given(CASES)
def test_a_cutoff_among_others_reads_what_it_reads_alone(case: Case) -> None:
    records = [as_records(case.records, case.zone)]
    together = swept(case, records).reshape(len(case.customers), len(case.cutoffs), -1)
    for position, cutoff in enumerate(case.cutoffs):
        alone = swept(replace(case, cutoffs=[cutoff]), records)
        assert together[:, position].tobytes() == alone.tobytes()


@settings(max_examples=15)
@given(
    st.lists(st.integers(-(2**62), 2**62) | st.integers(-9, 9), min_size=1, max_size=12, unique=True),
    st.sampled_from(["int", "text", "uuid"]),
    st.randoms(use_true_random=False),
)
def test_customers_of_any_key_are_numbered_in_the_order_of_their_keys(
    numbers: list[int], kind: str, random: Any
) -> None:
    """The sweep knows customers by number: numbering keeps keys apart, whatever they are and however rows stand."""
    from propensity.data.tables import _number_customers

    keys: list[Any] = numbers
    array = pa.array(numbers, pa.int64())
    if kind == "text":
        keys = [f"{abs(n):020d}{'-' if n < 0 else ''}" for n in numbers]
        array = pa.array(keys)
    if kind == "uuid":
        keys = [uuid.UUID(int=n % 2**128) for n in numbers]
        array = pa.array(map(str, keys))
    order = list(range(len(keys)))
    random.shuffle(order)
    connection = ibis.duckdb.connect()

    class Here:
        def materialise(self, name: str, table: Any) -> Any:
            return connection.create_table(name, table)

    shuffled = pa.table({"customer_id": array.take(pa.array(order))})
    table = ibis.memtable(shuffled)
    typed = table.select(customer_id=table.customer_id.cast({"int": "int64", "text": "string", "uuid": "uuid"}[kind]))
    codes = to_frame(_number_customers(Here(), connection.create_table("c", typed)))  # type: ignore[arg-type]
    found = dict(zip(map(str, codes["customer_id"]), codes["code"], strict=True))
    assert [found[str(key)] for key in sorted(keys)] == list(range(len(keys)))
