"""What every model shares: checked input, log-odds to probabilities, and plain files.

A model of this project is a binary scikit-learn classifier that works in log-odds. A subclass says how
log-odds are learnt (`_fit`), computed (`_log_odds`), split over the features (`_contributions`) and
written down (`_state`, `_restore`); the rest is here, once.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt
from scipy.special import expit
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.multiclass import check_classification_targets, type_of_target
from sklearn.utils.validation import _check_sample_weight, check_is_fitted, validate_data

from propensity.errors import BundleError

Float32 = npt.NDArray[np.float32]
Float64 = npt.NDArray[np.float64]


class BinaryModel(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """A binary classifier that works in log-odds.

    Columns of a DataFrame are checked by name: a column that is missing, unknown or out of order raises.
    Missing values are allowed. All values are read as float32, in training and in scoring, so that a
    value on a boundary falls on the same side in both.

    Attributes
    ----------
    classes_ : ndarray of shape (2,)
        The two labels; log-odds are those of the second.
    n_features_in_ : int
        Number of columns seen in ``fit``.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of the columns, where they were all strings.
    """

    kind: ClassVar[str]
    """Name of the model in studies, metrics and files."""

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Learn from rows with known labels.

        Parameters
        ----------
        X : DataFrame or array of shape (n, n_features)
            Numbers; categories as codes; NaN where missing.
        y : array of shape (n,)
            Labels of two classes.
        sample_weight : array of shape (n,) or None, default=None
            Weights, at least 0. Rows of weight 0 are left out.

        Returns
        -------
        self
        """
        self._fit(*self.begin_fit(X, y, sample_weight))
        return self

    def begin_fit(self, X: Any, y: Any, sample_weight: Any = None) -> tuple[Float32, Float64, Float64]:
        """Check the training data, and learn columns and classes.

        Parameters
        ----------
        X : DataFrame or array of shape (n, n_features)
        y : array of shape (n,)
        sample_weight : array of shape (n,) or None, default=None

        Returns
        -------
        matrix : ndarray of shape (m, n_features), float32
            Rows with a weight above 0.
        labels : ndarray of shape (m,)
            1.0 for the second class, 0.0 for the first.
        weight : ndarray of shape (m,)
        """
        X, y = validate_data(self, X, y, dtype=np.float32, ensure_all_finite="allow-nan", ensure_min_samples=2)
        weight = _check_sample_weight(sample_weight, X, dtype=np.float64, ensure_non_negative=True)
        used = weight > 0
        if not used.all():
            X, y, weight = X[used], y[used], weight[used]
        return X, self._labels(y), weight

    def _labels(self, y: npt.NDArray[Any]) -> Float64:
        """Learn the two classes and return 1.0 where the label is the second."""
        check_classification_targets(y)
        kind = type_of_target(y, input_name="y", raise_unknown=True)
        if kind != "binary":
            raise ValueError(f"Only binary classification is supported. The type of the target is {kind}.")
        self.classes_, codes = np.unique(y, return_inverse=True)
        if len(self.classes_) < 2:
            raise ValueError(
                f"{type(self).__name__} needs two classes in y, found 1 class only: {self.classes_[0]!r}. "
                "Give rows of both, with weights above 0."
            )
        return codes.astype(np.float64)

    def decision_function(self, X: Any) -> Float64:
        """Return the log-odds of the second class.

        Parameters
        ----------
        X : DataFrame or array of shape (n, n_features)

        Returns
        -------
        ndarray of shape (n,), float64
        """
        return self._log_odds(self._checked(X))

    def predict_proba(self, X: Any) -> Float64:
        """Return the probability of each class.

        Parameters
        ----------
        X : DataFrame or array of shape (n, n_features)

        Returns
        -------
        ndarray of shape (n, 2), between 0 and 1
        """
        log_odds = self.decision_function(X)
        return np.column_stack([expit(-log_odds), expit(log_odds)])

    def predict(self, X: Any) -> npt.NDArray[Any]:
        """Return the likelier class (probability above one half).

        Parameters
        ----------
        X : DataFrame or array of shape (n, n_features)

        Returns
        -------
        ndarray of shape (n,)
        """
        log_odds = self.decision_function(X)
        return np.asarray(self.classes_[(log_odds > 0).astype(np.intp)])

    def contributions(self, X: Any) -> tuple[Float64, float]:
        """Split the log-odds of each row over the features.

        Parameters
        ----------
        X : DataFrame or array of shape (n, n_features)

        Returns
        -------
        phi : ndarray of shape (n, n_features), float64
            What each feature adds to the log-odds of the row.
        base : float
            Log-odds of the average row; ``base + phi.sum(axis=1)`` equals ``decision_function(X)``.
        """
        return self._contributions(self._checked(X))

    def interactions(self, X: Any) -> Float64:
        """Split each contribution into its feature's own part and what it does together with each other feature.

        Parameters
        ----------
        X : DataFrame or array of shape (n, n_features)
            Few rows: the result is large.

        Returns
        -------
        ndarray of shape (n, n_features, n_features), float64
            Symmetric, log-odds; rows add up to `contributions`. The effect of two features together is twice their
            entry. Models that add features up have a diagonal alone.
        """
        return self._interactions(self._checked(X))

    def to_files(self) -> dict[str, str]:
        """Write the fitted model down as text files.

        Returns
        -------
        dict of str to str
            File name to text; JSON, and LightGBM's own text format. No code, no pickle.
        """
        check_is_fitted(self)
        state, others = self._state()
        document = {
            "kind": self.kind,
            "classes": [label.item() if isinstance(label, np.generic) else label for label in self.classes_],
            "n_features": int(self.n_features_in_),
            "features": list(self.feature_names_in_) if hasattr(self, "feature_names_in_") else None,
            "parameters": self._plain_parameters(),
            "state": state,
        }
        return {f"{self.kind}.json": json.dumps(document, indent=1, allow_nan=False) + "\n", **others}

    @classmethod
    def from_files(cls, files: Mapping[str, str]) -> Self:
        """Restore a fitted model from its text files.

        Parameters
        ----------
        files : mapping of str to str
            File name to text, as ``to_files`` made them.

        Returns
        -------
        Self

        Raises
        ------
        BundleError
            If a file is missing or damaged.
        """
        try:
            document = json.loads(files[f"{cls.kind}.json"])
            model = cls(**cls._parameters_from(document["parameters"], files))
            model.classes_ = np.asarray(document["classes"])
            model.n_features_in_ = int(document["n_features"])
            if document["features"] is not None:
                model.feature_names_in_ = np.asarray(document["features"], dtype=object)
            model._restore(document["state"], files)
        except KeyError as missing:
            raise BundleError(f"model: the files of {cls.kind} lack {missing}. Write the bundle again.") from missing
        except (ValueError, TypeError, AttributeError, IndexError) as damage:
            raise BundleError(
                f"model: the files of {cls.kind} are damaged ({damage}). Write the bundle again."
            ) from damage
        return model

    def _checked(self, X: Any) -> Float32:
        """Return the matrix as float32 after the checks of names, shape and values."""
        check_is_fitted(self)
        matrix: Float32 = validate_data(self, X, reset=False, dtype=np.float32, ensure_all_finite="allow-nan")
        return matrix

    def _column_names(self) -> list[str]:
        """Return the columns' names, made up (``x0``, ``x1``, ...) where there were none."""
        if hasattr(self, "feature_names_in_"):
            return [str(name) for name in self.feature_names_in_]
        return [f"x{position}" for position in range(self.n_features_in_)]

    def _plain_parameters(self) -> dict[str, Any]:
        """Return the constructor's parameters as JSON values."""
        plain: dict[str, Any] = json.loads(json.dumps(self.get_params(deep=False), allow_nan=False))
        return plain

    @classmethod
    def _parameters_from(cls, parameters: dict[str, Any], files: Mapping[str, str]) -> dict[str, Any]:
        """Return the constructor's parameters from their JSON values."""
        return {name: tuple(value) if isinstance(value, list) else value for name, value in parameters.items()}

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_class = False
        tags.input_tags.allow_nan = True
        return tags

    def _fit(self, X: Float32, y: Float64, weight: Float64) -> None:
        raise NotImplementedError

    def _log_odds(self, X: Float32) -> Float64:
        raise NotImplementedError

    def _contributions(self, X: Float32) -> tuple[Float64, float]:
        raise NotImplementedError

    def _interactions(self, X: Float32) -> Float64:
        phi, _ = self._contributions(X)
        return np.asarray(np.eye(phi.shape[1]) * phi[:, None, :])

    def _state(self) -> tuple[dict[str, Any], dict[str, str]]:
        raise NotImplementedError

    def _restore(self, state: dict[str, Any], files: Mapping[str, str]) -> None:
        raise NotImplementedError


class UnsupportedTreesError(ValueError):
    """Trees that the product's own kernels do not explain."""


def column_positions(columns: Sequence[str | int], names: Sequence[str], *, role: str) -> list[int]:
    """Return the positions of columns that are given by name, or by position.

    Parameters
    ----------
    columns : sequence of str or int
        Wanted columns.
    names : sequence of str
        Names of all columns, in order.
    role : str
        What the columns are for; named in the error.

    Returns
    -------
    list of int, ascending

    Raises
    ------
    ValueError
        If there is no such column.

    Examples
    --------
    >>> column_positions(["region"], ["age", "region"], role="categorical")
    [1]
    """
    position_of = {name: position for position, name in enumerate(names)}
    positions = set()
    for column in columns:
        position = position_of.get(column, -1) if isinstance(column, str) else int(column)
        if not 0 <= position < len(names):
            raise ValueError(f"{role}: there is no column {column!r} among the {len(names)} columns of X.")
        positions.add(position)
    return sorted(positions)
