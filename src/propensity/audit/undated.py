"""Attributes that are one undated snapshot: the risk that no test can rule out."""

from collections.abc import Sequence
from datetime import datetime

from propensity.audit.findings import NOTE, SUSPICIOUS, UNDATED, Finding
from propensity.audit.lineage import Lineage, Tracer
from propensity.config import DataSpec
from propensity.data.connect import count_repeated
from propensity.data.tables import Tables, dates_ahead
from propensity.temporal import format_instant

_NAMED = 12
_FEW_AHEAD = 0.005
"""Share of dates at or after the cutoff up to which they are taken for mistakes in writing."""

_ADVICE = (
    "Ask of each: can it change after the fact, and is it updated when somebody buys? Then give its versions over time "
    "(data.customers.known_from, a row for each version), or leave it out."
)


def undated_attributes(tables: Tables, tracer: Tracer, lineage: Lineage) -> list[str]:
    """The attributes whose values are one snapshot, taken nobody knows when.

    Not among them are attributes out of tables of dated records, which the scramble test looks at, and attributes with
    versions: several rows of a customer, each known from a time of its own.
    """
    role = tables.spec.customers
    is_versioned = count_repeated(tables.customers, ["customer_id"]) > 0
    undated = []
    for name, attribute in role.attributes.items():
        raws = tracer.raw_tables(role.table, attribute.column or name)
        roles = [{time.role for time in lineage.times.get(raw, ())} for raw in raws]
        if not all(found - {"customers"} or ("customers" in found and is_versioned) for found in roles):
            undated.append(name)
    return undated


def undated_finding(names: Sequence[str], *, spec: DataSpec) -> list[Finding]:
    """The undated attributes, listed as a known risk."""
    if not names:
        return []
    rest = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    text = (
        f"{len(names)} of {len(spec.customers.attributes)} attributes are one undated snapshot: "
        f"{', '.join(names[:_NAMED])}{rest}. What they were at a cutoff is not recorded, so that no test can tell "
        "whether they were written later"
    )
    return [Finding(UNDATED, NOTE, "attributes", text, _ADVICE, {"attributes": list(names)})]


def find_dates_ahead(tables: Tables, names: Sequence[str], cutoff: datetime) -> list[Finding]:
    """Undated attributes that hold dates at or after the cutoff of customers who were known before it.

    A plan, such as a contract's end, reaches beyond the last record; what goes on up to the last record, and no
    further, is most likely written as things happen.
    """
    found = []
    for name, (given, ahead, latest) in dates_ahead(tables, cutoff).items():
        if name not in names or ahead <= _FEW_AHEAD * given:
            continue
        until = tables.until.astimezone(tables.spec.zone).replace(tzinfo=None) if tables.until else latest
        day = format_instant(cutoff, zone=tables.spec.zone)
        text = f"{ahead:,} of {given:,} dates of '{name}' lie at or after {day}, the last train cutoff"
        facts = {"given": given, "ahead": ahead, "latest": latest.isoformat()}
        if latest > until:
            text += f"; the latest is {latest:%Y-%m-%d}, beyond the last record: planned ahead, or a mistake"
            found.append(Finding(UNDATED, NOTE, name, text, "", facts))
            continue
        text += ", and none lies beyond the last record: the column is updated as things happen, after the cutoff too"
        found.append(Finding(UNDATED, SUSPICIOUS, name, text, _ADVICE, facts))
    return found
