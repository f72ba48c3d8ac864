"""What is recorded of one customer before a cutoff."""

from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import pandas as pd

from propensity.data.connect import to_frame
from propensity.data.schema import AMOUNT_UNITS
from propensity.data.tables import Tables, as_of

_TOLD_BY = {"events": ("event", "kind"), "purchases": ("purchase", "product"), "contacts": ("contact", "by")}
"""What a record of each role is called, and the column that says of what kind it is."""
_KEPT_APART = {"customer_id", "occurred_at", "available_at", "value_units", "amount_units"}


def timeline(tables: Tables, customer_id: Any, cutoff: datetime, *, zone: ZoneInfo) -> pd.DataFrame:
    """A customer's events, purchases and contacts as they were known at a cutoff, the earliest first.

    Parameters
    ----------
    customer_id
        The key, of the column's own type.
    cutoff : datetime
        The aware instant: nothing from it on, and nothing that became known from it on.
    zone : ZoneInfo
        Of the times given back.

    Returns
    -------
    DataFrame
        ``at`` (local, aware), ``role`` (``event``, ``purchase`` or ``contact``), ``what`` (the kind, the product, by
        what), ``value`` (of an event, or the amount; NaN without) and ``details``.
    """
    parts = []
    for name, records in tables.records.items():
        role, what = _TOLD_BY[name]
        own = to_frame(as_of(records, cutoff).filter(lambda table: table.customer_id == customer_id))
        value = own.get("value_units", own.get("amount_units"))
        if role == "purchase" and tables.spec.purchases is not None and tables.spec.purchases.amount is None:
            value = None
        if what not in own:
            own[what] = None
        details = [column for column in own.columns if column not in {*_KEPT_APART, what}]
        parts.append(
            pd.DataFrame(
                {
                    "at": pd.to_datetime(own["occurred_at"]).dt.tz_localize("UTC").dt.tz_convert(zone),
                    "role": role,
                    "what": own[what].astype(object).where(own[what].notna(), None),
                    "value": float("nan") if value is None else value.astype("float64") / AMOUNT_UNITS,
                    "details": [_told(row) for row in own[details].to_dict("records")],
                }
            )
        )
    found = pd.concat(parts, ignore_index=True)
    return found.sort_values("at", kind="stable", ignore_index=True)


def _told(row: dict[Any, Any]) -> str:
    given = {name: value for name, value in row.items() if isinstance(value, str) and value}
    return ", ".join(f"{str(name).replace('_', ' ')}: {value}" for name, value in sorted(given.items()))
