"""The study as frozen, typed specs, one per section; a function takes the spec that it needs, not the whole study."""

from propensity.config.data import (
    AttributeSpec,
    CsvSpec,
    CustomersSpec,
    DataSpec,
    EventsSpec,
    JoinSpec,
    PurchasesSpec,
    RecordsSpec,
    TableSpec,
)
from propensity.config.rules import (
    AVATAR_PARTS,
    ContactSpec,
    FixedScale,
    MatchSpec,
    MonitoringSpec,
    OutcomeSpec,
    PointsSpec,
    PromotionSpec,
    PyramidSpec,
    TargetSpec,
)
from propensity.config.samples import EVENT_MEASURES, CutoffsSpec, FeaturesSpec, SplitSpec
from propensity.config.study import Study, fingerprint, load_study, meaning_fingerprint, resolve_path

__all__ = [
    "AVATAR_PARTS",
    "EVENT_MEASURES",
    "AttributeSpec",
    "ContactSpec",
    "CsvSpec",
    "CustomersSpec",
    "CutoffsSpec",
    "DataSpec",
    "EventsSpec",
    "FeaturesSpec",
    "FixedScale",
    "JoinSpec",
    "MatchSpec",
    "MonitoringSpec",
    "OutcomeSpec",
    "PointsSpec",
    "PromotionSpec",
    "PurchasesSpec",
    "PyramidSpec",
    "RecordsSpec",
    "SplitSpec",
    "Study",
    "TableSpec",
    "TargetSpec",
    "fingerprint",
    "load_study",
    "meaning_fingerprint",
    "resolve_path",
]
