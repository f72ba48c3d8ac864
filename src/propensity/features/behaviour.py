"""Behaviour: what customers did before the cutoff, by kind of event, attribute and window."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime

import ibis.expr.types as ir
import numpy as np

from propensity.config import EventsSpec
from propensity.data.tables import Tables
from propensity.features.catalogue import Feature, singular
from propensity.features.records import RecordPlan, learn_vocabularies, read_sorted
from propensity.features.sweep import Column, Records
from propensity.temporal import Duration

_ALL = 0  # the slot of every event


def plan_behaviour(
    tables: Tables, spec: EventsSpec, *, windows: list[Duration], cutoff: datetime, most: int
) -> RecordPlan:
    """The behaviour features of a study, from the kinds and attributes seen before `cutoff` (the last on train).

    Returns
    -------
    RecordPlan
        For all events and each kind: counts and active days by window and ever, recency, and the trend of
        counts against the window before; for each value of an attribute: counts by window.
    """
    assert tables.events is not None  # noqa: S101 - the study declares events
    attributes = [*spec.attributes, *(["initiated_by"] if spec.initiated_by else [])]
    vocabularies, slots = learn_vocabularies(
        tables.events, ["kind", *attributes], cutoff=cutoff, most=most, first_slot=1
    )
    entries = _slot_entries(_ALL, "", "events", windows)
    for slot, name, value in vocabularies[0].slots():
        label = spec.labels.get(value, f"{value.replace('_', ' ')} events")
        entries += _slot_entries(slot, f"_{name}", label, windows)
    for vocabulary in vocabularies[1:]:
        column = vocabulary.column
        for slot, name, value in vocabulary.slots():
            label = f"events ({column.replace('_', ' ')}: {value})"
            entries += [_counted("events", slot, f"_{column}_{name}", label, window) for window in windows]
    columns, features = zip(*entries, strict=True)
    return RecordPlan(role="events", vocabularies=vocabularies, columns=columns, features=features, slots=slots)


def _feature(name: str, description: str, phrase: str, unit: str, window: Duration | None) -> Feature:
    return Feature(
        name=name,
        description=description,
        phrase=phrase,
        kind="number",
        group="behaviour",
        unit=unit,
        source="events",
        window=str(window) if window else None,
    )


def _counted(what: str, slot: int, name: str, label: str, window: Duration | None) -> tuple[Column, Feature]:
    suffix, when = (str(window), f"in the last {window.words}") if window else ("ever", "so far")
    column = Column(name=f"{what}{name}_{suffix}", measure="count", slot=slot, window=window)
    return column, _feature(column.name, f"{label} {when}", f"{{value}} {label} {when}", "count", window)


def _slot_entries(slot: int, name: str, label: str, windows: list[Duration]) -> list[tuple[Column, Feature]]:
    entries = [_counted("events", slot, name, label, window) for window in [*windows, None]]
    for window in windows:
        entries.append(_active_days(slot, name, label, window))
        if window != windows[-1]:
            entries.append(_trend(slot, name, label, window))
    # How long ago something older than the longest window was depends on how far the records go: it counts as never.
    last = Column(name=f"recency_days{name or '_event'}", measure="recency", slot=slot, window=windows[-1])
    one = singular(label)
    feature = _feature(last.name, f"days since the last {one}", f"last {one} {{value}} days ago", "days", windows[-1])
    missing = f"no {one} in the last {windows[-1].words}"
    return [*entries, (last, replace(feature, phrase_missing=missing))]


def _active_days(slot: int, name: str, label: str, window: Duration) -> tuple[Column, Feature]:
    column = Column(name=f"active_days{name}_{window}", measure="days", slot=slot, window=window)
    words = f"days with {label} in the last {window.words}"
    return column, _feature(column.name, words, f"{{value}} {words}", "count", window)


def _trend(slot: int, name: str, label: str, window: Duration) -> tuple[Column, Feature]:
    column = Column(name=f"trend{name or '_events'}_{window}", measure="trend", slot=slot, window=window)
    words = f"{label} in the last {window.words} than in the {window.words} before"
    feature = _feature(column.name, f"more {words}", f"{{value}} more {words}", "count", window)
    return column, replace(feature, unit="change")


def read_events(tables: Tables, plan: RecordPlan, *, until: datetime, codes: ir.Table) -> Iterator[Records]:
    """Sorted batches of events with their slots: all, their kind, their attributes."""
    assert tables.events is not None  # noqa: S101 - the study declares events
    for records, _ in read_sorted(tables, tables.events, plan=plan, until=until, codes=codes, value=None):
        everything = np.full((len(records), 1), _ALL, dtype=np.int32)
        yield replace(records, slots=np.hstack([everything, records.slots]))
