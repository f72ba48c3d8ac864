"""A model bundle: a folder of plain files that holds all that scoring needs; loading it runs no code from it.

``bundle.json`` (format version, checksums, what it is), ``features.json`` (how a row is built),
``calibration.json``, ``model/`` (LightGBM's text format and JSON), ``amount/`` and ``horizons/`` (the same, where
amounts or several horizons are learnt) and ``folds/<k>/`` (the same procedure fitted without one fifth of the
customers each, for the uncertainty of a probability).
"""

import json
import os
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.special import expit

from propensity.config import PointsSpec
from propensity.errors import BundleError
from propensity.features.catalogue import category_codes
from propensity.features.matrix import decode
from propensity.features.plan import FeaturePlan
from propensity.models import load_model
from propensity.models.amount import AmountModel
from propensity.models.base import BinaryModel
from propensity.models.calibration import PlattCalibrator
from propensity.models.calibrators import PlattStep, Step, step_from_dict
from propensity.models.hazard import HazardModel
from propensity.models.prior import Prior
from propensity.rules.scorecard import Scorecard, indicator_points
from propensity.rules.segments import OTHER, first_match
from propensity.rules.stages import StageRules, buying_stage

FORMAT_VERSION = 7
LEVEL = 0.9
"""Level of the interval of each prospect's probability."""
QUANTILE = 1.6448536269514722
"""Half the interval's width in standard errors: the standard normal's quantile at 0.95."""
ERROR_RATIO = 3.2
"""Squared error of a model's log-odds, as a multiple of what the drawing of customers alone explains.

Shrinkage and the number of rounds, chosen on held-out rows, trade squared bias against variance, so that both shrink
together as data grow. The multiple was found for LightGBM on simulated markets of 20,000 customers (seeds 5 and 7).
"""

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Bundle:
    """A deployed model with everything that scoring needs.

    Attributes
    ----------
    plan : FeaturePlan
        How rows are built; its catalogue words the reasons.
    model : BinaryModel
        Fitted on all matured cutoffs.
    calibrator : PlattCalibrator
        From log-odds to calibrated log-odds, learnt on rows that no model had seen. Points, reasons and the ranking
        are of these.
    step : Step
        From those to the log-odds of the probability; with Platt, the same.
    prior : Prior
        How the base rate of scored rows is corrected.
    shift : float
        What that adds to the log-odds of the probability: a property of a list (`for_list`), not saved.
    folds : tuple of BinaryModel
        The same procedure without one group of customers each.
    spread : float
        What the drawing of customers adds to the variance of the calibrated log-odds, on average over matured rows.
    misfit : float
        The least variance of the true log-odds around the model's, as LightGBM beside it tells; 0 where it is LightGBM
        itself, or the study has none.
    change : float
        The variance of the level's change from a cutoff to the next, in log-odds, as the matured cutoffs show it; 0
        where they show none beyond chance, or there are none.
    points : PointsSpec
        The scale of points.
    scorecard : Scorecard or None
        Whose points stand beside the model's.
    stages : StageRules or None
        Buying stages.
    segments : dict
        Segment → checked expression over features; the first that holds counts.
    amount : AmountModel or None
        What a first purchase amounts to, where the study's value is learnt.
    hazard : HazardModel or None
        Of the study's horizons, where it has several.
    about : dict
        Study, model name, fingerprint of the study's meaning, cutoffs, seed, versions.
    """

    plan: FeaturePlan
    model: BinaryModel
    calibrator: PlattCalibrator
    folds: tuple[BinaryModel, ...]
    spread: float
    points: PointsSpec
    misfit: float = 0.0
    change: float = 0.0
    step: Step = field(default_factory=PlattStep)
    prior: Prior = field(default_factory=Prior)
    shift: float = 0.0
    scorecard: Scorecard | None = None
    stages: StageRules | None = None
    segments: Mapping[str, str] = field(default_factory=dict)
    amount: AmountModel | None = None
    hazard: HazardModel | None = None
    about: Mapping[str, Any] = field(default_factory=dict)

    def __repr__(self) -> str:
        said = ", ".join(f"{name}={self.about[name]!r}" for name in ("study", "model", "run") if name in self.about)
        return f"Bundle({said}, features={len(self.plan.names)}, folds={len(self.folds)})"

    def log_odds(self, X: pd.DataFrame) -> Floats:
        """Calibrated log-odds of rows with the plan's columns, shape (n,)."""
        return self.calibrator.transform(self.model.decision_function(X[self.plan.names]))

    def probability(self, X: pd.DataFrame) -> Floats:
        """Calibrated probabilities, shape (n,)."""
        return np.asarray(expit(self.step.transform(self.log_odds(X)) + self.shift), dtype=np.float64)

    def for_list(self, X: pd.DataFrame) -> "Bundle":
        """The bundle with the base rate of a list: of all rows that are scored together, qualified or not."""
        if self.prior.method == "latest":
            return self
        return replace(self, shift=self.prior.shift(self.step.transform(self.log_odds(X))))

    def horizon_probabilities(self, X: pd.DataFrame) -> pd.DataFrame:
        """Probabilities of buying within each horizon that is known, a column ``probability_<horizon>`` each."""
        if self.hazard is None:
            return pd.DataFrame(index=X.index)
        X = X[self.plan.names]
        found = self.hazard.probabilities(self.log_odds(X), self.probability(X), X.to_numpy())
        names = [f"probability_{horizon}" for horizon in self.hazard.horizons]
        return pd.DataFrame(found, columns=names, index=X.index)

    def standard_error(self, X: pd.DataFrame) -> Floats:
        """Standard error of the calibrated log-odds, shape (n,): customers drawn, bias, calibration, change.

        The delete-a-group jackknife over customers (doi:10.2307/2669771) gives the part of the drawing. By itself it
        hardly tells which prospects are missed by most, so that a prospect's own value is averaged with that of all
        (`spread`), and never counts as less. Bias comes as a multiple of it. Where LightGBM was fitted beside another
        model, drawing and bias together are never less than `misfit`. The delta method adds the calibration. To these
        comes by how much the level of buying changes from a cutoff to the next (`change`); what changes for one group
        alone is not in it.
        """
        X = X[self.plan.names]
        raw = self.model.decision_function(X)
        covariance = self.calibrator.covariance_
        variance = covariance[0, 0] * raw**2 + 2 * covariance[0, 1] * raw + covariance[1, 1]
        own = drawing_variance(self.folds, self.calibrator, X)
        error = ERROR_RATIO * np.maximum(self.spread, (self.spread + own) / 2)
        variance = variance + np.maximum(error, self.misfit) + self.change
        return np.asarray(np.sqrt(np.maximum(variance, 0.0)), dtype=np.float64)

    def interval(self, X: pd.DataFrame) -> tuple[Floats, Floats]:
        """The 90 % interval of each probability: low and high, shape (n,) each.

        A calibrated probability is the mean over prospects who look alike. Where their odds spread like a log-normal,
        the middle of their log-odds lies half a variance below (`change` aside, which all share). The ends go through
        the calibrator's second step as the log-odds do. Where that is flat they would meet: an interval is never
        narrower, in log-odds, than without the step, and holds the step's own span (Venn-Abers: from p0 to p1).
        """
        log_odds, error = self.log_odds(X), self.standard_error(X)
        middle = log_odds - (error**2 - self.change) / 2
        low = np.minimum(middle - QUANTILE * error, log_odds)
        high = np.maximum(middle + QUANTILE * error, log_odds)
        at, (own_low, own_high) = self.step.transform(log_odds), self.step.span(log_odds)
        low = np.minimum.reduce([self.step.transform(low), at + (low - log_odds), own_low])
        high = np.maximum.reduce([self.step.transform(high), at + (high - log_odds), own_high])
        ends = (np.asarray(expit(end + self.shift), dtype=np.float64) for end in (low, high))
        return next(ends), next(ends)

    def total_error(self, X: pd.DataFrame, weight: Floats) -> float:
        """Standard error of ``sum(weight * probability)`` over rows: see `running_error`."""
        return float(self.running_error(X, weight)[-1])

    def running_error(self, X: pd.DataFrame, weight: Floats) -> Floats:
        """Standard errors of the running sums of ``weight * probability`` over rows, shape (n,).

        Drawing of customers, bias, calibration and change as in `standard_error`, on the sums themselves: errors of
        single rows cancel in part, those that all share do not.

        Parameters
        ----------
        X : DataFrame of float32, shape (n, features)
        weight : ndarray of shape (n,)
        """
        X = X[self.plan.names]
        raw = self.model.decision_function(X)
        probability = expit(self.step.transform(self.calibrator.transform(raw)) + self.shift)
        slope = weight * probability * (1 - probability)
        gradient = np.column_stack([slope * raw, slope]).cumsum(axis=0)
        variance = np.einsum("ij,jk,ik->i", gradient, self.calibrator.covariance_, gradient)
        variance = variance + self.change * gradient[:, 1] ** 2
        if len(self.folds) > 1:
            logs = (self.calibrator.transform(model.decision_function(X)) for model in self.folds)
            totals = np.array([(weight * expit(self.step.transform(z) + self.shift)).cumsum() for z in logs])
            variance = variance + ERROR_RATIO * (len(totals) - 1) * totals.var(axis=0)
        return np.asarray(np.sqrt(np.maximum(variance, 0.0)))

    def to_points(self, log_odds: Floats) -> Floats:
        """Calibrated log-odds as points: `pdo` more points double the odds."""
        scale = self.points
        factor = scale.pdo / np.log(2.0)
        return np.asarray(scale.reference_points + factor * (log_odds - np.log(scale.reference_odds)))

    def decoded(self, X: pd.DataFrame) -> pd.DataFrame:
        """Rows as the rules see them: categories as texts."""
        return decode(X[self.plan.names], self.plan.catalogue())

    def scorecard_points(self, decoded: pd.DataFrame) -> pd.DataFrame | None:
        """The scorecard's points by indicator, shape (n, indicators)."""
        return None if self.scorecard is None else indicator_points(self.scorecard, decoded)

    def buying_stages(self, decoded: pd.DataFrame) -> pd.Series | None:
        """Each row's buying stage."""
        return None if self.stages is None else buying_stage(decoded, self.stages)

    def segment_of(self, decoded: pd.DataFrame) -> npt.NDArray[np.object_]:
        """Each row's segment ("other" where none holds; None where the study declares none), shape (n,)."""
        return first_match(decoded, self.segments, otherwise=OTHER if self.segments else None, where="segments")


def drawing_variance(folds: Sequence[BinaryModel], calibrator: PlattCalibrator, X: pd.DataFrame) -> Floats:
    """What the drawing of customers adds to the variance of the calibrated log-odds, shape (n,).

    The delete-a-group jackknife (doi:10.2307/2669771): the folds' models lack one group of customers each.
    """
    if len(folds) < 2:
        return np.zeros(len(X))
    refits = np.stack([model.decision_function(X) for model in folds])
    return np.asarray(calibrator.slope_**2 * (len(folds) - 1) * refits.var(axis=0))


def save_bundle(bundle: Bundle, folder: Path) -> Path:
    """Write a bundle as a folder of plain files, whole or not at all.

    Raises
    ------
    BundleError
        When `folder` exists already.
    """
    if folder.exists():
        raise BundleError(f"{folder} exists already. Name a new folder for the bundle.")
    files = _to_files(bundle)
    sums = {name: sha256(text.encode()).hexdigest() for name, text in files.items()}
    head = {"format_version": FORMAT_VERSION, "about": dict(bundle.about), "folds": len(bundle.folds), "sha256": sums}
    files["bundle.json"] = _json(head)
    folder.parent.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        for name, text in files.items():
            path = work / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        work.chmod(0o755)
        os.rename(work, folder)  # noqa: PTH104 - atomic, and refuses a folder that has appeared meanwhile
    except OSError:
        shutil.rmtree(work, ignore_errors=True)
        raise
    return folder


def _to_files(bundle: Bundle) -> dict[str, str]:
    rules = {
        "points": bundle.points.model_dump(),
        "scorecard": bundle.scorecard.model_dump(mode="json", by_alias=True) if bundle.scorecard else None,
        "stages": bundle.stages.texts() if bundle.stages else None,
        "segments": dict(bundle.segments),
    }
    files = {
        "features.json": _json(bundle.plan.to_dict()),
        "rules.json": _json(rules),
        "calibration.json": _json(
            {
                **bundle.calibrator.to_dict(),
                "spread": bundle.spread,
                "misfit": bundle.misfit,
                "change": bundle.change,
                "step": bundle.step.to_dict(),
                "prior": bundle.prior.to_dict(),
            }
        ),
    }
    files |= {f"model/{name}": text for name, text in bundle.model.to_files().items()}
    if bundle.amount is not None:
        files |= {f"amount/{name}": text for name, text in bundle.amount.to_files().items()}
    if bundle.hazard is not None:
        files |= {f"horizons/{name}": text for name, text in bundle.hazard.to_files().items()}
    for k, model in enumerate(bundle.folds):
        files |= {f"folds/{k}/{name}": text for name, text in model.to_files().items()}
    return files


def _json(value: object) -> str:
    return json.dumps(value, indent=1, allow_nan=False, ensure_ascii=False) + "\n"


def load_bundle(folder: str | Path) -> Bundle:
    """Load a bundle from its folder.

    Parameters
    ----------
    folder : str or Path
        A run's ``bundle`` folder.

    Returns
    -------
    Bundle

    Raises
    ------
    BundleError
        When files are missing or changed, or the format is newer than this version reads.
    """
    root = Path(folder)
    head = _read_head(root)
    files = _read_files(root, head)
    try:
        rules = json.loads(files["rules.json"])
        kind = head["about"]["model"]
        calibration = json.loads(files["calibration.json"])
        return Bundle(
            plan=FeaturePlan.from_dict(json.loads(files["features.json"])),
            model=load_model(kind, _below(files, "model/")),
            calibrator=PlattCalibrator.from_dict(calibration),
            step=step_from_dict(calibration["step"]),
            prior=Prior(**calibration["prior"]),
            folds=tuple(load_model(kind, _below(files, f"folds/{k}/")) for k in range(head["folds"])),
            spread=float(calibration["spread"]),
            misfit=float(calibration["misfit"]),
            change=float(calibration["change"]),
            points=PointsSpec.model_validate(rules["points"]),
            scorecard=Scorecard.model_validate(rules["scorecard"]) if rules["scorecard"] else None,
            stages=StageRules.model_validate(rules["stages"]) if rules["stages"] else None,
            segments=rules["segments"],
            amount=AmountModel.from_files(amount) if (amount := _below(files, "amount/")) else None,
            hazard=HazardModel.from_files(hazard) if (hazard := _below(files, "horizons/")) else None,
            about=head["about"],
        )
    except (KeyError, TypeError, ValueError) as error:
        raise BundleError(f"{root}: the bundle is damaged ({error}). Train again, or restore the folder.") from None


def _read_head(root: Path) -> dict[str, Any]:
    path = root / "bundle.json"
    if not path.is_file():
        raise BundleError(f"{root}: not a model bundle: there is no bundle.json. Name a run's 'bundle' folder.")
    try:
        head: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        version = int(head["format_version"])
    except (ValueError, KeyError, TypeError):
        raise BundleError(f"{path}: the bundle is damaged. Train again, or restore the folder.") from None
    if version > FORMAT_VERSION:
        raise BundleError(
            f"{path}: the bundle has format {version}, this version reads {FORMAT_VERSION}. Update propensity."
        )
    if version < FORMAT_VERSION:
        raise BundleError(
            f"{path}: the bundle has format {version}, of an earlier version of propensity; this one reads "
            f"{FORMAT_VERSION}. Train again."
        )
    return head


def _read_files(root: Path, head: Mapping[str, Any]) -> dict[str, str]:
    files = {}
    for name, expected in head.get("sha256", {}).items():
        path = root / name
        if root.resolve() not in path.resolve().parents or not path.is_file():
            raise BundleError(f"{root}: the bundle is damaged: {name} is missing. Train again, or restore the folder.")
        data = path.read_bytes()
        if sha256(data).hexdigest() != expected:
            raise BundleError(f"{path}: the file was changed after it was written. Train again, or restore the folder.")
        files[name] = data.decode()
    return files


def _below(files: Mapping[str, str], prefix: str) -> dict[str, str]:
    return {name.removeprefix(prefix): text for name, text in files.items() if name.startswith(prefix)}


class BundlePredictor:
    """What MLflow's generic loader hands out: decoded feature rows in, probabilities and points out."""

    def __init__(self, bundle: Bundle) -> None:
        self.bundle = bundle

    def predict(self, rows: pd.DataFrame, params: Mapping[str, Any] | None = None) -> pd.DataFrame:
        """Score rows of named features (categories as texts).

        Parameters
        ----------
        rows : DataFrame of shape (n, features)
            The features of the catalogue, by name, in any order.
        params : mapping, optional
            Not used; part of MLflow's interface.

        Returns
        -------
        DataFrame of shape (n, 3)
            ``probability``, ``log_odds`` and ``points``.
        """
        X = encode(rows, self.bundle.plan)
        log_odds = self.bundle.log_odds(X)
        probability = expit(self.bundle.step.transform(log_odds) + self.bundle.shift)
        values = {"probability": probability, "log_odds": log_odds, "points": self.bundle.to_points(log_odds)}
        return pd.DataFrame(values, index=rows.index)


def encode(rows: pd.DataFrame, plan: FeaturePlan) -> pd.DataFrame:
    """Decoded rows as the model's matrix: the inverse of `features.matrix.decode`.

    Raises
    ------
    BundleError
        When columns are missing; they are named.
    """
    missing = [name for name in plan.names if name not in rows.columns]
    if missing:
        raise BundleError(f"rows: {len(missing)} features are missing: {', '.join(missing[:8])}. Add them.")
    block = np.empty((len(rows), len(plan.names)), dtype=np.float32)
    for j, feature in enumerate(plan.features):
        column = rows[feature.name]
        if feature.kind == "category":
            block[:, j] = category_codes(column, feature.categories)
        else:
            block[:, j] = column.to_numpy(dtype=np.float32, na_value=np.nan)
    return pd.DataFrame(block, columns=plan.names, index=rows.index)


def _load_pyfunc(path: str) -> BundlePredictor:
    """MLflow's entry point (``loader_module="propensity.bundle"``)."""
    return BundlePredictor(load_bundle(path))
