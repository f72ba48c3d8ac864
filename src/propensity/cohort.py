"""The cohort at a cutoff: target customers who had never bought the product and may be contacted; and the funnel."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

import ibis
import numpy as np
import numpy.typing as npt
import pandas as pd

from propensity.config import OutcomeSpec, TargetSpec
from propensity.data.connect import Express, to_frame
from propensity.data.tables import Tables, as_of, attributes_as_of, outcome_records
from propensity.errors import ConfigError
from propensity.rules.expressions import parse_expression

Flags = npt.NDArray[np.bool_]
Behaviour = Callable[[pd.DataFrame, datetime, Mapping[str, str]], Flags]
"""Which criteria over behaviour customers meet: keys, the cutoff, and the criteria; flags of shape (n, criteria)."""


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
class Criterion:
    """What one criterion of the target does at a cutoff.

    Attributes
    ----------
    name, text : str
        Its name, and its checked expression.
    fails : int
        Known customers who do not meet it.
    kept_out : DataFrame
        Keys of those who would be prospects without it: it alone keeps them out.
    """

    name: str
    text: str
    fails: int
    kept_out: pd.DataFrame


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
    criteria : list of Criterion
        What each criterion of the target does by itself.
    """

    cutoff: datetime
    keys: pd.DataFrame
    funnel: list[FunnelStep]
    criteria: list[Criterion] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.keys)


def draw_cohort(
    tables: Tables,
    cutoff: datetime,
    *,
    target: TargetSpec,
    outcome: OutcomeSpec,
    express: Express,
    behaviour: Behaviour | None = None,
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
    behaviour : callable, optional
        Answers the criteria that look at more than attributes.

    Returns
    -------
    Cohort
        Keys of the prospects, and the funnel with a count for every step.
    """
    known = attributes_as_of(tables, cutoff)
    bought = as_of(outcome_records(tables, outcome, express=express), cutoff).customer_id
    named, place = target.named_criteria, target.place
    read = {name: parse_expression(text, columns=None, where=place[name]).columns for name, text in named.items()}
    acted = {name: text for name, text in named.items() if behaviour and not read[name] <= set(known.columns)}
    flags = {f"meets_{i}": express(named[n], known, place[n]) for i, n in enumerate(named) if n not in acted}
    flags |= {
        "bought": known.customer_id.isin(bought),
        "suppressed": _suppressed(tables, known, cutoff, target, express),
    }
    joined = known.mutate(**flags).select("customer_id", *flags).inner_join(tables.codes, "customer_id")
    rows = to_frame(joined.order_by("code"))
    keys = rows[["customer_id", "code"]].copy()
    keys["cutoff"] = pd.Timestamp(cutoff.astimezone(UTC).replace(tzinfo=None)).as_unit("us")
    meets = np.ones((len(rows), len(named)), dtype=bool)
    for i, name in enumerate(named):
        if name not in acted:
            meets[:, i] = rows[f"meets_{i}"].fillna(value=False)
    if acted and behaviour:
        meets[:, [name in acted for name in named]] = behaviour(keys, cutoff, acted)
    has_bought, is_suppressed = rows["bought"].to_numpy(dtype=bool), rows["suppressed"].to_numpy(dtype=bool)
    is_target = meets.all(axis=1)
    counts = [len(rows), is_target.sum(), (is_target & ~has_bought).sum()]
    is_prospect = is_target & ~has_bought & ~is_suppressed
    lacks_one = ~has_bought & ~is_suppressed & ((~meets).sum(axis=1) == 1)
    criteria = [
        Criterion(name, text, int((~meets[:, i]).sum()), keys[lacks_one & ~meets[:, i]].reset_index(drop=True))
        for i, (name, text) in enumerate(named.items())
    ]
    return Cohort(
        cutoff=cutoff,
        keys=keys[is_prospect].reset_index(drop=True),
        funnel=funnel_steps([*map(int, counts), int(is_prospect.sum())], target),
        criteria=criteria,
    )


def known_customers(tables: Tables, cutoff: datetime) -> pd.DataFrame:
    """Keys of all customers known before `cutoff`: ``customer_id``, ``code`` and ``cutoff``, ordered by code."""
    known = attributes_as_of(tables, cutoff).select("customer_id").inner_join(tables.codes, "customer_id")
    keys = to_frame(known.order_by("code"))
    return keys.assign(cutoff=pd.Timestamp(cutoff.astimezone(UTC).replace(tzinfo=None)).as_unit("us"))


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
    criteria = "; ".join(target.named_criteria)
    reasons = [
        "known before the cutoff",
        f"meet: {criteria}" if criteria else "no criteria: every customer is a target customer",
        "had not bought the product before the cutoff",
        "not suppressed",
    ]
    before = [counts[0], *counts[:-1]]
    return [
        FunnelStep(name=name, count=count, removed=previous - count, reason=reason)
        for name, count, previous, reason in zip(names, counts, before, reasons, strict=True)
    ]
