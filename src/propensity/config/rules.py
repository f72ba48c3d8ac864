"""Who is asked about, what counts as buying, and the rules that marketing writes down."""

import math
import re
from itertools import pairwise
from typing import Annotated, Any, Literal, Self, get_args

from pydantic import BeforeValidator, Field, field_validator, model_validator

from propensity.config.fields import Capacity, PositiveShare, Scalars, Share, Span, Texts
from propensity.temporal import Duration
from propensity.yaml_spec import Spec


class SuppressSpec(Spec):
    """Who is neither scored nor listed: customers with an event of these kinds, or who meet `where`."""

    event: Texts = ()
    where: str | None = None


Market = Literal["consumer", "business", "intermediary", "government", "international"]


class TargetSpec(Spec):
    """The target customers: their market, and the criteria that each of them meets as of the cutoff.

    A criterion is a checked expression over attributes, or over features of what a customer did and bought. `where`
    is one criterion more, which has no name of its own.
    """

    market: Market = "consumer"
    where: str | None = None
    criteria: dict[str, str] = {}
    suppress: SuppressSpec = SuppressSpec()

    @property
    def named_criteria(self) -> dict[str, str]:
        """Name → checked expression; `where` is called by its own text."""
        return ({self.where: self.where} if self.where else {}) | self.criteria

    @property
    def place(self) -> dict[str, str]:
        """Where each criterion stands in the study's file, for messages."""
        own = {name: f"target.criteria.{name}" for name in self.criteria}
        return ({self.where: "target.where"} if self.where else {}) | own


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
    """What counts as buying, and when: a product, an event, or the label column of a snapshot.

    Models are fitted, judged and explained for `horizon`; `horizons` are others to give a probability for.
    """

    product: Annotated[
        tuple[str, ...] | MatchSpec | None,
        BeforeValidator(_read_product, json_schema_input_type=tuple[str, ...] | str | MatchSpec | None),
    ] = None
    event: EventOutcomeSpec | None = None
    column: str | None = None
    positive: Scalars = (1, "1", "yes", "true", "True", True)
    horizon: Span | None = None
    horizons: tuple[Span, ...] = ()
    gap: Span = Field(default=Duration(0, "d"), json_schema_extra={"default": "0d"})
    reporting_lag: Span = Field(default=Duration(0, "d"), json_schema_extra={"default": "0d"})

    @model_validator(mode="after")
    def _one_outcome(self) -> Self:
        given = [name for name in ("product", "event", "column") if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError(f"name exactly one of product, event, column (found {', '.join(given) or 'none'})")
        if self.column is None and (self.horizon is None or self.horizon.count == 0):
            raise ValueError("a horizon is needed, such as horizon: 30d")
        if self.horizons and self.column is not None:
            raise ValueError("a ready label has one horizon: leave 'horizons' out")
        if any(horizon.count == 0 for horizon in self.horizons):
            raise ValueError("each of 'horizons' is longer than nothing")
        return self

    @property
    def all_horizons(self) -> tuple[Duration, ...]:
        """`horizon` and `horizons`, the shortest first; empty where no others are asked for."""
        if not self.horizons or self.horizon is None:
            return ()
        named = dict.fromkeys((self.horizon, *self.horizons))  # not a set: what is equally long has one order
        return tuple(sorted(named, key=lambda horizon: horizon.approximate_days))


def _read_value(value: Any) -> Any:
    if value is None or value == "amount":
        return value
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = math.nan
    if not 0 <= number < math.inf:
        raise ValueError("neither a number from 0 (money for a purchase) nor the word amount (learnt from purchases)")
    return number


class ContactSpec(Spec):
    """How many prospects can be contacted, what a contact costs, and what a purchase is worth (in money).

    `value` is the same for all, or the word ``amount``: what a prospect's first purchase is expected to amount to, of
    which `margin` is the share that is earned.
    """

    capacity: Capacity = 0.1
    cost: float | None = Field(default=None, ge=0, allow_inf_nan=False)
    value: Annotated[
        float | Literal["amount"] | None,
        BeforeValidator(_read_value, json_schema_input_type=Annotated[float, Field(ge=0)] | Literal["amount"] | None),
    ] = None
    margin: PositiveShare = 1.0

    @property
    def learns_amounts(self) -> bool:
        """Whether a purchase's worth is learnt from the amounts of first purchases."""
        return self.value == "amount"

    @property
    def has_profit(self) -> bool:
        """Whether it is known what a contact costs and what a purchase brings."""
        return self.cost is not None and self.value is not None

    @model_validator(mode="after")
    def _margin_is_used(self) -> Self:
        if "margin" in self.model_fields_set and not self.learns_amounts:
            raise ValueError("'margin' is the share of an amount that is earned: it needs value: amount")
        return self

    def share(self, prospects: int) -> float:
        """The capacity as a share of `prospects` (a capacity above 1 is a count of prospects)."""
        return self.capacity if self.capacity <= 1 else min(1.0, self.capacity / max(prospects, 1))


def _read_method(value: Any) -> Any:
    return {"method": value} if isinstance(value, str) else value


class CalibrationSpec(Spec):
    """How log-odds become probabilities; the plain word of a method will do.

    `method`: Platt's map, or a calibrator after it, or `auto`: what validation shows to be better than Platt.
    `prior`: the base rate is that of the latest matured labels, or `em`: of the rows that are scored, found without
    their labels, where that would have helped on validation.
    """

    method: Literal["platt", "beta", "isotonic", "venn_abers", "auto"] = "platt"
    prior: Literal["latest", "em"] = "latest"


Calibration = Annotated[
    CalibrationSpec,
    BeforeValidator(_read_method, json_schema_input_type=CalibrationSpec | str),
]


class PointsSpec(Spec):
    """The scale of points: `reference_points` at `reference_odds`, and `pdo` points double the odds."""

    pdo: float = Field(default=20, gt=0)
    reference_points: float = 600
    reference_odds: float = Field(default=1 / 19, gt=0)


class SingleIndicatorSpec(Spec):
    """The feature that the single-indicator baseline ranks on; without one, the best on train is taken."""

    feature: str | None = None


class ListSpec(Spec):
    """Who is on a prospect list (all prospects, or only those that pass the qualification), and what ranks it.

    `control` is the share of customers, drawn by lot once and for all, whom a campaign leaves alone: against them its
    effect can be measured. A list is refused where there are less than `least` of the prospects that there were at the
    last three cutoffs that the model learnt from, less than `least_records` of a table's records of 30 days at any of
    them, or where the newest record is more than `max_age` older than usual.
    """

    qualified_only: bool = False
    least: Share = 0.7
    least_records: Share = 0.5
    max_age: Span = Duration.parse("3d")
    control: Share = 0.0
    rank_by: Literal["probability", "expected_profit"] = "probability"


class PromotionSpec(Spec):
    """When a challenger takes the champion's place.

    `metric` is compared on the same prospects. By `allow`, the challenger must be clearly better (the interval of the
    difference lies above 0) or not clearly worse: at the interval's lower end by no more than `margin` of what the
    champion has (of an AUC: above 0.5). Calibration slope and actual over expected buyers must be able to lie within
    `calibration`. `max_drift` limits how far score and inputs have shifted since the challenger's last cutoff
    (population stability index), `audit` asks for a leak audit (``proof``: that only a proof refuses, and not a feature
    that is too good to be true), `min_buyers` for enough buyers to tell anything.
    """

    metric: Literal["lift_at_capacity", "lift_at_10pct", "average_precision", "roc_auc"] = "lift_at_capacity"
    allow: Literal["better", "not_worse"] = "better"
    margin: Share = 0.1
    calibration: tuple[float, float] = (0.8, 1.25)
    max_drift: float = Field(default=0.25, gt=0)
    audit: bool | Literal["proof"] = True
    min_buyers: int = Field(default=30, ge=1)

    @model_validator(mode="after")
    def _is_a_range(self) -> Self:
        low, high = self.calibration
        if not 0 < low < 1 < high:
            raise ValueError("'calibration' is a range around 1, such as [0.8, 1.25]")
        return self


class MonitoringSpec(Spec):
    """When a model is to be watched, and when to be trained anew.

    Buyers over expected ones outside of `calibration`, clearly, ask for a training. So does a population stability
    index of score or inputs above `max_drift`; above `watch_drift` it is to be watched.
    """

    calibration: tuple[float, float] = (0.8, 1.25)
    watch_drift: float = Field(default=0.1, gt=0)
    max_drift: float = Field(default=0.25, gt=0)

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        low, high = self.calibration
        if not 0 < low < 1 < high:
            raise ValueError("'calibration' is a range around 1, such as [0.8, 1.25]")
        if self.watch_drift > self.max_drift:
            raise ValueError("'watch_drift' lies above 'max_drift'")
        return self


class FixedScale(Spec):
    """A scale from `low`, which counts 0, to `high`, which counts 1; values beyond count as the nearer end."""

    low: float
    high: float

    @model_validator(mode="after")
    def _has_length(self) -> Self:
        if self.low == self.high:
            raise ValueError("'low' and 'high' are the same: a scale needs a length")
        return self


class PyramidIndicatorSpec(Spec):
    """One indicator of a value pyramid, brought to 0 to 1 by its scale.

    `rank` is the share of prospects with a lower value, `range` the place between the lowest and the highest value;
    `missing` (0 to 1) is for prospects without a value.
    """

    feature: str = Field(min_length=1)
    weight: float = Field(default=1.0, gt=0, allow_inf_nan=False)
    scale: Literal["rank", "range"] | FixedScale = "rank"
    missing: float = Field(default=0.0, ge=0, le=1)


class PyramidSpec(Spec):
    """A value pyramid: the weighted mean of its indicators, and its tiers from the top.

    Tiers have either `shares` of the prospects, or `cut_offs`: the value (0 to 100) from which a tier begins.
    """

    indicators: tuple[PyramidIndicatorSpec, ...] = Field(min_length=1)
    shares: dict[str, Share] = {}
    cut_offs: dict[str, float] = {}

    @property
    def tiers(self) -> tuple[str, ...]:
        """Names of the tiers, the top first."""
        return tuple(self.shares or self.cut_offs)

    @model_validator(mode="after")
    def _tiers_cover_all(self) -> Self:
        if bool(self.shares) == bool(self.cut_offs):
            raise ValueError("name the tiers with either 'shares' or 'cut_offs', the top first")
        if len(self.tiers) < 2:
            raise ValueError("a pyramid has two tiers or more")
        if self.shares and abs(sum(self.shares.values()) - 1) > 1e-9:
            raise ValueError(f"the tiers' shares add up to {sum(self.shares.values()):.0%}, not to 100 %")
        edges = list(self.cut_offs.values())
        if edges and (edges[-1] != 0 or any(low >= high for high, low in pairwise(edges))):
            raise ValueError("cut_offs fall from the top tier to the last, which begins at 0")
        return self


Barrier = Literal["cost", "time", "need", "supplier"]
Aim = Literal["committed", "immediate"]
AvatarPart = Literal[
    "demographics",
    "goals and values",
    "information sources",
    "problems and challenges",
    "barriers and role",
    "go",
    "like",
    "do",
]
AVATAR_PARTS: tuple[AvatarPart, ...] = get_args(AvatarPart)
"""The five parts of an avatar, and what answers the three questions about behaviour."""


class FittedScorecardSpec(Spec):
    """What a scorecard that is learnt from data must respect: whether points rise or fall with a feature's value."""

    directions: dict[str, Literal["rising", "falling"]] = {}


class TuneSpec(Spec):
    """A search for better parameters: at most so many trials, and none begun after so many seconds."""

    trials: int = Field(default=50, ge=2, le=5_000)
    seconds: float | None = Field(default=None, gt=0)


class PlainModelSpec(Spec):
    """A model that takes no options."""


class LightGBMSpec(Spec):
    """LightGBM: a search for its parameters, and features along which the score may only rise or only fall."""

    tune: TuneSpec | None = None
    monotone: dict[str, Literal["rising", "falling"]] = {}


def _none_is_plain(value: Any) -> Any:
    return {} if value is None else value


PlainModel = Annotated[PlainModelSpec | None, BeforeValidator(_none_is_plain)]


class ModelsSpec(Spec):
    """The models of a study, each with its options: a list of names, or a mapping of names to options."""

    single_indicator: PlainModel = None
    scorecard: PlainModel = None
    fitted_scorecard: PlainModel = None
    logistic: PlainModel = None
    lightgbm: Annotated[LightGBMSpec | None, BeforeValidator(_none_is_plain)] = None
    blend: PlainModel = None

    @property
    def names(self) -> tuple[str, ...]:
        """The models that the study has, the simplest first."""
        return tuple(name for name in type(self).model_fields if getattr(self, name) is not None)

    @classmethod
    def of(cls, *names: str) -> Self:
        """Models by name, without options."""
        return cls.model_validate({name: {} for name in names})

    @model_validator(mode="before")
    @classmethod
    def _listed(cls, given: Any) -> Any:
        if not isinstance(given, list | tuple):
            return given
        models: dict[str, Any] = {}
        for item in given:
            for name, options in (item if isinstance(item, dict) else {item: None}).items():
                if name not in cls.model_fields:
                    raise ValueError(f"there is no model {name!r}. Choose from: {', '.join(cls.model_fields)}")
                if name in models:
                    raise ValueError(f"name each model once ({name} stands there twice)")
                models[name] = options
        return models


ModelName = Literal["single_indicator", "scorecard", "fitted_scorecard", "logistic", "lightgbm", "blend"]
_Listed = tuple[ModelName | dict[ModelName, dict[str, Any] | None], ...]
Models = Annotated[ModelsSpec, BeforeValidator(lambda value: value, json_schema_input_type=_Listed | ModelsSpec)]
