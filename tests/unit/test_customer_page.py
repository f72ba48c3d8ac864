"""A customer's page: what is drawn of the records."""

import pandas as pd
import pytest

from propensity.report.customer import draw_timeline


@pytest.mark.parametrize(
    ("zone", "as_of"),
    [
        ("Atlantic/Azores", "2025-10-26"),  # midnight comes twice
        ("America/Havana", "2025-11-02"),
        ("Africa/Cairo", "2025-04-25"),  # midnight does not come
        ("America/Asuncion", "2024-10-06"),
    ],
)
def test_a_year_that_ends_or_begins_where_the_clock_is_turned_can_be_drawn(zone, as_of):
    at = pd.to_datetime([f"{pd.Timestamp(as_of) - pd.Timedelta(days=days):%F} 12:00" for days in (1, 200, 365, 400)])
    rows = pd.DataFrame({"at": at.tz_localize(zone), "role": "event", "what": "visit"})
    drawn = draw_timeline(rows, as_of)
    assert (drawn.earlier, drawn.counts) == (1, [("visit", 3)])
    axes = drawn.chart.figure.axes[0]
    (visits,) = axes.lines
    assert list(visits.get_xdata()) == sorted(visits.get_xdata(), reverse=True)
    assert len(axes.get_xticks()) in (12, 13)


@pytest.mark.filterwarnings("error")
def test_a_customer_without_records_in_the_last_year_can_be_drawn():
    rows = pd.DataFrame({"at": pd.to_datetime(["2020-01-01"]).tz_localize("UTC"), "role": "event", "what": "visit"})
    drawn = draw_timeline(rows, "2025-06-01")
    assert (drawn.earlier, drawn.counts) == (1, [])


def test_an_event_and_a_purchase_of_one_name_are_counted_apart():
    at = pd.to_datetime(["2025-05-01", "2025-05-02", "2025-05-03"]).tz_localize("UTC")
    rows = pd.DataFrame({"at": at, "role": ["event", "event", "purchase"], "what": "tea"})
    assert draw_timeline(rows, "2025-06-01").description.startswith("tea: 2. tea: 1.")
