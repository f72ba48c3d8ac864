"""From one list to the next: who rose and fell, and whether data, model or the other prospects did it. Pure: no I/O."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from propensity.bundle import Bundle
from propensity.config import Study
from propensity.explain.contributions import contributions, to_points
from propensity.explain.reasons import top_reasons
from propensity.features.matrix import Frame
from propensity.wording import Wording

REASONS = 3
STAYED, CAME, BOUGHT, WENT = "on both lists", "new on the list", "bought since", "no longer a prospect"

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Earlier:
    """An earlier list, and its day as this list's model sees it.

    Attributes
    ----------
    as_of : str
        Its cutoff.
    listed : DataFrame
        ``customer_id`` (texts), ``rank`` and ``points``.
    frame : Frame
        The prospects of that day.
    bought : list of str
        Keys of those who have bought since.
    """

    as_of: str
    listed: pd.DataFrame
    frame: Frame
    bought: list[str]

    def changes(
        self, study: Study, bundle: Bundle, ranked: pd.DataFrame, X: pd.DataFrame, wording: Wording
    ) -> pd.DataFrame:
        """`list_changes` to a list `ranked`, whose feature rows are `X` in its order."""
        scale = bundle.points.model_dump()
        X_then = self.frame.X[bundle.plan.names]
        then, now = (
            to_points(*contributions(bundle.model, bundle.calibrator, rows[bundle.plan.names]), **scale)[0]
            for rows in (X_then, X)
        )
        found = list_changes(
            self.listed,
            ranked[["customer_id", "rank", "points"]].astype({"customer_id": str}),
            then=self.frame.keys[["customer_id"]].astype({"customer_id": str}),
            points=bundle.to_points(bundle.log_odds(X_then)),
            contributions_then=then,
            contributions_now=now,
            X=X[bundle.plan.names],
            bought=self.bought,
            catalogue=bundle.plan.catalogue(),
            wording=wording,
        )
        if study.listing.rank_by != "probability":  # ranks follow something else than points
            found = found.drop(columns=["ranks_by_model", "ranks_by_data", "ranks_by_others"])
        return found.assign(customer_id=found["customer_id"].astype(ranked["customer_id"].dtype))


def list_changes(
    before: pd.DataFrame,
    now: pd.DataFrame,
    *,
    then: pd.DataFrame,
    points: Floats,
    contributions_then: Floats,
    contributions_now: Floats,
    X: pd.DataFrame,
    bought: Sequence[Any],
    catalogue: Sequence[Mapping[str, Any]],
    wording: Wording,
) -> pd.DataFrame:
    """Take the move of every prospect from the earlier list to this one apart.

    Parameters
    ----------
    before, now : DataFrame
        The lists: ``customer_id``, ``rank`` and ``points``.
    then : DataFrame
        ``customer_id`` of the prospects of the earlier list's day, as this list's model sees them.
    points : ndarray of shape (n,)
        What this model gives those, shape as `then`.
    contributions_then : ndarray of shape (n, p)
        Of this model in points, rows as `then`.
    contributions_now : ndarray of shape (m, p)
        Rows as `now`.
    X : DataFrame of shape (m, p)
        This list's feature values, rows as `now`.
    bought : sequence
        Keys of those who have bought in between.
    catalogue, wording
        As for `propensity.explain.reasons.top_reasons`.

    Returns
    -------
    DataFrame
        A row a prospect of either list, the largest moves of points first, then who came and who went: ``customer_id``,
        ``status``, ``rank_before``, ``rank_now``, ``points_before``, ``points_now``, ``by_model`` and ``by_data``
        (points; they add up to the change), ``ranks_by_model``, ``ranks_by_data`` and ``ranks_by_others`` (places, down
        is positive; they add up as well), and what moved this model's score, ``reason_1`` … with ``contribution_1`` …
        and ``contribution_other`` (points; they add up to `by_data`).

    Notes
    -----
    The earlier day is looked at with this model first (that is the model's part), then the prospect's own data become
    today's (the data's), then everybody else's (the others').
    """
    old, new = before.set_index("customer_id"), now.set_index("customer_id")
    seen = pd.Series(points, index=pd.Index(then["customer_id"]), dtype=float)
    both = new.index.intersection(old.index)
    table = pd.DataFrame(
        {
            "status": STAYED,
            "rank_before": old["rank"].reindex(both),
            "rank_now": new["rank"].reindex(both),
            "points_before": old["points"].reindex(both),
            "points_now": new["points"].reindex(both),
        },
        index=both,
    )
    # Whom the tables no longer show as of the earlier day has parts that are not known.
    known = both.intersection(seen.index)
    in_between, points_now = seen.reindex(known), table["points_now"].reindex(known)
    table["by_model"] = in_between - table["points_before"]
    table["by_data"] = points_now - in_between
    ordered = np.sort(seen.reindex(old.index.intersection(seen.index)).to_numpy())
    places = pd.DataFrame(
        {
            "by_model": _place(ordered, in_between.to_numpy(), in_between.to_numpy()),
            "by_data": _place(ordered, points_now.to_numpy(), in_between.to_numpy()),
        },
        index=known,
    )
    table["ranks_by_model"] = places["by_model"] - table["rank_before"]
    table["ranks_by_data"] = places["by_data"] - places["by_model"]
    table["ranks_by_others"] = table["rank_now"] - places["by_data"]
    rows_then = pd.Series(np.arange(len(then)), index=pd.Index(then["customer_id"])).reindex(known).to_numpy()
    rows_now = pd.Series(np.arange(len(now)), index=new.index).reindex(known).to_numpy()
    moved = contributions_now[rows_now] - contributions_then[rows_then]
    reasons = top_reasons(moved, X.iloc[rows_now].reset_index(drop=True), catalogue, count=REASONS, wording=wording)
    table = table.join(reasons.set_index(known))
    table = table.iloc[np.argsort(-(table["points_now"] - table["points_before"]).abs().to_numpy(), kind="stable")]
    came = new.loc[new.index.difference(old.index, sort=False), ["rank", "points"]]
    went = old.loc[old.index.difference(new.index, sort=False), ["rank", "points"]]
    others = [
        came.set_axis(["rank_now", "points_now"], axis=1).assign(status=CAME).sort_values("rank_now"),
        went.set_axis(["rank_before", "points_before"], axis=1)
        .assign(status=np.where(went.index.isin(list(bought)), BOUGHT, WENT))
        .sort_values("rank_before"),
    ]
    whole = pd.concat([table, *[own.reindex(columns=table.columns) for own in others if len(own)]])
    ranks = [str(name) for name in whole if str(name).startswith("rank")]
    whole[ranks] = whole[ranks].astype("Int64")
    return whole.rename_axis("customer_id").reset_index()


def _place(ordered: Floats, points: Floats, own: Floats) -> npt.NDArray[np.int64]:
    """The place of each of `points` among the others of `ordered` (ascending), in which each stands with `own`."""
    above = len(ordered) - np.searchsorted(ordered, points, side="right")
    return np.asarray(1 + above - (own > points), dtype=np.int64)


def told_in_short(changes: pd.DataFrame, *, since: str) -> dict[str, Any]:
    """What a list's manifest says of its changes: counts, and how far prospects moved.

    Returns
    -------
    dict
        ``since`` (the earlier list's cutoff), prospects by ``status``, and of those on both lists the mean absolute
        change of points ``by_model`` and ``by_data``.
    """
    stayed = changes[changes["status"] == STAYED]
    counts = changes["status"].value_counts()
    return {
        "since": since,
        "status": {name: int(counts.get(name, 0)) for name in (STAYED, CAME, BOUGHT, WENT)},
        "by_model": float(stayed["by_model"].abs().mean()) if len(stayed) else None,
        "by_data": float(stayed["by_data"].abs().mean()) if len(stayed) else None,
    }
