"""The cohort: target customers who had not bought before the cutoff and may be contacted, with the funnel.

Everything is as of the cutoff: who is known, the target criteria, "never purchased" and suppression.
"""

from dataclasses import dataclass
from datetime import UTC, datetime

import ibis
import pandas as pd

from propensity.config import OutcomeSpec, TargetSpec
from propensity.data.connect import Express, to_frame
from propensity.data.tables import Tables, as_of, attributes_as_of, outcome_records
from propensity.errors import ConfigError


@dataclass(frozen=True)
class FunnelStep:
    """One step of the funnel: how many customers are left, how many it removed, and why."""

    name: str
    count: int
    removed: int
    reason: str

    def to_dict(self) -> dict[str, object]:
        """As plain values for JSON."""
        return {"name": self.name, "count": self.count, "removed": self.removed, "reason": self.reason}


@dataclass(frozen=True)
class Cohort:
    """The prospects at one cutoff.

    Attributes
    ----------
    cutoff : datetime
        The aware instant that everything is as of.
    keys : DataFrame
        ``customer_id``, ``code`` (int64) and ``cutoff`` (naive UTC), ordered by code.
    funnel : list of FunnelStep
        From all known customers down to the prospects.
    """

    cutoff: datetime
    keys: pd.DataFrame
    funnel: list[FunnelStep]

    def __len__(self) -> int:
        return len(self.keys)


def draw_cohort(
    tables: Tables, cutoff: datetime, *, target: TargetSpec, outcome: OutcomeSpec, express: Express
) -> Cohort:
    """Draw the prospects at `cutoff`.

    Parameters
    ----------
    tables : Tables
        The canonical tables.
    cutoff : datetime
        Aware instant; only rows before it are seen.
    target, outcome : TargetSpec, OutcomeSpec
        Who is a target customer, who is suppressed, and which purchase ends being a prospect.
    express : callable
        Turns checked expressions into columns.

    Returns
    -------
    Cohort
        Keys of the prospects, and the funnel with a count for every step.
    """
    known = attributes_as_of(tables, cutoff)
    bought = as_of(outcome_records(tables, outcome, express=express), cutoff).customer_id
    flags = {
        "target": express(target.where, known, "target.where") if target.where else ibis.literal(value=True),
        "bought": known.customer_id.isin(bought),
        "suppressed": _suppressed(tables, known, cutoff, target, express),
    }
    joined = known.mutate(**flags).select("customer_id", *flags).inner_join(tables.codes, "customer_id")
    rows = to_frame(joined.order_by("code"))
    is_target = rows["target"].fillna(value=False).to_numpy(dtype=bool)
    is_prospect = is_target & ~rows["bought"].to_numpy(dtype=bool)
    contactable = is_prospect & ~rows["suppressed"].to_numpy(dtype=bool)
    keys = rows.loc[contactable, ["customer_id", "code"]].reset_index(drop=True)
    keys["cutoff"] = pd.Timestamp(cutoff.astimezone(UTC).replace(tzinfo=None)).as_unit("us")
    counts = [len(rows), int(is_target.sum()), int(is_prospect.sum()), int(contactable.sum())]
    return Cohort(cutoff=cutoff, keys=keys, funnel=funnel_steps(counts, target))


def _suppressed(
    tables: Tables, known: ibis.Table, cutoff: datetime, target: TargetSpec, express: Express
) -> ibis.expr.types.BooleanValue:
    suppressed = ibis.literal(value=False)
    if target.suppress.event:
        if tables.events is None:
            raise ConfigError("target.suppress.event: the study has no events. Declare data.events, or use 'where'.")
        events = as_of(tables.events, cutoff)
        suppressed = known.customer_id.isin(events.filter(events.kind.isin(target.suppress.event)).customer_id)
    if target.suppress.where:
        by_rule = express(target.suppress.where, known, "target.suppress.where").fill_null(False)
        suppressed = suppressed | by_rule
    return suppressed


def funnel_steps(counts: list[int], target: TargetSpec) -> list[FunnelStep]:
    """The funnel of known, target, never-purchased and contactable customers, from their counts in this order."""
    names = ["customers", "target customers", "never purchased", "prospects"]
    reasons = [
        "known before the cutoff",
        f"meet: {target.where}" if target.where else "no criteria: every customer is a target customer",
        "had not bought the product before the cutoff",
        "not suppressed",
    ]
    before = [counts[0], *counts[:-1]]
    return [
        FunnelStep(name=name, count=count, removed=previous - count, reason=reason)
        for name, count, previous, reason in zip(names, counts, before, reasons, strict=True)
    ]
