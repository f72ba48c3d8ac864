"""One prospect taken apart: the score, what is recorded of the customer, similar prospects, and what would move it."""

from datetime import datetime
from fnmatch import fnmatchcase
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from propensity.bundle import Bundle
from propensity.config import Study
from propensity.data.connect import to_count
from propensity.data.snapshot import SnapshotRows
from propensity.data.tables import Tables, known_at
from propensity.data.timeline import timeline
from propensity.errors import ConfigError, InputError
from propensity.explain.contributions import contributions, to_points
from propensity.explain.moves import moves
from propensity.explain.neighbours import distance, nearest
from propensity.explain.reasons import family_columns, top_reasons
from propensity.features.matrix import Frame, build_frame
from propensity.features.plan import FeaturePlan
from propensity.labels import label_cohort
from propensity.pipelines import Progress, engine_errors, fitting_bundle, open_study, snapshot_list
from propensity.results import CustomerExplanation
from propensity.rules.scorecard import arithmetic
from propensity.samples import (
    draw,
    express,
    latest_scorable,
    matured_cutoffs,
    read_snapshot_rows,
    scoring_frame,
    snapshot_frame,
    study_functions,
)
from propensity.scoring import chunks
from propensity.temporal import format_instant
from propensity.wording import Wording

_DONORS = 300
"""Prospects whose values are tried in place of the customer's."""
_NEIGHBOURS = 3
_REASONS = 3


@engine_errors()
def explain(
    study: Study,
    customer: str,
    *,
    as_of: datetime | None,
    model: str | None,
    runs: Path | None,
    tracking_uri: str | None,
    today: datetime | None,
    progress: Progress,
) -> CustomerExplanation:
    """Take one prospect's score apart.

    Parameters
    ----------
    study : Study
        From `load_study`.
    customer : str
        The customer's key.
    as_of : datetime or None
        The cutoff; default the latest scorable one. Ignored for snapshots.
    model, runs, tracking_uri
        As for `pipelines.score`.
    today : datetime or None
        Records after this instant are impossible.
    progress : callable
        Told what is being done.

    Returns
    -------
    CustomerExplanation

    Raises
    ------
    InputError
        When the customer is not a prospect as of the date.
    """
    bundle = fitting_bundle(study, model, runs=runs, uri=tracking_uri)
    actionable = _actionable(study, bundle.plan)
    if study.is_snapshot:
        rows = read_snapshot_rows(study)
        frame = snapshot_list(study, rows, bundle.plan)[0]
        at = _place_in_snapshot(frame, rows, customer)
        history, earlier = None, _labelled_rows(study, rows, bundle.plan)
    else:
        with open_study(study, today=today) as tables:
            as_of = as_of or latest_scorable(study, until=tables.until)
            when = format_instant(as_of, zone=study.zone)
            progress(f"prospects as of {when}")
            frame = scoring_frame(tables, study, bundle.plan, as_of)[0]
            at = _place(frame, customer, known=_is_known(tables, customer), when=f" as of {when}")
            key = frame.keys["customer_id"].iloc[at]
            history = timeline(tables, key, as_of, zone=study.zone)
            earlier = _matured(tables, study, bundle.plan, as_of, progress=progress)
    told = format_instant(as_of, zone=study.zone) if as_of and not study.is_snapshot else None
    return _take_apart(
        bundle.for_list(frame.X), frame, at, study, as_of=told, timeline=history, earlier=earlier, actionable=actionable
    )


def _is_known(tables: Tables, customer: str) -> bool:
    codes = tables.codes
    return bool(to_count(codes.filter(codes.customer_id.cast("string") == customer).count()))


def _place(frame: Frame, customer: str, *, known: bool, when: str) -> int:
    found = np.flatnonzero(frame.keys["customer_id"].astype(str).to_numpy() == customer)
    if len(found):
        return int(found[0])
    why = "outside the target, a buyer, or suppressed" if known else "there is no such customer in the data"
    raise InputError(f"explain: {customer!r} is not a prospect{when}: {why}.")


def _place_in_snapshot(frame: Frame, rows: SnapshotRows, customer: str) -> int:
    own = np.flatnonzero(rows.keys["customer_id"].astype(str).to_numpy() == customer)
    if len(own) and rows.part is not None and rows.part[own[0]] != "test":
        raise InputError(
            f"explain: {customer!r} is among the {rows.part[own[0]] or 'unused'} rows of this snapshot: its outcome is "
            "not to be predicted. Only test rows are listed and explained."
        )
    return _place(frame, customer, known=len(own) > 0, when="")


def _actionable(study: Study, plan: FeaturePlan) -> npt.NDArray[np.bool_]:
    """Which features may be changed in thought: as the study says, or behaviour; never sensitive ones."""
    if study.actionable is None:
        return np.array([feature.group == "behaviour" and not feature.sensitive for feature in plan.features])
    for pattern in study.actionable:
        if not any(fnmatchcase(name, pattern) for name in plan.names):
            raise ConfigError(
                f"actionable: no feature is called '{pattern}'. See what there is: propensity features {study.path}"
            )
    return np.array(
        [
            not feature.sensitive and any(fnmatchcase(feature.name, pattern) for pattern in study.actionable)
            for feature in plan.features
        ]
    )


def _untried(study: Study, plan: FeaturePlan, actionable: npt.NDArray[np.bool_]) -> list[str]:
    """Declared features that stay as they are, because others of their family may not change."""
    if study.actionable is None:
        return []
    held = [own for own in family_columns(plan.catalogue()) if not actionable[own].all()]
    return [plan.names[at] for own in held for at in own if actionable[at]]


def _matured(tables: Tables, study: Study, plan: FeaturePlan, as_of: datetime, *, progress: Progress) -> Frame | None:
    """The prospects of the latest cutoff whose outcome was known as of the date, with what they did."""
    known = [cutoff for cutoff in matured_cutoffs(study, until=as_of) if cutoff < as_of]
    if not known:
        return None
    cutoff = max(known)
    progress(f"similar prospects as of {format_instant(cutoff, zone=study.zone)}")
    keys = draw(tables, study, cutoff, plan=plan).keys
    y = label_cohort(known_at(tables, as_of), keys, cutoff, study=study, express=express)
    labels = pd.DataFrame({"bought_at": pd.NaT, "amount": np.nan, "y": y})
    return build_frame(
        tables, plan, cohorts=[keys], cutoffs=[cutoff], labels=[labels], functions=study_functions(study)
    )


def _labelled_rows(study: Study, rows: SnapshotRows, plan: FeaturePlan) -> Frame | None:
    if rows.y is None:
        return None
    every = np.ones(len(rows.keys), dtype=bool)
    own = every if rows.part is None else rows.part == "train"
    return snapshot_frame(rows, plan, own & rows.is_target & ~rows.is_suppressed)


def _take_apart(
    bundle: Bundle,
    frame: Frame,
    at: int,
    study: Study,
    *,
    as_of: str | None,
    timeline: pd.DataFrame | None,
    earlier: Frame | None,
    actionable: npt.NDArray[np.bool_],
) -> CustomerExplanation:
    row = frame.take(np.array([at])).X.reset_index(drop=True)
    phi, base = _points_of(bundle, row)
    low, high = bundle.interval(row)
    catalogue, values = bundle.plan.catalogue(), row.iloc[0].to_numpy(dtype=np.float64).tolist()
    wording = study.read_wording()
    speakers = [wording.speaker(entry) for entry in catalogue]
    table = pd.DataFrame(
        {
            "reason": [speaker.reason(value) for value, speaker in zip(values, speakers, strict=True)],
            "points": phi[0],
            "typical": [speaker.usual() for speaker in speakers],
            "group": [entry["group"] for entry in catalogue],
            "feature": [entry["name"] for entry in catalogue],
        }
    )
    table = table.iloc[np.argsort(-np.abs(phi[0]), kind="stable")].reset_index(drop=True)
    card, total = (None, None)
    if bundle.scorecard is not None:
        card, total = arithmetic(bundle.scorecard, bundle.decoded(row))
    customer = str(frame.keys["customer_id"].iloc[at])
    return CustomerExplanation(
        study=study.study,
        customer_id=customer,
        as_of=as_of,
        probability=float(bundle.probability(row)[0]),
        probability_low=float(low[0]),
        probability_high=float(high[0]),
        points=float(base + phi[0].sum()),
        base_points=base,
        rank=int((bundle.log_odds(frame.X) > bundle.log_odds(row)[0]).sum()) + 1,
        prospects=len(frame),
        contributions=table[table["points"] != 0].reset_index(drop=True),
        scorecard=pd.DataFrame() if card is None else card,
        scorecard_points=total,
        timeline=timeline,
        neighbours=None if earlier is None else _neighbours(bundle, phi[0], earlier, study, but=customer),
        moves=_moves(bundle, row, frame.X, actionable, wording, seed=study.seed),
        untried=_untried(study, bundle.plan, actionable),
    )


def _points_of(bundle: Bundle, X: pd.DataFrame) -> tuple[npt.NDArray[np.float64], float]:
    phi, base = contributions(bundle.model, bundle.calibrator, X)
    return to_points(phi, base, **bundle.points.model_dump())


def _neighbours(
    bundle: Bundle, own: npt.NDArray[np.float64], earlier: Frame, study: Study, *, but: str
) -> pd.DataFrame:
    """The most similar prospects of an earlier cutoff who bought, and who did not."""
    others = earlier.take(earlier.keys["customer_id"].astype(str).to_numpy() != but)
    apart = np.concatenate([distance(own, _points_of(bundle, chunk)[0]) for chunk in chunks(others.X)])
    chosen = nearest(apart, others.labels, count=_NEIGHBOURS)
    X = others.X.iloc[chosen].reset_index(drop=True)
    reasons = top_reasons(
        _points_of(bundle, X)[0], X, bundle.plan.catalogue(), count=_REASONS, wording=study.read_wording()
    )
    told = [", ".join(text for text in row if isinstance(text, str)) for row in reasons.iloc[:, :_REASONS].to_numpy()]
    cutoff = others.keys["cutoff"].iloc[0]
    return pd.DataFrame(
        {
            "customer_id": others.keys["customer_id"].iloc[chosen].astype(str).to_numpy(),
            "bought": others.labels[chosen].astype(bool),
            "as_of": None if pd.isna(cutoff) else format_instant(cutoff.tz_localize("UTC"), zone=study.zone),
            "probability": bundle.for_list(others.X).probability(X),
            "distance": apart[chosen],
            "reasons": told,
        }
    )


def _moves(
    bundle: Bundle,
    row: pd.DataFrame,
    X: pd.DataFrame,
    actionable: npt.NDArray[np.bool_],
    wording: Wording,
    *,
    seed: int,
) -> pd.DataFrame:
    """What would raise or lower the score most, and the probability then."""
    picked = np.random.default_rng(seed).choice(len(X), size=min(_DONORS, len(X)), replace=False)
    return moves(
        row,
        X.iloc[np.sort(picked)],
        bundle.plan.catalogue(),
        actionable,
        points=lambda rows: bundle.to_points(bundle.log_odds(rows)),
        probability=bundle.probability,
        contributions=lambda rows: _points_of(bundle, rows)[0],
        wording=wording,
    )
