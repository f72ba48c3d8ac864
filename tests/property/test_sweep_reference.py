"""The sweep against a plain, slow reference that filters all records anew for each figure, over generated records."""

import math
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

import ibis
import numpy as np
import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from propensity.data.connect import to_frame
from propensity.features.sweep import Column, Records, sweep
from propensity.temporal import Duration, microseconds

START = datetime(2025, 3, 30, tzinfo=UTC)
ZONES = ("UTC", "Europe/Berlin", "America/St_Johns")  # clocks in Berlin go forward on 30 March
WINDOWS = [Duration.parse(text) for text in ("6h", "18h", "1d", "3d", "1mo")]
SLOTS = 2
DAY = timedelta(days=1)
COLUMNS = [
    Column(f"{measure}_{slot}_{window}", measure, slot, window)
    for slot in range(SLOTS)
    for measure in ("count", "sum", "days", "trend", "recency", "since_first", "gap_mean", "gap_sd", "gap_last")
    for window in ([*WINDOWS, None] if measure in ("count", "sum", "days", "trend", "recency") else [None])
    if (measure, window) != ("trend", None)
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


RECORDS = st.builds(
    lambda customer, time, lag, slots, value: Record(customer, time, time + timedelta(hours=lag), slots, value),
    st.sampled_from([0, 0, 1, 2]),
    MOMENTS,
    st.sampled_from([0, 0, 0, 6, 24, 24 * 6]),  # hours until it is known
    st.sampled_from([frozenset(), frozenset([0]), frozenset([1]), frozenset([0, 1])]),
    st.integers(-5, 10**9),
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
    """Records as the engine hands them over: sorted by customer, time, and then everything."""
    rows = sorted(
        (r.customer, microseconds(r.time), microseconds(r.known), local_day(r.time, zone), r.value, sorted(r.slots))
        for r in records
    )
    slots = [[slot if slot in row[5] else -1 for slot in range(SLOTS)] for row in rows]
    columns: list[tuple[int, ...]] = list(zip(*[row[:5] for row in rows], strict=True)) or [()] * 5
    return Records(
        code=np.array(columns[0], np.int64),
        time=np.array(columns[1], np.int64),
        known=np.array(columns[2], np.int64),
        day=np.array(columns[3], np.int32),
        slots=np.array(slots, np.int32).reshape(len(rows), SLOTS),
        value=np.array(columns[4], np.int64),
    )


def reference(case: Case, customer: int, cutoff: datetime, column: Column) -> float:
    """One figure the slow way: filter, then look."""
    seen = [r for r in case.records if r.customer == customer and r.time < cutoff and r.known < cutoff]
    seen = [r for r in seen if column.slot in r.slots]

    def within(window: Duration | None) -> list[Record]:
        return [r for r in seen if window is None or r.time >= window.before(cutoff, zone=case.zone)]

    inside = within(column.window)
    match column.measure:
        case "count":
            return len(inside)
        case "sum":
            return sum(r.value for r in inside)
        case "days":
            return len({local_day(r.time, case.zone) for r in inside})
        case "trend":
            assert column.window is not None
            double = Duration(column.window.count * 2, column.window.unit)
            return 2 * len(inside) - len(within(double))
        case "recency":
            return min(((cutoff - r.time) / DAY for r in inside), default=math.nan)
        case "since_first":
            return max(((cutoff - r.time) / DAY for r in inside), default=math.nan)
    gaps = np.diff(sorted({local_day(r.time, case.zone) for r in inside}))
    if len(gaps) < (2 if column.measure == "gap_sd" else 1):
        return math.nan
    return float({"gap_mean": gaps.mean, "gap_sd": gaps.std, "gap_last": lambda: gaps[-1]}[column.measure]())


def swept(case: Case, batches: list[Records]) -> np.ndarray:
    return sweep(
        batches,
        row_code=np.repeat(np.array(case.customers, np.int64), len(case.cutoffs)),
        row_cutoff=np.tile(np.arange(len(case.cutoffs), dtype=np.int64), len(case.customers)),
        cutoffs=case.cutoffs,
        columns=COLUMNS,
        zone=case.zone,
        slots=SLOTS,
    )


@settings(max_examples=300)
@given(CASES)
def test_the_sweep_gives_what_filtering_gives(case: Case) -> None:
    out = swept(case, [as_records(case.records, case.zone)])
    expected = np.array(
        [
            [reference(case, customer, cutoff, column) for column in COLUMNS]
            for customer in case.customers
            for cutoff in case.cutoffs
        ],
        dtype=np.float32,
    )
    exact = [column.measure in ("count", "sum", "days", "trend", "gap_last") for column in COLUMNS]
    np.testing.assert_array_equal(out[:, exact], expected[:, exact])
    np.testing.assert_allclose(out, expected, rtol=1e-6, atol=1e-6)


@settings(max_examples=200)
@given(CASES, st.lists(st.integers(0, 20), max_size=4).map(sorted))
def test_where_batches_are_cut_changes_nothing(case: Case, cuts: list[int]) -> None:
    records = as_records(case.records, case.zone)
    edges = [0, *[min(cut, len(records)) for cut in cuts], len(records)]
    batches = [records.slice(start, stop) for start, stop in pairwise(edges)]
    assert swept(case, batches).tobytes() == swept(case, [records]).tobytes()


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
