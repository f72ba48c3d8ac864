"""Calibrators beside Platt: a second step after it, from calibrated log-odds to calibrated log-odds, never falling.

Platt's map is affine, so that contributions add up to the calibrated log-odds exactly. What follows here bends those
log-odds into a probability and touches nothing else: points, reasons and the ranking stay those of Platt's log-odds.
A step that is flat somewhere (isotonic regression, Venn-Abers) gives several prospects one probability; their order
stays. Libraries fit the steps; what is kept of them are plain numbers, evaluated with NumPy.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt
from scipy.special import expit, logit

from propensity.models.calibration import PlattCalibrator
from propensity.models.folding import Folds, fittable, mean_with_error

Float64 = npt.NDArray[np.float64]

METHODS = ("platt", "beta", "isotonic", "venn_abers")
"""Names of the calibrators, the fewest parameters first."""
_CELLS = 2_000
"""Cells of neighbouring scores that Venn-Abers is fitted on, where there are more rows than that."""


class Scored(NamedTuple):
    """What a model says of rows, shape (n,) each: log-odds, which rank them, and probabilities, which they are told."""

    log_odds: Float64
    probability: Float64


class Step(Protocol):
    """A map of calibrated log-odds that never falls."""

    @property
    def method(self) -> str:
        """One of `METHODS`."""

    def transform(self, log_odds: npt.ArrayLike) -> Float64:
        """Give the log-odds of the final probability, shape (n,)."""

    def span(self, log_odds: npt.ArrayLike) -> tuple[Float64, Float64]:
        """Give the step's own lowest and highest log-odds, shape (n,) each; both `transform` where it has no doubt."""

    def to_dict(self) -> dict[str, Any]:
        """Give the step as JSON values, which `step_from_dict` reads."""


class _Sure:
    """A step that states one value, without a span of its own."""

    def transform(self, log_odds: npt.ArrayLike) -> Float64:
        """Give the log-odds of the final probability."""
        raise NotImplementedError

    def span(self, log_odds: npt.ArrayLike) -> tuple[Float64, Float64]:
        """Give the lowest and highest log-odds of the step itself."""
        z = self.transform(log_odds)
        return z, z


@dataclass(frozen=True)
class PlattStep(_Sure):
    """No second step: Platt's log-odds stay as they are."""

    method = "platt"

    def transform(self, log_odds: npt.ArrayLike) -> Float64:
        """Give the log-odds of the final probability."""
        return np.asarray(log_odds, dtype=np.float64)

    def to_dict(self) -> dict[str, Any]:
        """Give the step as JSON values."""
        return {"method": self.method}


@dataclass(frozen=True)
class BetaStep(_Sure):
    """Beta calibration: log-odds ``a ln(p) - b ln(1 - p) + c`` of Platt's probability p, with a and b at least 0.

    Reference: Kull, Silva Filho and Flach (2017), "Beta calibration", proceedings.mlr.press/v54/kull17a.html.
    """

    a: float
    b: float
    c: float
    bound: float

    method = "beta"

    def transform(self, log_odds: npt.ArrayLike) -> Float64:
        """Give the log-odds of the final probability."""
        z = np.asarray(log_odds, dtype=np.float64)
        # ln(p) = -ln(1 + exp(-z)) and -ln(1 - p) = ln(1 + exp(z)): exact far out, where p rounds to 0 or 1
        bent = -self.a * np.logaddexp(0.0, -z) + self.b * np.logaddexp(0.0, z) + self.c
        return np.clip(bent, -self.bound, self.bound)

    def to_dict(self) -> dict[str, Any]:
        """Give the step as JSON values."""
        return {"method": self.method, "a": self.a, "b": self.b, "c": self.c, "bound": self.bound}


@dataclass(frozen=True)
class IsotonicStep(_Sure):
    """Isotonic regression: probabilities at knots of Platt's log-odds, straight in between, level outside.

    Reference: Zadrozny and Elkan (2002), doi:10.1145/775047.775151.
    """

    knots: Float64
    values: Float64

    method = "isotonic"

    def transform(self, log_odds: npt.ArrayLike) -> Float64:
        """Give the log-odds of the final probability."""
        return np.asarray(logit(np.interp(np.asarray(log_odds, dtype=np.float64), self.knots, self.values)))

    def to_dict(self) -> dict[str, Any]:
        """Give the step as JSON values."""
        return {"method": self.method, "knots": self.knots.tolist(), "values": self.values.tolist()}


@dataclass(frozen=True)
class VennAbersStep:
    """Venn-Abers: isotonic regression with the row itself added as a non-buyer (p0) and as a buyer (p1).

    The probability is ``p1 / (1 - p0 + p1)``, which minimises the worst log loss between the two; [p0, p1] is the
    step's own span. Reference: Vovk, Petej and Fedorova (2015), arXiv:1511.00213.

    Attributes
    ----------
    knots : ndarray of shape (m,)
        Distinct Platt log-odds of the calibration rows, rising.
    p0, p1 : ndarray of shape (m + 1,)
        From one knot (or -infinity) to the next; neither falls.
    floor : float
        Probabilities stay within [floor, 1 - floor].
    """

    knots: Float64
    p0: Float64
    p1: Float64
    floor: float

    method = "venn_abers"

    def _pair(self, log_odds: npt.ArrayLike) -> tuple[Float64, Float64]:
        z = np.asarray(log_odds, dtype=np.float64)
        p0 = self.p0[np.searchsorted(self.knots, z, side="right")]
        return p0, self.p1[np.searchsorted(self.knots, z, side="left")]

    def _log_odds(self, p: Float64) -> Float64:
        return np.asarray(logit(np.clip(p, self.floor, 1 - self.floor)))

    def transform(self, log_odds: npt.ArrayLike) -> Float64:
        """Give the log-odds of the final probability."""
        p0, p1 = self._pair(log_odds)
        return self._log_odds(p1 / (1 - p0 + p1))

    def span(self, log_odds: npt.ArrayLike) -> tuple[Float64, Float64]:
        """Give the lowest and highest log-odds of the step itself."""
        p0, p1 = self._pair(log_odds)
        return self._log_odds(p0), self._log_odds(p1)

    def to_dict(self) -> dict[str, Any]:
        """Give the step as JSON values."""
        told = {"knots": self.knots.tolist(), "p0": self.p0.tolist(), "p1": self.p1.tolist()}
        return {"method": self.method, **told, "floor": self.floor}


def step_from_dict(document: Mapping[str, Any]) -> Step:
    """Restore a step from the values that its `to_dict` gave, equal to the bit.

    Raises
    ------
    ValueError
        If there is no method of that name.
    """
    method = document["method"]
    if method == "platt":
        return PlattStep()
    if method == "beta":
        return BetaStep(*(float(document[name]) for name in ("a", "b", "c", "bound")))
    if method == "isotonic":
        return IsotonicStep(_array(document["knots"]), _array(document["values"]))
    if method == "venn_abers":
        knots, p0, p1 = (_array(document[name]) for name in ("knots", "p0", "p1"))
        return VennAbersStep(knots, p0, p1, float(document["floor"]))
    raise ValueError(f"calibration: unknown method {method!r}; this version knows {', '.join(METHODS)}")


def _array(values: Sequence[float]) -> Float64:
    return np.asarray(values, dtype=np.float64)


def fit_step(method: str, log_odds: npt.ArrayLike, y: npt.ArrayLike) -> Step:
    """Learn a calibrator's second step.

    Parameters
    ----------
    method : str
        One of `METHODS`.
    log_odds : array of shape (n,)
        Platt's log-odds of rows that the model was not fitted on.
    y : array of shape (n,)
        Labels, 0 or 1, of both kinds.

    Returns
    -------
    Step
        Its probabilities lie within 1 / (n + 2) and 1 - 1 / (n + 2), which is what n rows of one kind would tell
        (Laplace): no log loss is infinite. Platt's own are not bounded.

    Examples
    --------
    >>> z, y = np.array([-2.0, -1.0, 0.0, 1.0]), np.array([0, 1, 0, 1])
    >>> expit(fit_step("isotonic", z, y).transform([-9.0, -0.5, 9.0])).round(3)
    array([0.167, 0.5  , 0.833])
    """
    z, labels = np.asarray(log_odds, dtype=np.float64), np.asarray(y, dtype=np.float64)
    floor = 1 / (len(z) + 2)
    if method == "platt":
        return PlattStep()
    if method == "beta":
        return _fit_beta(z, labels, floor)
    if method == "isotonic":
        from sklearn.isotonic import IsotonicRegression

        fitted = IsotonicRegression(y_min=floor, y_max=1 - floor, out_of_bounds="clip").fit(z, labels)
        return IsotonicStep(_array(fitted.X_thresholds_), _array(fitted.y_thresholds_))
    if method == "venn_abers":
        return _fit_venn_abers(z, labels, floor)
    raise ValueError(f"calibration: unknown method {method!r}; choose from {', '.join(METHODS)}")


def _fit_beta(z: Float64, y: Float64, floor: float) -> BetaStep:
    from betacal import BetaCalibration

    with _quiet():
        fitted = BetaCalibration("abm").fit(expit(z), y).calibrator_
    a, b = (float(value) for value in fitted.map_[:2])
    bound = float(logit(1 - floor))
    if min(a, b) < 0:  # the scores rank backwards here: a map that falls would turn the ranking round
        return BetaStep(0.0, 0.0, float(logit((y.sum() + 1) / (len(y) + 2))), bound)
    return BetaStep(a, b, float(fitted.lr_.intercept_[0]), bound)


def _fit_venn_abers(z: Float64, y: Float64, floor: float) -> VennAbersStep:
    from venn_abers import VennAbers

    placed = _in_cells(z)
    with _quiet():
        # Only the order of the scores counts, so that log-odds stand where the library speaks of probabilities.
        fitted = VennAbers().fit(np.column_stack([-placed, placed]), y)
    p0, p1 = (np.maximum.accumulate(_array(pair[:, 1])) for pair in (fitted.p0_, fitted.p1_))
    return VennAbersStep(_array(fitted.c_), p0, np.maximum(p0, p1), floor)


def _in_cells(z: Float64) -> Float64:
    """Scores, or the lowest of each one's cell where there are many: the library's time grows with their square."""
    if len(np.unique(z)) <= _CELLS:
        return z
    edges = np.unique(np.quantile(z, np.linspace(0, 1, _CELLS), method="lower"))
    return np.asarray(edges[np.searchsorted(edges, z, side="right") - 1])


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep the libraries' divisions by zero, which they mean, and their changes of warning filters to themselves."""
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        yield


@dataclass(frozen=True)
class Choice:
    """The calibrator that was chosen, and why.

    Attributes
    ----------
    method : str
        One of `METHODS`.
    reason : str
        In a sentence.
    compared : list of dict
        ``method``, ``log_loss`` (mean over held-out rows), ``difference`` from Platt's and its ``standard_error``;
        empty where the study names the calibrator.
    scored : Scored
        The chosen calibrator's held-out log-odds and probabilities of the rows that it was chosen on.
    """

    method: str
    reason: str
    compared: list[dict[str, Any]]
    scored: Scored


def choose_calibrator(
    wanted: str, log_odds: npt.ArrayLike, y: npt.ArrayLike, groups: npt.NDArray[np.int64], folds: Folds
) -> Choice:
    """Choose a calibrator by the log loss of rows whose customers it was not fitted on.

    Another than Platt is taken only where its mean log loss is lower by more than one standard error of the paired
    difference, customers being independent of each other and their rows not. Isotonic regression and Venn-Abers need
    many buyers: where there are few, this keeps Platt.

    Parameters
    ----------
    wanted : str
        One of `METHODS`, or ``auto``.
    log_odds : array of shape (n,)
        The model's log-odds of rows that it was not fitted on.
    y : array of shape (n,)
        Labels, 0 or 1.
    groups : ndarray of shape (n,)
        Customers.
    folds : sequence of (train, test)
        Row positions, disjoint in customers; every row is tested once.
    """
    z, labels = np.asarray(log_odds, dtype=np.float64), np.asarray(y)
    methods = METHODS if wanted == "auto" else (wanted,)
    ranked, bent = np.empty(len(z)), {method: np.empty(len(z)) for method in methods}
    for train, test in folds:
        fitted = fittable(train, labels)
        platt = PlattCalibrator().fit(z[fitted], labels[fitted])
        ranked[test] = platt.transform(z[test])
        for method in methods:
            step = fit_step(method, platt.transform(z[fitted]), labels[fitted])
            bent[method][test] = step.transform(ranked[test])
    held_out = {method: Scored(ranked, np.asarray(expit(found))) for method, found in bent.items()}
    if wanted != "auto":
        return Choice(wanted, f"{_WORDS[wanted]}, as the study says", [], held_out[wanted])
    losses = {method: np.logaddexp(0.0, found) - labels * found for method, found in bent.items()}
    compared: list[dict[str, Any]] = []
    for method in methods:
        difference, error = mean_with_error(losses[method] - losses["platt"], groups)
        loss = float(losses[method].mean())
        compared.append({"method": method, "log_loss": loss, "difference": difference, "standard_error": error})
    better = [row for row in compared if row["difference"] < -row["standard_error"]]
    chosen = min(better, key=lambda row: row["log_loss"]) if better else compared[0]
    return Choice(chosen["method"], _reason(chosen, compared), compared, held_out[chosen["method"]])


_WORDS = {"platt": "Platt", "beta": "Beta calibration", "isotonic": "Isotonic regression", "venn_abers": "Venn–Abers"}


def _reason(chosen: Mapping[str, Any], compared: Sequence[Mapping[str, Any]]) -> str:
    platt = compared[0]["log_loss"]
    if chosen["method"] != "platt":
        return (
            f"{_WORDS[chosen['method']]}: its log loss on held-out customers ({chosen['log_loss']:.5f}) is lower than "
            f"Platt's ({platt:.5f}) by {-chosen['difference']:.5f}, more than one standard error "
            f"({chosen['standard_error']:.5f})"
        )
    nearest = min(compared[1:], key=lambda row: row["log_loss"])
    gap, way = abs(nearest["difference"]), "lower" if nearest["difference"] < 0 else "higher"
    return (
        f"Platt: no other is better by more than one standard error on held-out customers (nearest: "
        f"{_WORDS[nearest['method']]}, log loss {way} by {gap:.5f}, standard error {nearest['standard_error']:.5f})"
    )
