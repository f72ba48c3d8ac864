"""Purchase history before the cutoff: recency, frequency, monetary value, T, by product, gaps and returns.

A purchase with an amount below zero is a return: it counts as one, and buys nothing.
"""

from datetime import datetime

from propensity.config import FeaturesSpec, PurchasesSpec
from propensity.data.tables import Tables
from propensity.features.entries import Entries, Entry, Span
from propensity.features.records import RecordPlan, Slotted, Vocabulary, learn_vocabularies
from propensity.temporal import Duration

_AMOUNTS = {"mean": "average", "min": "smallest", "max": "greatest"}


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
            label = f"purchases of {_label(spec, vocabulary, values)}"
            entries += _value_entries(make, features, slot, f"{prefix}{name}", label, bought)
    keys = ("product", *spec.attributes) if "distinct" in features.purchases else ()
    for key, column in enumerate(keys):
        what = "products bought" if column == "product" else f"values of {column.replace('_', ' ')} in purchases"
        name = "products" if column == "product" else f"purchases_{column}"
        entries += [make.distinct(name, bought, what, key=key, span=span) for span in make.spans]
    return RecordPlan.of("purchases", entries, first_slot=first_slot, vocabularies=vocabularies, keys=keys)


def _label(spec: PurchasesSpec, vocabulary: Vocabulary, values: tuple[str, ...]) -> str:
    first = spec.labels.get(values[0], values[0])
    return f"{first} ({vocabulary.columns[-1].replace('_', ' ')}: {values[1]})" if len(values) > 1 else first


def _all_entries(make: Entries, spec: PurchasesSpec, features: FeaturesSpec, bought: int, returned: int) -> list[Entry]:
    """The declared measures of all purchases, and of returns."""
    wanted, entries = features.purchases, []
    if "count" in wanted:
        entries += [make.count("purchases", bought, "purchases", span) for span in make.spans]
    if "days" in wanted:
        entries += [make.days("purchase_days", bought, "purchases", span) for span in make.spans]
    if spec.amount:
        if "sum" in wanted:
            entries += [_amount(make, "spend", bought, "spent", span) for span in make.spans]
        if "count" in wanted:
            entries += [make.count("returns", returned, "returns", span) for span in make.spans]
        if "sum" in wanted:
            entries += [_amount(make, "returned", returned, "returned", span) for span in make.spans]
        for measure, words in _AMOUNTS.items():
            if measure in wanted:
                text = f"{words} amount of a purchase {{when}}"
                entries += [
                    make.amount(f"spend_{measure}", measure, bought, text, unit="money", span=span)
                    for span in make.spans
                ]
    if "trend" in wanted:
        entries += [make.trend("purchases", bought, "purchases", window) for window in make.windows[:-1]]
    if "recency" in wanted:
        entries.append(make.recency("purchase", bought, "purchases"))
    if "since_first" in wanted:
        entries.append(make.since_first("purchase", bought, "purchases"))
    if "gaps" in wanted:
        entries += make.gaps("purchase", bought, "purchases")
    if "streak" in wanted:
        entries += make.streak("purchase", bought, "purchases")
    return entries


def _amount(make: Entries, name: str, slot: int, label: str, span: Span) -> Entry:
    column, feature = make.amount(name, "sum", slot, f"amount {label} {{when}}", unit="money", span=span)
    phrase = f"{label} {{value}} {feature.description.removeprefix(f'amount {label} ')}"
    return make.entry(column, feature.description, unit="money", phrase=phrase)


def _value_entries(make: Entries, features: FeaturesSpec, slot: int, name: str, label: str, bought: int) -> list[Entry]:
    """Of one product or attribute: counts and shares in the longest window and so far, and recency."""
    wanted, spans, entries = features.purchases, make.spans[-2:], []
    if "count" in wanted:
        entries += [make.count(f"purchases_{name}", slot, label, span) for span in spans]
    if "recency" in wanted:
        entries.append(make.recency(f"purchase_{name}", slot, label))
    if "share" in wanted:
        entries += [
            make.share(f"purchases_{name}", slot, label, of=bought, whole="purchases", span=span) for span in spans
        ]
    return entries


def slotted_purchases(tables: Tables, plan: RecordPlan) -> Slotted:
    """The purchases with the slots that the plan counts them in: a return as a return only, by its absolute amount."""
    assert tables.purchases is not None  # noqa: S101 - the study declares purchases
    purchases = tables.purchases
    return Slotted(plan, purchases, value=purchases.amount_units.abs(), aside=purchases.amount_units < 0)
