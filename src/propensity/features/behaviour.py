"""Behaviour: what customers did before the cutoff, by kind of event, attribute and window."""

from datetime import datetime

from propensity.config import EventsSpec, FeaturesSpec
from propensity.data.tables import Tables
from propensity.features.entries import Entries, Entry, Words, value_words
from propensity.features.records import RecordPlan, Slotted, learn_vocabularies
from propensity.temporal import Duration

_VALUES = ("sum", "mean", "min", "max")


def plan_behaviour(
    tables: Tables,
    spec: EventsSpec,
    features: FeaturesSpec,
    *,
    windows: list[Duration],
    cutoff: datetime,
    first_slot: int = 0,
) -> RecordPlan:
    """The behaviour features of a study, from the kinds and attributes seen before `cutoff` (the last on train).

    Returns
    -------
    RecordPlan
        The declared measures for all events and for each kind; for each value of an attribute, and each combination
        of a kind and a crossed attribute, counts by window (and shares, where declared).
    """
    assert tables.events is not None  # noqa: S101 - the study declares events
    attributes = [*spec.attributes, *(["initiated_by"] if spec.initiated_by else [])]
    crossed = [("kind", name) for name in features.cross if name in attributes]
    vocabularies = learn_vocabularies(
        tables.events,
        [("kind",), *[(name,) for name in attributes], *crossed],
        cutoff=cutoff,
        most=features.top_categories,
        first_slot=first_slot + 1,
    )
    make = Entries(group="behaviour", source="events", windows=windows)
    entries = _kind_entries(make, spec, features, first_slot, "", {"what": "events"})
    for vocabulary in vocabularies:
        is_kind = vocabulary.columns == ("kind",)
        for slot, name, values in vocabulary.slots():
            name = f"_{name}" if is_kind else f"_{vocabulary.name}_{name}"
            words = value_words("kind", vocabulary.columns, values, spec.labels)
            if is_kind:
                entries += _kind_entries(make, spec, features, slot, name, words)
            else:
                entries += [make.count(f"events{name}", slot, words, window) for window in windows]
            if "share" in features.events:
                entries += [make.share(f"events{name}", slot, words, of=first_slot, span=window) for window in windows]
    keys = ("kind", *attributes) if "distinct" in features.events else ()
    for key, column in enumerate(keys):
        entries += [make.distinct(column, first_slot, column, key=key, span=window) for window in windows]
    return RecordPlan.of("events", entries, first_slot=first_slot, vocabularies=vocabularies, keys=keys)


def _kind_entries(
    make: Entries, spec: EventsSpec, features: FeaturesSpec, slot: int, name: str, words: Words
) -> list[Entry]:
    """The declared measures of all events, or of one kind."""
    wanted, single, entries = features.events, name.removeprefix("_") or "event", []
    if "count" in wanted:
        entries += [make.count(f"events{name}", slot, words, span) for span in make.spans]
    for window in make.windows:
        if "days" in wanted:
            entries.append(make.days(f"active_days{name}", slot, words, window))
        if "trend" in wanted and window != make.windows[-1]:
            entries.append(make.trend(name.removeprefix("_") or "events", slot, words, window))
    if "recency" in wanted:
        entries.append(make.recency(single, slot, words))
    if "since_first" in wanted:
        entries.append(make.since_first(single, slot, words))
    if "gaps" in wanted:
        entries += make.gaps(single, slot, words)
    if "streak" in wanted:
        entries += make.streak(single, slot, words)
    if spec.value:
        words = {**words, "column": spec.value}
        entries += [
            make.amount(f"value_{measure}{name}", measure, slot, f"value_{measure}", words, unit="value", span=span)
            for measure in _VALUES
            if measure in wanted
            for span in make.spans
        ]
    return entries


def slotted_events(tables: Tables, plan: RecordPlan) -> Slotted:
    """The events with the slots that the plan counts them in."""
    assert tables.events is not None  # noqa: S101 - the study declares events
    events = tables.events
    return Slotted(plan, events, value=events.value_units if "value_units" in events.columns else None)
