"""The study as frozen, typed specs, and how a YAML file becomes one.

One spec per section; a function takes the spec that it needs, not the whole study.
"""

import difflib
import os
import re
from collections.abc import Iterable
from contextlib import suppress
from datetime import date, datetime
from hashlib import sha256
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self, get_args
from zoneinfo import ZoneInfo, available_timezones

from pydantic import BeforeValidator, Field, PlainSerializer, field_validator, model_validator
from pydantic.json_schema import SkipJsonSchema

from propensity.temporal import Duration, label_window, maturity, to_instant
from propensity.yaml_spec import Spec, read_yaml_spec, require

_SPARK = "pyspark://"
_NAME = r"^[A-Za-z0-9][A-Za-z0-9_.-]*$"


def _read_duration(value: Any) -> Any:
    return value if isinstance(value, Duration) else Duration.parse(value)


def _read_share_or_count(value: Any) -> Any:
    if isinstance(value, str) and value.strip().endswith("%"):
        return float(value.strip()[:-1]) / 100
    return value


def _read_list(value: Any) -> Any:
    return value if isinstance(value, list | tuple) else [value]


def _read_day(value: Any) -> date:
    if isinstance(value, date):
        return value
    # A number is no date, though pydantic would read one as seconds since 1970.
    for read in (date.fromisoformat, datetime.fromisoformat):
        with suppress(TypeError, ValueError):
            return read(value)
    raise ValueError("not a date: write it as 2025-07-01")


def _read_days(value: Any) -> Any:
    return [value] if isinstance(value, date | str) else value


# Where the YAML may say more than the spec holds, the JSON Schema says what may be written.
Percent = Annotated[str, Field(pattern=r"^\s*\d+(\.\d+)?\s*%\s*$")]
_DURATION_SCHEMA = {"type": "string", "pattern": r"^\d+(h|d|w|mo|y)$", "examples": ["30d", "1mo", "160h"]}
Span = Annotated[
    Duration,
    BeforeValidator(_read_duration, json_schema_input_type=str),
    PlainSerializer(str, return_type=str),
    Field(json_schema_extra=_DURATION_SCHEMA),
]
Share = Annotated[
    float, BeforeValidator(_read_share_or_count, json_schema_input_type=float | Percent), Field(ge=0, le=1)
]
Capacity = Annotated[float, BeforeValidator(_read_share_or_count, json_schema_input_type=float | Percent), Field(gt=0)]
Texts = Annotated[tuple[str, ...], BeforeValidator(_read_list, json_schema_input_type=tuple[str, ...] | str)]
Scalar = str | int | float | bool
Scalars = Annotated[tuple[Scalar, ...], BeforeValidator(_read_list, json_schema_input_type=tuple[Scalar, ...] | Scalar)]
Day = Annotated[datetime | date, BeforeValidator(_read_day)]
ModelName = Literal["single_indicator", "scorecard", "fitted_scorecard", "logistic", "lightgbm", "blend"]
DEFAULT_MODELS: tuple[ModelName, ...] = ("single_indicator", "scorecard", "logistic", "lightgbm", "blend")


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


class AttributeSpec(Spec):
    """One attribute of a customer: its type, its source column, and the values that mean "not given"."""

    type: AttributeType
    column: str | None = None
    missing: Scalars = ()
    order: tuple[str, ...] = ()
    true_values: Scalars = ("true", "t", "yes", "y", "1")
    format: str | None = None
    feature: Literal["age", "days_since"] | None = None
    label: str | None = None
    sensitive: bool = False

    def feature_name(self, name: str) -> str:
        """The name of the feature that the attribute `name` becomes: a date gives an age or the days since."""
        if self.type != "date":
            return name
        birth = self.feature == "age" or (self.feature is None and "birth" in name.lower())
        return "age" if birth else f"days_since_{name}"


def _require_free(names: Iterable[str], taken: tuple[str, ...]) -> None:
    """Inside a validator: raise when a user's name is one that the canonical tables use."""
    for name in names:
        if name in taken:
            raise ValueError(f"the name '{name}' is in use by the canonical tables: give the column another name")


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
        _require_free(
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
    """What events and purchases share: whose, when, and since when it is known."""

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
        _require_free(value, ("customer_id", "occurred_at", "available_at", *cls._own_columns))
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
    def zone(self) -> ZoneInfo:
        """The study's time zone."""
        return ZoneInfo(self.time_zone)


class SuppressSpec(Spec):
    """Who is neither scored nor listed: customers with an event of these kinds, or who meet `where`."""

    event: Texts = ()
    where: str | None = None


class TargetSpec(Spec):
    """The target customers, as a checked expression over attributes as of the cutoff."""

    market: Literal["consumer", "business", "intermediary", "government", "international"] = "consumer"
    where: str | None = None
    suppress: SuppressSpec = SuppressSpec()


class MatchSpec(Spec):
    """Products whose name matches a regular expression."""

    matches: str

    @field_validator("matches")
    @classmethod
    def _compiles(cls, value: str) -> str:
        try:
            re.compile(value)
        except re.error as error:
            raise ValueError(f"not a regular expression: {error}") from None
        return value


class EventOutcomeSpec(Spec):
    """An outcome that is an event: its kind and, if need be, a checked expression over its attributes."""

    kind: str
    where: str | None = None


def _read_product(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


class OutcomeSpec(Spec):
    """What counts as buying, and when: a product, an event, or the label column of a snapshot."""

    product: Annotated[
        tuple[str, ...] | MatchSpec | None,
        BeforeValidator(_read_product, json_schema_input_type=tuple[str, ...] | str | MatchSpec | None),
    ] = None
    event: EventOutcomeSpec | None = None
    column: str | None = None
    positive: Scalars = (1, "1", "yes", "true", "True", True)
    horizon: Span | None = None
    gap: Span = Field(default=Duration(0, "d"), json_schema_extra={"default": "0d"})
    reporting_lag: Span = Field(default=Duration(0, "d"), json_schema_extra={"default": "0d"})

    @model_validator(mode="after")
    def _one_outcome(self) -> Self:
        given = [name for name in ("product", "event", "column") if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError(f"name exactly one of product, event, column (found {', '.join(given) or 'none'})")
        if self.column is None and (self.horizon is None or self.horizon.count == 0):
            raise ValueError("a horizon is needed, such as horizon: 30d")
        return self


class CutoffRange(Spec):
    """A regular grid of cutoffs, both ends included."""

    first: Day
    last: Day
    every: Span

    @model_validator(mode="after")
    def _forward(self) -> Self:
        if self.every.count == 0:
            raise ValueError("every must be longer than nothing")
        return self


class CutoffsSpec(Spec):
    """Train cutoffs, then one for validation, then one for test; `list` is where the prospect list is made."""

    train: Annotated[
        CutoffRange | tuple[Day, ...],
        BeforeValidator(_read_days, json_schema_input_type=CutoffRange | tuple[Day, ...] | Day),
    ]
    validation: Day
    test: Day
    list: Day | None = None


class SplitSpec(Spec):
    """How a snapshot is split: by a column's values, by an order (`rows`: as they stand), or into folds."""

    column: str | None = None
    train: Scalars = ("train",)
    validation: Scalars = ()
    test: Scalars = ("test",)
    order: str | None = None
    shares: tuple[float, float, float] = (0.6, 0.2, 0.2)
    folds: int | None = Field(default=None, ge=2, le=20)

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        given = [name for name in ("column", "order", "folds") if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError(f"split by exactly one of column, order, folds (found {', '.join(given) or 'none'})")
        if min(self.shares) <= 0 or abs(sum(self.shares) - 1) > 1e-9:
            raise ValueError("shares are three numbers above 0 that add up to 1")
        return self


_WINDOWS = ("30d", "90d", "365d")


EventMeasure = Literal[
    "count",
    "days",
    "trend",
    "recency",
    "since_first",
    "gaps",
    "streak",
    "distinct",
    "share",
    "sum",
    "mean",
    "min",
    "max",
]
EVENT_MEASURES: tuple[EventMeasure, ...] = get_args(EventMeasure)
VALUE_MEASURES = ("sum", "mean", "min", "max")


def _read_measures(value: Any) -> Any:
    return EVENT_MEASURES if value == "all" else value


Measures = Annotated[
    tuple[EventMeasure, ...],
    BeforeValidator(_read_measures, json_schema_input_type=tuple[EventMeasure, ...] | Literal["all"]),
]


class FeaturesSpec(Spec):
    """Windows that behaviour and purchases are counted in, what is measured in them, and how many categories count.

    `events` and `purchases` name the measures (or say `all`): `gaps` are the mean, standard deviation and last of the
    days between active days, `streak` the active days in a row, `distinct` the different categories, `share` each
    category's part of all records; `sum`, `mean`, `min` and `max` are of amounts (of an event: of its `value`).
    `cross` names attributes that are counted within each kind of event (or product) as well. `custom` names
    functions (`module:function`) that make features of the study's own.
    """

    windows: tuple[Span, ...] = Field(
        default=tuple(Duration.parse(text) for text in _WINDOWS), json_schema_extra={"default": list(_WINDOWS)}
    )
    top_categories: int = Field(default=12, ge=1, le=1000)
    events: Measures = ("count", "days", "trend", "recency")
    purchases: Measures = ("count", "sum", "days", "trend", "recency", "since_first", "gaps")
    cross: Texts = ()
    custom: Texts = ()

    @field_validator("windows")
    @classmethod
    def _sorted(cls, value: tuple[Duration, ...]) -> tuple[Duration, ...]:
        if not value or any(window.count == 0 for window in value):
            raise ValueError("name at least one window, each longer than nothing")
        return tuple(sorted(set(value), key=lambda window: window.approximate_days))

    @field_validator("custom")
    @classmethod
    def _names_functions(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for name in value:
            if not re.fullmatch(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*", name):
                raise ValueError(f"{name!r} is not module:function, such as our_features:last_offer")
        return value


class ContactSpec(Spec):
    """How many prospects can be contacted, what a contact costs, and what a purchase is worth (in money)."""

    capacity: Capacity = 0.1
    cost: float | None = Field(default=None, ge=0)
    value: float | None = Field(default=None, ge=0)

    def share(self, prospects: int) -> float:
        """The capacity as a share of `prospects` (a capacity above 1 is a count of prospects)."""
        return self.capacity if self.capacity <= 1 else min(1.0, self.capacity / max(prospects, 1))


class PointsSpec(Spec):
    """The scale of points: `reference_points` at `reference_odds`, and `pdo` points double the odds."""

    pdo: float = Field(default=20, gt=0)
    reference_points: float = 600
    reference_odds: float = Field(default=1 / 19, gt=0)


class TrackingSpec(Spec):
    """Where MLflow keeps the runs; the experiment defaults to the study's name."""

    uri: str = "sqlite:///mlflow.db"
    experiment: str | None = None


class SingleIndicatorSpec(Spec):
    """The feature that the single-indicator baseline ranks on; without one, the best on train is taken."""

    feature: str | None = None


class ListSpec(Spec):
    """Who is on a prospect list: all prospects, or only those that pass the study's qualification."""

    qualified_only: bool = False


class FittedScorecardSpec(Spec):
    """What a scorecard that is learnt from data must respect: whether points rise or fall with a feature's value."""

    directions: dict[str, Literal["rising", "falling"]] = {}


class Study(Spec):
    """One question: who of the target customers will buy what within which time."""

    study: str = Field(pattern=_NAME)
    about: str | None = None
    simulated: bool = False
    seed: int = Field(default=0, ge=0, lt=2**31)
    data: DataSpec
    target: TargetSpec = TargetSpec()
    outcome: OutcomeSpec
    cutoffs: CutoffsSpec | None = None
    split: SplitSpec | None = None
    features: FeaturesSpec = FeaturesSpec()
    single_indicator: SingleIndicatorSpec = SingleIndicatorSpec()
    scorecard: str | None = None
    fitted_scorecard: FittedScorecardSpec = FittedScorecardSpec()
    stages: dict[str, str] | None = None
    segments: dict[str, str] = {}
    qualification: dict[str, str] = {}
    listing: ListSpec = Field(default=ListSpec(), alias="list")
    models: tuple[ModelName, ...] = DEFAULT_MODELS
    contact: ContactSpec = ContactSpec()
    points: PointsSpec = PointsSpec()
    tracking: TrackingSpec = TrackingSpec()
    path: SkipJsonSchema[Path] = Field(default=Path("study.yaml"), exclude=True)

    @property
    def is_snapshot(self) -> bool:
        """Whether the study stands on one flat table with a ready label."""
        return self.outcome.column is not None

    @property
    def zone(self) -> ZoneInfo:
        """The study's time zone."""
        return self.data.zone

    @property
    def source_path(self) -> Path:
        """The source as a path, relative to the study's file."""
        return resolve_path(self.data.source, beside=self.path)

    def cutoff_instants(self) -> dict[str, list[datetime]]:
        """Instants in UTC of the cutoffs by split: train, validation, test (a snapshot has none)."""
        if self.cutoffs is None:
            return {}
        train = self.cutoffs.train
        if isinstance(train, CutoffRange):
            instants, steps = [to_instant(train.first, zone=self.zone)], 0
            last = to_instant(train.last, zone=self.zone)
            while (following := train.every.after(instants[0], zone=self.zone, times=steps + 1)) <= last:
                instants, steps = [*instants, following], steps + 1
        else:
            instants = sorted(to_instant(day, zone=self.zone) for day in train)
        return {
            "train": instants,
            "validation": [to_instant(self.cutoffs.validation, zone=self.zone)],
            "test": [to_instant(self.cutoffs.test, zone=self.zone)],
        }

    def label_window_end(self, cutoff: datetime) -> datetime:
        """The end of the cutoff's label window."""
        assert self.outcome.horizon is not None  # noqa: S101 - the outcome's own check
        return label_window(cutoff, gap=self.outcome.gap, horizon=self.outcome.horizon, zone=self.zone).end

    def matures_at(self, cutoff: datetime) -> datetime:
        """When the cutoff's labels are known: its label window's end plus the reporting lag."""
        assert self.outcome.horizon is not None  # noqa: S101 - the outcome's own check
        outcome = self.outcome
        return maturity(
            cutoff, gap=outcome.gap, horizon=self.outcome.horizon, reporting_lag=outcome.reporting_lag, zone=self.zone
        )

    @model_validator(mode="before")
    @classmethod
    def _no_path(cls, given: Any) -> Any:
        """`path` is filled in by `load_study`; in a file it is an unknown key."""
        if isinstance(given, dict):
            require("path" not in given, "unknown key 'path' in the study; remove it", ("path",))
        return given

    @model_validator(mode="after")
    def _snapshot_or_temporal(self) -> Self:
        if self.is_snapshot:
            require(self.split is not None, "a snapshot study (outcome: column) needs a split", ("split",))
            require(self.cutoffs is None, "a snapshot study has no cutoffs: remove them", ("cutoffs",))
            require(
                self.data.events is None and self.data.purchases is None,
                "a snapshot study has neither events nor purchases: remove them",
                ("data",),
            )
            for name, attribute in self.data.customers.attributes.items():
                require(
                    attribute.type != "date",
                    f"a snapshot has no cutoff to count from, so that the date '{name}' cannot become an age: give the "
                    "age or the days as a number, or leave it out",
                    ("data", "customers", "attributes", name),
                )
        else:
            require(self.cutoffs is not None, "cutoffs are needed: train, validation and test", ("cutoffs",))
            require(self.split is None, "split is for snapshots (outcome: column): remove it", ("split",))
            require(self.data.customers.key is not None, "the customers' key is needed", ("data", "customers"))
            require(
                self.outcome.product is None or self.data.purchases is not None,
                "an outcome that is a product needs purchases",
                ("outcome",),
            )
            require(
                self.outcome.event is None or self.data.events is not None,
                "an outcome that is an event needs events",
                ("outcome",),
            )
            require(
                self.data.customers.known_from != "first_purchase" or self.data.purchases is not None,
                "known_from: first_purchase needs purchases",
                ("data", "customers", "known_from"),
            )
            self._check_cutoffs()
        return self

    @model_validator(mode="after")
    def _features_fit(self) -> Self:
        roles = {"events": self.data.events, "purchases": self.data.purchases}
        attributes = {name for role in roles.values() if role for name in role.attributes}
        for name in self.features.cross:
            require(name in attributes, f"'{name}' is no attribute of events or purchases", ("features", "cross"))
        columns = {
            "events": ("value", self.data.events and self.data.events.value),
            "purchases": ("amount", self.data.purchases and self.data.purchases.amount),
        }
        for name, (column, given) in columns.items():
            wanted = getattr(self.features, name)
            if name in self.features.model_fields_set and roles[name] and not given and wanted != EVENT_MEASURES:
                for measure in VALUE_MEASURES:
                    require(
                        measure not in wanted,
                        f"'{measure}' of {name} needs their {column}: name its column under data.{name}.{column}",
                        ("features", name),
                    )
        require(
            not (self.is_snapshot and self.features.custom), "a snapshot has no custom features", ("features", "custom")
        )
        return self

    @model_validator(mode="after")
    def _qualification_is_there(self) -> Self:
        only = self.listing.qualified_only
        require(self.qualification or not only, "qualified_only needs rules: add a qualification", ("list",))
        return self

    @model_validator(mode="after")
    def _models_fit(self) -> Self:
        require("scorecard" not in self.models or self.scorecard is not None, _NO_SCORECARD, ("models",))
        if "blend" in self.models:
            both = {"logistic", "lightgbm"} <= set(self.models)
            require(both, "a blend needs logistic and lightgbm beside it", ("models",))
        require(len(set(self.models)) == len(self.models) and self.models, "name each model once", ("models",))
        return self

    def _check_cutoffs(self) -> None:
        """That cutoffs go forward in time, with the embargo between the splits."""
        cutoffs = self.cutoff_instants()
        train = cutoffs["train"]
        require(bool(train), "name at least one train cutoff", ("cutoffs", "train"))
        require(len(set(train)) == len(train), "name each train cutoff once", ("cutoffs", "train"))
        if self.cutoffs and isinstance(self.cutoffs.train, CutoffRange):
            last = to_instant(self.cutoffs.train.last, zone=self.zone)
            require(train[0] <= last, "the first train cutoff comes after the last", ("cutoffs", "train", "last"))
        for earlier, later in (("train", "validation"), ("validation", "test")):
            end, start = self.matures_at(cutoffs[earlier][-1]), cutoffs[later][0]
            require(
                end <= start,
                f"embargo: the labels of the last {earlier} cutoff ({cutoffs[earlier][-1]:%Y-%m-%d}) are known from "
                f"{end:%Y-%m-%d %H:%M} (label window and reporting lag), after the {later} cutoff "
                f"({start:%Y-%m-%d %H:%M}). Choose a {later} cutoff of {end:%Y-%m-%d} or later",
                ("cutoffs", later),
            )


_NO_SCORECARD = "the model 'scorecard' needs a scorecard file: add scorecard: PATH, or leave the model out"


def load_study(path: str | Path) -> Study:
    """Load and check a study's YAML file.

    Parameters
    ----------
    path : str or Path
        The study's file; paths inside it are relative to its folder.

    Returns
    -------
    Study
        The frozen specification.

    Raises
    ------
    ConfigError
        When something in the file is wrong, with file, line, what was found and what is expected.
    """
    file = Path(path).absolute()
    return read_yaml_spec(file, Study).model_copy(update={"path": file})


def resolve_path(text: str, *, beside: Path) -> Path:
    """A path of a study: absolute, or relative to the folder of the file `beside`."""
    return Path(os.path.normpath(beside.parent / Path(text).expanduser()))


def fingerprint(study: Study) -> str:
    """A hash of everything that a study says (a SHA-256, the first 16 hexadecimal digits)."""
    return sha256(study.model_dump_json().encode()).hexdigest()[:16]


def meaning_fingerprint(study: Study) -> str:
    """A hash of what a model depends on: the roles' meaning, target, outcome and features, not where the data is."""
    roles = study.data.model_dump_json(
        exclude={"source", "engine", "memory_limit", "csv", "max_unreadable", "max_unseen", "recorded_until"}
    )
    parts = [roles, study.target.model_dump_json(), study.outcome.model_dump_json(), study.features.model_dump_json()]
    return sha256("\n".join(parts).encode()).hexdigest()[:16]
