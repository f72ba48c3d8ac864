"""Purchase history before the cutoff: recency, frequency, monetary value, T, by product, gaps and returns.

A purchase with an amount below zero is a return: it counts as one, and buys nothing.
"""

from datetime import datetime

from propensity.config import FeaturesSpec, PurchasesSpec
from propensity.data.tables import Tables
from propensity.features.entries import Entries, Entry, Words, value_words
from propensity.features.records import RecordPlan, Slotted, learn_vocabularies
from propensity.temporal import Duration

_PURCHASES = {"what": "purchases"}


def plan_purchases(
    tables: Tables,
    spec: PurchasesSpec,
    features: FeaturesSpec,
    *,
    windows: list[Duration],
    cutoff: datetime,
    first_slot: int = 0,
) -> RecordPlan:
    """The purchase features of a study, from the products and attributes seen before `cutoff` (the last on train)."""
    assert tables.purchases is not None  # noqa: S101 - the study declares purchases
    bought, returned = first_slot, first_slot + 1
    crossed = [("product", name) for name in features.cross if name in spec.attributes]
    vocabularies = learn_vocabularies(
        tables.purchases,
        [("product",), *[(name,) for name in spec.attributes], *crossed],
        cutoff=cutoff,
        most=features.top_categories,
        first_slot=first_slot + 2,
    )
    make = Entries(group="purchase history", source="purchases", windows=windows)
    entries = _all_entries(make, spec, features, bought, returned)
    for vocabulary in vocabularies:
        prefix = "" if vocabulary.columns == ("product",) else f"{vocabulary.name}_"
        for slot, name, values in vocabulary.slots():
            words = value_words("product", vocabulary.columns, values, spec.labels)
            entries += _value_entries(make, features, slot, f"{prefix}{name}", words, bought)
    keys = ("product", *spec.attributes) if "distinct" in features.purchases else ()
    for key, column in enumerate(keys):
        name = "products" if column == "product" else f"purchases_{column}"
        entries += [make.distinct(name, bought, column, key=key, span=span) for span in make.spans]
    return RecordPlan.of("purchases", entries, first_slot=first_slot, vocabularies=vocabularies, keys=keys)


def _all_entries(make: Entries, spec: PurchasesSpec, features: FeaturesSpec, bought: int, returned: int) -> list[Entry]:
    """The declared measures of all purchases, and of returns."""
    wanted, entries = features.purchases, []
    if "count" in wanted:
        entries += [make.count("purchases", bought, _PURCHASES, span) for span in make.spans]
    if "days" in wanted:
        entries += [make.days("purchase_days", bought, _PURCHASES, span) for span in make.spans]
    if spec.amount:
        if "sum" in wanted:
            entries += _amounts(make, "spend", "sum", bought)
        if "count" in wanted:
            entries += [make.count("returns", returned, {"what": "returns"}, span) for span in make.spans]
        if "sum" in wanted:
            entries += _amounts(make, "returned", "sum", returned)
        for measure in ("mean", "min", "max"):
            if measure in wanted:
                entries += _amounts(make, f"spend_{measure}", measure, bought)
    if "trend" in wanted:
        entries += [make.trend("purchases", bought, _PURCHASES, window) for window in make.windows[:-1]]
    if "recency" in wanted:
        entries.append(make.recency("purchase", bought, _PURCHASES))
    if "since_first" in wanted:
        entries.append(make.since_first("purchase", bought, _PURCHASES))
    if "gaps" in wanted:
        entries += make.gaps("purchase", bought, _PURCHASES)
    if "streak" in wanted:
        entries += make.streak("purchase", bought, _PURCHASES)
    return entries


def _amounts(make: Entries, name: str, sum_of: str, slot: int) -> list[Entry]:
    """Amounts in each span; they are called as the feature's name begins."""
    return [make.amount(name, sum_of, slot, name, {}, unit="money", span=span) for span in make.spans]


def _value_entries(
    make: Entries, features: FeaturesSpec, slot: int, name: str, words: Words, bought: int
) -> list[Entry]:
    """Of one product or attribute: counts and shares in the longest window and so far, and recency."""
    wanted, spans, entries = features.purchases, make.spans[-2:], []
    if "count" in wanted:
        entries += [make.count(f"purchases_{name}", slot, words, span) for span in spans]
    if "recency" in wanted:
        entries.append(make.recency(f"purchase_{name}", slot, words))
    if "share" in wanted:
        entries += [make.share(f"purchases_{name}", slot, words, of=bought, span=span) for span in spans]
    return entries


def slotted_purchases(tables: Tables, plan: RecordPlan) -> Slotted:
    """The purchases with the slots that the plan counts them in: a return as a return only, by its absolute amount."""
    assert tables.purchases is not None  # noqa: S101 - the study declares purchases
    purchases = tables.purchases
    return Slotted(plan, purchases, value=purchases.amount_units.abs(), aside=purchases.amount_units < 0)
