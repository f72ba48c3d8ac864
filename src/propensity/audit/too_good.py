"""Which features are too good to be true, and why such a feature is often a leak."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd

from propensity.audit.findings import SUSPICIOUS, TOO_GOOD, UNTESTED, Finding
from propensity.audit.single import AHEAD, FEW, GOOD, SURE, single_feature_aucs
from propensity.evaluation.ranking import Tally, rank
from propensity.features.catalogue import Feature
from propensity.features.matrix import Frame
from propensity.features.plan import FeaturePlan
from propensity.models import make_model
from propensity.models.base import BinaryModel
from propensity.models.tuning import cross_fit
from propensity.splits import customer_folds

_ROUNDS = 100
_ROWS = 50_000
_FLAG = "_missing"

_WHY = {
    "customers": (
        "An attribute without a date is what it is today, not what it was at the cutoff. It is often filled in or "
        "updated by the purchase itself (a call's duration, a status, the last activity)."
    ),
    "events": (
        "Events of this kind may be part of buying itself, or be recorded under an earlier time than they became known "
        "(data.events.available_at)."
    ),
    "purchases": (
        "The purchases counted may be the outcome under another name, or be recorded under an earlier time than they "
        "became known (data.purchases.available_at)."
    ),
    "contacts": (
        "Those who are about to buy may be contacted for that very reason, or a contact may be recorded after the "
        "purchase under an earlier time (data.contacts.available_at)."
    ),
}
_WHY_PRESENCE = "A value that exists for buyers, and seldom for others, has most often been written when they bought."
_WHY_OTHER = "A value that foresees the outcome almost surely has most often been written by it."


def quick_model(plan: FeaturePlan, *, seed: int, names: Sequence[str] | None = None) -> BinaryModel:
    """An unfitted model that needs no tuning: one small LightGBM."""
    categorical = [name for name in plan.categories if names is None or name in names]
    return make_model("lightgbm", categorical=categorical, seed=seed, params={"rounds": _ROUNDS, "seeds": 1})


def find_too_good(plan: FeaturePlan, train: Frame, *, seed: int) -> tuple[list[Finding], pd.DataFrame]:
    """Judge every feature by itself on train.

    Returns
    -------
    findings : list of Finding
        Those that are too good to be true.
    judged : DataFrame
        A row per feature, the best first: ``feature``, ``description``, ``source``, ``auc``, ``by``, ``low``,
        ``value``, ``presence``, ``band``, ``others`` (the AUC of all others together, where that was asked) and
        ``suspicious``.
    """
    y = train.labels
    if min(int(y.sum()), int((1 - y).sum())) < FEW:
        few = f"train has {int(y.sum()):,} buyers in {len(y):,} rows: with fewer than {FEW}, chance alone looks good"
        return [Finding(TOO_GOOD, UNTESTED, "single features", few)], pd.DataFrame()
    X = train.X[plan.names].to_numpy()
    is_category = np.array([feature.kind == "category" for feature in plan.features], dtype=bool)
    judged = single_feature_aucs(X, y, train.groups, is_category=is_category, seed=seed)
    judged.insert(0, "feature", plan.names)
    judged.insert(1, "description", [feature.description for feature in plan.features])
    judged.insert(2, "source", [feature.source for feature in plan.features])
    judged["others"] = np.nan
    good = (judged["low"] >= GOOD).to_numpy()
    if good.any() and not good.all():
        judged.loc[good, "others"] = _auc_of_others(plan, train, judged[good], seed=seed)
    ahead = good & (judged["low"] >= judged["others"] + AHEAD).to_numpy()
    judged["suspicious"] = (judged["low"] >= SURE).to_numpy() | ahead
    found = [_finding(judged.iloc[j], plan.features[j]) for j in np.flatnonzero(judged["suspicious"]).tolist()]
    return found, judged.sort_values("low", ascending=False, kind="stable").reset_index(drop=True)


def _auc_of_others(plan: FeaturePlan, train: Frame, good: pd.DataFrame, *, seed: int) -> npt.NDArray[np.float64]:
    """The cross-fitted AUC of all features but the good ones, on the rows where each good one was judged."""
    apart = {name.removesuffix(_FLAG) for name in good["feature"]}
    rest = [name for name in plan.names if name.removesuffix(_FLAG) not in apart]
    if not rest:
        return np.full(len(good), np.nan)
    rows = train.take(_spread(train.labels))
    folds = customer_folds(rows.labels, rows.groups, folds=2, seed=seed)
    score = cross_fit(quick_model(plan, seed=seed, names=rest), rows.X[rest], rows.labels, folds=folds)
    areas = []
    for name, by in zip(good["feature"], good["by"], strict=True):
        asked = rows.X[name].notna().to_numpy() if by == "value" else np.ones(len(rows), dtype=bool)
        tally = Tally(rank(rows.labels[asked].astype(np.float64), score[asked]), np.ones(int(asked.sum())))
        areas.append(tally.roc_auc() if tally.has_both_classes else np.nan)
    return np.array(areas, dtype=np.float64)


def _spread(y: npt.NDArray[np.int8]) -> npt.NDArray[np.intp]:
    """At most 50,000 rows, evenly spread over each class."""
    if len(y) <= _ROWS:
        return np.arange(len(y))
    step = int(np.ceil(len(y) / _ROWS))
    return np.sort(np.concatenate([np.flatnonzero(y == label)[::step] for label in (0, 1)]))


def _finding(row: pd.Series, feature: Feature) -> Finding:
    words = {
        "value": "its value alone",
        "presence": "whether it is given at all",
        "band": "its category alone" if feature.kind == "category" else "its value alone, in bands,",
    }
    text = f"{words[row['by']]} ranks train's buyers with an AUC of {row['auc']:.3f} (surely above {row['low']:.2f})"
    if row["others"] == row["others"]:
        text += f"; all other features together reach {row['others']:.3f}"
    why = _WHY_PRESENCE if row["by"] == "presence" else _WHY.get(feature.source, _WHY_OTHER)
    facts = {key: row[key] for key in ("auc", "by", "low", "value", "presence", "band", "others")}
    advice = f"{why} Was it known, in this form, at the cutoff? Where not, leave it out."
    return Finding(TOO_GOOD, SUSPICIOUS, feature.name, text, advice, facts)
