"""A scorecard learnt from data: buckets, weights of evidence, and points that a marketer can take over.

Each feature is cut into few buckets by a shallow tree, so that its conversion rises (or falls) throughout; buckets are
replaced by their weight of evidence; a logistic regression weighs the features; and its log-odds are scaled to points:
``points = reference_points + pdo / ln(2) * (log_odds - ln(reference_odds))``, spread evenly over the indicators. The
method is that of credit scorecards: N. Siddiqi, Intelligent Credit Scoring (2nd edition, Wiley 2017), chapter 10.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.stats import chi2
from sklearn.linear_model import LogisticRegression
from sklearn.tree import DecisionTreeClassifier

from propensity.rules.evidence import information_value, weight_of_evidence
from propensity.rules.scorecard import Indicator, Scorecard, line_of, lines

Floats = npt.NDArray[np.float64]
Direction = Literal["rising", "falling"]


@dataclass(frozen=True)
class FitSettings:
    """How a scorecard is learnt.

    Attributes
    ----------
    pdo, reference_points, reference_odds : float
        The scale: `pdo` points double the odds, `reference_points` stand for `reference_odds`.
    most_indicators : int
        A scorecard that nobody reads is none. Few buyers carry fewer.
    most_buckets : int
        Buckets of a feature.
    least_share, least_weight : float
        Share of the rows with a value, and weight of rows, that a bucket or a category of its own must hold; the latter
        is set to what carries five buyers.
    least_information : float
        Information value below which a feature is left out. More where buyers are few: what chance gives.
    most_alike : float
        Correlation of weights of evidence above which the weaker of two features is left out.
    shrinkage : float
        Inverse strength of the ridge penalty on the features' weights (scikit-learn's ``C``).
    directions : mapping of str to {"rising", "falling"}
        Features whose points must rise, or fall, with their value. Others go the way that tells more.
    names : mapping of str to str
        What indicators are called, by feature; by default as the feature.
    """

    pdo: float = 20.0
    reference_points: float = 600.0
    reference_odds: float = 1 / 19
    most_indicators: int = 20
    most_buckets: int = 5
    least_share: float = 0.05
    least_weight: float = 0.0
    least_information: float = 0.02
    most_alike: float = 0.8
    shrinkage: float = 0.1
    directions: Mapping[str, Direction] | None = None
    names: Mapping[str, str] | None = None


def fit_scorecard(
    frame: pd.DataFrame, bought: npt.NDArray[Any], *, name: str, settings: FitSettings, weight: Floats | None = None
) -> Scorecard | None:
    """Learn a scorecard.

    Parameters
    ----------
    frame : DataFrame of shape (n, features)
        Decoded features: numbers, and categories as texts (None where missing).
    bought : array of shape (n,)
        1 for prospects that bought, 0 for others.
    name : str
        What the scorecard is called.
    settings : FitSettings
    weight : array of shape (n,), optional
        Weights of the rows.

    Returns
    -------
    Scorecard or None
        Of whole points, strongest indicator first. Where no feature tells enough, the single strongest one is kept;
        None where no feature varies.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> frame = pd.DataFrame({"visits": rng.poisson(2, 2000).astype("float32")})
    >>> bought = (rng.random(2000) < 0.05 + 0.05 * frame["visits"]).to_numpy().astype(int)
    >>> card = fit_scorecard(frame, bought, name="learnt", settings=FitSettings())
    >>> points = [bucket.points for bucket in card.indicators[0].buckets]
    >>> len(points), points == sorted(points)
    (5, True)
    """
    y = np.asarray(bought, dtype=np.float64)
    weights = np.ones(len(y)) if weight is None else np.asarray(weight, dtype=np.float64)
    # As a rule of thumb, ten rows of the rarer class carry an indicator, and five a bucket.
    rarer = max(float(min((weights * y).sum(), (weights * (1 - y)).sum())), 1.0)
    settings = replace(
        settings,
        most_indicators=int(max(1, min(settings.most_indicators, rarer // 10))),
        least_weight=5 * float(weights.sum()) / rarer,
    )
    found = [_draft(str(column), frame[column], y, weights, settings) for column in frame.columns]
    drafts = sorted([d for d in found if d is not None], key=lambda d: (-d.information, d.indicator.feature))
    kept = _different([d for d in drafts if d.information >= d.least(settings)] or drafts[:1], weights, settings)
    if not kept:
        return None
    kept, coefficients, intercept = _weighed(kept, y, weights, settings)
    names, factor = settings.names or {}, settings.pdo / np.log(2.0)
    base = settings.reference_points + factor * (intercept - np.log(settings.reference_odds))
    indicators = [
        _with_points(draft.indicator, np.rint(base / len(kept) + factor * coefficient * draft.evidence), names)
        for draft, coefficient in zip(kept, coefficients, strict=True)
    ]
    return Scorecard(
        scorecard=name,
        about=f"Learnt from {len(y):,} prospects: {settings.pdo:g} points double the odds.",
        indicators=tuple(indicators),
    )


@dataclass(frozen=True)
class _Draft:
    """An indicator without points yet: its lines' weights of evidence, and which line each row falls into.

    `chance` is the information value that lines have by chance alone, once in a thousand times.
    """

    indicator: Indicator
    evidence: Floats
    line: npt.NDArray[np.intp]
    information: float
    chance: float

    def least(self, settings: FitSettings) -> float:
        return max(settings.least_information, self.chance)

    @property
    def column(self) -> Floats:
        return self.evidence[self.line]


def _draft(name: str, values: pd.Series, y: Floats, weight: Floats, settings: FitSettings) -> _Draft | None:
    """The buckets or categories of a feature, and what they tell; None where it does not vary."""
    if pd.api.types.is_numeric_dtype(values.dtype):
        numbers = values.to_numpy(dtype=np.float32, na_value=np.nan)
        indicator = _bucketed(name, numbers, y, weight, settings)
    else:
        indicator = _categorised(name, values, weight, settings)
    if indicator is None:
        return None
    line = line_of(indicator, values)
    count = len(lines(indicator))
    positives = np.bincount(line, weights=weight * y, minlength=count)
    negatives = np.bincount(line, weights=weight * (1 - y), minlength=count)
    evidence, information = weight_of_evidence(positives, negatives), information_value(positives, negatives)
    p, n = positives.sum(), negatives.sum()
    lines_held = int((positives + negatives > 0).sum())
    # By chance, the information value times p n / (p + n) is about chi-squared.
    chance = float(chi2.ppf(0.999, max(lines_held - 1, 1)) * (p + n) / max(p * n, 1.0))
    return _Draft(indicator, evidence, line, information, chance)


def _bucketed(
    name: str, numbers: npt.NDArray[np.float32], y: Floats, weight: Floats, settings: FitSettings
) -> Indicator | None:
    known = ~np.isnan(numbers)
    if known.sum() < 2 or (numbers[known].min() == numbers[known].max() and known.all()):
        return None
    declared = (settings.directions or {}).get(name)
    signs = [{"rising": 1, "falling": -1}[declared]] if declared else [1, -1]
    # To a tree of one feature, rows of one value and class are one row of their weights together.
    values, place = np.unique(numbers[known], return_inverse=True)
    weights = (weight[known] * part[known] for part in (1 - y, y))
    held = [np.bincount(place, weights=own, minlength=len(values)).astype(np.float64) for own in weights]
    trees = [_tree(values, held, sign, settings) for sign in signs]
    edges = max(trees, key=lambda tree: tree[1])[0]
    buckets = [*({"below": edge, "points": 0} for edge in edges), {"points": 0}]
    return Indicator.model_validate({"name": name, "feature": name, "buckets": buckets})


def _tree(
    different: npt.NDArray[np.float32], held: Sequence[Floats], sign: int, settings: FitSettings
) -> tuple[list[float], float]:
    """The edges of buckets whose conversion rises (or falls) throughout, and how much purer they are than all.

    Parameters
    ----------
    different : ndarray of float32, shape (m,)
        The values that occur, ascending.
    held : two ndarrays of shape (m,)
        The weight of the rows of each value: of those that did not buy, and of those that did.
    """
    weight = np.concatenate(held)
    bought = np.repeat([0, 1], len(different))
    there = weight > 0
    tree = DecisionTreeClassifier(
        criterion="log_loss",
        max_leaf_nodes=settings.most_buckets,
        min_weight_fraction_leaf=min(0.5, max(settings.least_share, settings.least_weight / weight.sum())),
        monotonic_cst=[sign],
        random_state=0,
    ).fit(np.tile(different, 2)[there].reshape(-1, 1), bought[there], sample_weight=weight[there])
    nodes = tree.tree_
    inner = nodes.children_left >= 0
    # The tree sends values up to a threshold to the left; a bucket takes in those below its edge.
    above = np.searchsorted(different, np.sort(nodes.threshold[inner]), side="right")
    edges = [_round_between(different[at - 1], different[at]) for at in above]
    share = nodes.weighted_n_node_samples / nodes.weighted_n_node_samples[0]
    return edges, float(nodes.impurity[0] - (share * nodes.impurity)[~inner].sum())


def _round_between(low: np.float32, high: np.float32) -> float:
    """The roundest number above `low` and up to `high`."""
    for digits in range(-6, 10):
        rounded = round((np.floor(float(low) * 10.0**digits) + 1) / 10.0**digits, max(digits, 0))
        if low < np.float32(rounded) <= high:
            return float(rounded)
    return float(high)


def _categorised(name: str, values: pd.Series, weight: Floats, settings: FitSettings) -> Indicator | None:
    known = values.notna().to_numpy()
    held = pd.Series(weight[known]).groupby(values[known].to_numpy()).sum()
    least = max(settings.least_share * held.sum(), settings.least_weight)
    frequent = sorted(str(category) for category in held.index[held >= least] if category)
    if not frequent or (len(held) == 1 and known.all()):
        return None
    return Indicator.model_validate({"name": name, "feature": name, "categories": dict.fromkeys(frequent, 0)})


def _different(drafts: Sequence[_Draft], weight: Floats, settings: FitSettings) -> list[_Draft]:
    """The strongest drafts that are not too much alike."""
    kept: list[_Draft] = []
    columns: list[Floats] = []
    for draft in drafts:
        column = np.sqrt(weight) * (draft.column - np.average(draft.column, weights=weight))
        spread = np.linalg.norm(column)
        if spread == 0:
            continue
        column /= spread
        if all(abs(float(column @ other)) <= settings.most_alike for other in columns):
            kept.append(draft)
            columns.append(column)
    return kept


def _weighed(
    drafts: list[_Draft], y: Floats, weight: Floats, settings: FitSettings
) -> tuple[list[_Draft], Floats, float]:
    """The drafts whose weight speaks the way that their lines do, at most so many, with weights and intercept."""
    while True:
        X = np.column_stack([draft.column for draft in drafts])
        model = LogisticRegression(C=settings.shrinkage, solver="newton-cholesky").fit(X, y, sample_weight=weight)
        coefficients = model.coef_[0]
        # An indicator whose points would go against its own evidence only mends what others overstate.
        spread = np.sqrt(np.average((X - np.average(X, axis=0, weights=weight)) ** 2, axis=0, weights=weight))
        strength = np.where(coefficients > 0, coefficients * spread, -1.0)
        wrong = np.flatnonzero(strength <= 0)
        if len(wrong) == 0 and len(drafts) <= settings.most_indicators:
            return drafts, coefficients, float(model.intercept_[0])
        if len(drafts) == 1:
            return drafts, np.maximum(coefficients, 0.0), float(model.intercept_[0])
        worst = set(wrong.tolist()) or {int(np.argmin(strength))}
        kept = [draft for i, draft in enumerate(drafts) if i not in worst]
        drafts = kept or [drafts[int(np.argmax(strength))]]


def _with_points(indicator: Indicator, points: Floats, names: Mapping[str, str]) -> Indicator:
    """The indicator with points for its lines, and its name."""
    indicator = indicator.model_copy(update={"name": names.get(indicator.feature, indicator.feature)})
    values = [float(value) for value in points]
    *own, missing = values
    if indicator.categories:
        *own, otherwise = own
        given = dict(zip(indicator.categories, own, strict=True))
        return indicator.model_copy(update={"categories": given, "otherwise": otherwise, "missing": missing})
    buckets = tuple(
        bucket.model_copy(update={"points": value}) for bucket, value in zip(indicator.buckets, own, strict=True)
    )
    return indicator.model_copy(update={"buckets": buckets, "missing": missing})
