"""What contacting the best part of a list earned, against how much of it was contacted."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from propensity.evaluation.curves import ranked_tally, share_grid, totals_down_to
from propensity.evaluation.ranking import rows_at


def profit_curve(y: ArrayLike, score: ArrayLike, *, cost: float, value: float, points: int = 101) -> dict[str, Any]:
    """Give the profit of contacting each share of the list: value for every positive, less cost for every contact.

    It counts everybody who bought as won by the contact. Some would have bought anyway: that is for a control group
    to say.

    Parameters
    ----------
    y : array-like of shape (n,)
        Labels, 0 or 1.
    score : array-like of shape (n,)
        Scores; higher means more likely.
    cost : float
        Cost of one contact, in the study's money.
    value : float
        Value of one purchase before the cost of contact, in the same money.
    points : int, default=101
        Points of the curve, from nobody to everybody.

    Returns
    -------
    dict
        ``share`` (0 to 1), ``contacted`` (rows, ceil(share * n)) and ``profit`` (money, ties counting with their
        average), a list each; ``best_share``, ``best_contacted`` and ``best_profit`` over every length of the list, not
        only those of the grid, and the shortest of equals. The best is picked on the rows that it is measured on,
        so it flatters.

    Examples
    --------
    Four rows, 60 for a purchase, 20 for a contact. One contact: 60 - 20. Three: 2 * 60 - 3 * 20.

    >>> curve = profit_curve([1, 0, 1, 0], [0.9, 0.8, 0.7, 0.1], cost=20, value=60, points=5)
    >>> curve["profit"], curve["best_contacted"]
    ([0.0, 40.0, 20.0, 60.0, 40.0], 3)
    """
    tally = ranked_tally(y, score)
    share = share_grid(points)
    contacted = np.array([rows_at(part, tally.n) for part in share], dtype=np.intp)
    profit = value * tally.hits_at(contacted).expected - cost * contacted
    # inside a group of ties profit runs straight, so the best length ends a group
    rows, hits = totals_down_to(tally)
    lengths = np.concatenate(([0], rows))
    earned = np.concatenate(([0.0], value * hits - cost * rows))
    best = int(np.argmax(earned))
    return {
        "share": share,
        "contacted": contacted.tolist(),
        "profit": profit.tolist(),
        "best_share": float(lengths[best] / max(tally.n, 1)),
        "best_contacted": int(lengths[best]),
        "best_profit": float(earned[best]),
    }
