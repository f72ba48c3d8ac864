"""What a campaign along a ranking earned: by depth, at the capacity, and down to where expected profit ends.

Everybody who bought counts as won by the contact. Some would have bought anyway: that is for a control group to say.
How deep to go is decided by what a model expects, before the labels are looked at; then what came of it is counted.
The length that earned most on the same rows would flatter, and is not given.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from propensity.evaluation.bootstrap import percentile_interval
from propensity.evaluation.curves import share_grid
from propensity.evaluation.ranking import Floats, Places, as_labels, as_scores, rows_at

LEVEL = 0.9
"""Level of the intervals."""


@dataclass(frozen=True)
class Plan:
    """How a model would run a campaign.

    Attributes
    ----------
    score : ndarray of shape (n,)
        Whom to contact first: higher is earlier.
    expected_profit : ndarray of shape (n,)
        What the model expects of contacting each row, in money. Who has 0 or less is not contacted by the rule.
    probability : ndarray of shape (n,)
        Of buying, 0 to 1.
    """

    score: Floats
    expected_profit: Floats
    probability: Floats


def profit_at(value: ArrayLike, score: ArrayLike, contacted: ArrayLike, *, cost: float) -> Floats:
    """Give the profit of contacting the best rows.

    Parameters
    ----------
    value : array-like of shape (n,)
        What each row brought, before the cost of contact: 0 for who did not buy.
    score : array-like of shape (n,)
        Higher is contacted earlier; rows that are tied at the end count with their average.
    contacted : array-like of shape (m,)
        Rows contacted, 0 to n.
    cost : float
        Cost of one contact.

    Returns
    -------
    ndarray of shape (m,)
        In money.

    Examples
    --------
    Four rows, a contact costs 20; the first brought 60, the third 90. Three contacts: 60 + 90 - 3 * 20.

    >>> profit_at([60, 0, 90, 0], [0.9, 0.8, 0.7, 0.1], [0, 1, 3], cost=20).tolist()
    [0.0, 40.0, 90.0]
    """
    values = np.asarray(value, dtype=np.float64)
    ranked = _Ranked(as_scores(score, values.size), np.arange(values.size), values)
    return ranked.profit(np.ones(values.size), np.asarray(contacted, dtype=np.float64), cost=cost)


def campaign_profit(
    y: ArrayLike,
    value: ArrayLike,
    plans: Mapping[str, Plan],
    groups: ArrayLike,
    *,
    cost: float,
    capacity: float,
    seed: int,
    baseline: str | None = None,
    replicates: int = 300,
    points: int = 101,
) -> dict[str, Any]:
    """Count what each model's campaign earned, with 90 % intervals from draws of customers.

    Whole customers are drawn with replacement, all models see the same draws, and differences are paired. The models
    stay as they are, so refitting and change from month to month are not in the intervals.

    Parameters
    ----------
    y : array-like of shape (n,)
        Labels, 0 or 1.
    value : array-like of shape (n,)
        What a purchase of each row brought, before the cost of contact; counts only where the label is 1.
    plans : mapping of str to Plan
        By model.
    groups : array-like of shape (n,)
        Customer of each row.
    cost : float
        Cost of one contact, in the money of `value`.
    capacity : float
        Share of the rows that can be contacted, above 0, up to 1.
    seed : int
        Of the draws.
    baseline : str, optional
        The model that the others are compared with.
    replicates : int, default=300
        Number of draws.
    points : int, default=101
        Points of a curve, from nobody to everybody.

    Returns
    -------
    dict
        ``models``: for each ``curve`` (``share``, ``contacted``, ``profit``, ``low``, ``high``), ``at_capacity``
        (``contacted``, ``buyers``, ``profit``, ``interval``) and ``down_to``, the same for the first rows within the
        capacity of whom the model expects a profit (besides ``rank``, the place of the last of them,
        ``expected_buyers`` and ``expected_profit``). ``against``: the profit less the baseline's, with its interval.
        ``level``, ``draws`` and ``baseline`` beside them.
    """
    labels = as_labels(y)
    brought = np.where(labels > 0, np.asarray(value, dtype=np.float64), 0.0)
    customers = np.unique(np.asarray(groups), return_inverse=True)[1]
    share = share_grid(points)
    places = np.array([rows_at(part, labels.size) for part in (*share, capacity)], dtype=np.float64)
    campaigns = {name: _Campaign(plan, brought, customers, places, cost=cost) for name, plan in plans.items()}
    draws = {name: np.empty((replicates, places.size + 1)) for name in plans}
    rows = np.bincount(customers)
    rng = np.random.default_rng(seed)
    for replicate in range(replicates):
        times = np.bincount(rng.integers(rows.size, size=rows.size), minlength=rows.size).astype(np.float64)
        # customers have different numbers of rows: the same share of what was drawn is contacted
        drawn = float((rows * times).sum()) / labels.size
        for name, campaign in campaigns.items():
            draws[name][replicate] = campaign.profits(times, drawn)
    estimates = {name: campaign.profits(np.ones(rows.size), 1.0) for name, campaign in campaigns.items()}
    models: dict[str, dict[str, Any]] = {}
    for name, campaign in campaigns.items():
        gain, gains = None, None
        if baseline is not None and name != baseline:
            gain, gains = estimates[name] - estimates[baseline], draws[name] - draws[baseline]
        models[name] = {"curve": _curve(share, places, estimates[name], draws[name])}
        for at, told, column in (("at_capacity", campaign.at_capacity, -2), ("down_to", campaign.down_to, -1)):
            earned = {"profit": float(estimates[name][column]), "interval": _interval(draws[name][:, column])}
            against = None
            if gain is not None and gains is not None:
                against = {"difference": float(gain[column]), "interval": _interval(gains[:, column])}
            models[name][at] = {**told(labels), **earned, "against": against}
    return {"level": LEVEL, "draws": replicates, "baseline": baseline, "models": models}


def _interval(draws: Floats) -> list[float] | None:
    return percentile_interval(draws, level=LEVEL)


def _curve(share: list[float], places: Floats, estimate: Floats, draws: Floats) -> dict[str, list[Any]]:
    tail = (1 - LEVEL) / 2
    low, high = np.quantile(draws[:, : len(share)], [tail, 1 - tail], axis=0)
    return {
        "share": share,
        "contacted": places[: len(share)].astype(np.int64).tolist(),
        "profit": estimate[: len(share)].tolist(),
        "low": low.tolist(),
        "high": high.tolist(),
    }


class _Ranked:
    """Rows sorted once, to be summed down to any depth under any count of their customers."""

    def __init__(self, score: Floats, customers: Places, value: Floats) -> None:
        # value and customer stand last only so that sums run in one order, whatever the order of the rows
        order = np.lexsort((value, customers, -score))
        ranked = score[order]
        self.customers = customers[order]
        first = np.flatnonzero(ranked[1:] != ranked[:-1]) + 1
        self.bounds = np.concatenate(([0], first, [ranked.size] if ranked.size else [])).astype(np.intp)
        # few rows bring anything
        self.bearing = np.flatnonzero(value[order])
        self.value = value[order][self.bearing]
        self.bearing_before = np.searchsorted(self.bearing, self.bounds)

    def profit(self, times: Floats, contacted: Floats, *, cost: float) -> Floats:
        """Profit at each depth; inside a group of ties it runs straight. Nobody stands below the last row."""
        counts = times[self.customers]
        rows = np.append(0.0, np.cumsum(counts))
        sums = np.append(0.0, np.cumsum(counts[self.bearing] * self.value))
        depth = np.minimum(contacted, rows[-1])
        group = np.searchsorted(self.bounds, np.searchsorted(rows, depth), side="left")
        start, end = self.bounds[np.maximum(group - 1, 0)], self.bounds[group]
        before, gained = sums[self.bearing_before[np.maximum(group - 1, 0)]], sums[self.bearing_before[group]]
        part = (depth - rows[start]) / np.maximum(rows[end] - rows[start], 1e-12)
        return np.asarray(before + part * (gained - before) - cost * depth)


class _Campaign:
    """One model's campaign: its whole ranking, and the rule, which keeps to those of whom it expects a profit."""

    def __init__(self, plan: Plan, value: Floats, customers: Places, places: Floats, *, cost: float) -> None:
        self.plan, self.customers, self.places, self.cost = plan, customers, places, cost
        self.worth = plan.expected_profit > 0
        self.ranking = _Ranked(plan.score, customers, value)
        self.rule = self._rule(value)

    def _rule(self, value: Floats) -> _Ranked:
        return _Ranked(self.plan.score[self.worth], self.customers[self.worth], value[self.worth])

    def profits(self, times: Floats, drawn: float) -> Floats:
        """Profit at each place and by the rule, with customer i there times[i] times, `drawn` of the rows in all."""
        places = drawn * self.places
        whole = self.ranking.profit(times, places, cost=self.cost)
        return np.append(whole, self.rule.profit(times, places[-1:], cost=self.cost))

    def _sum(self, ranked: _Ranked) -> float:
        return float(ranked.profit(np.ones(self.customers.max(initial=-1) + 1), self.places[-1:], cost=0.0)[0])

    def at_capacity(self, labels: Floats) -> dict[str, Any]:
        buyers = self._sum(_Ranked(self.plan.score, self.customers, labels))
        return {"contacted": int(self.places[-1]), "buyers": buyers}

    def down_to(self, labels: Floats) -> dict[str, Any]:
        order = np.argsort(-self.plan.score, kind="stable")
        taken = np.flatnonzero(self.worth[order])[: int(self.places[-1])]
        return {
            "contacted": len(taken),
            "rank": int(taken[-1]) + 1 if len(taken) else 0,
            "buyers": self._sum(self._rule(labels)),
            "expected_buyers": self._sum(self._rule(self.plan.probability)),
            "expected_profit": self._sum(self._rule(self.plan.expected_profit)),
        }
