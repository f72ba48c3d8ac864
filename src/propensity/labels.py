"""Labels: who of a cohort bought within the horizon, and whether that can be known yet.

A label looks at ``[cutoff + gap, cutoff + gap + horizon)``. It is usable once that window and the
reporting lag have passed (it has *matured*); before, non-buyers are censored, not negative.
"""

from datetime import UTC, date, datetime, timedelta

import numpy as np
import numpy.typing as npt
import pandas as pd

from propensity.config import Study
from propensity.data.connect import Express, to_frame
from propensity.data.schema import AMOUNT_UNITS
from propensity.data.tables import Tables, between, outcome_records
from propensity.errors import DataError
from propensity.temporal import Window, format_instant, to_instant


def is_mature(study: Study, cutoff: datetime, *, until: datetime | None) -> bool:
    """Whether the cutoff's label window and the reporting lag lie within the recorded time."""
    return until is not None and study.matures_at(cutoff) <= until


def require_mature(study: Study, cutoff: datetime, *, until: datetime | None, split: str) -> None:
    """Raise DataError unless the labels of `cutoff` are known; the message says which cutoff would do."""
    if is_mature(study, cutoff, until=until):
        return
    zone = study.zone
    end = format_instant(study.matures_at(cutoff), zone=zone)
    recorded = format_instant(until, zone=zone) if until else "nothing"
    latest = f"a cutoff up to {latest_mature(study, until)}" if until else "an earlier cutoff"
    raise DataError(
        f"labels: the window of the {split} cutoff {format_instant(cutoff, zone=zone)} (with the reporting lag) ends "
        f"{end}, after the last record (the source is recorded up to {recorded}).\n"
        f"Choose {latest}, or a shorter horizon."
    )


def latest_mature(study: Study, until: datetime) -> date:
    """The latest day whose labels are known by `until`; tried day by day, for months differ in length."""
    day = until.astimezone(study.zone).date()
    while study.matures_at(to_instant(day, zone=study.zone)) > until:
        day -= timedelta(days=1)
    return day


def first_purchases(
    tables: Tables, keys: pd.DataFrame, cutoff: datetime, *, study: Study, express: Express
) -> pd.DataFrame:
    """When each prospect first bought, and for how much, in the longest of the study's label windows at `cutoff`.

    Parameters
    ----------
    keys : DataFrame, n rows
        The cohort's keys, with ``code``.

    Returns
    -------
    DataFrame, n rows
        ``bought_at`` (naive UTC, microseconds; NaT for who did not buy in the window, or not in what is recorded of
        it) and ``amount`` (the study's money: all that was bought of the product at that instant; NaN where nothing
        was bought, or amounts are not declared), in the order of `keys`.
    """
    records = between(outcome_records(tables, study.outcome, express=express), study.longest_window(cutoff))
    first = records.occurred_at.min().over(group_by="customer_id")
    records = records.mutate(bought_at=first).filter(lambda record: record.occurred_at == record.bought_at)
    has_amount = study.outcome.event is None and study.data.purchases is not None and study.data.purchases.amount
    units = {"units": records.amount_units.sum()} if has_amount else {}
    bought = records.group_by("customer_id").agg(bought_at=records.bought_at.min(), **units)
    found = to_frame(bought.inner_join(tables.codes, "customer_id").drop("customer_id")).set_index("code")
    found = found.reindex(keys["code"].to_numpy())
    bought_at = pd.to_datetime(found["bought_at"], utc=True).dt.tz_localize(None).to_numpy().astype("datetime64[us]")
    amount = found["units"].to_numpy(dtype=np.float64) / AMOUNT_UNITS if units else np.full(len(keys), np.nan)
    return pd.DataFrame({"bought_at": bought_at, "amount": amount})


def bought_within(purchases: pd.DataFrame, window: Window) -> npt.NDArray[np.int8]:
    """1 for each of `first_purchases` that falls into the window, else 0, shape (n,)."""
    end = np.datetime64(window.end.astimezone(UTC).replace(tzinfo=None), "us")
    return (purchases["bought_at"].to_numpy() < end).astype(np.int8)


def label_cohort(
    tables: Tables, keys: pd.DataFrame, cutoff: datetime, *, study: Study, express: Express
) -> npt.NDArray[np.int8]:
    """1 for each prospect who bought in the label window of `cutoff`, else 0, in the order of `keys`, shape (n,)."""
    found = first_purchases(tables, keys, cutoff, study=study, express=express)
    return bought_within(found, study.label_window(cutoff))
