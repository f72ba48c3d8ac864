"""One question as a frozen, typed spec, and how a YAML file becomes one."""

import os
from datetime import datetime
from hashlib import sha256
from itertools import pairwise
from pathlib import Path
from typing import Any, Self
from zoneinfo import ZoneInfo

from pydantic import Field, model_validator
from pydantic.json_schema import SkipJsonSchema

from propensity.config.data import DataSpec, Trait
from propensity.config.fields import Recency, Texts
from propensity.config.rules import (
    Aim,
    AvatarPart,
    Barrier,
    Calibration,
    CalibrationSpec,
    ContactSpec,
    FittedScorecardSpec,
    ListSpec,
    Market,
    Models,
    ModelsSpec,
    MonitoringSpec,
    OutcomeSpec,
    PointsSpec,
    PromotionSpec,
    PyramidSpec,
    SingleIndicatorSpec,
    TargetSpec,
)
from propensity.config.samples import EVENT_MEASURES, VALUE_MEASURES, CutoffRange, CutoffsSpec, FeaturesSpec, SplitSpec
from propensity.errors import InputError
from propensity.temporal import Duration, Window, label_window, maturity, to_instant
from propensity.wording import Wording, english, is_file, read_wording
from propensity.yaml_spec import Spec, read_yaml_spec, require

_NAME = r"^[A-Za-z0-9][A-Za-z0-9_.-]*$"
DEFAULT_MODELS = ModelsSpec.of("single_indicator", "scorecard", "logistic", "lightgbm", "blend")


_MARKET_NEEDS: dict[Market, tuple[tuple[Trait, ...], ...]] = {
    "consumer": (("age", "gender", "income", "interests", "occupation", "household", "location"),),
    "business": (("industry", "services"), ("turnover", "employees"), ("job title", "ownership")),
    "intermediary": (("industry", "services", "turnover", "employees", "location"),),
    "government": (("ownership", "services", "industry"), ("location",)),
    "international": (("location",),),
}
"""What attributes must tell of the customers of a market: one trait of each group."""


class TrackingSpec(Spec):
    """Where MLflow keeps the runs; the experiment defaults to the study's name."""

    uri: str = "sqlite:///mlflow.db"
    experiment: str | None = None


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
    pyramids: dict[str, PyramidSpec] = {}
    barriers: dict[Barrier, str] = {}
    approach: dict[Aim, str] = {}
    channels: dict[str, str] = {}
    avatar: dict[AvatarPart, Texts] = {}
    wording: str | None = None
    listing: ListSpec = Field(default=ListSpec(), alias="list")
    actionable: tuple[str, ...] | None = None
    models: Models = DEFAULT_MODELS
    recency: Recency = "auto"
    calibration: Calibration = CalibrationSpec()
    contact: ContactSpec = ContactSpec()
    points: PointsSpec = PointsSpec()
    promotion: PromotionSpec = PromotionSpec()
    monitoring: MonitoringSpec = MonitoringSpec()
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

    def with_models(self, *names: str) -> Self:
        """The study with these models alone, by name, without options."""
        return self.model_copy(update={"models": ModelsSpec.of(*names)})

    def with_source(self, source: str | Path) -> Self:
        """The study on other tables of the same names, such as a simulated market of another size."""
        return self.model_copy(update={"data": self.data.model_copy(update={"source": str(source)})})

    def with_control(self, share: str | float) -> Self:
        """The study with another share of customers whom campaigns leave alone, such as ``2%`` or 0.02.

        Raises
        ------
        InputError
            When it is no share.
        """
        try:
            listing = ListSpec.model_validate({**self.listing.model_dump(), "control": share})
        except ValueError:
            raise InputError(f"random control: {share!r} is no share. Write it as 2%, or as 0.02.") from None
        return self.model_copy(update={"listing": listing})

    def with_wording(self, wording: str) -> Self:
        """The study in another language, or with the words of another file (relative to the working folder)."""
        told = str(Path(wording).absolute()) if is_file(wording) else wording
        return self.model_copy(update={"wording": told})

    def read_wording(self) -> Wording:
        """The words of the study's reasons: those of its wording file, or of the language that it names.

        Raises
        ------
        ConfigError
            When there is no such language, or the file does not fit.
        """
        return english() if self.wording is None else read_wording(self.wording, beside=self.path)

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

    @property
    def cutoff_step(self) -> Duration:
        """From cutoff to cutoff: as on train, where those stand on a grid, or else a horizon."""
        assert self.cutoffs is not None and self.outcome.horizon is not None  # noqa: S101, PT018 - asked of dated ones
        train = self.cutoffs.train
        return train.every if isinstance(train, CutoffRange) else self.outcome.horizon

    def label_window(self, cutoff: datetime) -> Window:
        """The window in which a purchase makes a prospect of the cutoff positive."""
        assert self.outcome.horizon is not None  # noqa: S101 - the outcome's own check
        return label_window(cutoff, gap=self.outcome.gap, horizon=self.outcome.horizon, zone=self.zone)

    def horizon_ends(self, cutoff: datetime) -> list[datetime]:
        """When the window of each of `outcome.all_horizons` ends: ascending at the study's cutoffs."""
        outcome = self.outcome
        return [label_window(cutoff, gap=outcome.gap, horizon=h, zone=self.zone).end for h in outcome.all_horizons]

    def longest_window(self, cutoff: datetime) -> Window:
        """The cutoff's label window, or that of a longer one of `outcome.horizons`."""
        window = self.label_window(cutoff)
        return Window(window.start, max([window.end, *self.horizon_ends(cutoff)]))

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
            timeless = "a snapshot knows no time to halve weights over: auto (by its order) or none"
            require(self.recency in ("auto", "none"), timeless, ("recency",))
            require(
                not self.data.records,
                "a snapshot study has no events, purchases or contacts: remove them",
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
        for key in ("custom", "buyer_shares"):
            none = not (self.is_snapshot and getattr(self.features, key))
            require(none, f"a snapshot has no {key.replace('_', ' ')}: it has no past to look at", ("features", key))
        for name in self.features.buyer_shares:
            attribute = self.data.customers.attributes.get(name)
            is_category = attribute is not None and attribute.type == "category"
            require(is_category, f"'{name}' is no attribute of type category", ("features", "buyer_shares"))
        return self

    @model_validator(mode="after")
    def _market_is_described(self) -> Self:
        if "market" not in self.target.model_fields_set:
            return self
        market = self.target.market
        told = {attribute.trait(name) for name, attribute in self.data.customers.attributes.items()}
        lacking = [" or ".join(traits) for traits in _MARKET_NEEDS[market] if not told.intersection(traits)]
        require(
            not lacking,
            f"the {market} market needs attributes that tell of {', and of '.join(lacking)}: declare them under "
            "data.customers.attributes, or say what one tells there, such as describes: "
            f"{_MARKET_NEEDS[market][0][0]}",
            ("target", "market"),
        )
        return self

    @model_validator(mode="after")
    def _qualification_is_there(self) -> Self:
        only = self.listing.qualified_only
        require(self.qualification or not only, "qualified_only needs rules: add a qualification", ("list",))
        return self

    @model_validator(mode="after")
    def _value_is_known(self) -> Self:
        if self.listing.rank_by == "expected_profit":
            known = self.contact.has_profit
            require(known, "rank_by: expected_profit needs contact.cost and contact.value", ("list", "rank_by"))
        if self.contact.learns_amounts:
            place = ("contact", "value")
            either = "Give the value of a purchase as a number"
            require(not self.is_snapshot, f"a snapshot has no purchases whose amount could be learnt. {either}", place)
            require(
                self.outcome.event is None,
                f"an outcome that is an event has no amount. {either}, or make the outcome a product",
                place,
            )
            amount = self.data.purchases and self.data.purchases.amount
            lacks = f"the purchases have no amount: name its column under data.purchases.amount. {either} otherwise"
            require(amount, lacks, place)
        return self

    @model_validator(mode="after")
    def _models_fit(self) -> Self:
        names = self.models.names
        require("scorecard" not in names or self.scorecard is not None, _NO_SCORECARD, ("models",))
        if "blend" in names:
            both = {"logistic", "lightgbm"} <= set(names)
            require(both, "a blend needs logistic and lightgbm beside it", ("models",))
        require(names, "name at least one model", ("models",))
        halves = not isinstance(self.recency, Duration) or self.recency.count > 0
        require(halves, "a half-life is longer than nothing", ("recency",))
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
        for cutoff in [cutoff for split in cutoffs.values() for cutoff in split]:
            named = zip(self.outcome.all_horizons, self.horizon_ends(cutoff), strict=True)
            for (shorter, sooner), (longer, later_end) in pairwise(named):
                require(
                    sooner < later_end,
                    f"{shorter} and {longer} from {cutoff:%Y-%m-%d} do not end one after the other ({sooner:%Y-%m-%d} "
                    f"and {later_end:%Y-%m-%d}): give both in one unit, or leave one out",
                    ("outcome", "horizons"),
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
        | ({"contacts"} if study.data.contacts is None else set())  # models of before the role keep their hash
    )
    parts = [roles, study.target.model_dump_json(), study.outcome.model_dump_json(), study.features.model_dump_json()]
    return sha256("\n".join(parts).encode()).hexdigest()[:16]
