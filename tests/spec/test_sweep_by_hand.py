"""What the sweep counts: a handful of records, every figure worked out beside them.

Most tests put arrays into the sweep itself; the last ones go from tables to the matrix.
"""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import pytest

from propensity.cohort import draw_cohort
from propensity.features.matrix import Frame, build_frame
from propensity.features.plan import learn_plan
from propensity.features.sweep import Column, Records, Sweep, sweep_blocks
from propensity.samples import express
from propensity.temporal import Duration, microseconds, to_instant

Z = ZoneInfo("UTC")
BERLIN = ZoneInfo("Europe/Berlin")
Little = Callable[..., Any]
NAN = float("nan")


def records(*rows: tuple[Any, ...], zone: ZoneInfo = Z) -> Records:
    """Records of (customer, local time, {known: local time, slots: [..], value: n})."""
    filled = []
    for customer, text, *rest in rows:
        more = rest[0] if rest else {}
        time = to_instant(text, zone=zone)
        known = to_instant(more.get("known", text), zone=zone)
        filled.append((customer, microseconds(time), microseconds(known), more.get("slots", [0]), more.get("value", 0)))
    code, time_, known_, slots, value = zip(*filled, strict=True)
    return Records(
        code=np.array(code, np.int64),
        time=np.array(time_, np.int64),
        known=np.array(known_, np.int64),
        slots=np.array(slots, np.int16),
        value=np.array(value, np.int64),
    )


def some(given: Records, rows: Any) -> Records:
    """Some of the records."""
    return Records(*[None if column is None else column[rows] for column in vars(given).values()])


def swept(
    given: Records | Sequence[Records],
    columns: str,
    *,
    cutoffs: str | Sequence[str] = "2025-03-01",
    customers: Sequence[int] = (1,),
    zone: ZoneInfo = Z,
    slots: int = 1,
    value_unit: int = 1,
) -> list[list[float]]:
    """A row for each customer and cutoff; `columns` are like "count 30d, recency, sum@1 30d" (slot behind the @)."""
    instants = [to_instant(text, zone=zone) for text in ([cutoffs] if isinstance(cutoffs, str) else cutoffs)]
    wanted = []
    for text in columns.split(","):
        measure, *window = text.split()
        name, _, slot = measure.partition("@")
        wanted.append(Column(text, name, int(slot or 0), Duration.parse(window[0]) if window else None))
    sweep = Sweep(columns=tuple(wanted), cutoffs=tuple(instants), zone=zone, slots=slots, value_unit=value_unit)
    row_code = np.repeat(np.array(customers, np.int64), len(instants))
    row_cutoff = np.tile(np.arange(len(instants), dtype=np.int64), len(customers))
    out: list[list[float]] = []
    for start, block in sweep_blocks([given] if isinstance(given, Records) else given, sweep, row_code, row_cutoff):
        assert block.dtype == np.float32
        assert start == len(out)
        out += block.tolist()
    assert len(out) == len(row_code)
    return out


def one(given: Records, columns: str, **options: Any) -> list[float]:
    return swept(given, columns, **options)[0]


# --- boundaries -------------------------------------------------------------------------------------------------


def test_a_window_holds_its_start_and_not_the_cutoff() -> None:
    # 30 days before 1 March 2025 is 30 January.
    given = records(
        (1, "2025-01-29 23:59:59.999999"),  # a microsecond before the window
        (1, "2025-01-30 00:00:00"),  # its first instant: in
        (1, "2025-01-30 00:00:00.000001"),  # in
        (1, "2025-02-28 23:59:59.999999"),  # the last microsecond before the cutoff: in
        (1, "2025-03-01 00:00:00"),  # the cutoff itself: future
        (1, "2025-03-01 00:00:00.000001"),  # future
    )
    assert one(given, "count 30d, count") == [3, 4]
    # A window that begins a microsecond later loses the first instant, one that begins a microsecond earlier gains one.
    later = "2025-03-01 00:00:00.000001"
    assert one(given, "count 30d, count", cutoffs=later) == [3, 5]  # gains the cutoff, loses 30 January 00:00
    assert one(given, "count 30d, count", cutoffs="2025-02-28 23:59:59.999999") == [3, 3]


def test_a_window_ends_where_the_one_before_it_begins() -> None:
    # 10 days before 1 March: 19 February; before that: 9 February. Windows meet without overlap or hole.
    given = records(*[(1, f"2025-02-{day:02} 00:00:00") for day in (8, 9, 18, 19, 28)])
    assert one(given, "count 10d, count 20d, trend 10d") == [2, 4, 0]  # {19, 28}; {9, 18, 19, 28}; 2 - 2
    more = records((1, "2025-02-20"), (1, "2025-02-21"), (1, "2025-02-18"))
    assert one(more, "trend 10d") == [1]  # {20, 21} against {18}
    assert one(records((1, "2025-02-10")), "trend 10d") == [-1]


def test_months_reach_back_to_the_day_of_the_same_number_or_the_months_last() -> None:
    given = records((1, "2025-02-27"), (1, "2025-02-28"), (1, "2025-03-30"))
    # A month before 31 March 2025 is 28 February; two months are 31 January.
    assert one(given, "count 1mo, trend 1mo", cutoffs="2025-03-31") == [2, 1]
    leap = records((1, "2024-02-28"), (1, "2024-02-29"), (1, "2024-03-30"))
    assert one(leap, "count 1mo", cutoffs="2024-03-31") == [2]
    # A year before 29 February 2024 is 28 February 2023.
    assert one(records((1, "2023-02-27"), (1, "2023-02-28")), "count 1y", cutoffs="2024-02-29") == [1]


def test_days_are_local_when_the_clocks_change() -> None:
    # Cutoff: midnight of 31 March 2025 in Berlin (22:00 UTC). A day before is midnight of the 30th (23:00 UTC of the
    # 29th), 23 hours earlier; 24 hours before is 23:00 of the 29th, an hour before that midnight.
    given = records((1, "2025-03-29 23:30"), (1, "2025-03-30 00:00"), (1, "2025-03-30 23:59"), zone=BERLIN)
    assert one(given, "count 1d, count 24h, days 24h", cutoffs="2025-03-31", zone=BERLIN) == [2, 3, 2]
    # In autumn the day has 25 hours: 26 October 2025.
    given = records((1, "2025-10-26 00:00"), (1, "2025-10-26 00:59:59"), (1, "2025-10-26 01:00"), zone=BERLIN)
    assert one(given, "count 1d, count 24h", cutoffs="2025-10-27", zone=BERLIN) == [3, 1]


# --- known later ------------------------------------------------------------------------------------------------


def test_a_late_record_counts_from_when_it_was_known_and_where_it_happened() -> None:
    given = records(
        (1, "2025-01-10"),
        (1, "2025-02-10", {"known": "2025-03-01 00:00:00"}),  # known at the cutoff: too late for it
        (1, "2025-02-20", {"known": "2025-02-28 23:59:59.999999"}),  # known just in time
    )
    columns = "count 30d, count, recency, days, gap_mean"
    # 1 March: knows 10 January and 20 February (9 days ago), 41 days apart.
    # 2 March: knows all three; 30 days back is 31 January; 10 January, 10 February, 20 February: gaps 31 and 10.
    assert swept(given, columns, cutoffs=["2025-03-01", "2025-03-02"]) == [
        [1, 2, 9, 2, 41],
        [2, 3, 10, 3, 20.5],
    ]


def test_a_late_record_of_one_customer_changes_no_other_customer() -> None:
    given = records(
        (1, "2025-02-10"),
        (2, "2025-02-10", {"known": "2025-06-01"}),
        (2, "2025-02-11"),
        (3, "2025-02-12"),
    )
    assert swept(given, "count, recency", customers=(1, 2, 3)) == [[1, 19], [1, 18], [1, 17]]


# --- each measure -----------------------------------------------------------------------------------------------


def test_recency_and_the_first_record_are_days_with_fractions() -> None:
    given = records((1, "2025-02-01 12:00"), (1, "2025-02-27 06:00"))
    # 27 February 06:00 to 1 March: 1.75 days. 1 February 12:00 to 1 March: 27.5 days.
    assert one(given, "recency, since_first") == [1.75, 27.5]
    # A record a microsecond before the cutoff is 0 days ago, as near as float32 tells.
    assert one(records((1, "2025-02-28 23:59:59.999999")), "recency")[0] == pytest.approx(0, abs=1e-10)


def test_recency_with_a_window_looks_back_no_further_than_its_first_instant() -> None:
    # 30 days before 1 March is 30 January: a record then is 30 days ago, one of a microsecond before is none.
    assert one(records((1, "2025-01-30")), "recency 30d, recency") == [30, 30]
    early = one(records((1, "2025-01-29 23:59:59.999999")), "recency 30d, recency")
    assert np.isnan(early[0])
    assert early[1] == 30
    assert one(records((1, "2025-01-10"), (1, "2025-02-28")), "recency 30d") == [1]
    assert np.isnan(one(records((2, "2025-01-10")), "recency 30d")[0])


def test_recency_without_a_window_looks_back_past_all_and_never_ahead() -> None:
    given = records((1, "2020-03-01"), (1, "2025-03-01"))
    # Five years with the leap days of 2020 and 2024: after 1 March 2020, only 2024's counts: 5 * 365 + 1.
    assert one(given, "recency, since_first, count 30d") == [1826, 1826, 0]


def test_gaps_lie_between_active_days_of_local_time() -> None:
    given = records(
        (1, "2025-02-01 08:00"),
        (1, "2025-02-01 20:00"),  # the same day: no gap of its own
        (1, "2025-02-04"),  # 3 days later
        (1, "2025-02-14"),  # 10 days later
        (1, "2025-02-19"),  # 5 days later
        (1, "2025-03-01"),  # future
    )
    # Gaps 3, 10, 5: mean 6; squared deviations 9, 16, 1, their mean 26/3, its root 2.943920; the last is 5.
    mean, sd, last = one(given, "gap_mean, gap_sd, gap_last")
    assert (mean, last) == (6, 5)
    assert sd == pytest.approx((26 / 3) ** 0.5, rel=1e-6)
    # As of 15 February: gaps 3 and 10; mean 6.5, deviation 3.5.
    assert one(given, "gap_mean, gap_sd, gap_last", cutoffs="2025-02-15") == [6.5, 3.5, 10]


def test_one_active_day_has_no_gap_and_one_gap_has_no_spread() -> None:
    assert one(records((1, "2025-02-01"), (1, "2025-02-01 12:00")), "days, gap_mean, gap_sd, gap_last")[0] == 1
    assert np.isnan(one(records((1, "2025-02-01"), (1, "2025-02-01 12:00")), "gap_mean, gap_sd, gap_last")).all()
    mean, sd, last = one(records((1, "2025-02-01"), (1, "2025-02-08")), "gap_mean, gap_sd, gap_last")
    assert (mean, last) == (7, 7)
    assert np.isnan(sd)


def test_a_regular_rhythm_has_no_spread_at_all() -> None:
    # 100 days 7 days apart: the mean of squares minus the square of the mean is exactly 0, not a rounding below it.
    days = [f"{day:%Y-%m-%d}" for day in pd.date_range("2023-01-01", periods=100, freq="7D")]
    assert one(records(*[(1, day) for day in days]), "gap_mean, gap_sd, gap_last") == [7, 0, 7]


def test_absent_records_count_nothing_and_have_no_recency() -> None:
    given = records((2, "2025-02-01"))
    columns = "count 30d, sum 30d, days 30d, trend 30d, count, recency, since_first, gap_mean, gap_sd, gap_last"
    for customer in (1, 3):  # before and after the one who has records
        row = one(given, columns, customers=(customer,))
        assert row[:5] == [0, 0, 0, 0, 0]
        assert np.isnan(row[5:]).all()


def test_a_day_cut_by_the_window_is_active_on_both_sides_of_it() -> None:
    # The cutoff is 12:00; 24 hours before it, the window cuts through 28 February.
    cutoff = "2025-03-01 12:00"
    morning, evening = "2025-02-28 09:00", "2025-02-28 21:00"
    # Both records are of one day; the window holds the evening.
    assert one(records((1, morning), (1, evening)), "days 24h, days, count 24h", cutoffs=cutoff) == [1, 1, 1]
    assert one(records((1, evening)), "days 24h, days", cutoffs=cutoff) == [1, 1]
    assert one(records((1, morning)), "days 24h, days", cutoffs=cutoff) == [0, 1]
    # 09:00, 11:00 | 13:00, 21:00 of the 28th, and 10:00 of 1 March: two active days in the window.
    busy = [(1, f"2025-02-28 {hour:02}:00") for hour in (9, 11, 13, 21)] + [(1, "2025-03-01 10:00")]
    assert one(records(*busy), "days 24h, days, count 24h", cutoffs=cutoff) == [2, 2, 3]
    # What goes on only after the cutoff makes the cut day no longer: 15:00 of 1 March is future.
    cut = records((1, "2025-03-01 09:00"), (1, "2025-03-01 15:00"))
    assert one(cut, "days 24h, days 2h, days", cutoffs=cutoff) == [1, 0, 1]
    at_the_cutoff = records((1, "2025-03-01 09:00"), (1, "2025-03-01 12:00"))
    assert one(at_the_cutoff, "days 24h, days 2h, days", cutoffs=cutoff) == [1, 0, 1]


def test_a_day_cut_by_many_windows_is_active_in_each_that_holds_a_record_of_it() -> None:
    # Records of one day at 01:00, 05:00, 09:00; the cutoff is 10:00; windows begin at 08:00, 06:00, … 00:00.
    given = records(*[(1, f"2025-03-01 {hour:02}:00") for hour in (1, 5, 9)])
    windows = "2h, 4h, 6h, 8h, 10h"
    days, counts = (", ".join(f"{m} {w}" for w in windows.split(", ")) for m in ("days", "count"))
    assert one(given, days, cutoffs="2025-03-01 10:00") == [1, 1, 1, 1, 1]
    assert one(given, counts, cutoffs="2025-03-01 10:00") == [1, 1, 2, 2, 3]
    # At 08:00 the record of 09:00 is future: the window of two hours holds none.
    assert one(given, "days 2h, days 4h, days 8h", cutoffs="2025-03-01 08:00") == [0, 1, 1]


def test_active_days_are_local_days() -> None:
    # 22:30 and 23:30 UTC of 1 July are 00:30 and 01:30 of 2 July in Berlin: one local day; 21:30 UTC is the day before.
    rows = [(1, f"2025-07-01 {hour}:30+00:00") for hour in (21, 22, 23)]
    assert one(records(*rows, zone=BERLIN), "days", cutoffs="2025-07-10", zone=BERLIN) == [2]
    assert one(records(*rows), "days", cutoffs="2025-07-10") == [1]


def test_slots_count_apart() -> None:
    given = records(
        (1, "2025-02-10", {"slots": [0, 1]}),
        (1, "2025-02-20", {"slots": [0, 2]}),
        (1, "2025-02-20 12:00", {"slots": [0, -1]}),  # of no kind
        (1, "2025-02-21", {"slots": [0, 1]}),
    )
    assert one(given, "count 15d, count@1 15d, count@2 15d, days@1, gap_last@1, recency@2, count@3", slots=4) == [
        3, 1, 1, 2, 11, 9, 0,
    ]  # fmt: skip


def test_money_is_summed_exactly() -> None:
    # Ten-thousandths: 0.1 ten times is 1 exactly; 10,000,000.01 plus 0.01 is 10,000,000.02.
    tenths = records(*[(1, "2025-02-20", {"value": 1000})] * 10)
    assert one(tenths, "sum 30d, sum", value_unit=10_000) == [1, 1]
    large = records((1, "2025-02-20", {"value": 100_000_000_100}), (1, "2025-02-21", {"value": 100}))
    assert one(large, "sum", value_unit=10_000) == [np.float32(10_000_000.02)]
    # Beyond what float32 holds in whole units: rounded once, at the end, from the exact figure.
    assert one(records((1, "2025-02-20", {"value": 900_000_100})), "sum", value_unit=10_000) == [np.float32(90_000.01)]


def test_ties_in_time_leave_every_figure_alone() -> None:
    rows = [(1, "2025-02-20 10:00", {"slots": [0, 1 + k % 3], "value": 7**k}) for k in range(6)]
    columns = "count@1, sum@0, sum@1 30d, days@0, gap_mean@0, recency@2, trend@1 10d"
    first = one(records(*rows), columns, slots=4)
    assert np.array_equal(one(records(*rows[::-1]), columns, slots=4), first, equal_nan=True)
    assert first[:4] == [2, sum(7**k for k in range(6)), 1 + 7**3, 1]


def test_a_customer_may_go_on_in_the_next_batch() -> None:
    given = records(
        *[(1, f"2025-02-{day:02}") for day in range(1, 6)], (2, "2025-02-03"), *[(4, f"2025-02-{d:02}") for d in (7, 9)]
    )
    columns = "count, count 30d, days, gap_last, recency"
    whole = swept(given, columns, customers=(1, 2, 3, 4, 5))
    assert [row[0] for row in whole] == [5, 1, 0, 2, 0]
    for cuts in ([1], [5], [6], [3, 4], [1, 2, 3, 4, 5, 6, 7], [0, 0, 8]):
        edges = [0, *cuts, len(given)]
        batches = [some(given, slice(a, b)) for a, b in pairwise(edges)]
        assert np.array_equal(swept(batches, columns, customers=(1, 2, 3, 4, 5)), whole, equal_nan=True), cuts
    assert swept([], "count", customers=(1, 2)) == [[0], [0]]


def test_rows_of_customers_without_records_and_records_of_customers_without_rows() -> None:
    given = records((1, "2025-02-01"), (3, "2025-02-01"), (3, "2025-02-02"), (5, "2025-02-01"))
    assert swept(given, "count", customers=(0, 3, 4, 9)) == [[0], [2], [0], [0]]


# --- from tables to the matrix ----------------------------------------------------------------------------------


def matrix(little: Any, cutoffs: Sequence[str]) -> Frame:
    study = little.load()
    instants = [to_instant(text, zone=study.zone) for text in cutoffs]
    with little.open() as tables:
        cohorts = [
            draw_cohort(tables, cutoff, target=study.target, outcome=study.outcome, express=express).keys
            for cutoff in instants
        ]
        plan, _ = learn_plan(tables, study, cohorts=cohorts, cutoffs=instants)
        return build_frame(tables, plan, cohorts=cohorts, cutoffs=instants)


def features(little: Any, cutoff: str, key: str) -> dict[str, float]:
    frame = matrix(little, [cutoff])
    return frame.X[frame.keys["customer_id"] == key].iloc[0].to_dict()  # type: ignore[return-value]


def test_a_customers_history_in_names_and_figures(little_study: Little) -> None:
    little = little_study(
        {
            "features": {"windows": ["7d", "30d"]},
            "data": {"events": {"attributes": ["day"]}, "purchases": {"attributes": ["shop"]}},
        },
        customers=[{"customer_id": "a"}, {"customer_id": "b"}],
        events=[
            {"customer_id": "a", "at": "2025-02-01 10:00", "kind": "view", "day": "sat"},
            {"customer_id": "a", "at": "2025-02-25 10:00", "kind": "view", "day": "tue"},
            {"customer_id": "a", "at": "2025-02-26 12:00", "kind": "Add To-Cart", "day": "wed"},
            {"customer_id": "b", "at": "2024-06-01 00:00", "kind": "view", "day": "sat"},
        ],
        purchases=[
            {"customer_id": "a", "at": "2025-01-30", "product": "cup", "amount": 19.99, "shop": "web"},
            {"customer_id": "a", "at": "2025-02-09", "product": "cup", "amount": 0.01, "shop": "town"},
            {"customer_id": "a", "at": "2025-02-10", "product": "cup", "amount": -19.99, "shop": "web"},
            {"customer_id": "a", "at": "2025-02-27", "product": "pot", "amount": 5.0, "shop": "web"},
            {"customer_id": "b", "at": "2024-06-01", "product": "pot", "amount": 1.0, "shop": "web"},
        ],
    )
    a = features(little, "2025-03-01", "a")
    # Seven days back is 22 February, thirty 30 January; the windows before those begin on 15 February and 31 December.
    expected = {
        "events_7d": 2, "events_30d": 3, "events_ever": 3, "events_view_7d": 1, "events_view_30d": 2,
        "events_add_to_cart_7d": 1, "events_day_tue_7d": 1, "events_day_sat_30d": 1, "events_day_sat_7d": 0,
        "active_days_30d": 3, "active_days_view_30d": 2, "trend_events_7d": 2,
        "recency_days_event": 2.5, "recency_days_view": 3.5833333, "recency_days_add_to_cart": 2.5,
        # Purchases: cup on 30 January (in the 30 days), cup on 9 February, pot on the 27th; one return.
        "purchases_7d": 1, "purchases_30d": 3, "purchases_ever": 3, "purchase_days_30d": 3,
        "spend_30d": 25.0, "spend_7d": 5.0, "returns_30d": 1, "returns_7d": 0, "returned_30d": 19.99,
        "purchases_cup_30d": 2, "purchases_pot_30d": 1, "purchases_shop_web_30d": 2, "purchases_shop_town_ever": 1,
        # 30 January to 9 February: 10 days; to the 27th: 18. Mean 14, deviation 4.
        "recency_days_purchase": 2, "tenure_days_purchase": 30, "gap_days_mean_purchase": 14, "gap_days_sd_purchase": 4,
        "gap_days_last_purchase": 18, "recency_days_purchase_cup": 20, "recency_days_purchase_pot": 2,
    }  # fmt: skip
    for name, value in expected.items():
        assert a[name] == pytest.approx(value, rel=1e-6), name
    assert a["spend_30d"] == np.float32(25.0)
    b = features(little, "2025-03-01", "b")
    assert b["events_30d"] == 0
    assert b["spend_30d"] == 0
    assert np.isnan(b["recency_days_purchase"])  # nothing within the longest window
    assert b["tenure_days_purchase"] == 273  # 1 June to 1 March
    assert np.isnan(b["recency_days_add_to_cart"])
    assert np.isnan(b["gap_days_mean_purchase"])


def test_nothing_at_or_after_the_cutoff_is_known_to_it(little_study: Little) -> None:
    def tables(*later: dict[str, Any]) -> dict[str, Any]:
        purchases = [
            {"customer_id": "a", "at": "2025-02-01", "product": "cup", "amount": 1.0},
            {"customer_id": "b", "at": "2024-02-01", "product": "cup", "amount": 1.0},
        ]
        return {"customers": [{"customer_id": "a"}, {"customer_id": "b"}], "purchases": [*purchases, *later]}

    bare = matrix(little_study(**tables()), ["2025-03-01"])
    later = [
        {"customer_id": "a", "at": "2025-03-01 00:00", "product": "cup", "amount": 100.0},
        {"customer_id": "b", "at": "2025-03-02", "product": "saucer", "amount": -3.0},
        {"customer_id": "a", "at": "2025-03-02", "product": "tea", "amount": 3.0},
    ]
    crowded = matrix(little_study(**tables(*later)), ["2025-03-01"])
    pd.testing.assert_frame_equal(bare.X, crowded.X)
    pd.testing.assert_frame_equal(bare.keys, crowded.keys)


def test_rows_of_several_cutoffs_stand_by_customer_and_time(little_study: Little) -> None:
    little = little_study(
        customers=[{"customer_id": key} for key in "ab"],
        purchases=[
            {"customer_id": "a", "at": "2025-01-15", "product": "cup", "amount": 1.0},
            {"customer_id": "b", "at": "2025-02-15", "product": "tea", "amount": 1.0},
            {"customer_id": "b", "at": "2024-01-15", "product": "cup", "amount": 1.0},
        ],
    )
    frame = matrix(little, ["2025-02-01", "2025-03-01"])
    # b has purchased by March: three rows.
    assert frame.keys["customer_id"].tolist() == ["a", "a", "b"]
    assert frame.keys["cutoff"].dt.strftime("%m-%d").tolist() == ["02-01", "03-01", "02-01"]
    assert frame.X["purchases_30d"].tolist() == [1, 0, 0]
    assert frame.X["tenure_days_purchase"].tolist() == [17, 45, 383]


def test_a_frame_for_one_cutoff_is_the_part_of_a_frame_for_several(little_study: Little) -> None:
    day = pd.date_range("2024-06-01", "2025-04-01", freq="5D")
    purchases = [
        {"customer_id": "abc"[i % 3], "at": f"{d:%Y-%m-%d}", "product": "cup" if i % 2 else "pot", "amount": 0.1 * i}
        for i, d in enumerate(day)
    ]
    little = little_study(customers=[{"customer_id": key} for key in "abc"], purchases=purchases)
    study = little.load()
    instants = [datetime(2025, month, 1, tzinfo=UTC) for month in (1, 2, 3)]
    with little.open() as tables:
        cohorts = [
            draw_cohort(tables, c, target=study.target, outcome=study.outcome, express=express).keys for c in instants
        ]
        plan, _ = learn_plan(tables, study, cohorts=cohorts, cutoffs=instants)
        together = build_frame(tables, plan, cohorts=cohorts, cutoffs=instants)
        for cohort, cutoff in zip(cohorts, instants, strict=True):
            alone = build_frame(tables, plan, cohorts=[cohort], cutoffs=[cutoff])
            part = together.take((together.keys["cutoff"] == cohort["cutoff"][0]).to_numpy())
            assert part.X.to_numpy().tobytes() == alone.X.to_numpy().tobytes()


def test_few_records_of_many_customers_leave_in_bounded_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """One record in all, and 1,000 rows: blocks are cut between customers."""
    from propensity.features import sweep as module

    monkeypatch.setattr(module, "BLOCK_ROWS", 100)
    cutoffs = tuple(to_instant(f"2025-0{month}-01", zone=Z) for month in (1, 2, 3))
    asked = Sweep(columns=(Column("n", "count", 0),), cutoffs=cutoffs, zone=Z, slots=1)
    row_code, row_cutoff = np.repeat(np.arange(1000), 3), np.tile(np.arange(3), 1000)
    blocks = list(sweep_blocks([records((500, "2025-01-15"))], asked, row_code, row_cutoff))
    assert [start for start, _ in blocks] == np.cumsum([0, *[len(block) for _, block in blocks]])[:-1].tolist()
    assert all(len(block) <= 102 and len(block) % 3 == 0 for _, block in blocks)
    together = np.concatenate([block for _, block in blocks])[:, 0].reshape(1000, 3)
    assert together.sum(axis=1).nonzero()[0].tolist() == [500]
    assert together[500].tolist() == [0, 1, 1]


def test_windows_may_begin_before_1970() -> None:
    given = records((1, "1969-12-31"), (1, "1969-11-01"), (1, "1970-01-05"))
    wanted = "count 30d, trend 10d, trend 30d, recency 30d"
    # 30 days before 11 January 1970: 12 December, and 12 November before. 10 days: 1 January, and 22 December before.
    assert one(given, wanted, cutoffs="1970-01-11") == [2, 0, 2, 6]
