"""Outcomes: a list of the past beside what its prospects did. Pure: no I/O.

Before a list has matured, those who have not bought are undecided: it has expected figures only.
"""

from typing import Any

import numpy as np
import pandas as pd
from scipy.special import ndtri

from propensity.config import ContactSpec
from propensity.evaluation.bootstrap import cluster_bootstrap
from propensity.evaluation.curves import wilson_interval
from propensity.evaluation.in_the_large import in_the_large
from propensity.evaluation.ranking import rows_at

NEEDED = ("rank", "customer_id", "probability", "decile", "control")
"""Columns without which a list has no outcome."""
LEVEL = 0.95
"""Level of every interval here."""
_SHOWN = ("roc_auc", "lift_at_10pct", "lift_at_capacity", "capture_at_capacity")


def expected_buyers(listed: pd.DataFrame) -> dict[str, float]:
    """How many of a list are expected to buy, and what chance alone leaves open.

    Parameters
    ----------
    listed : DataFrame, n rows
        ``probability``.

    Returns
    -------
    dict
        ``expected`` (sum of the probabilities) with ``expected_low`` and ``expected_high``: 95 % of what independent
        draws with these very probabilities give, by the normal approximation.

    Examples
    --------
    >>> found = expected_buyers(pd.DataFrame({"probability": [0.5] * 100}))
    >>> found["expected"], round(found["expected_low"], 1), round(found["expected_high"], 1)
    (50.0, 40.2, 59.8)
    """
    p = listed["probability"].to_numpy(dtype=np.float64)
    expected, spread = float(p.sum()), float(ndtri(0.5 + LEVEL / 2) * np.sqrt((p * (1 - p)).sum()))
    return {"expected": expected, "expected_low": max(expected - spread, 0.0), "expected_high": expected + spread}


def realised(listed: pd.DataFrame, *, contact: ContactSpec, seed: int) -> dict[str, Any]:
    """What became of a matured list.

    Parameters
    ----------
    listed : DataFrame, n rows
        ``rank``, ``probability`` and ``bought`` (0 or 1).
    contact : ContactSpec
        Its capacity is where the list is cut.
    seed : int
        Of the bootstrap over customers.

    Returns
    -------
    dict
        ``buyers``, ``ratio`` (to what was expected) with ``low`` and ``high``, and of ``roc_auc``, ``lift_at_10pct``,
        ``lift_at_capacity`` and ``capture_at_capacity`` the figure and ``…_low``, ``…_high`` (None where it is not
        defined).
    """
    y, p = listed["bought"].to_numpy(dtype=np.float64), listed["probability"].to_numpy(dtype=np.float64)
    drawn = cluster_bootstrap(
        y, {"list": p}, np.arange(len(y)), capacity=contact.share(len(y)), seed=seed, replicates=300, level=LEVEL,
        ranked_by={"list": -listed["rank"].to_numpy(dtype=np.float64)},
    )  # fmt: skip
    found, intervals = drawn.estimates["list"], drawn.intervals("list")
    told = in_the_large(y, p, level=LEVEL)
    figures: dict[str, Any] = {name: told[name] for name in ("buyers", "ratio", "low", "high")}
    for name in _SHOWN:
        low, high = intervals[name] or (None, None)
        figures |= {name: found[name], f"{name}_low": low, f"{name}_high": high}
    return figures


def bands(listed: pd.DataFrame) -> pd.DataFrame:
    """Promised beside observed by tenth of a matured list.

    Parameters
    ----------
    listed : DataFrame, n rows
        ``decile``, ``probability`` and ``bought`` (0 or 1).

    Returns
    -------
    DataFrame
        ``decile``, ``prospects``, ``buyers``, ``expected`` (buyers), ``predicted`` and ``observed`` (shares, 0 to 1),
        ``low`` and ``high`` (Wilson's interval of the share) and ``is_kept``: whether the promise lies in it.

    Examples
    --------
    >>> rows = pd.DataFrame({"decile": [1, 1, 2, 2], "probability": [0.5, 0.5, 0.1, 0.1], "bought": [1, 0, 0, 0]})
    >>> bands(rows)[["decile", "buyers", "observed", "is_kept"]].to_dict("records")[0]
    {'decile': 1, 'buyers': 1, 'observed': 0.5, 'is_kept': True}
    """
    rows = []
    for decile, own in listed.groupby("decile", sort=True):
        buyers, n, predicted = int(own["bought"].sum()), len(own), float(own["probability"].mean())
        low, high = wilson_interval(buyers, n, LEVEL)
        rows.append(
            {
                "decile": decile,
                "prospects": n,
                "buyers": buyers,
                "expected": float(own["probability"].sum()),
                "predicted": predicted,
                "observed": buyers / n,
                "low": low,
                "high": high,
                "is_kept": low <= predicted <= high,
            }
        )
    return pd.DataFrame(rows)


def control_effect(listed: pd.DataFrame, *, contact: ContactSpec) -> dict[str, Any] | None:
    """What contacting added: those in reach of the campaign against those in reach who were left alone by lot.

    In reach is who would be contacted without a control group: down to the last rank that is contacted, or to the
    capacity where the list does not say who is. Both groups are compared tenth by tenth of the list and weighed by its
    size, so that luck of the draw in ranks does not count (post-stratification,
    https://doi.org/10.1111/j.1467-9868.2012.01048.x).

    Parameters
    ----------
    listed : DataFrame, n rows
        ``rank``, ``decile``, ``control``, ``bought`` (0 or 1) and, where the study knows profit, ``contact``.
    contact : ContactSpec
        Its capacity.

    Returns
    -------
    dict or None
        ``contacted`` and ``left_alone`` (prospects), ``contacted_bought`` and ``left_alone_bought`` (shares, weighed
        alike), ``difference`` with ``low`` and ``high``: Wilson's intervals of the shares, put together by the
        variances that they imply (MOVER, https://doi.org/10.1002/sim.3095), which holds for few buyers too;
        ``control_contacted``: how many in reach who were to be left alone were contacted all the same (column
        ``contacted`` of the list; None without). None where nobody in reach was left alone, or nobody contacted. The
        difference is the effect of the campaign only if it left the control group alone.

    Examples
    --------
    >>> rows = pd.DataFrame({"rank": range(1, 5), "decile": 1, "control": [True, False, False, True]})
    >>> found = control_effect(rows.assign(bought=[0, 1, 0, 0]), contact=ContactSpec(capacity=1.0))
    >>> found["contacted_bought"], found["left_alone_bought"], found["difference"]
    (0.5, 0.0, 0.5)
    """
    if "contact" in listed:
        last = listed.loc[listed["contact"].astype(bool), "rank"].max()
        in_reach = listed[listed["contact"].astype(bool) | (listed["control"] & (listed["rank"] <= last))]
    else:
        in_reach = listed[listed["rank"] <= rows_at(contact.share(len(listed)), len(listed))]
    strata = []
    for _, own in in_reach.groupby("decile", sort=True):
        alone = own["control"].to_numpy(dtype=bool)
        if alone.any() and not alone.all():
            strata.append((len(own), own.loc[~alone, "bought"].to_numpy(), own.loc[alone, "bought"].to_numpy()))
    if not strata:
        return None
    weights = np.array([n for n, *_ in strata]) / sum(n for n, *_ in strata)
    shares = np.array([[group.mean() for group in groups] for _, *groups in strata])
    sizes = np.array([[len(group) for group in groups] for _, *groups in strata])
    ends = np.array(
        [[wilson_interval(float(group.sum()), len(group), LEVEL) for group in groups] for _, *groups in strata]
    )
    bought, alone_share = weights @ shares
    difference = float(bought - alone_share)
    # Down: contacted fewer and left alone more than seen; up: the other way round.
    down, up = (
        float(np.sqrt((weights**2 * ((shares[:, 0] - ends[:, 0, a]) ** 2 + (shares[:, 1] - ends[:, 1, b]) ** 2)).sum()))
        for a, b in ((0, 1), (1, 0))
    )
    all_the_same = in_reach["control"] & in_reach["contacted"] if "contacted" in in_reach else None
    return {
        "contacted": int(sizes[:, 0].sum()),
        "left_alone": int(sizes[:, 1].sum()),
        "contacted_bought": float(bought),
        "left_alone_bought": float(alone_share),
        "difference": difference,
        "low": difference - down,
        "high": difference + up,
        "control_contacted": None if all_the_same is None else int(all_the_same.sum()),
    }
