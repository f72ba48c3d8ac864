"""What the pipelines hand out: typed results with DataFrames inside and a readable ``repr``."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

_SHOWN = ["model", "n", "positives", "roc_auc", "average_precision", "lift_at_10pct", "brier", "calibration_slope"]


@dataclass(frozen=True)
class CheckResult:
    """What `check` found: tables, funnel, what each criterion does, and warnings, without training.

    Attributes
    ----------
    criteria : DataFrame
        See `propensity.marketing.criteria_table`; empty where the target has none.
    """

    study: str
    tables: pd.DataFrame
    funnel: pd.DataFrame
    criteria: pd.DataFrame
    warnings: list[str]

    def __repr__(self) -> str:
        parts = [f"check of {self.study}", str(self.tables), "", str(self.funnel)]
        parts += ["", str(self.criteria)] if len(self.criteria) else []
        return "\n".join([*parts, *(f"warning: {warning}" for warning in self.warnings)])


@dataclass(frozen=True)
class MatrixResult:
    """Where a study's labelled matrix was written, and its size."""

    path: Path
    rows: int
    features: int
    warnings: list[str]


@dataclass(frozen=True)
class AuditResult:
    """What the leak audit found.

    Attributes
    ----------
    verdict, sentence : str
        ``no leak found``, ``suspicious`` or ``leak proven``, and what that means.
    model : str
        Whose scores were looked at.
    findings : DataFrame
        ``test``, ``level`` (``proven``, ``suspicious``, ``not tested``, ``note``), ``subject``, ``text``, ``advice``
        and ``facts``, the surest first.
    trials : DataFrame
        The scramble test, a row per cutoff and change; empty for snapshots.
    features : DataFrame
        How well each feature ranks train's buyers by itself, the best first.
    availability : DataFrame
        The features that would change if records were taken as known at once.
    business : dict
        What rests on what the business initiates.
    """

    study: str
    verdict: str
    sentence: str
    model: str
    findings: pd.DataFrame
    trials: pd.DataFrame
    features: pd.DataFrame
    availability: pd.DataFrame
    business: dict[str, Any]

    def for_report(self) -> dict[str, Any]:
        """What a run's report shows of it, as plain values."""
        rows = {"findings": self.findings.drop(columns="facts", errors="ignore"), "trials": self.trials}
        told = {name: table.to_dict("records") for name, table in rows.items()}
        return {"verdict": self.verdict, "sentence": self.sentence, **told}

    @property
    def is_too_good(self) -> bool:
        """Whether a feature foresees the outcome so well that it is likely to come from it."""
        return bool(((self.findings["test"] == "too good") & (self.findings["level"] == "suspicious")).any())

    @property
    def is_proven(self) -> bool:
        """Whether a leak is proven."""
        return bool((self.findings["level"] == "proven").any()) if len(self.findings) else False

    def __repr__(self) -> str:
        shown = self.findings[["test", "level", "subject"]].to_string(index=False) if len(self.findings) else ""
        return f"leak audit of {self.study}: {self.sentence}\n{shown}"


@dataclass(frozen=True)
class TrainResult:
    """What `train` left behind: the run's folder, and its tables.

    Attributes
    ----------
    folder : Path
        The run's folder.
    metrics : DataFrame
        A row per model and split.
    comparisons : DataFrame
        Paired differences to the baseline on test.
    funnel : DataFrame
        Counts by cutoff and step.
    predictions : DataFrame
        Test rows with a probability for each model.
    prospects : DataFrame
        The list at the latest scorable cutoff.
    selected, reason : str
        The deployed model, and why.
    tuning : str or None
        What came of the search for LightGBM's parameters, where the study asks for one.
    horizons : DataFrame or None
        How the probability of each horizon came out on test, where the study has several.
    profit : dict or None
        What a campaign on test would have earned, and how far down the list to go; None without cost and value.
    verdict : str or None
        The model against the scorecard (or the single indicator) on test, in a sentence.
    tracking : dict
        Where MLflow keeps the run; empty without tracking.
    untracked : str or None
        Why the run could not be logged, and how to send it later.
    """

    study: str
    folder: Path
    metrics: pd.DataFrame
    comparisons: pd.DataFrame
    funnel: pd.DataFrame
    predictions: pd.DataFrame
    prospects: pd.DataFrame
    selected: str
    reason: str
    warnings: list[str]
    tuning: str | None = None
    profit: dict[str, Any] | None = None
    horizons: pd.DataFrame | None = None
    tracking: dict[str, str] = field(default_factory=dict)
    untracked: str | None = None
    verdict: str | None = None

    def __repr__(self) -> str:
        test = self.metrics.loc[self.metrics["split"] == "test", _SHOWN]
        return f"{self.study}: {self.reason}\n{test.to_string(index=False)}\nrun: {self.folder}"


@dataclass(frozen=True)
class ScoreResult:
    """A prospect list, its manifest, and what has changed since an earlier one, where one was named."""

    path: Path | None
    prospects: pd.DataFrame
    manifest: dict[str, Any]
    changes: pd.DataFrame | None = None

    def __repr__(self) -> str:
        columns = ["rank", "customer_id", "probability", "grade", "points", "reason_1"]
        return f"{len(self.prospects):,} prospects\n{self.prospects[columns].head(10).to_string(index=False)}"


@dataclass(frozen=True)
class PromotionResult:
    """What the gate decided.

    Attributes
    ----------
    is_promoted : bool
    reason : str
        The decision in a sentence.
    as_of : str or None
        The cutoff of the prospects that both models were judged on; None for a rollback.
    versions : dict
        ``challenger`` and ``champion`` before the decision, and ``now``: the champion after it.
    rules : DataFrame
        ``name``, ``is_met`` and ``found``, a row a rule.
    metrics : DataFrame
        A row a model on those prospects.
    comparisons : DataFrame
        The challenger against champion and scorecard, with intervals.
    """

    study: str
    is_promoted: bool
    reason: str
    as_of: str | None
    versions: dict[str, str | None]
    rules: pd.DataFrame
    metrics: pd.DataFrame
    comparisons: pd.DataFrame

    def __repr__(self) -> str:
        return f"{self.study}: {self.reason}\n{self.rules.to_string(index=False)}"


@dataclass(frozen=True)
class OutcomesResult:
    """Earlier lists held against what has happened since.

    Attributes
    ----------
    until : str or None
        Up to when the source is recorded.
    lists : DataFrame
        A row a list: expected buyers, and once it has matured what came true (`propensity.outcomes.realised`);
        ``is_seen`` where the model may have learnt from those very outcomes.
    bands : DataFrame
        Matured lists by tenth (`propensity.outcomes.bands`).
    effects : DataFrame
        Contacted against left alone (`propensity.outcomes.control_effect`), a row a list with a control group.
    contacted : DataFrame
        Matured lists by who was contacted since (`propensity.evaluation.contacted.by_contact`), where the study has
        contacts.
    path : Path
        Where the rows were written.
    untracked : str or None
        Why the figures could not be logged to MLflow.
    """

    study: str
    until: str | None
    lists: pd.DataFrame
    bands: pd.DataFrame
    effects: pd.DataFrame
    contacted: pd.DataFrame
    path: Path
    untracked: str | None = None

    def __repr__(self) -> str:
        shown = ["list", "as_of", "prospects", "expected", "buyers", "ratio", "lift_at_10pct"]
        return self.lists[[name for name in shown if name in self.lists]].to_string(index=False)


@dataclass(frozen=True)
class MonitoringResult:
    """How a model fares.

    Attributes
    ----------
    as_of : str
        Up to when the source is recorded.
    model : dict
        ``name``, ``run`` and ``learnt_until``.
    verdict : str
        ``ok``, ``watch`` or ``retrain``.
    checks : DataFrame
        ``name``, ``level`` and ``found``, a row a thing that was looked at.
    features : DataFrame
        How far each feature has moved (`propensity.health.Health`), what weighs most first.
    months : DataFrame
        Each cutoff since the model learnt whose outcome is known.
    expected : dict
        What the prospects of now are expected to be worth.
    mix : DataFrame
        Shares of segments and stages before and now.
    score : dict
        Stability index of score and inputs, and what was usual.
    folder : Path
        Where ``<as of>.json`` and ``<as of>.html`` were written.
    untracked : str or None
        Why the figures could not be logged to MLflow.
    """

    study: str
    as_of: str
    model: dict[str, Any]
    verdict: str
    checks: pd.DataFrame
    features: pd.DataFrame
    months: pd.DataFrame
    expected: dict[str, Any]
    mix: pd.DataFrame
    score: dict[str, float]
    folder: Path
    untracked: str | None = None

    def __repr__(self) -> str:
        return f"{self.study} as of {self.as_of}: {self.verdict}\n{self.checks.to_string(index=False)}"


@dataclass(frozen=True)
class BacktestResult:
    """A walk through the past: what each method's list would have found at each step.

    Attributes
    ----------
    steps : DataFrame
        A row a step and method (`propensity.backtest.counted`), with ``as_of``.
    chosen : DataFrame
        A row a step: ``as_of``, ``selected`` (the model that would have been deployed), ``reason``, ``learnt_from``
        (train cutoffs), ``features`` (how many), ``warnings`` and ``matures_on``.
    left_out : DataFrame
        A row a step at which the study could not have been: ``as_of`` and ``reason``.
    totals : DataFrame
        A row a method over all steps, against the baseline (`propensity.backtest.totals`).
    folder : Path
        Where ``backtest.json``, ``backtest.parquet``, ``backtest.html`` and ``backtest.png`` were written.
    untracked : str or None
        Why the walk could not be logged to MLflow.
    """

    study: str
    steps: pd.DataFrame
    chosen: pd.DataFrame
    left_out: pd.DataFrame
    totals: pd.DataFrame
    folder: Path
    untracked: str | None = None

    def by_step(self, figure: str = "captured") -> pd.DataFrame:
        """One figure as a table: a row a step, a column a method."""
        methods = list(dict.fromkeys(self.steps["method"]))
        values = self.steps.assign(value=self.steps[figure].astype(float))
        table = values.pivot_table(index="as_of", columns="method", values="value", sort=False, dropna=False)
        return table.reindex(columns=methods)

    def __repr__(self) -> str:
        return self.by_step().round(1).to_string()


@dataclass(frozen=True)
class CustomerExplanation:
    """One prospect taken apart.

    Attributes
    ----------
    rank, prospects : int
        The place by probability among so many prospects.
    contributions : DataFrame
        ``reason``, ``points`` (signed), ``typical``, ``group`` and ``feature``, the strongest first: with
        ``base_points`` they add up to `points`.
    scorecard : DataFrame
        The rules' arithmetic: ``indicator``, ``value``, ``line``, ``points``, ``weight`` and ``weighted``, which add up
        to `scorecard_points`; empty without a scorecard.
    timeline : DataFrame or None
        See `propensity.data.timeline`; None for snapshots.
    neighbours : DataFrame or None
        The most similar prospects of an earlier cutoff: ``customer_id``, ``bought``, ``as_of``, ``probability``,
        ``distance`` (points) and ``reasons``, those who bought first; None where no outcome was known yet.
    moves : DataFrame
        What would raise or lower the score most in the model's view: see `propensity.explain.moves`.
    untried : list of str
        Features that the study declares actionable, which on train move together with some that are not.
    """

    study: str
    customer_id: str
    as_of: str | None
    probability: float
    probability_low: float
    probability_high: float
    points: float
    base_points: float
    rank: int
    prospects: int
    contributions: pd.DataFrame
    scorecard: pd.DataFrame
    scorecard_points: float | None
    timeline: pd.DataFrame | None
    neighbours: pd.DataFrame | None
    moves: pd.DataFrame
    untried: list[str]

    def __repr__(self) -> str:
        head = (
            f"{self.customer_id}: probability {self.probability:.2%} "
            f"({self.probability_low:.2%} to {self.probability_high:.2%}), {self.points:.1f} points"
        )
        return f"{head}\n{self.contributions.head(15).to_string(index=False)}"


@dataclass(frozen=True)
class ScorecardTable:
    """A scorecard line by line, with what became of the train prospects in each.

    Attributes
    ----------
    prospects : int
        Train rows.
    table : DataFrame
        See `propensity.rules.evidence.scorecard_table`.
    """

    scorecard: str
    about: str
    prospects: int
    table: pd.DataFrame


@dataclass(frozen=True)
class ScorecardLines:
    """One prospect's points: a row for each indicator, whose ``weighted`` points add up to `points`.

    Attributes
    ----------
    shares : dict
        Of a weighted mean: what the points of current and of potential value are multiplied by.
    """

    customer_id: str
    as_of: str | None
    scorecard: str
    points: float
    table: pd.DataFrame
    shares: dict[str, float]

    @property
    def arithmetic(self) -> str:
        """How the points come about, in a line."""
        own = self.table["points"] * self.table["weight"]
        sums = [f"{own[self.table['kind'] == k].sum():g} ({k} value) * {w:g}" for k, w in self.shares.items()]
        return " + ".join(sums) + f" = {self.points:g} points" if sums else f"Together {self.points:g} points"


@dataclass(frozen=True)
class Classification:
    """A study's target customers as of a date, in marketing's terms.

    Attributes
    ----------
    customers : DataFrame
        ``group`` (ever-purchased, never-purchased, suppressed, prospects) and ``customers``.
    groups : DataFrame
        ``dimension``, ``group``, ``prospects`` and ``share``: age group, geography, behaviour, the study's segments and
        buying stages.
    transitions : DataFrame or None
        Who moved between buying stages since the earlier date: ``from``, ``to``, ``customers``, ``share``.
    path : Path or None
        Where every prospect with its groups was written.
    """

    study: str
    as_of: str
    since: str | None
    customers: pd.DataFrame
    groups: pd.DataFrame
    transitions: pd.DataFrame | None
    path: Path | None = None

    def __repr__(self) -> str:
        parts = [f"{self.study} as of {self.as_of}", self.customers.to_string(index=False)]
        parts.append(self.groups.to_string(index=False))
        if self.transitions is not None:
            parts.append(self.transitions.to_string(index=False))
        return "\n\n".join(parts)


def funnel_table(funnels: list[dict[str, Any]]) -> pd.DataFrame:
    """Funnels as a table: a row per cutoff, a column per step."""
    rows = [
        {
            "split": entry["split"],
            "cutoff": entry["cutoff"],
            **{step["name"]: step["count"] for step in entry["steps"]},
            "positives": entry["positives"],
        }
        for entry in funnels
    ]
    return pd.DataFrame(rows)


def metrics_table(metrics: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> pd.DataFrame:
    """Metrics as a table: a row per model and split, with the intervals' ends beside the main figures."""
    rows = []
    for name, splits in metrics.items():
        for split, values in splits.items():
            row = {"model": name, "split": split}
            row |= {key: value for key, value in values.items() if not isinstance(value, dict)}
            for metric in ("roc_auc", "average_precision", "lift_at_10pct"):
                low_high = values["intervals"].get(metric) or [None, None]
                row[f"{metric}_low"], row[f"{metric}_high"] = low_high
            rows.append(row)
    return pd.DataFrame(rows)
