"""Several horizons: who entered which interval and was observed to its end, what is learnt of it, and how it came out.

What had not been observed by the instant that a model is fitted as of is censored: it counts neither as a purchase nor
as none.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from propensity.config import Study
from propensity.evaluation.bootstrap import cluster_bootstrap
from propensity.features.matrix import Frame
from propensity.features.plan import FeaturePlan
from propensity.models.hazard import HazardModel, fit_hazard, learnable
from propensity.splits import Fold

Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]
LEVEL = 0.95
"""Level of the intervals of the figures."""
METRICS = ("roc_auc", "average_precision", "brier", "log_loss", "calibration_slope")


@dataclass(frozen=True)
class Periods:
    """The intervals between horizons, for each row.

    Attributes
    ----------
    entered : ndarray of bool, shape (n, intervals)
        Rows that had not bought before the interval, whose end had been observed.
    bought : ndarray of bool, shape (n, intervals)
        Those of them that bought in it.
    """

    entered: Flags
    bought: Flags


def person_periods(frame: Frame, study: Study, *, observed_until: datetime) -> Periods:
    """Who entered each interval and who bought in it, as far as had been observed by an instant.

    An interval counts once its end and the reporting lag lie at or before `observed_until`.
    """
    assert frame.purchases is not None  # noqa: S101 - a study with horizons has purchases or events over time
    bought_at = frame.purchases["bought_at"].to_numpy()
    at = frame.keys["cutoff"].to_numpy()
    count = len(study.outcome.all_horizons)
    entered, bought = np.zeros((len(frame), count), dtype=bool), np.zeros((len(frame), count), dtype=bool)
    for cutoff in np.unique(at):
        rows = at == cutoff
        instant = pd.Timestamp(cutoff).to_pydatetime().replace(tzinfo=UTC)
        ends = study.horizon_ends(instant)
        starts = [study.label_window(instant).start, *ends]
        for k, (start, end) in enumerate(zip(starts, ends, strict=False)):
            if study.outcome.reporting_lag.after(end, zone=study.zone) > observed_until:
                break
            before, within = bought_at[rows] < _naive(start), bought_at[rows] < _naive(end)
            entered[rows, k], bought[rows, k] = ~before, within & ~before
    return Periods(entered, bought)


def _naive(instant: datetime) -> np.datetime64:
    return np.datetime64(instant.astimezone(UTC).replace(tzinfo=None), "us")


def learn_horizons(
    study: Study,
    plan: FeaturePlan,
    rows: Frame,
    log_odds: Floats,
    *,
    folds: Sequence[Fold],
    observed_until: datetime | None,
) -> HazardModel | None:
    """The hazards of a study's horizons; None where it has none, or too little has been observed.

    Parameters
    ----------
    rows : Frame
        Labelled rows, in an order of their own.
    log_odds : ndarray, shape (n,)
        The deployed kind of model's calibrated log-odds, of customers held out.
    observed_until : datetime or None
        What lies later is not known.
    """
    names = [str(horizon) for horizon in study.outcome.all_horizons]
    if study.outcome.horizon is None or not names or observed_until is None:
        return None
    main = study.outcome.all_horizons.index(study.outcome.horizon)
    periods = person_periods(rows, study, observed_until=observed_until)
    kept = learnable(periods.bought.sum(axis=0).tolist(), main)
    if not kept:
        return None
    if len(kept) < len(names):
        fewer = _with_horizons(study, kept)
        return learn_horizons(fewer, plan, rows, log_odds, folds=folds, observed_until=observed_until)
    return fit_hazard(
        log_odds,
        rows.X.to_numpy(),
        periods.entered,
        periods.bought,
        groups=rows.groups,
        folds=folds,
        horizons=names,
        main=main,
        columns=plan.names,
        categorical=[j for j, feature in enumerate(plan.features) if feature.kind == "category"],
        seed=study.seed,
    )


def _with_horizons(study: Study, kept: Sequence[int]) -> Study:
    """The study with some of its horizons only."""
    horizons = tuple(study.outcome.all_horizons[k] for k in kept)
    return study.model_copy(update={"outcome": study.outcome.model_copy(update={"horizons": horizons})})


def judge_horizons(
    study: Study, test: Frame, model: HazardModel | None, found: Floats | None, *, observed_until: datetime | None
) -> dict[str, Any] | None:
    """How the probabilities of each horizon came out on test; None where the study asks for one horizon.

    Parameters
    ----------
    model : HazardModel or None
        Fitted as of the test cutoff.
    found : ndarray of shape (n, horizons) or None
        Its probabilities of the test rows.
    observed_until : datetime or None
        What lies later is not known: a longer window may not have ended yet.
    """
    names = [str(horizon) for horizon in study.outcome.all_horizons]
    if not names or observed_until is None:
        return None
    periods = person_periods(test, study, observed_until=observed_until)
    bought = np.cumsum(periods.bought, axis=1) > 0
    table: list[dict[str, Any]] = []
    for k, name in enumerate(names):
        row: dict[str, Any] = {"horizon": name, "main": name == str(study.outcome.horizon), "why": None}
        if not periods.entered[:, k].any():
            row["why"] = "not matured yet"
        elif model is None or found is None or name not in model.horizons:
            row["why"] = "too few buyers were known as of the test cutoff"
        else:
            probability = found[:, model.horizons.index(name)]
            row |= _figures(bought[:, k], probability, test.groups, seed=study.seed)
        table.append(row)
    return {"level": LEVEL, "text": model.text if model else None, "table": table}


def _figures(bought: Flags, probability: Floats, groups: npt.NDArray[np.int64], *, seed: int) -> dict[str, Any]:
    facts: dict[str, Any] = {
        "prospects": len(bought),
        "buyers": int(bought.sum()),
        "expected_buyers": float(probability.sum()),
        "mean_probability": float(probability.mean()),
    }
    if 0 < facts["buyers"] < len(bought):
        result = cluster_bootstrap(
            bought.astype(np.int8), {"model": probability}, groups, capacity=0.1, seed=seed, replicates=200, level=LEVEL
        )
        facts |= {name: result.estimates["model"][name] for name in METRICS}
        facts["intervals"] = {name: result.intervals("model")[name] for name in METRICS}
    return facts
