"""Logistic regression that treats counts, money, categories and gaps sensibly."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from propensity.models.base import BinaryModel, Float32, Float64, column_positions
from propensity.models.ridge import fit_ridge
from propensity.models.terms import Term, learn_category, learn_number, term_from_dict, term_to_dict


class LogisticModel(BinaryModel):
    """L2-penalised logistic regression on shaped and standardised features.

    Skewed numbers enter as signed logarithms; all numbers are standardised, and cut at five standard
    deviations and at the training range, so that a value never seen before cannot run away with the score.
    A second slope begins at the median, zeros have a flag, missing values are put at the mean and have a
    flag. Categories are one column per level, rare levels pooled. All columns of a feature sum into its
    contribution.

    `C` is the prior variance of the coefficients, in (log-odds per standard deviation) squared: it weighs
    the sum of log losses, so that the same `C` shrinks less as data grows. Settings chosen inside folds
    are therefore kept as they are when the model is fitted on more data.

    Parameters
    ----------
    categorical : sequence of str or int, default=()
        Columns that hold category codes, by name (or by position for arrays).
    C : float, default=0.03
        Inverse strength of the penalty, above 0. `propensity.models.tuning.choose_settings` chooses it.

    Attributes
    ----------
    terms_ : list of NumberTerm or CategoryTerm, one per feature
    coef_ : list of ndarray, one per feature, each of shape (term.width,)
    intercept_ : float
        Log-odds of the average training row.
    classes_ : ndarray of shape (2,)
    n_features_in_ : int
    feature_names_in_ : ndarray of shape (n_features_in_,)

    Examples
    --------
    >>> import numpy as np
    >>> X = np.array([[0, 1], [1, 1], [2, 0], [3, 0]], dtype=np.float32)
    >>> model = LogisticModel(C=1.0).fit(X, [0, 0, 1, 1])
    >>> phi, base = model.contributions(X)
    >>> bool(np.allclose(base + phi.sum(axis=1), model.decision_function(X)))
    True
    """

    kind = "logistic"

    def __init__(self, categorical: Sequence[str | int] = (), C: float = 0.03) -> None:
        self.categorical = categorical
        self.C = C

    def _fit(self, X: Float32, y: Float64, weight: Float64) -> None:
        if not self.C > 0:
            raise ValueError(f"logistic: C must be above 0, found {self.C!r}.")
        self.terms_ = learn_terms(X, weight, self.categorical_positions())
        design = encode(self.terms_, X)
        flat = fit_ridge(design, y, weight, penalty(design.shape[1], self.C))
        self._set_coefficients(flat)

    def categorical_positions(self) -> set[int]:
        """Return the positions of the category columns; columns must be known (after `begin_fit`)."""
        return set(column_positions(self.categorical, self._column_names(), role="categorical"))

    def _set_coefficients(self, flat: Float64) -> None:
        """Split the solution (intercept first) over the terms."""
        self.intercept_ = float(flat[0])
        ends = np.cumsum([term.width for term in self.terms_])
        self.coef_ = np.split(flat[1:], ends[:-1])

    def _log_odds(self, X: Float32) -> Float64:
        # Column by column: a row's sum does not depend on the rows around it, not even in the last bit.
        total = np.full(len(X), self.intercept_)
        for position in range(len(self.terms_)):
            total += self._share(X, position)
        return total

    def _contributions(self, X: Float32) -> tuple[Float64, float]:
        phi = np.empty(X.shape, dtype=np.float64)
        for position in range(len(self.terms_)):
            phi[:, position] = self._share(X, position)
        return phi, self.intercept_

    def _share(self, X: Float32, position: int) -> Float64:
        """Return what one feature adds to the log-odds, shape (n,)."""
        columns = self.terms_[position].encode(X[:, position])
        total = np.zeros(len(X))
        for column, coef in zip(columns.T, self.coef_[position], strict=True):
            total += coef * column
        return total

    def _state(self) -> tuple[dict[str, Any], dict[str, str]]:
        return {
            "intercept": self.intercept_,
            "terms": [term_to_dict(term) for term in self.terms_],
            "coef": [coef.tolist() for coef in self.coef_],
        }, {}

    def _restore(self, state: dict[str, Any], files: Mapping[str, str]) -> None:
        self.intercept_ = state["intercept"]
        self.terms_ = [term_from_dict(document) for document in state["terms"]]
        self.coef_ = [np.asarray(coef, dtype=np.float64) for coef in state["coef"]]


def learn_terms(X: Float32, weight: Float64, categorical: set[int]) -> list[Term]:
    """Learn how each column of X, shape (n, n_features), enters the linear model."""
    return [
        (learn_category if position in categorical else learn_number)(X[:, position], weight)
        for position in range(X.shape[1])
    ]


def encode(terms: Sequence[Term], X: Float32) -> Float64:
    """Return the design matrix: a column of ones, then the terms' columns; shape (n, 1 + sum of widths)."""
    design = np.empty((len(X), 1 + sum(term.width for term in terms)), dtype=np.float64)
    design[:, 0] = 1.0
    first = 1
    for position, term in enumerate(terms):
        design[:, first : first + term.width] = term.encode(X[:, position])
        first += term.width
    return design


def penalty(width: int, C: float) -> Float64:
    """Return the penalty of each design column, shape (width,): none on the intercept, 1 / C on the others."""
    strength = np.full(width, 1.0 / C)
    strength[0] = 0.0
    return strength
