"""When a study looks, how its rows are split, and what is measured in which windows."""

import re
from typing import Annotated, Any, Literal, Self, get_args

from pydantic import BeforeValidator, Field, field_validator, model_validator

from propensity.config.fields import Day, Scalars, Span, Texts, read_days
from propensity.temporal import Duration
from propensity.yaml_spec import Spec


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
        BeforeValidator(read_days, json_schema_input_type=CutoffRange | tuple[Day, ...] | Day),
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
    functions (`module:function`) that make features of the study's own. `buyer_shares` names attributes that are
    categories, of any number of values: the share of customers alike who have bought already becomes a feature.
    """

    windows: tuple[Span, ...] = Field(
        default=tuple(Duration.parse(text) for text in _WINDOWS), json_schema_extra={"default": list(_WINDOWS)}
    )
    top_categories: int = Field(default=12, ge=1, le=1000)
    events: Measures = ("count", "days", "trend", "recency")
    purchases: Measures = ("count", "sum", "days", "trend", "recency", "since_first", "gaps")
    cross: Texts = ()
    custom: Texts = ()
    buyer_shares: Texts = ()

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
