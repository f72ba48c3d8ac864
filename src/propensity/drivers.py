"""What drives a model: importance over all prospects and in parts of them, interactions, and what has changed."""

import logging
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from propensity.bundle import Bundle
from propensity.config import Study
from propensity.explain.contributions import contributions, explanation, to_points
from propensity.explain.figures import shap_figures
from propensity.explain.importance import importance, importance_by
from propensity.explain.interactions import strongest_pairs
from propensity.models.base import UnsupportedTreesError

logger = logging.getLogger(__name__)

_SAMPLE = 2_000
"""Rows that importance and SHAP's plots are computed from."""
_PAIRED = 300
"""Rows that interactions are computed from."""
_CHANGES = 15


def global_picture(bundle: Bundle, X: pd.DataFrame, *, seed: int) -> tuple[dict[str, Any], dict[str, bytes]]:
    """How far features, kinds of features and pairs of features move the score, and SHAP's plots of a sample.

    Parameters
    ----------
    X : DataFrame of shape (n, features)
        The prospects of the list; at most 2,000 of them, drawn by `seed`, are explained.

    Returns
    -------
    picture : dict
        ``importance``, ``importance_by_group`` (kinds of features), ``importance_by_segment`` and ``_by_stage`` (None
        without), and ``interactions``.
    figures : dict
        Name → PNG.
    """
    rng = np.random.default_rng(seed)
    picked = np.sort(rng.choice(len(X), size=min(_SAMPLE, len(X)), replace=False))
    sample = X[bundle.plan.names].iloc[picked].reset_index(drop=True)
    scale, catalogue = bundle.points.model_dump(), bundle.plan.catalogue()
    own, *by_fold = (
        to_points(*contributions(model, bundle.calibrator, sample), **scale)[0]
        for model in (bundle.model, *bundle.folds)
    )
    features, groups = importance(own, by_fold, sample, catalogue)
    decoded = bundle.decoded(sample)
    stages = bundle.buying_stages(decoded)
    unit = bundle.calibrator.slope_ * bundle.points.pdo / np.log(2)
    picture = {
        "importance": features,
        "importance_by_group": groups,
        "importance_by_segment": importance_by(own, bundle.segment_of(decoded), catalogue),
        "importance_by_stage": None if stages is None else importance_by(own, stages.to_numpy(), catalogue),
        "interactions": interactions_of(bundle, sample, scale=unit, rng=rng),
    }
    return picture, shap_figures(explanation(bundle.model, sample, calibrator=bundle.calibrator), seed=seed)


def interactions_of(
    bundle: Bundle, sample: pd.DataFrame, *, scale: float, rng: np.random.Generator
) -> list[dict[str, Any]] | None:
    """The strongest pairs, over rows drawn anew: the sample stands in the list's order. None where trees have none."""
    picked = np.sort(rng.choice(len(sample), size=min(_PAIRED, len(sample)), replace=False))
    try:
        return strongest_pairs(bundle.model, sample.iloc[picked], bundle.plan.catalogue(), scale=scale)
    except UnsupportedTreesError as reason:
        logger.warning("interactions: none are told: %s.", reason)
        return None


class Previous(NamedTuple):
    """An earlier run that this one is held against: what it is, and what its report holds."""

    what: str
    report: Mapping[str, Any]


def since_last(previous: Previous | None, now: Sequence[Mapping[str, Any]], study: Study) -> dict[str, Any] | None:
    """How importance has changed since the champion, or the run before, the largest changes first.

    Parameters
    ----------
    previous : Previous or None
    now : sequence of mapping
        ``importance`` of this run.

    Returns
    -------
    dict or None
        ``what``, ``run``, ``as_of`` and ``selected`` of that run, and ``features``: ``feature``, ``description``,
        ``before`` and ``now`` (mean absolute points; 0: moves nothing), ``change``, and ``clear``: the 90 % intervals
        lie apart. None where there was no such run, it was of another study, or its points have another scale.
    """
    if previous is None:
        return None
    try:
        changes = _changes(previous.report, now, study)
        return changes and {"what": previous.what, **changes}
    except (KeyError, TypeError):  # a report of another version is no reason to lose a training
        return None


def _changes(previous: Mapping[str, Any], now: Sequence[Mapping[str, Any]], study: Study) -> dict[str, Any] | None:
    if previous["points"] != study.points.model_dump() or previous["study"]["name"] != study.study:
        return None
    before = {row["feature"]: row for row in previous["importance"]}
    after = {row["feature"]: row for row in now}
    rows = []
    for name in [*after, *(name for name in before if name not in after)]:
        then, today = before.get(name), after.get(name)
        points = [0.0 if row is None else float(row["mean_abs_points"]) for row in (then, today)]
        rows.append(
            {
                "feature": name,
                "description": (today or then or {})["description"],
                "before": points[0],
                "now": points[1],
                "change": points[1] - points[0],
                "clear": _lie_apart(then, today),
            }
        )
    ordered = sorted(rows, key=lambda row: (-abs(row["change"]), row["feature"]))
    run = previous["run"]
    return {
        "run": run["id"],
        "as_of": run.get("as_of"),
        "selected": run["selected"],
        "features": [row for row in ordered[:_CHANGES] if row["change"]],
    }


def _lie_apart(one: Mapping[str, Any] | None, other: Mapping[str, Any] | None) -> bool:
    """Whether two intervals have nothing in common; what moves nothing has none, and counts as a 0."""
    ends = [(0.0, 0.0) if row is None else (row["low"], row["high"]) for row in (one, other)]
    if any(low is None for low, _ in ends):
        return False
    (low, high), (other_low, other_high) = ends
    return bool(high < other_low or other_high < low)
