"""MLflow: a study's run, its models as nested runs, and the bundle as a registered model. The only file that
imports mlflow.

The model is stored as a generic Python function with a loader module and a folder of plain files: nothing is
pickled. It is registered under the study's name with the alias ``challenger``.
"""

import importlib.metadata
import io
import logging
import os
import sys
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from datetime import date
from hashlib import sha256
from pathlib import Path
from time import time
from typing import Any

import pandas as pd

from propensity.errors import DataError, EnvironmentFailedError

os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
# MLflow's own seven tries wait for minutes where a server is away.
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")

import mlflow
from mlflow.data.code_dataset_source import CodeDatasetSource
from mlflow.data.meta_dataset import MetaDataset
from mlflow.entities import Metric, Param
from mlflow.models import ModelSignature
from mlflow.types import ColSpec, Schema
from sqlalchemy.exc import SQLAlchemyError

if sys.platform != "win32":
    import fcntl

logger = logging.getLogger(__name__)

REQUIREMENTS = ("lightgbm", "numpy", "pandas", "scikit-learn", "scipy")
"""What loading a bundle needs beside this package; pinned to the versions that it was trained with."""

CHALLENGER, CHAMPION, PREVIOUS = "challenger", "champion", "previous"
_SQLITE = "sqlite:///"
_BATCH = 100


@dataclass(frozen=True)
class RunRecord:
    """What a run gives to MLflow.

    Attributes
    ----------
    name : str
        The run's id.
    params : dict
        The study's parameters and what training chose.
    metrics : dict
        Model → split → metrics.
    folder : Path
        The run's files, logged as artifacts.
    rows : DataFrame or None
        The train rows, for the data set's digest and profile.
    digest : str
        Of the source's rows: what the data set has where `rows` are not at hand.
    catalogue : list of dict
        The features, for the signature.
    trials : list of dict
        What a search for parameters tried: ``number``, ``state``, ``log_loss`` and ``params`` of each.
    load : list of dict
        Of the machine while the run was made: see `propensity.machine`.
    """

    name: str
    params: Mapping[str, Any]
    metrics: Mapping[str, Mapping[str, Mapping[str, Any]]]
    selected: str
    folder: Path
    rows: pd.DataFrame | None
    digest: str
    source: str
    catalogue: Sequence[Mapping[str, Any]]
    tags: Mapping[str, str]
    trials: Sequence[Mapping[str, Any]] = ()
    load: Sequence[Mapping[str, float]] = ()


@dataclass(frozen=True)
class Tracked:
    """Where MLflow keeps a run."""

    uri: str
    experiment_id: str
    run_id: str
    model_uri: str
    model_version: str


def sqlite_file(uri: str) -> Path | None:
    """The file of a SQLite store (absolute), or None for other stores.

    Examples
    --------
    >>> sqlite_file("sqlite:////data/mlflow.db"), sqlite_file("https://mlflow.example")
    (PosixPath('/data/mlflow.db'), None)
    """
    return Path(uri.removeprefix(_SQLITE)).expanduser().absolute() if uri.startswith(_SQLITE) else None


def absolute_uri(uri: str) -> str:
    """The store's URI, good in any working folder.

    Examples
    --------
    >>> absolute_uri("sqlite:////data/mlflow.db"), absolute_uri("https://mlflow.example")
    ('sqlite:////data/mlflow.db', 'https://mlflow.example')
    """
    file = sqlite_file(uri)
    return uri if file is None else f"{_SQLITE}{file}"


def default_artifacts(uri: str) -> str | None:
    """The artifact folder beside a SQLite store: ``mlartifacts`` next to the file."""
    file = sqlite_file(uri)
    return None if file is None else (file.parent / "mlartifacts").as_uri()


def reach(*, uri: str, experiment: str) -> None:
    """Open the store and the experiment, made where they are missing.

    Raises
    ------
    EnvironmentFailedError
        When the store cannot be reached or written.
    """
    with _written(uri, experiment):
        pass


def track(record: RunRecord, *, uri: str, experiment: str, registered_name: str) -> Tracked:
    """Log a run, its models as nested runs, its files and the bundle; register the bundle as challenger.

    Raises
    ------
    EnvironmentFailedError
        When the store cannot be reached or written.
    """
    with (
        _written(uri, experiment) as experiment_id,
        mlflow.start_run(experiment_id=experiment_id, run_name=record.name) as run,
    ):
        mlflow.set_tags(dict(record.tags))
        mlflow.log_params({key: str(value)[:6000] for key, value in record.params.items()})
        mlflow.log_input(_dataset(record), context="training")
        mlflow.log_metrics(_flat(record.metrics[record.selected]))
        for name, splits in record.metrics.items():
            with mlflow.start_run(run_name=name, nested=True, experiment_id=experiment_id):
                mlflow.set_tag("propensity.model", name)
                mlflow.log_metrics(_flat(splits))
        _log_trials(record.trials, experiment_id, parent=run.info.run_id)
        _log_load(record.load, run.info.run_id)
        for path in sorted(record.folder.iterdir()):
            if path.is_file():
                mlflow.log_artifact(str(path))
            elif path.name != "bundle":
                mlflow.log_artifacts(str(path), artifact_path=path.name)
        model = _log_model(record, registered_name)
        version = str(model.registered_model_version)
        client = mlflow.MlflowClient()
        client.set_registered_model_alias(registered_name, CHALLENGER, version)
        client.update_model_version(registered_name, version, description=_described(record))
        for name, text in record.tags.items():
            if name.startswith("propensity."):
                client.set_model_version_tag(registered_name, version, name, text)
        return Tracked(
            uri=absolute_uri(uri),
            experiment_id=experiment_id,
            run_id=run.info.run_id,
            model_uri=model.model_uri,
            model_version=version,
        )


def _described(record: RunRecord) -> str:
    """What a model's version is, in a sentence."""
    test = record.metrics[record.selected].get("test", {})
    auc, lift = test.get("roc_auc"), test.get("lift_at_10pct")
    told = f": AUC {auc:.3f}, lift at 10 % {lift:.2f} on test" if auc is not None and lift is not None else ""
    return f"{record.selected} of run {record.name}{told}."


def _log_trials(trials: Sequence[Mapping[str, Any]], experiment_id: str, *, parent: str) -> None:
    """Log each trial of a search as a nested run."""
    client = mlflow.MlflowClient()
    for trial in trials:
        tags = {"mlflow.parentRunId": parent, "propensity.trial": str(trial["number"]), "state": trial["state"]}
        run = client.create_run(experiment_id, run_name=f"trial {trial['number']}", tags=tags)
        now = int(time() * 1000)
        client.log_batch(
            run.info.run_id,
            metrics=[Metric("log_loss", trial["log_loss"], now, 0)],
            params=[Param(name, str(value)) for name, value in trial["params"].items()],
        )
        client.set_terminated(run.info.run_id)


def _log_load(load: Sequence[Mapping[str, float]], run_id: str) -> None:
    """Log samples of the machine's load at their own times."""
    client = mlflow.MlflowClient()
    for start in range(0, len(load), _BATCH):
        metrics = [
            Metric(name, value, int(sample["timestamp"]), start + i)
            for i, sample in enumerate(load[start : start + _BATCH])
            for name, value in sample.items()
            if name != "timestamp"
        ]
        client.log_batch(run_id, metrics=metrics)


def aliases(name: str, *, uri: str) -> dict[str, str]:
    """The aliases of a registered model with their versions; empty where nothing is registered.

    Raises
    ------
    EnvironmentFailedError
        When the store cannot be reached.
    """
    with _store(absolute_uri(uri)):
        client = mlflow.MlflowClient()
        found = client.search_registered_models(filter_string=f"name = '{_quoted(name)}'")
        return {alias: str(version) for model in found for alias, version in model.aliases.items()}


def champion_text(name: str, file: str, *, uri: str) -> str | None:
    """A text file of the run that the champion is of; None where there is no champion, or its run has no such file.

    Raises
    ------
    EnvironmentFailedError
        When the store cannot be reached.
    """
    version = aliases(name, uri=uri).get(CHAMPION)
    if version is None:
        return None
    with _store(absolute_uri(uri)):
        run = mlflow.MlflowClient().get_model_version(name, version).run_id
        try:
            return str(mlflow.artifacts.load_text(f"runs:/{run}/{file}"))
        except (mlflow.MlflowException, OSError, UnicodeDecodeError) as error:
            logger.warning("tracking: %s of the champion (version %s) cannot be read: %s", file, version, error)
            return None


def _quoted(text: str) -> str:
    return text.replace("'", "''")


def set_aliases(name: str, moved: Mapping[str, str | None], *, uri: str) -> None:
    """Point aliases of a registered model at versions; those with None are taken away.

    Raises
    ------
    EnvironmentFailedError
        When the store cannot be reached or written.
    """
    uri = absolute_uri(uri)
    with _store(uri), _alone(uri):
        client = mlflow.MlflowClient()
        for alias, version in moved.items():
            if version is None:
                client.delete_registered_model_alias(name, alias)
            else:
                client.set_registered_model_alias(name, alias, version)


def log_decision(
    kind: str,
    *,
    name: str,
    about: str,
    versions: Mapping[str, str],
    decision: str,
    reason: str,
    metrics: Mapping[str, float],
    documents: Mapping[str, str],
    uri: str,
    experiment: str,
) -> None:
    """Log a decision of the gate as a run, with who and when (MLflow's own), and on the version that it is `about`.

    Raises
    ------
    EnvironmentFailedError
        When the store cannot be reached or written.
    """
    with _written(uri, experiment) as experiment_id:
        client = mlflow.MlflowClient()
        with mlflow.start_run(experiment_id=experiment_id, run_name=f"{kind}: {decision}"):
            tags = {"study": name, "kind": kind, "decision": decision, **versions}
            mlflow.set_tags({f"propensity.{key}": value for key, value in tags.items()})
            mlflow.set_tag("mlflow.note.content", reason)
            mlflow.log_metrics(dict(metrics))
            for file, text in documents.items():
                mlflow.log_text(text, file)
        client.set_model_version_tag(name, about, f"propensity.{kind}", decision)
        client.update_model_version(name, about, description=reason)


def log_by_date(
    kind: str,
    figures: Mapping[str, Mapping[str, float]],
    *,
    documents: Mapping[str, str],
    study: str,
    until: str | None,
    uri: str,
    experiment: str,
) -> None:
    """Log figures of several dates as one run, a step a date (days since the year 1), and documents beside them.

    Raises
    ------
    EnvironmentFailedError
        When the store cannot be reached or written.
    """
    with (
        _written(uri, experiment) as experiment_id,
        mlflow.start_run(experiment_id=experiment_id, run_name=f"{kind} {until}"),
    ):
        mlflow.set_tags({"propensity.study": study, "propensity.kind": kind, "propensity.until": str(until)})
        for when, values in figures.items():
            mlflow.log_metrics(dict(values), step=date.fromisoformat(when[:10]).toordinal())
        for name, text in documents.items():
            mlflow.log_text(text, name)


def log_steps(
    kind: str,
    *,
    total: Mapping[str, float],
    steps: Mapping[str, Mapping[str, float]],
    tags: Mapping[str, Mapping[str, str]],
    files: Sequence[Path],
    study: str,
    uri: str,
    experiment: str,
) -> None:
    """Log figures over several dates as a run, each date as a run below it, and files beside.

    Parameters
    ----------
    total : mapping
        Metrics over all dates.
    steps, tags : mapping
        Date → metrics, and more about it.

    Raises
    ------
    EnvironmentFailedError
        When the store cannot be reached or written.
    """
    first, last = min(steps), max(steps)
    with (
        _written(uri, experiment) as experiment_id,
        mlflow.start_run(experiment_id=experiment_id, run_name=f"{kind} {first} to {last}"),
    ):
        mlflow.set_tags({"propensity.study": study, "propensity.kind": kind})
        mlflow.log_metrics(dict(total))
        for date_, figures in steps.items():
            with mlflow.start_run(run_name=f"{kind} {date_}", nested=True, experiment_id=experiment_id):
                about = {"study": study, "kind": f"{kind} step", "as_of": date_, **tags[date_]}
                mlflow.set_tags({f"propensity.{key}": value for key, value in about.items()})
                mlflow.log_metrics(dict(figures))
        for file in files:
            mlflow.log_artifact(str(file))


@contextmanager
def _written(uri: str, experiment: str) -> Iterator[str]:
    """Open a store for writing; gives the id of the experiment, made where it is missing."""
    uri = absolute_uri(uri)
    with _store(uri), _alone(uri):
        yield _experiment(experiment, uri)


@contextmanager
def _store(uri: str) -> Iterator[None]:
    """Point MLflow at a store for a while, quietly; its failures become ours."""
    before = mlflow.get_tracking_uri()
    noisy = [logging.getLogger(name) for name in ("mlflow", "alembic", "mlflow.store.db.utils")]
    levels = [log.level for log in noisy]
    try:
        for log in noisy:
            log.setLevel(logging.ERROR)
        mlflow.set_tracking_uri(uri)
        # Its client tells of every run on a server there, amid the JSON of ours.
        with warnings.catch_warnings(), redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")  # deprecations inside mlflow, which a user cannot mend
            yield
    except (mlflow.MlflowException, SQLAlchemyError, OSError) as error:
        first = str(error).strip().splitlines()[0]
        raise EnvironmentFailedError(
            f"tracking: MLflow's store {_without_secrets(uri)} failed: {first}. Check tracking.uri, or run without "
            "tracking (--no-track)."
        ) from error
    finally:
        mlflow.set_tracking_uri(before)
        for log, level in zip(noisy, levels, strict=True):
            log.setLevel(level)


@contextmanager
def _alone(uri: str) -> Iterator[None]:
    """Hold a SQLite store alone: two processes that lay out its tables at the same time break each other."""
    file = sqlite_file(uri)
    if file is None or sys.platform == "win32":
        yield
        return
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.with_name(f".{file.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # let go when the file is closed, or the process dies
        yield


def _without_secrets(uri: str) -> str:
    return uri if uri.startswith(("sqlite:", "file:")) else uri.split("://", maxsplit=1)[0] + "://…"


def _experiment(name: str, uri: str) -> str:
    client = mlflow.MlflowClient()
    found = client.get_experiment_by_name(name)
    if found is not None:
        return str(found.experiment_id)
    try:
        return str(client.create_experiment(name, artifact_location=default_artifacts(uri)))
    except mlflow.MlflowException:  # another run has created it meanwhile
        found = client.get_experiment_by_name(name)
        if found is None:
            raise
        return str(found.experiment_id)


def _dataset(record: RunRecord) -> Any:
    name = f"{record.tags['propensity.study']}-train"
    if record.rows is not None:
        return mlflow.data.from_pandas(record.rows, source=record.source, name=name)
    digest = sha256(record.digest.encode()).hexdigest()[:8]
    return MetaDataset(CodeDatasetSource({"study": record.source}), name=name, digest=digest)


def _flat(splits: Mapping[str, Mapping[str, Any]]) -> dict[str, float]:
    flat: dict[str, float] = {}
    for split, metrics in splits.items():
        for name, value in metrics.items():
            if isinstance(value, int | float):
                flat[f"{split}_{name}"] = float(value)
        for name, interval in metrics.get("intervals", {}).items():
            if interval is not None:
                flat[f"{split}_{name}_low"], flat[f"{split}_{name}_high"] = map(float, interval)
    return flat


def signature(catalogue: Sequence[Mapping[str, Any]]) -> ModelSignature:
    """The bundle's inputs, all required, and outputs: stated, for a signature guessed from data is unsafe."""
    inputs = [ColSpec("string" if f["kind"] == "category" else "double", f["name"], required=True) for f in catalogue]
    outputs = [ColSpec("double", name) for name in ("probability", "log_odds", "points")]
    return ModelSignature(inputs=Schema(inputs), outputs=Schema(outputs))


def input_example(catalogue: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """One made-up row with the usual value of each feature: nobody's data."""
    values = {
        f["name"]: (str(f["typical"]) if f["kind"] == "category" else float(f["typical"] or 0.0)) for f in catalogue
    }
    return pd.DataFrame([values])


def _log_model(record: RunRecord, registered_name: str) -> Any:
    pins = [f"{name}=={importlib.metadata.version(name)}" for name in (*REQUIREMENTS, "propensity")]
    with redirect_stderr(io.StringIO()):  # MLflow announces the registration there, whatever its log level
        model = mlflow.pyfunc.log_model(
            name="model",
            loader_module="propensity.bundle",
            data_path=str(record.folder / "bundle"),
            signature=signature(record.catalogue),
            input_example=input_example(record.catalogue),
            pip_requirements=pins,
            registered_model_name=registered_name,
        )
    if model.signature is None:
        raise EnvironmentFailedError("tracking: MLflow stored the model without a signature. Update mlflow.")
    return model


def fetch_bundle(model_uri: str, *, uri: str, into: Path) -> Path:
    """The bundle folder of a model in MLflow (``models:/name@alias``, ``models:/name/3`` or ``runs:/…``).

    Raises
    ------
    DataError
        When there is no such model, or it holds no bundle.
    """
    file = sqlite_file(uri)
    if file is not None and not file.exists():
        raise DataError(f"--model: there is no MLflow store at {file} to find {model_uri} in. Name it: --tracking-uri.")
    with _store(absolute_uri(uri)):
        try:
            local = Path(mlflow.artifacts.download_artifacts(artifact_uri=model_uri, dst_path=str(into)))
        except mlflow.MlflowException as error:
            first = str(error).strip().splitlines()[0]
            raise DataError(f"--model: {model_uri} was not found in {_without_secrets(uri)}: {first}") from None
    found = sorted(local.rglob("bundle.json"))
    if not found:
        raise DataError(f"--model: {model_uri} holds no model bundle. Name a model that 'propensity train' registered.")
    return found[0].parent
