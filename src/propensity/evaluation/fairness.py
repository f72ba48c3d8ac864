"""How a list treats the groups of a sensitive attribute: who is selected, who is found, and are they told right."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

FOUR_FIFTHS = 0.8
"""Ratio to the best group under which a selection rate is a warning (the four-fifths rule, 29 CFR 1607.4 D)."""
FEW = 30
"""Prospects below which a group's figures are too rough to warn of."""

Floats = npt.NDArray[np.float64]


def fairness_table(
    groups: Sequence[str | None], y: npt.NDArray[Any], probability: Floats, selected: npt.NDArray[np.bool_]
) -> list[dict[str, Any]]:
    """Compare the groups of one attribute.

    Parameters
    ----------
    groups : sequence of str or None, n rows
        None: not given.
    y : ndarray of shape (n,)
        1 for who bought.
    probability : ndarray of shape (n,)
    selected : ndarray of bool, shape (n,)
        Who stands within the contact capacity.

    Returns
    -------
    list of dict
        For each group, in the order of size: ``group``, ``prospects``, ``buyers``, ``expected_buyers`` (the sum of
        probabilities), ``selection_rate``, ``recall`` (the share of its buyers that is selected; None without buyers),
        ``ratio`` (of its selection rate to that of the group with the highest, groups of at least 30 counting) and
        ``warning``: a ratio under 0.8 in a group of at least 30.

    Examples
    --------
    >>> rows = fairness_table(["a"] * 40 + ["b"] * 40, np.tile([1, 0], 40), np.full(80, 0.5), np.arange(80) < 60)
    >>> [(row["group"], row["selection_rate"], row["recall"], row["ratio"], row["warning"]) for row in rows]
    [('a', 1.0, 1.0, 1.0, False), ('b', 0.5, 0.5, 0.5, True)]
    """
    names = np.array(["not given" if group is None else str(group) for group in groups], dtype=object)
    rows: list[dict[str, Any]] = []
    for name in sorted(set(names), key=lambda name: (-int((names == name).sum()), name)):
        own = names == name
        buyers = int(y[own].sum())
        rows.append(
            {
                "group": name,
                "prospects": int(own.sum()),
                "buyers": buyers,
                "expected_buyers": float(probability[own].sum()),
                "selection_rate": float(selected[own].mean()),
                "recall": float(selected[own][y[own] == 1].mean()) if buyers else None,
            }
        )
    best = max((row["selection_rate"] for row in rows if row["prospects"] >= FEW), default=0.0)
    for row in rows:
        row["ratio"] = row["selection_rate"] / best if best else None
        row["warning"] = row["ratio"] is not None and row["ratio"] < FOUR_FIFTHS and row["prospects"] >= FEW
    return rows
