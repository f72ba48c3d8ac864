"""A run's numbers, curves and tables as plain values: what ``report.json`` holds and the report shows."""

import base64
import importlib.metadata
import math
import sys
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import pandas as pd

from propensity.bundle import Bundle
from propensity.config import Study
from propensity.drivers import Previous, global_picture, since_last
from propensity.evaluation.contacted import by_contact
from propensity.evaluation.curves import calibration_table, gains_curve
from propensity.evaluation.ranking import rows_at
from propensity.explain.reasons import scorecard_reasons
from propensity.features.contacts import EVER
from propensity.outlook import captured_by_share, depths, fairness
from propensity.rules.approach import TAGS
from propensity.scoring import REASONS
from propensity.temporal import format_instant
from propensity.training import Evaluation, Training

PACKAGES = ("propensity", "numpy", "pandas", "scikit-learn", "lightgbm", "shap", "mlflow", "duckdb", "ibis-framework")
_CATALOGUED = ("name", "description", "group", "window", "source", "kind", "unit", "missing_share", "typical")
_FEW_BUYERS = 50
"""Test prospects that bought, below which the report warns of rough figures."""
_MONEY = ("expected_amount", "expected_value", "expected_profit")
LISTED = 1_000
"""Prospects that the report's list holds."""
_LISTED = (
    "rank", "customer_id", "probability", "probability_low", "probability_high", "grade", "points", "scorecard_points",
    "buying_stage", "segment", "customer_reason",
)  # fmt: skip


def package_versions() -> dict[str, str]:
    """Versions of Python and of the packages that a result depends on."""
    versions = {"python": ".".join(map(str, sys.version_info[:3]))}
    return versions | {name: importlib.metadata.version(name) for name in PACKAGES}


def describe_question(study: Study, product: str) -> str:
    """The study's question in one sentence."""
    if study.about:
        return study.about
    if study.is_snapshot:
        return f"Which target customers will have {product}?"
    return f"Which target customers who never bought {product} will buy it within {study.outcome.horizon}?"


def curves(evaluation: Evaluation) -> dict[str, dict[str, Any]]:
    """Gains and calibration of each model on test."""
    predictions = evaluation.predictions
    y = predictions["label"].to_numpy()
    return {
        name: {
            "gains": gains_curve(y, score),
            "calibration": calibration_table(y, predictions[name].to_numpy()),
        }
        for name, score in evaluation.ranked_by.items()
    }


def shown_prospects(ranked: pd.DataFrame, bundle: Bundle, X: pd.DataFrame, *, most: int = 10) -> list[dict[str, Any]]:
    """The first prospects with their reasons and scorecard, as plain values.

    Parameters
    ----------
    ranked : DataFrame
        The prospect list.
    X : DataFrame
        Feature rows of the first prospects, in the list's order.
    """
    by_indicator = bundle.scorecard_points(bundle.decoded(X.iloc[:most]))
    shown = []
    for position, row in enumerate(ranked.head(most).to_dict("records")):
        reasons = [
            {"text": row[f"reason_{i}"], "points": row[f"contribution_{i}"]}
            for i in range(1, REASONS + 1)
            if isinstance(row[f"reason_{i}"], str)
        ]
        kept = ("rank", "customer_id", "probability", "probability_low", "probability_high", "percentile", "decile")
        entry = {name: row[name] for name in kept}
        entry |= {name: row[name] for name in ("grade", "points", "base_points")}
        entry |= {name: _none(row[name]) for name in ("scorecard_points", "buying_stage", "segment")}
        entry |= {name: row[name] for name in _MONEY if name in row}
        entry["customer_reason"] = _none(row.get("customer_reason"))
        entry["tags"] = {name: _none(row[name]) for name in ranked.columns if name in TAGS or name.startswith("tier_")}
        entry |= {"reasons": reasons, "other_points": row["contribution_other"]}
        entry["scorecard"] = [] if by_indicator is None else scorecard_reasons(by_indicator.iloc[position])
        entry["customer_id"] = str(entry["customer_id"])
        shown.append(entry)
    return shown


def _none(value: Any) -> Any:
    return None if value is None or (isinstance(value, float) and math.isnan(value)) else value


def list_rows(ranked: pd.DataFrame, *, most: int = LISTED) -> dict[str, Any]:
    """The first prospects with all their reasons, as columns of plain values: what the report searches and sorts."""
    first = ranked.head(most)
    shown = [name for name in _LISTED if name in first and first[name].notna().any()]
    columns = {name: [_none(value) for value in first[name].tolist()] for name in shown}
    columns["customer_id"] = [str(key) for key in columns["customer_id"]]
    names = range(1, REASONS + 1)
    told = zip(*([*first[f"reason_{i}"]] for i in names), strict=True)
    points = first[[f"contribution_{i}" for i in names]].round(2).to_numpy().tolist()
    columns["reasons"] = [
        [[text, value] for text, value in zip(texts, own, strict=True) if isinstance(text, str)]
        for texts, own in zip(told, points, strict=True)
    ]
    columns["other_points"] = first["contribution_other"].round(2).tolist()
    return {"of": len(ranked), "base_points": float(first["base_points"].iloc[0]), "columns": columns}


def build_report(
    study: Study,
    training: Training,
    *,
    run_id: str,
    ranked: pd.DataFrame,
    X: pd.DataFrame,
    as_of: datetime | None,
    list_entry: Mapping[str, Any],
    product: str,
    list_funnel: Mapping[str, Any],
    qualification: Sequence[Mapping[str, Any]],
    marketing: Mapping[str, Any],
    previous: Previous | None,
) -> tuple[dict[str, Any], dict[str, bytes]]:
    """Everything that the report shows, and SHAP's plots as files of their own.

    Parameters
    ----------
    ranked : DataFrame
        The prospect list at `as_of`.
    X : DataFrame
        Feature rows in the list's order.
    qualification : sequence of mapping
        How many prospects pass each question, and how they turned out; empty where the study asks none.
    marketing : mapping
        From `propensity.marketing.marketing_tables`.
    previous : Previous or None
        The run that this one is held against.
    """
    evaluation, bundle = training.evaluation, training.bundle
    drivers, figures = global_picture(bundle, X, seed=study.seed)
    test, gains_of = len(evaluation.predictions), curves(evaluation)
    share = study.contact.share(test)
    cutoffs = {
        split: [format_instant(cutoff, zone=study.zone) for cutoff in instants]
        for split, instants in study.cutoff_instants().items()
    }
    run_cutoffs: dict[str, Any] = {}
    if cutoffs:
        run_cutoffs = {
            "train": cutoffs["train"],
            "validation": cutoffs["validation"][0],
            "test": cutoffs["test"][0],
            "list": format_instant(as_of, zone=study.zone) if as_of else None,
        }
    report = {
        "study": {
            "name": study.study,
            "question": describe_question(study, product),
            "market": study.target.market,
            "kind": "snapshot" if study.is_snapshot else "temporal",
            "product": product,
            "horizon": str(study.outcome.horizon) if study.outcome.horizon else None,
            "simulated": study.simulated,
            "notes": [],
        },
        "run": {
            "id": run_id,
            "seed": study.seed,
            "versions": package_versions(),
            "cutoffs": run_cutoffs,
            "selected": evaluation.selected,
            "selection_reason": evaluation.reason.rstrip("."),
            "tuning": training.search.text if training.search else None,
            "recency": _recency_told(study, training),
            "as_of": format_instant(as_of, zone=study.zone) if as_of else None,
        },
        "funnel": [*training.samples.funnels, list_funnel],
        "qualification": list(qualification),
        **marketing,
        "models": evaluation.metrics,
        "single_indicator": training.indicator,
        "comparisons": evaluation.comparisons,
        "verdict": _verdict(evaluation),
        "calibration": training.calibration,
        "calibration_by_cutoff": cutoff_rows(study, training),
        "curves": gains_of,
        "capacity": {"share": share, "count": rows_at(share, test), "listed": study.contact.share(len(ranked))},
        **drivers,
        "features": [{name: feature[name] for name in _CATALOGUED} for feature in bundle.plan.catalogue()],
        "figures": {
            "shap_summary": _data_uri(figures["shap_summary"]),
            "shap_dependence": [_data_uri(png) for name, png in figures.items() if name != "shap_summary"],
        },
        "points": study.points.model_dump(),
        "prospects": shown_prospects(ranked, bundle, X),
        "rows": list_rows(ranked),
        "depths": depths(bundle, ranked, X, captured_by_share(study, training)),
        "fairness": fairness(study, training),
        "list": dict(list_entry),
        "data": {"tables": training.samples.data, "warnings": training.samples.warnings},
        "since_last": since_last(previous, drivers["importance"], study),
        "contacts": past_contacts(study, training, X),
        "limits": _limits(study, evaluation.metrics[evaluation.selected]["test"]["positives"], bundle),
    }
    return report, figures


def past_contacts(study: Study, training: Training, X: pd.DataFrame) -> dict[str, Any] | None:
    """How those who had been contacted before the cutoff differ from those who had not; None without contacts.

    Returns
    -------
    dict or None
        ``rows``: of train and test, `evaluation.contacted.by_contact` with ``split`` (expected by the selected model,
        on test); ``listed``: how many of the list had been contacted, and ``of`` how many.
    """
    samples, evaluation = training.samples, training.evaluation
    if study.data.contacts is None or samples.test is None:
        return None
    expected = {"test": evaluation.predictions[evaluation.selected].to_numpy()}
    rows = [
        {"split": split, **row}
        for split, frame in (("train", samples.train), ("test", samples.test))
        for row in by_contact(frame.labels, frame.X[EVER].to_numpy() > 0, expected.get(split))
    ]
    return {"rows": rows, "listed": int((X[EVER].to_numpy() > 0).sum()), "of": len(X)}


def _recency_told(study: Study, training: Training) -> str | None:
    """Which models count older rows less, in words; None where all count alike."""
    unit = "rows" if study.is_snapshot else "days"
    told = [f"{name}, with a half-life of {half:,.0f} {unit}" for name, half in training.recency.items() if half]
    why = "chosen on validation" if study.recency == "auto" else "as declared"
    return f"Older rows count less ({why}): {'; '.join(told)}." if told else None


def cutoff_rows(study: Study, training: Training) -> list[dict[str, Any]]:
    """Calibration in the large by cutoff, with the cutoffs as dates."""
    return [
        {**row, "cutoff": None if row["cutoff"] is None else _date(row["cutoff"], study)} for row in training.by_cutoff
    ]


def _date(cutoff: Any, study: Study) -> str:
    return format_instant(pd.Timestamp(cutoff).tz_localize("UTC").to_pydatetime(), zone=study.zone)


def _verdict(evaluation: Evaluation) -> dict[str, Any] | None:
    """The verdict against the first rule that the study has; against the single indicator beside the scorecard."""
    if not evaluation.verdicts:
        return None
    first, *others = [verdict.to_dict() for verdict in evaluation.verdicts]
    return {**first, "floor": others[0] if others else None}


def _data_uri(png: bytes) -> str:
    return "data:image/png;base64," + base64.b64encode(png).decode()


def _limits(study: Study, buyers: int, bundle: Bundle) -> list[str]:
    few = [
        f"Only {buyers:,} of the test prospects bought: all figures are rough, their intervals are wide, and only "
        "large differences between models can be seen. Where none is clear, the simpler rule does as well."
    ]
    change = "none was seen beyond chance"
    if study.is_snapshot:
        change = "none: without cutoffs it cannot be seen"
    elif bundle.change:
        change = f"by a factor of about {math.exp(math.sqrt(bundle.change)):.2f}, as those seen tell"
    covers = (
        "The 90 % interval of a prospect's probability covers the drawing of customers, the calibration, bias as large "
        f"as LightGBM has on simulated markets, and a change of all odds from cutoff to cutoff ({change}). It does not "
        "cover what changes for one group alone"
    )
    covers += "." if bundle.misfit or bundle.about["model"] == "lightgbm" else ", nor the model's own bias."
    limits = [*(few if buyers < _FEW_BUYERS else []), covers]
    if study.is_snapshot:
        return [*limits, "One snapshot: whether each attribute was known before the outcome cannot be checked here."]
    return [*limits, "“Never purchased” reaches back only as far as the records do."]
