"""Monitoring: is a model still what it was, and if not, what to do. Pure: no I/O.

What has matured since the model learnt decides; what has not can only warn. A month differs from another by luck:
every alarm asks for more than that, and for a size that matters.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.special import ndtri

from propensity.config import MonitoringSpec
from propensity.drift import drift_table, stability_index
from propensity.evaluation.bootstrap import cluster_bootstrap
from propensity.evaluation.in_the_large import in_the_large
from propensity.evaluation.ranking import Tally, rank, rows_at

Level = Literal["ok", "watch", "retrain"]
LEVELS: tuple[Level, ...] = ("ok", "watch", "retrain")
NOTICE, ALARM = 0.99, 0.999
"""Levels of the intervals that leave out what was promised before it is to be watched, and before it is an alarm.

A model is looked at every month, and by several rules: at 99 % one in eight would be called stale in a quiet year.
"""
SHOWN = 0.95
"""Level of the intervals that are shown."""
DRAWS = 200
_FEW_DRAWS = 20
_FEW = 10
"""Buyers, bought or expected, from which a month can tell anything."""
_LOST = 0.2
"""Share of the AUC above a half, or of the expected lift, whose loss matters."""
_MISSING = 0.1
"""Change of the share of missing values that is told."""
_UNSEEN = 0.02
"""Share of prospects with a category that train did not have, that is told."""
_MONTHS_DIFFER = 0.1
"""By how much the level of one month differs from another's at least, as a standard deviation: holidays, campaigns."""
_SEASONS_DIFFER = 0.2
"""The same where outcomes of less than a year are known: not every season was seen."""
_YEAR = timedelta(days=330)
"""From the first to the last of twelve months."""
_SEASON = 3
"""Months that are alike: as many count as one where several are taken together."""
_COUNTS = 0.01
"""Share of all importance from which a feature counts by itself."""

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Check:
    """One thing that was looked at: its level, and what was found."""

    name: str
    level: Level
    found: str


@dataclass(frozen=True)
class Cohort:
    """The prospects of one cutoff as the model sees them.

    Attributes
    ----------
    as_of : str
        The cutoff.
    X : DataFrame of shape (n, p)
    log_odds, probability : ndarray of shape (n,)
    y : ndarray of shape (n,) or None
        Who bought; None where that is not known.
    error : float
        Standard error of the sum of the probabilities, as the model's own uncertainty tells (without change of the
        level, which is counted as months differ).
    groups : dict
        What the prospects are mixed of, such as ``segment``: a name for each row.
    unseen : dict
        Feature → rows with a category that train did not have.
    """

    as_of: str
    X: pd.DataFrame
    log_odds: Floats
    probability: Floats
    y: npt.NDArray[np.int8] | None
    error: float
    groups: Mapping[str, npt.NDArray[Any]]
    unseen: Mapping[str, int]


@dataclass(frozen=True)
class Health:
    """What monitoring says.

    Attributes
    ----------
    checks : list of Check
    features : DataFrame
        Of each that counts: ``feature``, ``weight`` (share of all importance), ``stability_index``, ``usual`` (the
        largest of the cutoffs that the model learnt from), ``missing_before``, ``missing_after`` and ``unseen`` (share
        of prospects).
    months : list of dict
        Each cutoff since the model learnt whose outcome is known: ``as_of``, ``prospects``, ``buyers``, ``expected``,
        ``ratio``, ``low``, ``high``, ``roc_auc`` with ``…_low``, ``…_high`` and ``…_error``, and ``roc_auc_expected``.
    expected : dict
        Of the prospects now: ``buyers``, ``roc_auc`` and ``lift_at_capacity`` with ``…_low`` and ``…_high``.
    mix : list of dict
        ``dimension``, ``group``, ``before`` and ``now`` (shares, 0 to 1).
    score : dict
        ``stability_index`` and ``usual`` of the score, and of the inputs weighed by importance.
    """

    checks: list[Check]
    features: pd.DataFrame
    months: list[dict[str, Any]]
    expected: dict[str, Any]
    mix: list[dict[str, Any]]
    score: dict[str, float]

    @property
    def verdict(self) -> Level:
        """The worst level of all checks."""
        return max((check.level for check in self.checks), key=LEVELS.index)


def look_after(
    learnt: Sequence[Cohort],
    since: Sequence[Cohort],
    now: Cohort,
    *,
    weight: Mapping[str, float],
    categorical: Sequence[str],
    descriptions: Mapping[str, str],
    spec: MonitoringSpec,
    capacity: float,
    seed: int,
) -> Health:
    """Hold the prospects of now, and all that has matured since, against what the model learnt from.

    Parameters
    ----------
    learnt : sequence of Cohort
        Those that the model learnt from, at least one.
    since : sequence of Cohort
        Later ones whose outcome is known, the earliest first; may be empty.
    now : Cohort
    weight : mapping
        Feature → share of all importance; they add up to 1.
    categorical : sequence of str
    descriptions : mapping
        Feature → words.
    spec : MonitoringSpec
    capacity : float
        Share of the prospects that can be contacted, 0 to 1.
    seed : int
        Of all draws.

    Returns
    -------
    Health
    """
    features, score = _moved(learnt, now, weight, categorical)
    spread = _months_differ([*learnt, *since[:-1]])
    months = [_month(cohort, spread=spread, capacity=capacity, seed=seed) for cohort in since]
    expected = expected_performance(now.probability, now.log_odds, capacity=capacity, seed=seed)
    before = [expected_performance(c.probability, c.log_odds, capacity=capacity, seed=seed, draws=0) for c in learnt]
    mix = _mix(learnt, now)
    checks = [
        _calibration(since, spec, spread=spread),
        _ranking(months),
        _shift("inputs, weighed by importance", score["inputs"], score["inputs_usual"], spec),
        _shift("score", score["score"], score["score_usual"], spec),
        _expected_lift(expected, before),
        _missing(features, descriptions),
        _unseen(features, descriptions),
        *_mix_checks(mix, learnt, now, spec),
    ]
    return Health(checks, features, months, expected, mix, score)


def expected_performance(
    probability: Floats, score: Floats, *, capacity: float, seed: int, draws: int = DRAWS
) -> dict[str, Any]:
    """What a list is expected to be worth before its outcome is known, if its probabilities are right.

    Each draw lets every prospect buy with the probability that the model gives; the metrics' mean is what is expected,
    their spread what chance alone leaves open (confidence-based performance estimation, arXiv:2401.08348). It sees a
    change of who the prospects are, and none of what they do.

    Parameters
    ----------
    probability : ndarray of shape (n,)
        0 to 1.
    score : ndarray of shape (n,)
        What prospects are ranked by.
    capacity : float
        Share of the prospects that can be contacted, 0 to 1.
    seed : int
    draws : int
        0: expected buyers alone, and the metrics of a few draws without their spread.

    Returns
    -------
    dict
        ``buyers``, ``roc_auc`` and ``lift_at_capacity`` with ``…_low`` and ``…_high``, a 95 % interval; None where no
        draw has both buyers and others.
    """
    rng = np.random.default_rng(seed)
    drawn, counts = [], np.ones(len(probability))
    k = np.array([rows_at(capacity, len(probability))])
    for _ in range(draws or _FEW_DRAWS):
        y = (rng.random(len(probability)) < probability).astype(np.float64)
        tally = Tally(rank(y, score), counts)
        auc, lift = np.nan, np.nan
        if tally.has_both_classes:
            auc, lift = tally.roc_auc(), float(tally.hits_at(k).expected[0] / (k[0] * y.mean()))
        drawn.append({"buyers": y.sum(), "roc_auc": auc, "lift_at_capacity": lift})
    table = pd.DataFrame(drawn)
    told: dict[str, Any] = {}
    for name in map(str, table):
        known = table[name].dropna()
        told[name] = float(known.mean()) if len(known) else None
        ends = known.quantile([(1 - SHOWN) / 2, (1 + SHOWN) / 2]).tolist() if draws and len(known) else [None, None]
        told[f"{name}_low"], told[f"{name}_high"] = ends
    return {**told, "buyers": float(probability.sum())}


def _moved(
    learnt: Sequence[Cohort], now: Cohort, weight: Mapping[str, float], categorical: Sequence[str]
) -> tuple[pd.DataFrame, dict[str, float]]:
    """How far inputs and score have moved, beside how far they moved among the cutoffs that were learnt from."""
    shares = pd.Series(dict(weight))
    shares = shares[shares > 0] if (shares > 0).any() else shares
    pooled = pd.concat([cohort.X[shares.index] for cohort in learnt], ignore_index=True)
    score = np.concatenate([cohort.log_odds for cohort in learnt])
    table, *own = (
        drift_table(pooled, cohort.X[shares.index], categorical=categorical).set_index("feature")
        for cohort in (now, *learnt)
    )
    shares = shares.reindex(table.index)
    usual = pd.concat([one["stability_index"].reindex(table.index) for one in own], axis=1)
    unseen = pd.Series(dict(now.unseen), dtype=float).reindex(table.index).fillna(0.0) / len(now.X)
    features = table.assign(weight=shares, usual=usual.max(axis=1), unseen=unseen)
    told = {
        "inputs": float((features["stability_index"] * shares).sum()),
        "inputs_usual": max(float((one * shares).sum()) for _, one in usual.items()),
        "score": stability_index(score, now.log_odds),
        "score_usual": max(stability_index(score, cohort.log_odds) for cohort in learnt),
    }
    columns = ["feature", "weight", "stability_index", "usual", "missing_before", "missing_after", "unseen"]
    ordered = features.assign(by=shares * features["stability_index"]).sort_values("by", ascending=False, kind="stable")
    return ordered.reset_index()[columns], told


def _months_differ(before: Sequence[Cohort]) -> float:
    """By how much actual over expected differs from month to month beyond the count's chance, as a standard deviation.

    From the months before the one that is judged, by the method of moments; few tell it badly, hence the least.
    """
    first, last = (datetime.fromisoformat(cohort.as_of) for cohort in (before[0], before[-1]))
    least = _MONTHS_DIFFER if last - first >= _YEAR else _SEASONS_DIFFER
    known = [as_promised([cohort], level=SHOWN, spread=0.0) for cohort in before if cohort.y is not None]
    ratios = [row["ratio"] for row in known if row["ratio"] is not None]
    if len(ratios) < 2:
        return least
    chance = float(np.mean([1 / row["expected"] for row in known if row["ratio"] is not None]))
    return float(np.sqrt(max(np.var(ratios, ddof=1) - chance, least**2)))


def _month(cohort: Cohort, *, spread: float, capacity: float, seed: int) -> dict[str, Any]:
    assert cohort.y is not None  # noqa: S101 - a matured cohort
    y = cohort.y.astype(np.float64)
    told = as_promised([cohort], level=SHOWN, spread=spread)
    row: dict[str, Any] = {"as_of": cohort.as_of, "prospects": len(y), **told, "base_rate": float(y.mean())}
    drawn = cluster_bootstrap(
        y, {"model": cohort.probability}, np.arange(len(y)), capacity=capacity, seed=seed, replicates=300, level=NOTICE,
        ranked_by={"model": cohort.log_odds},
    )  # fmt: skip
    low, high = drawn.intervals("model")["roc_auc"] or (None, None)
    row |= {"roc_auc": drawn.estimates["model"]["roc_auc"], "roc_auc_low": low, "roc_auc_high": high}
    row["roc_auc_error"] = None if low is None else float(np.nanstd(drawn.draws["model"]["roc_auc"]))
    promised = expected_performance(cohort.probability, cohort.log_odds, capacity=capacity, seed=seed, draws=0)
    return {**row, "roc_auc_expected": promised["roc_auc"]}


def _calibration(since: Sequence[Cohort], spec: MonitoringSpec, *, spread: float) -> Check:
    """As many buyers as were promised, at the latest cutoff that is known, and at all of them?"""
    name = "buyers, as promised"
    if not since:
        return Check(name, "ok", "no outcome is known yet that the model has not learnt from")
    worst, told = 0, []
    looked_at = [("at the latest cutoff", since[-1:]), (f"at all {len(since)} cutoffs", since)]
    for what, cohorts in looked_at[: min(len(since), 2)]:
        found, alarm = (as_promised(cohorts, level=level, spread=spread) for level in (NOTICE, ALARM))
        if max(found["buyers"], found["expected"]) < _FEW or found["ratio"] is None:
            told.append(f"too few buyers to tell {what}")
            continue
        low, high = spec.calibration
        is_large = not low <= found["ratio"] <= high
        worst = max(worst, int(_leaves_out_one(found)) + int(_leaves_out_one(alarm) and is_large))
        told.append(
            f"{found['buyers']:,} bought of {found['expected']:,.1f} expected {what}, {found['ratio']:.2f} "
            f"({found['low']:.2f} to {found['high']:.2f})"
        )
    return Check(name, LEVELS[worst], "; ".join(told))


def as_promised(cohorts: Sequence[Cohort], *, level: float, spread: float) -> dict[str, Any]:
    """Actual beside expected buyers, counting what the model itself does not know, and that months differ.

    Parameters
    ----------
    cohorts : sequence of Cohort
        Matured ones. Errors of their sums are taken to agree: it is one model.
    level : float
        Of the interval.
    spread : float
        By how much the level of one month differs from another's, as a standard deviation of the ratio.

    Returns
    -------
    dict
        ``buyers``, ``expected``, ``ratio`` with ``low`` and ``high`` (None where nothing is expected): the exact
        interval of a Poisson count, the model's own error and `spread`, put together on the logarithm (MOVER,
        https://doi.org/10.1002/sim.3095).
    """
    y = np.concatenate([cohort.y for cohort in cohorts if cohort.y is not None])
    found = in_the_large(y, np.concatenate([cohort.probability for cohort in cohorts]), level=level)
    told = {name: found[name] for name in ("buyers", "expected", "ratio", "low", "high")}
    if found["ratio"] is None:
        return told
    of_model = sum(cohort.error for cohort in cohorts) / found["expected"]
    of_months = spread * np.sqrt(min(1.0, _SEASON / len(cohorts)))
    own = ndtri((1 + level) / 2) * np.hypot(of_model, of_months)
    if found["ratio"] > 0:
        told["low"] = found["ratio"] * float(np.exp(-np.hypot(np.log(found["ratio"] / found["low"]), own)))
        told["high"] = found["ratio"] * float(np.exp(np.hypot(np.log(found["high"] / found["ratio"]), own)))
    else:
        told["high"] = found["high"] * float(np.exp(own))
    return told


def _leaves_out_one(found: Mapping[str, Any]) -> bool:
    return bool(found["low"] > 1 or found["high"] < 1)


def _ranking(months: Sequence[Mapping[str, Any]]) -> Check:
    """Does the list still rank as well as its probabilities promise?"""
    name = "ranking, as promised"
    known = [row for row in months if row["roc_auc_high"] is not None and row["buyers"] >= _FEW]
    if not known:
        return Check(name, "ok", "no outcome is known yet that can tell")
    row = known[-1]
    promised, found = row["roc_auc_expected"], row["roc_auc"]
    is_clear = row["roc_auc_high"] < promised
    is_certain = promised - found > ndtri((1 + ALARM) / 2) * row["roc_auc_error"]
    is_large = promised - found > _LOST * (promised - 0.5)
    text = (
        f"AUC {found:.3f} ({row['roc_auc_low']:.3f} to {row['roc_auc_high']:.3f}) as of {row['as_of']}, "
        f"{promised:.3f} expected"
    )
    return Check(name, LEVELS[int(is_clear) + int(is_clear and is_certain and is_large)], text)


def _shift(name: str, found: float, usual: float, spec: MonitoringSpec) -> Check:
    """More than the limit, and more than it moved from cutoff to cutoff while the model learnt."""
    level = 0 if found <= usual else int(found > spec.watch_drift) + int(found > spec.max_drift)
    return Check(f"{name}", LEVELS[level], f"stability index {found:.3f}; up to {usual:.3f} while it learnt")


def _expected_lift(expected: Mapping[str, Any], before: Sequence[Mapping[str, Any]]) -> Check:
    name = "what the list is worth"
    known = [row["lift_at_capacity"] for row in before if row["lift_at_capacity"] is not None]
    if expected["lift_at_capacity"] is None or not known:
        return Check(name, "ok", "too few buyers are expected to tell")
    usual, found = min(known), expected["lift_at_capacity"]
    level = int(found < (1 - _LOST) * usual and expected["lift_at_capacity_high"] < usual)
    low, high = expected["lift_at_capacity_low"], expected["lift_at_capacity_high"]
    text = f"lift at capacity {found:.2f} expected ({low:.2f} to {high:.2f}); {usual:.2f} or more while it learnt"
    return Check(name, LEVELS[level], text)


def _missing(features: pd.DataFrame, descriptions: Mapping[str, str]) -> Check:
    moved = (features["missing_after"] - features["missing_before"]).abs()
    own = features[(moved > _MISSING) & (features["weight"] >= _COUNTS)]
    if own.empty:
        return Check("missing values", "ok", "no feature that counts is missing more or less often than on train")
    told = [
        f"{descriptions.get(str(row['feature']), row['feature'])}: {row['missing_after']:.0%}, "
        f"{row['missing_before']:.0%} on train"
        for row in own.head(3).to_dict("records")
    ]
    more = f" and {len(own) - 3} more" if len(own) > 3 else ""
    return Check("missing values", "watch", f"{'; '.join(told)}{more}. Look at the source first")


def _unseen(features: pd.DataFrame, descriptions: Mapping[str, str]) -> Check:
    own = features[features["unseen"] > _UNSEEN]
    if own.empty:
        return Check("new categories", "ok", "hardly any prospect has a category that train did not have")
    told = [
        f"{descriptions.get(str(row['feature']), row['feature'])}: {row['unseen']:.0%} of prospects"
        for row in own.head(3).to_dict("records")
    ]
    return Check("new categories", "watch", "; ".join(told))


def _mix(learnt: Sequence[Cohort], now: Cohort) -> list[dict[str, Any]]:
    rows = []
    for dimension, names in now.groups.items():
        before = pd.Series(np.concatenate([cohort.groups[dimension] for cohort in learnt])).value_counts(normalize=True)
        after = pd.Series(names).value_counts(normalize=True)
        for group in [*before.index, *after.index.difference(before.index)]:
            shares = {"before": float(before.get(group, 0.0)), "now": float(after.get(group, 0.0))}
            rows.append({"dimension": dimension, "group": group, **shares})
    return rows


def _mix_checks(
    mix: Sequence[Mapping[str, Any]], learnt: Sequence[Cohort], now: Cohort, spec: MonitoringSpec
) -> list[Check]:
    checks = []
    for dimension, names in now.groups.items():
        known = {row["group"]: i for i, row in enumerate(mix) if row["dimension"] == dimension}
        pooled = np.array([known[name] for cohort in learnt for name in cohort.groups[dimension]])
        found = stability_index(pooled, np.array([known[name] for name in names]), is_category=True)
        usual = max(
            stability_index(pooled, np.array([known[n] for n in cohort.groups[dimension]]), is_category=True)
            for cohort in learnt
        )
        level: Level = "watch" if found > max(spec.watch_drift, usual) else "ok"
        text = f"stability index {found:.3f}; up to {usual:.3f} while it learnt"
        checks.append(Check(f"mix of {dimension}s", level, text))
    return checks
