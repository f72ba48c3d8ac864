"""What would move a score: other values of what can be acted upon, everything else unchanged.

This is the model's view. It compares the prospect with people who behave otherwise; that making somebody behave
otherwise makes them buy, it does not say.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from propensity.explain.reasons import family_columns
from propensity.wording import Wording, english

Floats = npt.NDArray[np.float64]
Score = Callable[[pd.DataFrame], Floats]
MOVES = 5
_LEAST = 0.5
"""Points below which a change is not worth a line."""


def moves(
    row: pd.DataFrame,
    donors: pd.DataFrame,
    catalogue: Sequence[Mapping[str, Any]],
    actionable: npt.NDArray[np.bool_],
    *,
    points: Score,
    probability: Score,
    contributions: Score,
    count: int = MOVES,
    wording: Wording | None = None,
) -> pd.DataFrame:
    """Tell which other values would raise or lower a score most.

    Features of one family change together, to the values of a real prospect: nobody has more visits in a week than in
    a month.

    Parameters
    ----------
    row : DataFrame of shape (1, p)
        The prospect.
    donors : DataFrame of shape (n, p)
        Prospects whose values are tried.
    catalogue : sequence of mapping, of length p
        As for `top_reasons`.
    actionable : ndarray of bool, shape (p,)
        A family changes where all its members may.
    points, probability : callable
        Of rows, shape (m,).
    contributions : callable
        Their contributions in points, shape (m, p): of the members that read differently then, the one that moves most
        speaks for its family; where none does, the change is not told.
    count : int
        How many changes to tell in each direction.
    wording : Wording, optional
        What they are told in; default English.

    Returns
    -------
    DataFrame
        ``feature``, ``now``, ``then``, ``points`` (the change) and ``probability`` (then), the largest rise first.
        Empty where nothing may change.
    """
    tried, own_of = [], []
    block = donors.to_numpy()
    for own in family_columns(catalogue):
        if actionable[own].all():
            values = np.unique(block[:, own], axis=0)
            rows = np.repeat(row.to_numpy(), len(values), axis=0)
            rows[:, own] = values
            tried.append(rows)
            own_of += [own] * len(values)
    columns = ["feature", "now", "then", "points", "probability"]
    if not tried:
        return pd.DataFrame(columns=columns)
    changed = pd.DataFrame(np.vstack(tried), columns=row.columns)
    gain = points(changed) - points(row)
    chosen = _best(gain, own_of, count=count)
    if not chosen:
        return pd.DataFrame(columns=columns)
    own_values = row.to_numpy()[0]
    before, after = contributions(row)[0], contributions(changed.iloc[chosen])
    told = []
    for at, phi, chance in zip(chosen, after, probability(changed.iloc[chosen]), strict=True):
        own = own_of[at]
        for speaker in own[np.argsort(-(phi - before)[own] * np.sign(gain[at]), kind="stable")]:
            tell = (wording or english()).speaker(catalogue[speaker]).reason
            now, then = tell(float(own_values[speaker])), tell(float(changed.iloc[at, speaker]))
            if now != then:
                told.append((catalogue[speaker]["name"], now, then, float(gain[at]), float(chance)))
                break
    return pd.DataFrame(told, columns=columns)


def _best(gain: Floats, own_of: Sequence[npt.NDArray[Any]], *, count: int) -> list[int]:
    """Each family's largest rise and largest fall, the `count` strongest of both, from the largest rise down."""
    best: dict[tuple[int, bool], int] = {}
    for at, (change, own) in enumerate(zip(gain, own_of, strict=True)):
        key = int(own[0]), bool(change > 0)
        if abs(change) >= _LEAST and (key not in best or abs(change) > abs(gain[best[key]])):
            best[key] = at
    rises = sorted((at for (_, up), at in best.items() if up), key=lambda at: -gain[at])[:count]
    falls = sorted((at for (_, up), at in best.items() if not up), key=lambda at: gain[at])[:count]
    return [*rises, *reversed(falls)]
