"""Past contacts: whom the business approached before the cutoff, how often, and by what."""

from datetime import datetime

from propensity.config import ContactsSpec, FeaturesSpec
from propensity.data.tables import Tables
from propensity.features.entries import Entries, value_words
from propensity.features.records import RecordPlan, Slotted, learn_vocabularies
from propensity.temporal import Duration

EVER = "contacts_ever"
"""The feature that tells who was contacted before, as far back as the records go."""


def plan_contacts(
    tables: Tables,
    spec: ContactsSpec,
    features: FeaturesSpec,
    *,
    windows: list[Duration],
    cutoff: datetime,
    first_slot: int = 0,
) -> RecordPlan:
    """The contact features of a study, from what customers were contacted by before `cutoff` (the last on train).

    Returns
    -------
    RecordPlan
        Counts by window and so far, and days since the last; of each channel and attribute, counts by window.
    """
    assert tables.contacts is not None  # noqa: S101 - the study declares contacts
    vocabularies = learn_vocabularies(
        tables.contacts,
        [*([("by",)] if spec.by else []), *[(name,) for name in spec.attributes]],
        cutoff=cutoff,
        most=features.top_categories,
        first_slot=first_slot + 1,
    )
    make = Entries(group="behaviour", source="contacts", windows=windows)
    everyone = {"what": "contacts"}
    entries = [make.count("contacts", first_slot, everyone, span) for span in make.spans]
    entries.append(make.recency("contacted", first_slot, everyone))
    for vocabulary in vocabularies:
        for slot, name, values in vocabulary.slots():
            words = value_words("by", vocabulary.columns, values, spec.labels)
            entries += [make.count(f"contacts_{vocabulary.name}_{name}", slot, words, window) for window in windows]
    return RecordPlan.of("contacts", entries, first_slot=first_slot, vocabularies=vocabularies, keys=())


def slotted_contacts(tables: Tables, plan: RecordPlan) -> Slotted:
    """The contacts with the slots that the plan counts them in."""
    assert tables.contacts is not None  # noqa: S101 - the study declares contacts
    return Slotted(plan, tables.contacts)
