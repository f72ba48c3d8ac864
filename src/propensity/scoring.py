"""Scoring: a bundle and rows become a ranked prospect list. Pure: no I/O.

Best first by the calibrated log-odds, or by expected profit where the study ranks by it; ties are broken by a hash of
the customer's key, so that the same rows always give the same list.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime
from hashlib import sha256
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd

from propensity.bundle import LEVEL, Bundle
from propensity.cohort import FunnelStep
from propensity.config import ContactSpec, Study
from propensity.errors import DataError
from propensity.evaluation.ranking import rows_at
from propensity.explain.contributions import contributions, to_points
from propensity.explain.reasons import customer_reasons, top_reasons
from propensity.features.matrix import Frame
from propensity.features.records import Told
from propensity.rules.approach import tag
from propensity.rules.pyramid import pyramid_values, tiers
from propensity.rules.qualification import FAIL, PASS, UNKNOWN, open_questions, qualify
from propensity.temporal import format_instant
from propensity.value import contact_down_to, prospect_values, worth_contacting
from propensity.wording import Wording, english

REASONS = 5
CHUNK = 50_000
"""Rows that are explained at a time: bounds the memory of contributions."""

_BY_PROFIT = (
    "Rank, percentile, decile and grade follow expected profit; reasons and points explain the probability of buying, "
    "not the amount."
)
GRADES = ((1, "A"), (3, "B"), (6, "C"), (10, "D"))
"""Grade by decile: A the best tenth, B to the third decile, C to the sixth, D the rest."""


def rank_prospects(
    bundle: Bundle,
    X: pd.DataFrame,
    keys: pd.DataFrame,
    *,
    contact: ContactSpec,
    model_name: str,
    model_version: str,
    answers: pd.DataFrame | None = None,
    tags: pd.DataFrame | None = None,
    rank_by: Literal["probability", "expected_profit"] = "probability",
    control: npt.NDArray[np.bool_] | None = None,
    wording: Wording | None = None,
    progress: Callable[[str], None] | None = None,
) -> pd.DataFrame:
    """The prospect list.

    Parameters
    ----------
    bundle : Bundle
        The deployed model.
    X : DataFrame of float32, shape (n, features)
        Rows with the plan's columns.
    keys : DataFrame, n rows
        ``customer_id`` and ``cutoff``.
    contact : ContactSpec
        With cost and value given, ``expected_value`` and ``expected_profit`` (money) are listed, ``expected_amount``
        where it is learnt, and ``contact``: who within the capacity is worth it.
    answers : DataFrame, n rows, optional
        From `propensity.rules.qualification.qualify`: ``qualification`` is listed, and what does not pass beside it.
    tags : DataFrame, n rows, optional
        Columns that are listed as they are: ``barrier``, ``approach``, ``channel``, and a tier for each pyramid.
    rank_by : {"probability", "expected_profit"}
        What rank, percentile, decile and grade follow; of equal profits the more probable comes first.
    control : ndarray of bool, shape (n,), optional
        Who is left alone, from `control_slice`; nobody without it.
    wording : Wording, optional
        What the reasons are told in; default English. ``customer_reason`` is listed where it says what a customer may
        be told.
    progress : callable, optional
        Told how far explaining a long list has come.

    Returns
    -------
    DataFrame, n rows
        The columns of a prospect list, best first. Points, signed: ``base_points + contribution_1 + … +
        contribution_other = points``.
    """
    log_odds = bundle.log_odds(X)
    values = prospect_values(bundle, contact, X, bundle.probability(X)) if contact.has_profit else None
    profit = values["expected_profit"].to_numpy() if values is not None and rank_by == "expected_profit" else None
    order = best_first(log_odds, keys["customer_id"], profit)
    ranked = X.iloc[order]
    wording = wording or english()
    told = Told("explaining prospects", len(ranked), progress if len(ranked) > CHUNK else None)
    parts = []
    for chunk in chunks(ranked):
        parts.append(_explained(bundle, chunk, wording))
        told.more(len(chunk))
    rows = pd.concat(parts, ignore_index=True)
    rank = np.arange(1, len(ranked) + 1)
    decile = np.ceil(rank * 10 / len(ranked)).astype(np.int64)
    listed = pd.DataFrame({"rank": rank, "customer_id": keys["customer_id"].to_numpy()[order]})
    listed["as_of"] = keys["cutoff"].to_numpy()[order]
    probability = rows.pop("probability")
    listed["probability"] = probability
    for name in ("probability_low", "probability_high"):
        listed[name] = rows.pop(name)
    listed["percentile"] = 100.0 * (len(ranked) - rank) / max(len(ranked) - 1, 1)
    listed["decile"] = decile
    listed["grade"] = np.array([next(grade for last, grade in GRADES if d <= last) for d in range(1, 11)])[decile - 1]
    for name in ("points", "base_points", "scorecard_points", "buying_stage", "segment"):
        listed[name] = rows.pop(name)
    for_customers = rows.pop("customer_reason") if "customer_reason" in rows else None
    listed = pd.concat([listed, rows], axis=1)
    left_alone = np.zeros(len(ranked), dtype=bool) if control is None else control[order]
    listed["control"] = left_alone
    listed["model_name"] = model_name
    listed["model_version"] = model_version
    horizons = [bundle.horizon_probabilities(chunk) for chunk in chunks(ranked)]
    listed = pd.concat([listed, pd.concat(horizons, ignore_index=True)], axis=1)
    if for_customers is not None:
        listed["customer_reason"] = for_customers
    if answers is not None:
        own = answers.iloc[order].reset_index(drop=True)
        listed["qualification"] = own["qualification"]
        listed["not_qualified_by"] = open_questions(own)
    if tags is not None:
        listed = pd.concat([listed, tags.iloc[order].reset_index(drop=True)], axis=1)
    if values is not None:
        listed = pd.concat([listed, values.iloc[order].reset_index(drop=True)], axis=1)
        capacity = rows_at(contact.share(len(listed)), len(listed))
        # Nobody is contacted for those who are left alone: the next ones take their places.
        expected = np.where(left_alone, 0.0, listed["expected_profit"].to_numpy())
        listed["contact"] = worth_contacting(expected, capacity=capacity)
    return listed


def ranked_list(
    study: Study,
    bundle: Bundle,
    frame: Frame,
    wording: Wording | None = None,
    *,
    progress: Callable[[str], None] | None = None,
) -> pd.DataFrame:
    """The prospect list of a frame, under the bundle's own name and run.

    Raises
    ------
    DataError
        When only the qualified are to be listed, and nobody is.
    """
    name = f"{bundle.about['study']}/{bundle.about['model']}"
    bundle = bundle.for_list(frame.X)
    answers = qualification_answers(study, bundle, frame)
    tags = list_tags(study, bundle, frame)
    if answers is not None and study.listing.qualified_only:
        passes = (answers["qualification"] == PASS).to_numpy()
        if not passes.any():
            raise DataError(
                f"list: none of {len(frame):,} prospects passes the qualification ({_refused(answers)}). Change its "
                "rules, or list all: list: {qualified_only: false}."
            )
        frame, answers, tags = frame.take(passes), answers[passes], tags[passes]
    return rank_prospects(
        bundle,
        frame.X,
        frame.keys,
        contact=study.contact,
        model_name=name,
        model_version=str(bundle.about["run"]),
        answers=answers,
        tags=tags,
        rank_by=study.listing.rank_by,
        control=control_slice(study, frame.keys["customer_id"]),
        wording=wording,
        progress=progress,
    )


def list_tags(study: Study, bundle: Bundle, frame: Frame) -> pd.DataFrame:
    """How to approach each prospect, and its tier in each pyramid (``tier_<name>``), where the study declares them.

    Tiers are among all prospects, qualified or not.
    """
    decoded = bundle.decoded(frame.X)
    own = {f"tier_{name}": tiers(pyramid_values(decoded, p), p) for name, p in study.pyramids.items()}
    tagged = tag(decoded, barriers=study.barriers, approach=study.approach, channels=study.channels)
    return tagged.assign(**own)


def qualification_answers(study: Study, bundle: Bundle, frame: Frame) -> pd.DataFrame | None:
    """Whether each prospect is qualified; None where the study does not ask."""
    return qualify(bundle.decoded(frame.X), study.qualification) if study.qualification else None


def _refused(answers: pd.DataFrame) -> str:
    """How many fail each question, and how many cannot be told, in words."""
    asked = answers.drop(columns="qualification")
    parts = [f"{question} {(asked[question] == FAIL).sum():,}" for question in asked]
    unknown = int((answers["qualification"] == UNKNOWN).sum())
    return f"fail {', '.join(parts)}; {unknown:,} cannot be told"


def in_order(frame: Frame, ranked: pd.DataFrame) -> pd.DataFrame:
    """Feature rows in the list's order."""
    position = pd.Series(np.arange(len(frame)), index=frame.keys["customer_id"].to_numpy())
    return frame.X.iloc[position[ranked["customer_id"].to_numpy()].to_numpy()].reset_index(drop=True)


def best_first(
    log_odds: npt.NDArray[np.float64], customer_ids: pd.Series, profit: npt.NDArray[np.float64] | None = None
) -> npt.NDArray[np.intp]:
    """The order of a list, as positions, shape (n,): by profit where it is given, then by log-odds, then by hash."""
    ties = (tie_breaker(customer_ids), -log_odds)
    return np.lexsort(ties if profit is None else (*ties, -profit))


def tie_breaker(customer_ids: pd.Series) -> npt.NDArray[np.uint64]:
    """A fixed pseudo-random number for each key, shape (n,)."""
    return pd.util.hash_array(customer_ids.astype(str).to_numpy(dtype=object))


def control_slice(study: Study, customer_ids: pd.Series) -> npt.NDArray[np.bool_]:
    """Whom the study's campaigns leave alone: customers drawn by lot, shape (n,).

    A customer's lot depends on its key and the study's name and seed alone: it is the same every night, whatever the
    rank, and a larger share keeps those of a smaller one. In every part of a list the share holds but for chance;
    `propensity.outcomes` weighs by band what chance leaves uneven.
    """
    key = sha256(f"control {study.study} {study.seed}".encode()).hexdigest()[:16]
    lots = pd.util.hash_array(customer_ids.astype(str).to_numpy(dtype=object), hash_key=key, categorize=False)
    # Comparing in 53 bits is exact, and a share of 1 takes everybody.
    return np.asarray((lots >> np.uint64(11)) < study.listing.control * 2.0**53)


def _control(study: Study, ranked: pd.DataFrame) -> dict[str, Any] | None:
    """How many are left alone, in all and by band of the list; None where the study leaves nobody alone."""
    if not study.listing.control:
        return None
    by_decile = ranked.groupby("decile")["control"].sum()
    return {
        "share": study.listing.control,
        "prospects": int(ranked["control"].sum()),
        "by_decile": {str(decile): int(count) for decile, count in by_decile.items()},
        "note": "Drawn by lot from the customer's key and the study's name and seed: leave them out of the campaign.",
    }


def chunks(X: pd.DataFrame) -> Iterator[pd.DataFrame]:
    """Rows in pieces of `CHUNK`, so that what is made of each is bounded in memory; one empty piece of no rows."""
    for start in range(0, max(len(X), 1), CHUNK):
        yield X.iloc[start : start + CHUNK].reset_index(drop=True)


def _explained(bundle: Bundle, X: pd.DataFrame, wording: Wording) -> pd.DataFrame:
    """Probabilities, points and reasons of some rows."""
    phi, base = contributions(bundle.model, bundle.calibrator, X)
    scale = bundle.points
    phi_points, base_points = to_points(
        phi, base, pdo=scale.pdo, reference_points=scale.reference_points, reference_odds=scale.reference_odds
    )
    low, high = bundle.interval(X)
    log_odds = bundle.log_odds(X)
    decoded = bundle.decoded(X)
    by_indicator, stages = bundle.scorecard_points(decoded), bundle.buying_stages(decoded)
    frame = pd.DataFrame(
        {
            "probability": bundle.probability(X),
            "probability_low": low,
            "probability_high": high,
            "points": bundle.to_points(log_odds),
            "base_points": base_points,
            "scorecard_points": np.nan if by_indicator is None else by_indicator.sum(axis=1).to_numpy(),
            "buying_stage": None if stages is None else stages.to_numpy(),
            "segment": bundle.segment_of(decoded),
        }
    )
    catalogue = bundle.plan.catalogue()
    reasons = top_reasons(phi_points, X, catalogue, count=REASONS, wording=wording)
    if wording.own.customer:
        reasons["customer_reason"] = customer_reasons(phi_points, X, catalogue, wording)
    return pd.concat([frame, reasons], axis=1)


def waterfall(steps: list[FunnelStep], listed: int, answers: pd.DataFrame | None = None) -> list[dict[str, Any]]:
    """From all known customers down to the list, with counts and reasons.

    Parameters
    ----------
    answers : DataFrame, optional
        The qualification of all that are scored.
    """
    suppressed = steps[-1].removed
    rows = [step.to_dict() for step in steps[:-1]]
    rows.append(
        {"name": "suppressed", "count": suppressed, "removed": suppressed, "reason": "neither scored nor listed"}
    )
    rows.append({"name": "scored", "count": steps[-1].count, "removed": 0, "reason": "have a probability"})
    unqualified, reason = 0, "the study declares no qualification rules"
    if answers is not None:
        unqualified = int((answers["qualification"] != PASS).sum())
        reason = _refused(answers) + ("" if listed < steps[-1].count else "; listed all the same")
    removed = steps[-1].count - listed
    rows.append({"name": "unqualified", "count": unqualified, "removed": removed, "reason": reason})
    rows.append({"name": "listed", "count": listed, "removed": 0, "reason": "on the list"})
    return rows


def _horizons_mature(study: Study, as_of: datetime) -> dict[str, str]:
    """When it will be known who bought within each horizon."""
    lag, zone = study.outcome.reporting_lag, study.zone
    ends = zip(study.outcome.all_horizons, study.horizon_ends(as_of), strict=True)
    return {str(horizon): format_instant(lag.after(end, zone=zone), zone=zone) for horizon, end in ends}


def _prior(bundle: Bundle, frame: Frame) -> dict[str, Any]:
    """How the list's base rate was corrected: the mean probability of all that are scored, before and after."""
    told: dict[str, Any] = {"method": bundle.prior.method, "reason": bundle.prior.reason}
    if bundle.prior.method == "latest":
        return told
    rates = [float(own.probability(frame.X).mean()) for own in (replace(bundle, shift=0.0), bundle.for_list(frame.X))]
    told["used"] = bundle.for_list(frame.X).shift != 0.0
    return {**told, "base_rate_before": rates[0], "base_rate_after": rates[1]}


def _left_out(study: Study, bundle: Bundle) -> list[str]:
    """The horizons that the list has no probability for, and why."""
    known = () if bundle.hazard is None else bundle.hazard.horizons
    missing = [str(horizon) for horizon in study.outcome.all_horizons if str(horizon) not in known]
    told = f"No probability within {', '.join(missing)}: too few buyers were known since the horizon before."
    return [told] if missing else []


def list_manifest(
    study: Study,
    bundle: Bundle,
    ranked: pd.DataFrame,
    steps: list[FunnelStep],
    as_of: datetime | None,
    frame: Frame,
    *,
    digest: str | None,
) -> dict[str, Any]:
    """What stands beside a list: where it comes from, its waterfall, and when its outcome will have matured.

    `digest` is that of the tables (`Tables.fingerprint`); None for the rows of a file.
    """
    matures = format_instant(study.matures_at(as_of), zone=study.zone) if as_of else None
    by_profit = study.listing.rank_by == "expected_profit"
    has_profit = study.contact.has_profit
    return {
        "study": study.study,
        "as_of": format_instant(as_of, zone=study.zone) if as_of else None,
        "matures_on": matures,
        "horizons_mature_on": _horizons_mature(study, as_of) if as_of else {},
        "waterfall": waterfall(steps, len(ranked), qualification_answers(study, bundle, frame)),
        "rows": len(ranked),
        "expected_buyers": float(ranked["probability"].sum()),
        "contact_down_to": contact_down_to(bundle.for_list(frame.X), study.contact, ranked, in_order(frame, ranked))
        if has_profit
        else None,
        "control": _control(study, ranked),
        "probability_interval": LEVEL,
        "calibration": bundle.step.method,
        "prior": _prior(bundle, frame),
        "unseen_categories": dict(frame.unseen or {}),
        "data": digest,
        "model": {name: value for name, value in bundle.about.items() if name != "usual"},
        "language": study.read_wording().base.language,
        "columns": list(ranked.columns),
        "notes": [
            "Propensity is not uplift: some at the top would buy without being contacted.",
            "An outcome counts only once the list has matured; before, those who have not bought are undecided.",
            *([_BY_PROFIT] if by_profit else []),
            *_left_out(study, bundle),
        ],
    }
