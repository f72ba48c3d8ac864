"""What a run leaves behind: its folder of plain files, and the same in MLflow."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from time import perf_counter
from typing import Any

import pandas as pd

from propensity.bundle import save_bundle
from propensity.cohort import FunnelStep
from propensity.config import Study, fingerprint
from propensity.drivers import Previous
from propensity.explain.figures import avatar_figures
from propensity.features.matrix import Frame
from propensity.files import to_json, write_list
from propensity.marketing import marketing_tables
from propensity.report import write_report
from propensity.results import funnel_table, metrics_table
from propensity.rules.qualification import qualification_counts
from propensity.samples import Samples, describe_product, funnel_entry
from propensity.scoring import in_order, list_manifest, qualification_answers, ranked_list
from propensity.summary import build_report, package_versions
from propensity.training import Training


@dataclass(frozen=True)
class Material:
    """What a training needs from the tables: samples, the rows of its list with their funnel, and what was usual."""

    samples: Samples
    frame: Frame
    steps: list[FunnelStep]
    as_of: datetime | None
    kinds: list[str] | None
    digest: str
    usual: list[dict[str, Any]] = field(default_factory=list)


def qualification_table(study: Study, training: Training, frame: Frame) -> list[dict[str, Any]]:
    """Who is qualified among the prospects of the list, and how those of test turned out; empty where nobody asks."""
    listed = qualification_answers(study, training.bundle, frame)
    if listed is None:
        return []
    counts = qualification_counts(listed)
    judged = training.samples.test if training.samples.test is not None else training.samples.train
    tested = qualification_answers(study, training.bundle, judged)
    assert tested is not None  # noqa: S101 - the same study
    then = qualification_counts(tested, pd.Series(judged.labels))
    columns = {"test_prospects": then["prospects"], "test_conversion": then["conversion"]}
    return [{str(name): value for name, value in row.items()} for row in counts.assign(**columns).to_dict("records")]


def write_run(
    work: Path,
    study: Study,
    training: Training,
    material: Material,
    *,
    run_id: str,
    now: datetime,
    started: float,
    previous: Previous | None,
    leaks: Mapping[str, Any],
) -> dict[str, Any]:
    """Write everything that a run leaves behind into the folder `work`, and return its tables.

    Returns
    -------
    dict
        The fields of `results.TrainResult` that the run itself gives.
    """
    # The list's base rate is the list's own; what is saved, and judged on test, is the bundle without it.
    saved, training = training.bundle, replace(training, bundle=training.bundle.for_list(material.frame.X))
    evaluation, frame, steps, as_of = training.evaluation, material.frame, material.steps, material.as_of
    ranked = ranked_list(study, training.bundle, frame, study.read_wording())
    listing = list_manifest(study, training.bundle, ranked, steps, as_of, frame, digest=material.digest)
    product = describe_product(study)
    tables = marketing_tables(study, training, frame, as_of=as_of)
    report, figures = build_report(
        study,
        training,
        run_id=run_id,
        ranked=ranked,
        X=in_order(frame, ranked),
        as_of=as_of,
        list_entry={
            "as_of": listing["as_of"],
            "file": "prospects.parquet",
            "listed": len(ranked),
            "matures_on": listing["matures_on"],
            "control": listing["control"] and listing["control"]["prospects"],
        },
        product=product,
        list_funnel=funnel_entry("list", as_of, steps, None, study=study),
        qualification=qualification_table(study, training, frame),
        marketing=tables,
        previous=previous,
    )
    profit = training.profit and {**training.profit, "list": listing["contact_down_to"]}
    report["profit"], report["horizons"], report["leaks"] = profit, training.horizons, leaks
    metrics = {
        "study": study.study,
        "models": evaluation.metrics,
        "selected": evaluation.selected,
        "selection_reason": evaluation.reason,
        "comparisons": evaluation.comparisons,
        "verdict": report["verdict"],
    }
    save_bundle(saved, work / "bundle")
    write_list(evaluation.predictions, work / "predictions.parquet")
    write_list(ranked, work / "prospects.parquet")
    figure_folder = work / "figures"
    figure_folder.mkdir()
    figures |= avatar_figures(pd.DataFrame(tables["avatars"]["table"]))
    for name, png in figures.items():
        (figure_folder / f"{name}.png").write_bytes(png)
    manifest = {
        "study": study.study,
        "run": run_id,
        "config_hash": fingerprint(study),
        "data_fingerprint": material.digest,
        "versions": package_versions(),
        "cutoffs": report["run"]["cutoffs"],
        "seed": study.seed,
        "settings": training.settings,
        "recency": dict(training.recency),
        "list": listing,
        "started": now.isoformat(),
        "seconds": round(perf_counter() - started, 1),
    }
    documents = {"metrics": metrics, "funnel": report["funnel"], "manifest": manifest, "report": report}
    documents["leaks"] = leaks
    if training.search is not None:
        documents["tuning"] = training.search.to_dict()
    documents["features"] = training.bundle.plan.catalogue()
    documents["calibration_by_cutoff"] = report["calibration_by_cutoff"]
    told = {"qualification": report["qualification"], "profit": profit, "horizons": training.horizons, **tables}
    documents |= {name: table for name, table in told.items() if table and name != "criteria"}
    for name, document in documents.items():
        (work / f"{name}.json").write_text(to_json(document), encoding="utf-8")
    (work / "study.yaml").write_bytes(study.path.read_bytes())
    write_report(report, work / "report.html")
    return {
        "metrics": metrics_table(evaluation.metrics),
        "comparisons": pd.DataFrame(evaluation.comparisons),
        "funnel": funnel_table(report["funnel"]),
        "predictions": evaluation.predictions,
        "prospects": ranked,
        "selected": evaluation.selected,
        "reason": evaluation.reason,
        "verdict": evaluation.verdicts[0].text if evaluation.verdicts else None,
        "warnings": training.samples.warnings,
        "tuning": training.search.text if training.search else None,
        "profit": profit,
        "horizons": pd.DataFrame(training.horizons["table"]) if training.horizons else None,
    }


def track_run(study: Study, training: Training, work: Path, run_id: str, *, uri: str) -> dict[str, str]:
    """Log the run in the folder `work` to MLflow; return where it is kept."""
    from propensity.tracking import RunRecord, track  # importing mlflow takes seconds

    train_rows = training.samples.train
    record = RunRecord(
        name=run_id,
        params={
            "study": study.study,
            "seed": study.seed,
            "selected": training.evaluation.selected,
            "horizon": study.outcome.horizon,
            "windows": ",".join(str(window) for window in study.features.windows),
            "features": len(training.bundle.plan.names),
            "train_rows": len(train_rows),
            "train_positives": int(train_rows.labels.sum()),
            **{
                f"{model}.{key}": value
                for model, settings in training.settings.items()
                for key, value in settings.items()
                if not isinstance(value, dict)
            },
            **{f"{model}.half_life": half_life for model, half_life in training.recency.items()},
        },
        metrics=training.evaluation.metrics,
        selected=training.evaluation.selected,
        folder=work,
        rows=train_rows.X.assign(label=train_rows.labels),
        source=study.study,
        catalogue=training.bundle.plan.catalogue(),
        tags={
            "propensity.study": study.study,
            "propensity.run": run_id,
            "propensity.config_hash": fingerprint(study),
            "propensity.market": study.target.market,
        },
        trials=training.search.trials if training.search else (),
    )
    tracked = track(record, uri=uri, experiment=study.tracking.experiment or study.study, registered_name=study.study)
    return {name: str(value) for name, value in vars(tracked).items()}
