"""Behaviour: what customers did before the cutoff, by kind of event, attribute and window."""

from datetime import datetime

from propensity.config import EventsSpec, FeaturesSpec
from propensity.data.tables import Tables
from propensity.features.entries import Entries, Entry
from propensity.features.records import RecordPlan, Slotted, Vocabulary, learn_vocabularies
from propensity.temporal import Duration

_VALUES = {"sum": "sum of", "mean": "average", "min": "smallest", "max": "greatest"}


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
    entries = _kind_entries(make, spec, features, first_slot, "", "events")
    for slot, name, (value,) in vocabularies[0].slots():
        entries += _kind_entries(make, spec, features, slot, f"_{name}", _label(spec, value))
        entries += _shares(make, features, slot, f"_{name}", _label(spec, value), first_slot)
    for vocabulary in vocabularies[1:]:
        for slot, name, values in vocabulary.slots():
            label, name = _value_label(spec, vocabulary, values), f"_{vocabulary.name}_{name}"
            entries += [make.count(f"events{name}", slot, label, window) for window in windows]
            entries += _shares(make, features, slot, name, label, first_slot)
    keys = ("kind", *attributes) if "distinct" in features.events else ()
    for key, column in enumerate(keys):
        what = "kinds of events" if column == "kind" else f"values of {column.replace('_', ' ')} in events"
        entries += [make.distinct(column, first_slot, what, key=key, span=window) for window in windows]
    return RecordPlan.of("events", entries, first_slot=first_slot, vocabularies=vocabularies, keys=keys)


def _label(spec: EventsSpec, kind: str) -> str:
    return spec.labels.get(kind, f"{kind.replace('_', ' ')} events")


def _value_label(spec: EventsSpec, vocabulary: Vocabulary, values: tuple[str, ...]) -> str:
    column = vocabulary.columns[-1].replace("_", " ")
    if len(vocabulary.columns) == 1:
        return f"events ({column}: {values[0]})"
    return f"{_label(spec, values[0])} ({column}: {values[1]})" if len(values) > 1 else f"other events by {column}"


def _kind_entries(
    make: Entries, spec: EventsSpec, features: FeaturesSpec, slot: int, name: str, label: str
) -> list[Entry]:
    """The declared measures of all events, or of one kind."""
    wanted, single, entries = features.events, name.removeprefix("_") or "event", []
    if "count" in wanted:
        entries += [make.count(f"events{name}", slot, label, span) for span in make.spans]
    for window in make.windows:
        if "days" in wanted:
            entries.append(make.days(f"active_days{name}", slot, label, window))
        if "trend" in wanted and window != make.windows[-1]:
            entries.append(make.trend(name.removeprefix("_") or "events", slot, label, window))
    if "recency" in wanted:
        entries.append(make.recency(single, slot, label))
    if "since_first" in wanted:
        entries.append(make.since_first(single, slot, label))
    if "gaps" in wanted:
        entries += make.gaps(single, slot, label)
    if "streak" in wanted:
        entries += make.streak(single, slot, label)
    if spec.value:
        for measure, words in _VALUES.items():
            if measure in wanted:
                text = f"{words} {spec.value.replace('_', ' ')} of {label} {{when}}"
                entries += [
                    make.amount(f"value_{measure}{name}", measure, slot, text, unit="value", span=span)
                    for span in make.spans
                ]
    return entries


def _shares(make: Entries, features: FeaturesSpec, slot: int, name: str, label: str, whole: int) -> list[Entry]:
    if "share" not in features.events:
        return []
    return [make.share(f"events{name}", slot, label, of=whole, whole="events", span=window) for window in make.windows]


def slotted_events(tables: Tables, plan: RecordPlan) -> Slotted:
    """The events with the slots that the plan counts them in."""
    assert tables.events is not None  # noqa: S101 - the study declares events
    events = tables.events
    return Slotted(plan, events, value=events.value_units if "value_units" in events.columns else None)
