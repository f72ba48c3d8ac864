"""Backtest: the study as it would have been used at cutoffs of the past, and what each list would have found. Pure.

A step moves all cutoffs of the study back together: it learns what was known as of its own test cutoff, ranks the
prospects of that day, and is held against what they did. Nothing here reads data.
"""

from collections.abc import Sequence
from datetime import date, datetime
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.special import ndtri

from propensity.config import ContactSpec, CutoffsSpec, Study
from propensity.errors import InputError
from propensity.evaluation.ranking import Tally, rank, rows_at, taken
from propensity.temporal import Duration, format_instant

SELECTED, FROZEN, TRUTH, RANDOM = "selected", "never_retrained", "truth", "random"
STEPS = 12
LEVEL = 0.95
"""Level of every interval here."""
_BASELINES = ("scorecard", "single_indicator")

Floats = npt.NDArray[np.float64]


def step_studies(
    study: Study, *, steps: int | None, every: Duration, latest: datetime, begins: datetime | None
) -> tuple[list[Study], dict[str, str]]:
    """The study as it would have stood at each step, the earliest first.

    Parameters
    ----------
    steps : int or None
        How many, from 1; None: twelve, or as many as the records reach back for.
    every : Duration
        From step to step. The study's own test cutoff is one of the steps, unless all of them lie after it.
    latest : datetime
        The last cutoff whose outcome is known.
    begins : datetime or None
        The first record: train cutoffs up to then are left out.

    Returns
    -------
    studies : list of Study
        Each with its own train, validation and test cutoffs, and no cutoff for a list.
    left_out : dict
        Date of a step → why it cannot be: cutoffs that are moved by months can come too close to each other.

    Raises
    ------
    InputError
        When the records do not reach back far enough, or no step can be.
    """
    if study.cutoffs is None:
        raise InputError("backtest: a snapshot has no past to walk through. It needs a study on dated tables.")
    own, zone = study.cutoff_instants(), study.zone
    test = own["test"][0]
    last = 0
    while every.after(test, zone=zone, times=last + 1) <= latest:
        last += 1
    while every.after(test, zone=zone, times=last) > latest:
        last -= 1
    found: list[Study] = []
    left_out: dict[str, str] = {}
    for times in range(last, last - (steps or STEPS), -1):
        moved = {
            split: [every.after(cutoff, zone=zone, times=times) for cutoff in cutoffs] for split, cutoffs in own.items()
        }
        when = format_instant(moved["test"][0], zone=zone)
        train = [cutoff for cutoff in moved["train"] if begins is None or cutoff > begins]
        if not train and found and steps is None:
            break
        if not train:
            raise InputError(
                f"--steps: the step as of {when} would have nothing to learn from: the records begin on "
                f"{begins.astimezone(zone).date() if begins else '?'}. At most {len(found)} steps are possible."
            )
        cutoffs = [*train, moved["validation"][0], moved["test"][0]]
        overlap = _overlap(study, cutoffs)
        if overlap:
            left_out[when] = overlap
        else:
            *days, validation, day = [_day(cutoff, study) for cutoff in cutoffs]
            spec = CutoffsSpec(train=tuple(days), validation=validation, test=day)
            found.append(study.model_copy(update={"cutoffs": spec}))
    if not found:
        when, why = next(iter(left_out.items()))
        raise InputError(f"backtest: no step from {every} to {every} can be; as of {when}: {why}. Try another --every.")
    return found[::-1], left_out


def _overlap(study: Study, cutoffs: Sequence[datetime]) -> str | None:
    """Why the last train cutoff, validation and test do not keep the embargo; None where they do."""
    for earlier, later in pairwise(cutoffs[-3:]):
        known = study.matures_at(earlier)
        if known > later:
            told = (format_instant(instant, zone=study.zone) for instant in (earlier, known, later))
            return "the outcome of {} is known from {} on, after the cutoff {}".format(*told)
    return None


def _day(cutoff: datetime, study: Study) -> date | datetime:
    local = cutoff.astimezone(study.zone)
    return local.date() if local.time() == datetime.min.time() else local


def counted(step: pd.DataFrame, methods: Sequence[str], contact: ContactSpec) -> list[dict[str, Any]]:
    """What each method's list would have found among the prospects of one step.

    Parameters
    ----------
    step : DataFrame, n rows
        ``label`` (0 or 1), ``brought`` (what a purchase of each row brings, in the study's money; NaN where it is not
        known) and a score for each method, the highest first.
    methods : sequence of str
        `RANDOM` needs no column.
    contact : ContactSpec
        Its capacity is where a list is cut; with a cost there is a profit.

    Returns
    -------
    list of dict
        A row a method: ``method``, ``prospects``, ``buyers``, ``contacted``, ``captured`` (buyers on the list; ties
        count with their chance), ``capture`` (their share of all buyers), ``lift`` (to a list by lot), ``profit`` (None
        without cost or value), ``roc_auc``, ``average_precision``, and ``expected`` (buyers among all prospects) where
        the step has a column ``probability_`` of the method.

    Examples
    --------
    >>> step = pd.DataFrame({"label": [1, 0, 0, 1], "brought": np.nan, "tea": [4.0, 3.0, 2.0, 1.0]})
    >>> rows = counted(step, ["tea", "random"], ContactSpec(capacity=0.25))
    >>> [(row["method"], row["captured"], row["lift"]) for row in rows]
    [('tea', 1.0, 2.0), ('random', 0.5, 1.0)]
    """
    y = step["label"].to_numpy(dtype=np.float64)
    rows = []
    for method in methods:
        score = _score(step, method)
        on_list, tally = _on_list(step, method, contact), Tally(rank(y, score), np.ones(len(y)))
        captured, is_told = float(on_list @ y), tally.has_both_classes
        k = round(float(on_list.sum()))
        rows.append(
            {
                "method": method,
                "prospects": len(y),
                "buyers": int(y.sum()),
                "contacted": k,
                "captured": captured,
                "capture": captured / float(y.sum()) if y.sum() else None,
                "lift": captured / float(k * y.mean()) if k and y.sum() else None,
                "profit": _total(on_list @ _earned(step, contact)),
                "roc_auc": tally.roc_auc() if is_told else None,
                "average_precision": tally.average_precision() if is_told else None,
                "expected": float(step[f"probability_{method}"].sum()) if f"probability_{method}" in step else None,
            }
        )
    return rows


def totals(steps: Sequence[pd.DataFrame], methods: Sequence[str], contact: ContactSpec) -> list[dict[str, Any]]:
    """All steps together, and each method against the baseline.

    Parameters
    ----------
    steps : sequence of DataFrame
        As for `counted`, with ``customer_id``.
    methods : sequence of str
        The baseline is the scorecard, or else the single indicator, or else the list by lot.

    Returns
    -------
    list of dict
        A row a method: ``method``, ``contacted``, ``captured``, ``capture``, ``lift``, ``profit``, ``baseline``,
        ``captured_more`` and ``profit_more`` with ``…_low`` and ``…_high``: 95 % intervals of the paired difference by
        the normal approximation over customers, each with all of his steps (the sandwich estimate,
        https://doi.org/10.1093/biomet/73.1.13). The lists count as given: how a refit would differ is not in them.
    """
    baseline = next((name for name in _BASELINES if name in methods), RANDOM)
    customer = pd.concat([step["customer_id"] for step in steps], ignore_index=True)
    y = np.concatenate([step["label"].to_numpy(dtype=np.float64) for step in steps])
    earned = np.concatenate([_earned(step, contact) for step in steps])
    lists = {name: np.concatenate([_on_list(step, name, contact) for step in steps]) for name in {*methods, baseline}}
    by_lot = np.concatenate([_on_list(step, RANDOM, contact) for step in steps])
    rows = []
    for method in methods:
        on_list, difference = lists[method], lists[method] - lists[baseline]
        captured, contacted = float(on_list @ y), round(float(on_list.sum()))
        told: dict[str, Any] = {
            "method": method,
            "contacted": contacted,
            "captured": captured,
            "capture": captured / float(y.sum()) if y.sum() else None,
            "lift": captured / float(by_lot @ y) if by_lot @ y else None,
            "profit": _total(on_list @ earned),
            "baseline": baseline,
        }
        for name, value in (("captured_more", difference * y), ("profit_more", difference * earned)):
            more, low, high = _with_interval(value, customer) if method != baseline else (None, None, None)
            told |= {name: more, f"{name}_low": low, f"{name}_high": high}
        rows.append(told)
    return rows


def _score(step: pd.DataFrame, method: str) -> Floats:
    return np.zeros(len(step)) if method == RANDOM else step[method].to_numpy(dtype=np.float64)


def _on_list(step: pd.DataFrame, method: str, contact: ContactSpec) -> Floats:
    """How far each row is on a method's list, 0 to 1."""
    return taken(_score(step, method), rows_at(contact.share(len(step)), len(step)))


def _earned(step: pd.DataFrame, contact: ContactSpec) -> Floats:
    """What contacting each row earns; NaN where cost or value is not known."""
    bought = step["label"].to_numpy(dtype=np.float64)
    brought = step["brought"].to_numpy(dtype=np.float64)
    return np.where(bought > 0, brought, 0 * brought) - (np.nan if contact.cost is None else contact.cost)


def _total(value: Any) -> float | None:
    return float(value) if np.isfinite(value) else None


def _with_interval(value: Floats, customer: pd.Series) -> tuple[float | None, float | None, float | None]:
    """The sum of the rows' values with its interval, customers being drawn."""
    own = pd.Series(value).groupby(customer.to_numpy(), sort=False).sum(min_count=1).to_numpy()
    total = float(own.sum())
    if not np.isfinite(total):
        return None, None, None
    spread = float(ndtri(0.5 + LEVEL / 2) * np.sqrt(((own - own.mean()) ** 2).sum()))
    return total, total - spread, total + spread
