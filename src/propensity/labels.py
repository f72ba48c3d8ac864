"""Labels: who of a cohort bought within the horizon, and whether that can be known yet.

A label looks at ``[cutoff + gap, cutoff + gap + horizon)``. It is usable once that window and the
reporting lag have passed (it has *matured*); before, non-buyers are censored, not negative.
"""

from datetime import date, datetime, timedelta

import numpy as np
import numpy.typing as npt
import pandas as pd

from propensity.config import Study
from propensity.data.connect import Express, to_frame
from propensity.data.tables import Tables, between, outcome_records
from propensity.errors import DataError
from propensity.temporal import format_instant, label_window, to_instant


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
    latest = f"a cutoff up to {_latest_mature(study, until)}" if until else "an earlier cutoff"
    raise DataError(
        f"labels: the window of the {split} cutoff {format_instant(cutoff, zone=zone)} (with the reporting lag) ends "
        f"{end}, after the last record (the source is recorded up to {recorded}).\n"
        f"Choose {latest}, or a shorter horizon."
    )


def _latest_mature(study: Study, until: datetime) -> date:
    """The latest day whose labels are known by `until`; tried day by day, for months differ in length."""
    day = until.astimezone(study.zone).date()
    while study.matures_at(to_instant(day, zone=study.zone)) > until:
        day -= timedelta(days=1)
    return day


def label_cohort(
    tables: Tables, keys: pd.DataFrame, cutoff: datetime, *, study: Study, express: Express
) -> npt.NDArray[np.int8]:
    """1 for each prospect who bought in the label window of `cutoff`, else 0.

    Parameters
    ----------
    keys : DataFrame, n rows
        The cohort's keys, with ``code``.

    Returns
    -------
    ndarray of int8, shape (n,)
        Labels in the order of `keys`.
    """
    assert study.outcome.horizon is not None  # noqa: S101 - the study's own check
    records = outcome_records(tables, study.outcome, express=express)
    window = label_window(cutoff, gap=study.outcome.gap, horizon=study.outcome.horizon, zone=study.zone)
    buyers = between(records, window).select("customer_id").distinct()
    codes = to_frame(buyers.inner_join(tables.codes, "customer_id").select("code"))["code"].to_numpy()
    return np.isin(keys["code"].to_numpy(), codes).astype(np.int8)
