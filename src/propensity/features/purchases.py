"""Purchase history before the cutoff: recency, frequency, monetary value, T, by product, gaps and returns.

A purchase with an amount below zero is a return: it counts as one, and buys nothing.
"""

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime

import ibis.expr.types as ir
import numpy as np

from propensity.config import PurchasesSpec
from propensity.data.tables import Tables
from propensity.features.catalogue import Feature
from propensity.features.records import RecordPlan, learn_vocabularies, read_sorted
from propensity.features.sweep import Column, Records
from propensity.temporal import Duration

_BOUGHT, _RETURNED = 0, 1
Entry = tuple[Column, Feature]


def plan_purchases(
    tables: Tables, spec: PurchasesSpec, *, windows: list[Duration], cutoff: datetime, most: int
) -> RecordPlan:
    """The purchase features of a study, from the products and attributes seen before `cutoff` (the last on train)."""
    assert tables.purchases is not None  # noqa: S101 - the study declares purchases
    vocabularies, slots = learn_vocabularies(
        tables.purchases, ["product", *spec.attributes], cutoff=cutoff, most=most, first_slot=2
    )
    spans = [*windows, None]
    entries = [_count("purchases", _BOUGHT, "purchases", span) for span in spans]
    entries += [_days(span) for span in spans]
    if spec.amount:
        entries += [_spend("spend", _BOUGHT, "spent", span) for span in spans]
        entries += [_count("returns", _RETURNED, "returns", span) for span in spans]
        entries += [_spend("returned", _RETURNED, "returned", span) for span in spans]
    entries += [_trend(window) for window in windows[:-1]]
    entries += [_recency("purchase", _BOUGHT, "purchase", windows[-1]), *_rhythm()]
    for vocabulary in vocabularies:
        prefix = "" if vocabulary.column == "product" else f"{vocabulary.column}_"
        for slot, name, value in vocabulary.slots():
            entries += _by_value(slot, f"{prefix}{name}", spec.labels.get(value, value), spans)
    columns, features = zip(*entries, strict=True)
    return RecordPlan(role="purchases", vocabularies=vocabularies, columns=columns, features=features, slots=slots)


def _entry(column: Column, words: str, *, unit: str, phrase: str | None = None) -> Entry:
    return column, Feature(
        name=column.name,
        description=words,
        phrase=phrase or f"{{value}} {words}",
        kind="number",
        group="purchase history",
        unit=unit,
        source="purchases",
        window=str(column.window) if column.window else None,
    )


def _when(span: Duration | None) -> tuple[str, str]:
    return (str(span), f"in the last {span.words}") if span else ("ever", "so far")


def _count(name: str, slot: int, label: str, span: Duration | None) -> Entry:
    suffix, when = _when(span)
    return _entry(Column(f"{name}_{suffix}", "count", slot, span), f"{label} {when}", unit="count")


def _days(span: Duration | None) -> Entry:
    suffix, when = _when(span)
    return _entry(Column(f"purchase_days_{suffix}", "days", _BOUGHT, span), f"days with purchases {when}", unit="count")


def _spend(name: str, slot: int, label: str, span: Duration | None) -> Entry:
    suffix, when = _when(span)
    return _entry(
        Column(f"{name}_{suffix}", "sum", slot, span),
        f"amount {label} {when}",
        unit="money",
        phrase=f"{label} {{value}} {when}",
    )


def _trend(window: Duration) -> Entry:
    words = f"more purchases in the last {window.words} than in the {window.words} before"
    return _entry(Column(f"trend_purchases_{window}", "trend", _BOUGHT, window), words, unit="change")


def _recency(name: str, slot: int, label: str, longest: Duration) -> Entry:
    # How long ago something older than the longest window was depends on how far the records go: it counts as never.
    column, feature = _entry(
        Column(f"recency_days_{name}", "recency", slot, longest),
        f"days since the last {label}",
        unit="days",
        phrase=f"last {label} {{value}} days ago",
    )
    return column, replace(feature, phrase_missing=f"no {label} in the last {longest.words}")


def _rhythm() -> list[Entry]:
    return [
        _entry(Column("tenure_days_purchase", "since_first", _BOUGHT), "days since the first purchase", unit="days"),
        _entry(Column("gap_days_mean_purchase", "gap_mean", _BOUGHT), "days between purchases on average", unit="days"),
        _entry(Column("gap_days_sd_purchase", "gap_sd", _BOUGHT), "days of spread between purchases", unit="days"),
        _entry(
            Column("gap_days_last_purchase", "gap_last", _BOUGHT), "days between the last two purchases", unit="days"
        ),
    ]


def _by_value(slot: int, name: str, value: str, spans: list[Duration | None]) -> list[Entry]:
    label = f"purchases of {value}"
    counts = [_count(f"purchases_{name}", slot, label, span) for span in (spans[-2], spans[-1])]
    assert spans[-2] is not None  # noqa: S101 - the longest window stands before "ever"
    return [*counts, _recency(f"purchase_{name}", slot, f"purchase of {value}", spans[-2])]


def read_purchases(tables: Tables, plan: RecordPlan, *, until: datetime, codes: ir.Table) -> Iterator[Records]:
    """Sorted batches of purchases with their slots; a return counts as a return only, by its absolute amount."""
    assert tables.purchases is not None  # noqa: S101 - the study declares purchases
    for records, _ in read_sorted(tables, tables.purchases, plan=plan, until=until, codes=codes, value="amount_units"):
        returned = records.value < 0
        first = np.where(returned, _RETURNED, _BOUGHT).astype(np.int32)
        slots = np.where(returned[:, None], -1, records.slots).astype(np.int32)
        yield replace(records, slots=np.column_stack([first, slots]), value=np.abs(records.value))
