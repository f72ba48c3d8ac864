"""What a run leaves behind: its folder of plain files, and the same in MLflow."""

import json
import shutil
import subprocess
from collections.abc import Mapping, Sequence
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
from propensity.errors import InputError
from propensity.explain.figures import avatar_figures
from propensity.features.matrix import Frame
from propensity.files import to_json, whole_file, write_list
from propensity.marketing import marketing_tables
from propensity.report import write_report
from propensity.results import funnel_table, metrics_table
from propensity.rules.qualification import qualification_counts
from propensity.samples import Samples, describe_product, funnel_entry
from propensity.scoring import in_order, list_manifest, qualification_answers, ranked_list
from propensity.summary import build_report, package_versions
from propensity.temporal import format_instant
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
    load: Sequence[Mapping[str, float]] = (),
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
        "machine": load,
    }
    documents = {"metrics": metrics, "funnel": report["funnel"], "manifest": manifest, "report": report}
    documents["leaks"] = leaks
    if training.search is not None:
        documents["tuning"] = training.search.to_dict()
    documents["features"] = training.bundle.plan.catalogue()
    documents["mlflow"] = _mlflow_facts(study, training, run_id)
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


def _mlflow_facts(study: Study, training: Training, run_id: str) -> dict[str, Any]:
    """What MLflow is told of a run besides its files: kept with them, so that it can be sent at any time."""
    train_rows = training.samples.train
    return {
        "name": run_id,
        "experiment": study.tracking.experiment or study.study,
        "registered_name": study.study,
        "params": {
            "study": study.study,
            "seed": study.seed,
            "selected": training.evaluation.selected,
            "horizon": str(study.outcome.horizon),
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
        "tags": {
            "propensity.study": study.study,
            "propensity.run": run_id,
            "propensity.config_hash": fingerprint(study),
            "propensity.market": study.target.market,
            **{
                f"propensity.{split}_cutoff": format_instant(cutoffs[-1], zone=study.zone)
                for split, cutoffs in study.cutoff_instants().items()
            },
            **study_revision(study),
        },
    }


def study_revision(study: Study) -> dict[str, str]:
    """The git revision of the study's file as MLflow names it, with whether the file has changed since; {} without."""
    git = shutil.which("git")
    if git is None:
        return {}

    def ask(*words: str) -> str | None:
        where = ["-C", str(study.path.parent)]
        done = subprocess.run([git, *where, *words], capture_output=True, text=True, check=False)  # noqa: S603
        return done.stdout.strip() if done.returncode == 0 else None

    revision = ask("rev-parse", "HEAD")
    if not revision or ask("ls-files", "--error-unmatch", study.path.name) is None:
        return {}
    changed = ask("status", "--porcelain", "--", study.path.name)
    return {"mlflow.source.git.commit": revision, "propensity.study_changed": str(bool(changed)).lower()}


def track_run(work: Path, *, uri: str, rows: pd.DataFrame | None = None) -> dict[str, str]:
    """Log the run in the folder `work` to MLflow; return where it is kept.

    Parameters
    ----------
    rows : DataFrame, optional
        The train rows, for the data set's digest; without, the digest is that of the source's rows.

    Raises
    ------
    InputError
        When the folder is no run's.
    EnvironmentFailedError
        When the store cannot be reached or written.
    """
    from propensity.tracking import RunRecord, track  # importing mlflow takes seconds

    facts, metrics, catalogue, manifest = (_read(work, name) for name in ("mlflow", "metrics", "features", "manifest"))
    tuning = _read(work, "tuning") if (work / "tuning.json").exists() else {}
    record = RunRecord(
        name=facts["name"],
        params=facts["params"],
        metrics=metrics["models"],
        selected=metrics["selected"],
        folder=work,
        rows=rows,
        digest=str(manifest["data_fingerprint"]),
        source=metrics["study"],
        catalogue=catalogue,
        tags=facts["tags"],
        trials=tuning.get("trials", ()),
        load=manifest.get("machine", ()),
    )
    tracked = track(record, uri=uri, experiment=facts["experiment"], registered_name=facts["registered_name"])
    return {name: str(value) for name, value in vars(tracked).items()}


def send_run(run: Path, *, tracking_uri: str | None = None) -> dict[str, str]:
    """Send a run that is not in MLflow yet; return where it is kept, which the run's folder then says too.

    Raises
    ------
    InputError
        When the folder is no run's, the run is in another store, or no store is named and the run waits for one.
    """
    from propensity.tracking import absolute_uri  # importing mlflow takes seconds

    place = run / "tracking.json"
    if place.exists():
        kept = {str(name): str(value) for name, value in _read(run, "tracking").items()}
        if tracking_uri is not None and absolute_uri(tracking_uri) != kept["uri"]:
            raise InputError(f"--tracking-uri: {run} is in another store already. Leave it out to see where.")
        return kept
    _read(run, "mlflow")
    if tracking_uri is None:
        raise InputError(f"{run}: is not in MLflow yet. Name the store that it is to be sent to: --tracking-uri.")
    tracked = track_run(run, uri=tracking_uri)
    with whole_file(place) as work:
        work.write_text(to_json(tracked), encoding="utf-8")
    return tracked


def _read(run: Path, name: str) -> Any:
    try:
        return json.loads((run / f"{name}.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        raise InputError(
            f"{run}: {name}.json cannot be read: this is no run's folder. Name one, such as runs/demo/latest."
        ) from None
