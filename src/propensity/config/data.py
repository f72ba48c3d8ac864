"""Where a study's tables are, and what their columns mean."""

import difflib
import re
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self
from zoneinfo import ZoneInfo, available_timezones

from pydantic import BeforeValidator, Field, field_validator, model_validator

from propensity.config.fields import Day, Scalars, Share, Texts, require_free
from propensity.yaml_spec import Spec, require

_SPARK = "pyspark://"


class CsvSpec(Spec):
    """How delimited text files are read: separator, and whether the first line holds the names."""

    separator: str = ","
    header: bool = True


class JoinSpec(Spec):
    """One look-up table joined to the rows of another: `on` names the columns of equal meaning."""

    table: str
    on: str | dict[str, str]
    how: Literal["left", "inner"] = "left"


class FirstSpec(Spec):
    """Keep one row for each `key`: the first by `order`."""

    key: str
    order: str


class TableSpec(Spec):
    """A table made out of others: read or stacked, numbered, joined, typed, computed, filtered, in this order."""

    file: str | None = None
    union: Texts = ()
    columns: tuple[str, ...] = ()
    csv: CsvSpec | None = None
    row_number: str | None = None
    join: tuple[JoinSpec, ...] = ()
    types: dict[str, Literal["number", "text_number", "text"]] = {}
    compute: dict[str, str] = {}
    where: str | None = None
    first: FirstSpec | None = None
    drop: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _one_origin(self) -> Self:
        if bool(self.file) == bool(self.union):
            raise ValueError("a table comes from either 'file' or 'union'")
        return self


AttributeType = Literal["date", "number", "text_number", "category", "ordinal", "boolean"]


Trait = Literal[
    "age",
    "gender",
    "income",
    "interests",
    "occupation",
    "household",
    "location",
    "industry",
    "services",
    "turnover",
    "employees",
    "job title",
    "ownership",
]
# Words in an attribute's name, column or label that tell what it describes; the first trait that has one counts.
_TRAIT_WORDS: dict[Trait, str] = {
    "job title": r"job title|position|decision maker|role",
    "age": r"age|birth|born",
    "gender": r"gender|sex",
    "income": r"incomes?|salary|earnings|purchasing power",
    "interests": r"interests?|hobby|hobbies",
    "occupation": r"occupation|job|profession",
    "household": r"households?|family|families|children|marital|home owner",
    "employees": r"employees|headcount|staff",
    "turnover": r"turnover|revenue",
    "industry": r"industry|sector|branch of trade",
    "services": r"services?",
    "ownership": r"ownership|state owned|legal form",
    "location": r"region|country|city|town|district|territory|continent|location|area|postcode|zip",
}


class AttributeSpec(Spec):
    """One attribute of a customer: its type, its source column, and the values that mean "not given".

    `describes` says what the attribute tells of a customer where its name does not.
    """

    type: AttributeType
    column: str | None = None
    missing: Scalars = ()
    order: tuple[str, ...] = ()
    true_values: Scalars = ("true", "t", "yes", "y", "1")
    format: str | None = None
    feature: Literal["age", "days_since"] | None = None
    label: str | None = None
    sensitive: bool = False
    describes: Trait | None = None

    def trait(self, name: str) -> Trait | None:
        """What the attribute `name` tells of a customer: as declared, or by the words of its names.

        Examples
        --------
        >>> AttributeSpec(type="date").trait("birth_date"), AttributeSpec(type="number").trait("x1")
        ('age', None)
        """
        words = re.sub(
            r"[^a-z]+", " ", re.sub(r"(?<=[a-z])(?=[A-Z])", " ", f"{name} {self.column} {self.label}").lower()
        )
        named = (trait for trait, pattern in _TRAIT_WORDS.items() if re.search(rf"\b({pattern})\b", words))
        return self.describes or next(named, None)

    def feature_name(self, name: str) -> str:
        """The name of the feature that the attribute `name` becomes: a date gives an age or the days since."""
        if self.type != "date":
            return name
        birth = self.feature == "age" or (self.feature is None and "birth" in name.lower())
        return "age" if birth else f"days_since_{name}"


def _read_attribute(value: Any) -> Any:
    return {"type": value} if isinstance(value, str) else value


Attributes = dict[
    str,
    Annotated[AttributeSpec, BeforeValidator(_read_attribute, json_schema_input_type=AttributeSpec | AttributeType)],
]


class CustomersSpec(Spec):
    """The customers: one row each, or several with `known_from` (the newest known before a cutoff counts)."""

    table: str
    key: str | None = None
    known_from: str | None = None
    known_from_format: str | None = None
    attributes: Attributes = {}

    @field_validator("attributes")
    @classmethod
    def _names_are_free(cls, value: Attributes) -> Attributes:
        names = [attribute.feature_name(name) for name, attribute in value.items()]
        require_free(
            [*value, *names],
            (
                *("customer_id", "known_from", "first_known", "tenure_days", "code", "row_position"),
                *("cutoff", "split", "label"),
            ),
        )
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"two attributes would be the feature {twice[0]!r}: remove one, or name its 'feature'")
        return value


class RecordsSpec(Spec):
    """What events, purchases and contacts share: whose, when, and since when it is known."""

    table: str
    key: str
    occurred_at: str
    format: str | None = None
    available_at: str | None = None
    attributes: tuple[str, ...] = ()
    labels: dict[str, str] = {}
    _own_columns: ClassVar[tuple[str, ...]] = ()

    @field_validator("attributes")
    @classmethod
    def _names_are_free(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        require_free(value, ("customer_id", "occurred_at", "available_at", *cls._own_columns))
        if len(set(value)) < len(value):
            raise ValueError("name each attribute once")
        return value


class EventsSpec(RecordsSpec):
    """What customers did, or what was done to them (`initiated_by` tells a business's own acts)."""

    kind: str
    initiated_by: str | None = None
    value: str | None = None
    _own_columns: ClassVar[tuple[str, ...]] = ("kind", "initiated_by", "value_units")


class PurchasesSpec(RecordsSpec):
    """What customers bought; an amount below zero is a return or a cancellation."""

    product: str
    amount: str | None = None
    _own_columns: ClassVar[tuple[str, ...]] = ("product", "amount_units")


class ContactsSpec(RecordsSpec):
    """Whom the business approached: when, and `by` what (a channel, a campaign)."""

    by: str | None = None
    _own_columns: ClassVar[tuple[str, ...]] = ("by",)


class DataSpec(Spec):
    """Where the tables are, which engine reads them, and what their columns mean."""

    source: str
    engine: Literal["duckdb", "spark"] = "duckdb"
    memory_limit: str | None = Field(default=None, pattern=r"^\d+(\.\d+)?\s*[MGT]i?B$", examples=["2GB"])
    time_zone: str = "UTC"
    csv: CsvSpec = CsvSpec()
    tables: dict[str, TableSpec] = {}
    customers: CustomersSpec
    events: EventsSpec | None = None
    purchases: PurchasesSpec | None = None
    contacts: ContactsSpec | None = None
    missing: Scalars = ()
    recorded_until: Day | None = None
    max_unreadable: Share = 0.01
    max_unseen: Share = 0.05

    @field_validator("time_zone")
    @classmethod
    def _known_zone(cls, value: str) -> str:
        if value not in available_timezones():
            near = difflib.get_close_matches(value, available_timezones(), n=1)
            raise ValueError(f"unknown time zone{f'; did you mean {near[0]}?' if near else ''}")
        return value

    @model_validator(mode="after")
    def _spark_reads_files(self) -> Self:
        if self.engine == "spark" and not self.source.startswith(_SPARK):
            file = Path(self.source).suffix == ".duckdb"
            readable = "://" not in self.source and not file
            require(readable, "Spark reads a folder of Parquet or CSV files, or pyspark://: change it", ("source",))
        return self

    @property
    def on_spark(self) -> bool:
        """Whether Spark reads the tables: asked for as the engine, or by a source that is Spark's catalogue."""
        return self.engine == "spark" or self.source.startswith(_SPARK)

    @property
    def records(self) -> dict[str, RecordsSpec]:
        """The roles of dated records that the study has, by name."""
        roles = {"events": self.events, "purchases": self.purchases, "contacts": self.contacts}
        return {name: role for name, role in roles.items() if role is not None}

    @property
    def zone(self) -> ZoneInfo:
        """The study's time zone."""
        return ZoneInfo(self.time_zone)
