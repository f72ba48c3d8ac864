"""From source tables to canonical ones: customers, events, purchases and contacts with known names and types.

Canonical columns: ``customer_id``, ``occurred_at`` (naive, UTC), ``available_at`` where the source has it;
events add ``kind``, ``initiated_by`` and ``value_units``; purchases add ``product`` and ``amount_units`` (whole
ten-thousandths, so that sums are exact), contacts ``by`` where it is named. Only declared attributes are carried on.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import ibis
import ibis.expr.datatypes as dt
import ibis.expr.types as ir

from propensity.config import (
    AttributeSpec,
    ContactsSpec,
    CustomersSpec,
    DataSpec,
    EventsSpec,
    PurchasesSpec,
    RecordsSpec,
)
from propensity.data.connect import (
    Source,
    count_repeated,
    local_to_utc,
    parse_text_time,
    require_columns,
    to_count,
    to_frame,
    utc_to_local,
)
from propensity.data.values import is_given, is_missing, read_key, read_number, read_text, read_text_number, scalar_text
from propensity.errors import DataError
from propensity.temporal import to_instant

AMOUNT_UNITS = 10_000
"""Units of ``amount_units`` in one unit of money."""
_EARLY_DAYS = 7


@dataclass(frozen=True)
class TableFacts:
    """What was found in one role's table: counts of rows and findings, and the time that it covers."""

    role: str
    name: str
    rows: int
    first: datetime | None = None
    last: datetime | None = None
    findings: Mapping[str, int] = field(default_factory=dict)

    def to_dict(self) -> dict[str, object]:
        """As plain values for JSON."""
        return {
            "role": self.role,
            "name": self.name,
            "rows": self.rows,
            "first": self.first.isoformat() if self.first else None,
            "last": self.last.isoformat() if self.last else None,
            "findings": dict(self.findings),
        }


def read_attribute(raw: ir.Value, spec: AttributeSpec, *, special: tuple[object, ...], data: DataSpec) -> ir.Value:
    """One attribute in its canonical type: number float64, category text, boolean, or date (a local day)."""
    missing = is_missing(raw, special)
    if spec.type in ("number", "text_number"):
        value = read_number(raw) if spec.type == "number" else read_text_number(raw)
        numbers = [float(x) for x in special if isinstance(x, int | float) and not isinstance(x, bool)]
        missing = (missing | value.isin(numbers)).fill_null(False) if numbers else missing
    elif spec.type == "boolean":
        value = _read_boolean(raw, spec)
    elif spec.type == "date":
        value = _read_local_time(raw, spec.format, data)
    else:
        value = read_text(raw)
    return ibis.ifelse(missing, ibis.null(value.type()), value)


def _read_boolean(raw: ir.Value, spec: AttributeSpec) -> ir.BooleanValue:
    if raw.type().is_boolean():
        return raw
    return read_text(raw).lower().isin([scalar_text(value).lower() for value in spec.true_values])


def _require_time(raw: ir.Value, form: str | None, place: str) -> None:
    kind = raw.type()
    if not (kind.is_timestamp() or kind.is_date() or kind.is_string() or (form and kind.is_numeric())):
        raise DataError(
            f"{place}: the column is {kind}, neither a date, a timestamp nor text. Name another column, or give the "
            "'format' that its digits are written in, such as %Y%m%d."
        )


def _read_local_time(raw: ir.Value, form: str | None, spec: DataSpec) -> ir.TimestampValue:
    """A column as naive local timestamps of the study's time zone."""
    kind = raw.type()
    if kind.is_string() or kind.is_numeric():
        return parse_text_time(read_text(raw), form)
    if kind.is_timestamp() and kind.timezone:
        return utc_to_local(raw.cast("timestamp(6)"), spec.zone)
    return raw.cast("timestamp(6)")


def stage_customers(
    source: Source, spec: DataSpec, *, carry: tuple[str, ...] = (), numbered: bool = False
) -> tuple[ir.Table, TableFacts, list[str]]:
    """The canonical customers table: ``customer_id``, ``known_from`` and the declared attributes.

    Parameters
    ----------
    carry : tuple of str
        Source columns taken along as text under ``carried_<name>``: a snapshot's label and split.
    numbered : bool
        Whether to number the rows as they stand (``row_position``, from 1).

    Returns
    -------
    table : ibis Table
        One row per customer, or per customer and ``known_from``.
    facts : TableFacts
        Rows, and counts of values that could not be read.
    warnings : list of str
        What the analyst should know: constant or identifying columns.
    """
    role = spec.customers
    raw = source.table(role.table, place="data.customers.table")
    columns = {name: attribute.column or name for name, attribute in role.attributes.items()}
    require_columns(raw, columns.values(), place="data.customers.attributes")
    if numbered:
        raw = raw.mutate(row_position=ibis.row_number() + 1)
    if role.key is None:  # a snapshot without a key: the row number is the key
        role = role.model_copy(update={"key": "row_position"})
    require_columns(raw, [role.key], place="data.customers.key")
    known = _known_from(raw, role, spec)
    attributes = {name: _attribute(raw[columns[name]], name, role, spec) for name in columns}
    require_columns(raw, carry, place="outcome and split")
    carried = {f"carried_{name}": read_text(raw[name]) for name in carry}
    position = {"row_position": raw["row_position"]} if numbered else {}
    key = read_key(raw[role.key])
    chosen = raw.select(customer_id=key, known_from=known, **attributes, **carried, **position)
    table = source.materialise("staged_customers", chosen)
    rows = _require_rows(table, role.table, "customers")
    unreadable = _unreadable_attributes(raw, role, columns, spec)
    _check_keys(table, role)
    _refuse_unreadable(unreadable, rows, spec, "data.customers")
    warnings = [f"customers: {_WORDS[k].format(v)}" for k, v in unreadable.items() if k in _WORDS]
    warnings += _attribute_warnings(table, role.attributes, rows)
    return table, TableFacts(role="customers", name=role.table, rows=rows, findings=unreadable), warnings


def _attribute(raw: ir.Value, name: str, role: CustomersSpec, spec: DataSpec) -> ir.Value:
    attribute = role.attributes[name]
    if attribute.type == "date":
        _require_time(raw, attribute.format, f"data.customers.attributes.{name}")
    return read_attribute(raw, attribute, special=(*spec.missing, *attribute.missing), data=spec)


def _known_from(raw: ir.Table, role: CustomersSpec, spec: DataSpec) -> ir.Value:
    if role.known_from in (None, "first_purchase"):
        return ibis.null("timestamp(6)")
    require_columns(raw, [role.known_from], place="data.customers.known_from")
    column = raw[str(role.known_from)]
    return read_time(column, role.known_from_format, spec, place="data.customers.known_from")


def read_time(raw: ir.Value, form: str | None, spec: DataSpec, *, place: str) -> ir.TimestampValue:
    """A column as naive UTC instants; naive source values are local to the study's time zone."""
    _require_time(raw, form, place)
    kind = raw.type()
    if kind.is_timestamp() and kind.timezone:
        return raw.cast("timestamp(6)")
    return local_to_utc(_read_local_time(raw, form, spec), spec.zone)


def _unreadable_attributes(
    raw: ir.Table, role: CustomersSpec, columns: Mapping[str, str], spec: DataSpec
) -> dict[str, int]:
    """Values that are given, and that their type cannot be read out of, by attribute."""
    counts = {}
    for name, attribute in role.attributes.items():
        column = raw[columns[name]]
        if attribute.type in ("number", "text_number", "date") and not column.type().is_temporal():
            given = read_text(column).notnull() & ~is_missing(column, (*spec.missing, *attribute.missing))
            read = read_attribute(column, attribute, special=(), data=spec)
            counts[f"unreadable_{name}"] = (given & read.isnull()).sum()
    if role.known_from not in (None, "first_purchase") and not raw[str(role.known_from)].type().is_temporal():
        given = read_text(raw[str(role.known_from)]).notnull()
        counts["unreadable_known_from"] = (given & _known_from(raw, role, spec).isnull()).sum()
    return _found(raw, counts)


def _found(table: ir.Table, counts: Mapping[str, ir.IntegerScalar]) -> dict[str, int]:
    """The counts that are above 0."""
    if not counts:
        return {}
    found = to_frame(table.aggregate(**counts)).iloc[0].fillna(0)
    return {name: int(found[name]) for name in counts if found[name]}


def _refuse_unreadable(findings: Mapping[str, int], rows: int, spec: DataSpec, place: str) -> None:
    for name, count in findings.items():
        if count <= spec.max_unreadable * rows:
            continue
        limit = f"(limit {spec.max_unreadable:.1%})"
        if name == "future":
            raise DataError(
                f"{place}: {count:,} of {rows:,} rows lie in the future {limit}. Check the format and the time zone, "
                "or raise data.max_unreadable."
            )
        if name.startswith("unreadable_"):
            column = name.removeprefix("unreadable_")
            raise DataError(
                f"{place}: {count:,} of {rows:,} values of '{column}' cannot be read {limit}. Check its type and "
                "format, name special values under 'missing', or raise data.max_unreadable."
            )


def _require_rows(table: ir.Table, name: str, role: str) -> int:
    rows = to_count(table.count())
    if rows == 0:
        raise _empty_table(name, role)
    return rows


def _empty_table(name: str, role: str) -> DataError:
    return DataError(f"data.{role}: the table '{name}' is empty. Check the source, or a 'where' that removes all.")


def _check_keys(table: ir.Table, role: CustomersSpec) -> None:
    missing = to_count(table.customer_id.isnull().sum())
    if missing:
        raise DataError(f"data.customers.key: {missing:,} rows have no '{role.key}'. Remove them or fill the key.")
    versioned = role.known_from not in (None, "first_purchase")
    if total := count_repeated(table, ["customer_id", "known_from"] if versioned else ["customer_id"]):
        hint = "" if versioned else " If rows are versions over time, name the column 'known_from'."
        raise DataError(
            f"data.customers.key: {total:,} values of '{role.key}' occur more than once. Keep one row each.{hint}"
        )


def _attribute_warnings(table: ir.Table, attributes: Mapping[str, AttributeSpec], rows: int) -> list[str]:
    if not attributes:
        return []
    distinct = to_frame(table.aggregate(**{name: table[name].nunique() for name in attributes})).iloc[0]
    warnings = []
    for name, attribute in attributes.items():
        if distinct[name] <= 1:
            warnings.append(f"customers: '{name}' is constant ({'empty' if distinct[name] == 0 else 'one value'}).")
        elif attribute.type == "category" and distinct[name] > 100 and distinct[name] > 0.5 * rows:
            raise DataError(
                f"data.customers.attributes.{name}: {int(distinct[name]):,} different values in {rows:,} rows: an "
                "identifier or free text, which never becomes a feature. Remove it from the attributes."
            )
    return warnings


def stage_records(
    source: Source, spec: DataSpec, name: str, customers: ir.Table, *, today: datetime | None
) -> tuple[ir.Table, TableFacts, list[str]]:
    """The canonical records of the role `name`: readable rows of known customers, as naive UTC instants.

    Parameters
    ----------
    today : datetime, optional
        Rows later than this are counted and left out; None trusts all timestamps.
    """
    role, place = spec.records[name], f"data.{name}"
    raw = source.table(role.table, place=f"{place}.table")
    key_type = customers.customer_id.type()
    tidy = [role.key]
    looked = _look(_select_records(raw, role, spec, place, key_type=key_type, tidy=tidy), customers, today=today)
    if looked["unknown_customer"]:  # or blanks around keys, which trimming brings together
        tidy = []
        looked = _look(_select_records(raw, role, spec, place, key_type=key_type, tidy=tidy), customers, today=today)
    rows, kept = looked["rows"], looked["kept"]
    if rows == 0:
        raise _empty_table(role.table, name)
    findings = {found: looked[found] for found in _FINDINGS if looked.get(found)}
    planned = name == "contacts"  # ahead of today, as campaigns are
    _refuse_unreadable({k: v for k, v in findings.items() if not (planned and k == "future")}, rows, spec, place)
    if kept == 0:
        raise DataError(
            f"{place}: none of the {rows:,} rows belongs to a known customer at a readable time ({_counts(findings)}). "
            "Check the keys: they must be written alike in both tables."
        )
    tidy += _tidy_texts(raw, role)
    canonical = _select_records(raw, role, spec, place, key_type=key_type, tidy=tidy)
    if kept < rows:
        canonical = canonical.filter(_keep(canonical, customers, today=today))
    canonical = canonical.select(*[column for column in canonical.columns if not column.startswith(_UNREADABLE)])
    # What can be read as it stands, row for row, is not written once more.
    as_it_stands = kept == rows and source.is_columnar(role.table) and _reads_times_as_they_stand(raw, role, spec)
    table = canonical if as_it_stands else source.materialise(f"staged_{name}", canonical)
    facts = TableFacts(
        role=name,
        name=role.table,
        rows=rows,
        first=looked["first"].to_pydatetime(),
        last=looked["last"].to_pydatetime(),
        findings=findings,
    )
    return table, facts, [f"{name}: {_WORDS[k].format(v)}" for k, v in findings.items() if k in _WORDS]


_FINDINGS = (
    "unreadable_occurred_at",
    "unreadable_available_at",
    "unreadable_amount",
    "unreadable_value",
    "no_customer",
    "unknown_customer",
    "future",
)
_UNREADABLE = "unreadable_"
"""How columns of staged records begin that are looked at, and not kept."""


def _look(staged: ir.Table, customers: ir.Table, *, today: datetime | None) -> dict[str, Any]:
    """What is found in staged records: counts, and the time they cover."""
    counts = {
        "unreadable_occurred_at": staged.count() - staged.occurred_at.count(),
        "no_customer": staged.count() - staged.customer_id.count(),
        "future": _is_late(staged, today).sum() if today else ibis.literal(0),
        **{name: staged[name].sum() for name in staged.columns if name.startswith(_UNREADABLE)},
    }
    looked = _aggregated(staged, staged.occurred_at, counts)
    strangers = staged.anti_join(customers.select("customer_id").distinct(), "customer_id")
    looked["unknown_customer"] = to_count(strangers.count()) - looked["no_customer"]
    if not any(looked[name] for name in ("unreadable_occurred_at", "no_customer", "future", "unknown_customer")):
        return looked | {"kept": looked["rows"]}
    keep = staged.filter(_keep(staged, customers, today=today))
    kept = _aggregated(keep, keep.occurred_at, {})
    return looked | {"kept": kept["rows"], "first": kept["first"], "last": kept["last"]}


def _aggregated(table: ir.Table, time: ir.TimestampValue, counts: Mapping[str, ir.IntegerScalar]) -> dict[str, Any]:
    """Rows, the first and the last time, and counts."""
    filled = {name: count.fill_null(0) for name, count in counts.items()}
    found = to_frame(table.aggregate(rows=table.count(), first=time.min(), last=time.max(), **filled)).iloc[0]
    return {str(name): value if name in ("first", "last") else int(value) for name, value in found.items()}


def _is_late(table: ir.Table, today: datetime | None) -> ir.BooleanValue:
    end_of_time = today.astimezone(UTC).replace(tzinfo=None) if today else datetime.max
    return table.occurred_at > ibis.literal(end_of_time, type="timestamp(6)")


def _keep(staged: ir.Table, customers: ir.Table, *, today: datetime | None) -> ir.BooleanValue:
    known = staged.customer_id.isin(customers.customer_id)
    return staged.occurred_at.notnull() & ~_is_late(staged, today) & staged.customer_id.notnull() & known


def _reads_times_as_they_stand(raw: ir.Table, role: RecordsSpec, spec: DataSpec) -> bool:
    """Whether times are instants in UTC already: reading texts and local times again and again would be slow."""
    kinds = [raw[column].type() for column in (role.occurred_at, role.available_at) if column]
    return all(kind.is_timestamp() and (kind.timezone or spec.time_zone == "UTC") for kind in kinds)


def _texts(role: RecordsSpec) -> list[str]:
    """The columns that are read as texts."""
    own = [role.product] if isinstance(role, PurchasesSpec) else []
    if isinstance(role, EventsSpec):
        own = [role.kind, *([role.initiated_by] if role.initiated_by else [])]
    if isinstance(role, ContactsSpec) and role.by:
        own = [role.by]
    return list(dict.fromkeys([role.key, *own, *role.attributes]))


_WORDS = {
    "no_customer": "{:,} rows without a customer were left out.",
    "unknown_customer": "{:,} rows of customers who are not in the customers table were left out.",
    "unreadable_occurred_at": "{:,} rows with an unreadable time were left out.",
    "unreadable_available_at": "{:,} rows with an unreadable available_at count from their own time on.",
    "unreadable_amount": "{:,} rows with an unreadable amount count with an amount of 0.",
    "unreadable_value": "{:,} rows with an unreadable value count without one.",
    "unreadable_known_from": "{:,} rows with an unreadable known_from count as known always.",
    "future": "{:,} rows in the future were left out.",
}


def _counts(findings: Mapping[str, int]) -> str:
    return ", ".join(f"{key.replace('_', ' ')}: {count:,}" for key, count in findings.items()) or "no finding"


def _select_records(
    raw: ir.Table,
    role: RecordsSpec,
    spec: DataSpec,
    place: str,
    *,
    key_type: dt.DataType,
    tidy: Sequence[str],
) -> ir.Table:
    """Canonical columns, and ``unreadable_`` ones; texts in `tidy` columns are taken as they stand.

    A key that is found as it stands needs no trimming.
    """
    extra = [role.kind, role.initiated_by, role.value] if isinstance(role, EventsSpec) else []
    if isinstance(role, PurchasesSpec):
        extra = [role.product, role.amount]
    if isinstance(role, ContactsSpec):
        extra = [role.by]
    wanted = [role.key, role.occurred_at, role.available_at, *role.attributes, *extra]
    require_columns(raw, [column for column in wanted if column], place=place)

    def text(column: str) -> ir.StringValue:
        return raw[column] if column in tidy and raw[column].type().is_string() else read_text(raw[column])

    key = read_key(raw[role.key], like=key_type)
    if key_type.is_string() and raw[role.key].type().is_string():
        key = text(role.key)
    occurred = read_time(raw[role.occurred_at], role.format, spec, place=f"{place}.occurred_at")
    columns: dict[str, ir.Value] = {"customer_id": key, "occurred_at": occurred}
    if role.available_at:
        available = read_time(raw[role.available_at], role.format, spec, place=f"{place}.available_at")
        if not raw[role.available_at].type().is_timestamp():
            columns["unreadable_available_at"] = is_given(raw[role.available_at]) & available.isnull()
        # A record cannot be known before it happens: a time before it is a clock's error.
        columns["available_at"] = ibis.greatest(ibis.coalesce(available, occurred), occurred)
    if isinstance(role, EventsSpec):
        columns["kind"] = text(role.kind)
        if role.initiated_by:
            columns["initiated_by"] = text(role.initiated_by)
        if role.value:
            columns["value_units"] = (read_number(raw[role.value]) * AMOUNT_UNITS).try_cast("int64")
            columns["unreadable_value"] = is_given(raw[role.value]) & columns["value_units"].isnull()
    if isinstance(role, ContactsSpec) and role.by:
        columns["by"] = text(role.by)
    if isinstance(role, PurchasesSpec):
        columns["product"] = text(role.product)
        money = read_number(raw[role.amount]) if role.amount else ibis.literal(0.0)
        units = (money * AMOUNT_UNITS).try_cast("int64")  # to the nearest; NULL beyond all money
        if role.amount:
            columns["unreadable_amount"] = is_given(raw[role.amount]) & units.isnull()
        columns["amount_units"] = units.fill_null(0)
    return raw.select(**columns, **{name: text(name) for name in role.attributes})


def _tidy_texts(raw: ir.Table, role: RecordsSpec) -> list[str]:
    """The columns of text, besides the key, that trimming does not change."""
    texts = [column for column in _texts(role)[1:] if raw[column].type().is_string()]
    if not texts:
        return []
    # Different texts are few, and an engine finds them fast.
    different = [raw.select(column=ibis.literal(column), text=raw[column]).distinct() for column in texts]
    found = ibis.union(*different) if len(different) > 1 else different[0]
    untidy = found.filter((found.text.strip() != found.text) | (found.text == ""))
    changed = set(to_frame(untidy.select("column").distinct())["column"])
    return [column for column in texts if column not in changed]


def early_end(facts: list[TableFacts], spec: DataSpec) -> list[str]:
    """A warning when purchases end clearly before events: labels after that would be false negatives."""
    lasts = {fact.role: fact.last for fact in facts if fact.last}
    if spec.recorded_until is not None or not {"events", "purchases"} <= set(lasts):
        return []
    events, purchases = lasts["events"], lasts["purchases"]
    if events - purchases <= timedelta(days=_EARLY_DAYS):
        return []
    return [
        f"purchases: the last is of {purchases:%Y-%m-%d}, but events go on to {events:%Y-%m-%d}. If later purchases "
        "were not exported, set data.recorded_until: whoever bought since would count as not having bought."
    ]


def recorded_until(facts: list[TableFacts], spec: DataSpec) -> datetime | None:
    """The instant up to which the source is complete: as declared, or the end of the last record's day."""
    if spec.recorded_until is not None:
        return to_instant(spec.recorded_until, zone=spec.zone)
    lasts = [fact.last for fact in facts if fact.last and fact.role != "contacts"]  # campaigns pause
    if not lasts:
        return None
    local = max(lasts).replace(tzinfo=UTC).astimezone(spec.zone)
    return to_instant(local.date() + timedelta(days=1), zone=spec.zone)
