"""Models that rank prospects: every one gives log-odds, exact contributions and plain files.

Modules are imported when a model is made, so that importing the package stays light.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from propensity.errors import BundleError, ConfigError

if TYPE_CHECKING:
    from propensity.models.base import BinaryModel

MODEL_NAMES = ("single_indicator", "scorecard", "fitted_scorecard", "logistic", "lightgbm", "blend")
"""Names of the models, the simplest first (selection prefers the simpler within one standard error)."""


def model_class(name: str) -> type[BinaryModel]:
    """Return the class of a model.

    Parameters
    ----------
    name : str
        One of `MODEL_NAMES`.

    Returns
    -------
    type of BinaryModel

    Raises
    ------
    ConfigError
        If there is no model of that name.

    Examples
    --------
    >>> from propensity.models import model_class
    >>> model_class("logistic").__name__
    'LogisticModel'
    """
    if name == "single_indicator":
        from propensity.models.single_indicator import SingleIndicator

        return SingleIndicator
    if name == "scorecard":
        from propensity.models.scorecard import ScorecardModel

        return ScorecardModel
    if name == "fitted_scorecard":
        from propensity.models.fitted_scorecard import FittedScorecardModel

        return FittedScorecardModel
    if name == "logistic":
        from propensity.models.linear import LogisticModel

        return LogisticModel
    if name == "lightgbm":
        from propensity.models.gbm import LightGBMModel

        return LightGBMModel
    if name == "blend":
        from propensity.models.blend import BlendModel

        return BlendModel
    raise ConfigError(f"models: there is no model named {name!r}. Choose from: {', '.join(MODEL_NAMES)}.")


def make_model(
    name: str,
    *,
    categorical: Sequence[str | int] = (),
    seed: int = 0,
    settings: Mapping[str, Any] | None = None,
    scorecard: Mapping[str, Any] | None = None,
    categories: Mapping[str, Sequence[str]] | None = None,
    params: Mapping[str, Any] | None = None,
) -> BinaryModel:
    """Make an unfitted model by its name.

    Parameters
    ----------
    name : str
        One of `MODEL_NAMES`.
    categorical : sequence of str or int, default=()
        Columns that hold category codes, by name (or by position for arrays).
    seed : int, default=0
        Seed of the models that draw random numbers (LightGBM, and the blend that holds it).
    settings : mapping or None, default=None
        What tuning chose, as `propensity.models.tuning.choose_settings` returns it. For ``blend``:
        ``{"logistic": {...}, "lightgbm": {...}, "weight": float}``.
    scorecard : mapping or None, default=None
        The scorecard as it stands in its YAML file; used by ``scorecard`` only.
    categories : mapping of str to sequence of str, or None, default=None
        The category names that the codes stand for; used by scorecards only.
    params : mapping or None, default=None
        Parameters that the user fixed. They win over `settings`. For ``blend`` nested as in `settings`.

    Returns
    -------
    BinaryModel

    Raises
    ------
    ConfigError
        If there is no model of that name, or it has no such parameter.

    Examples
    --------
    >>> from propensity.models import make_model
    >>> make_model("lightgbm", seed=3, settings={"rounds": 120}).rounds
    120
    """
    if name == "blend":
        return _make_blend(categorical, seed, settings or {}, params or {})
    cls = model_class(name)
    own = _own_parameters(name, tuple(categorical), seed, scorecard, categories)
    chosen = {**(settings or {}), **(params or {})}
    known = set(cls().get_params(deep=False)) - set(own)
    if unknown := sorted(set(chosen) - known):
        raise ConfigError(
            f"models: {name} has no parameter {', '.join(map(repr, unknown))}. It knows: {', '.join(sorted(known))}."
        )
    return cls(**own, **chosen)


def _own_parameters(
    name: str,
    categorical: tuple[str | int, ...],
    seed: int,
    scorecard: Mapping[str, Any] | None,
    categories: Mapping[str, Sequence[str]] | None,
) -> dict[str, Any]:
    """Return what the study as a whole decides, of the parameters that the model has."""
    if name == "scorecard":
        return {"scorecard": scorecard, "categories": categories}
    if name == "fitted_scorecard":
        return {"categories": categories}
    return {"categorical": categorical, "seed": seed} if name == "lightgbm" else {"categorical": categorical}


def _make_blend(
    categorical: Sequence[str | int], seed: int, settings: Mapping[str, Any], params: Mapping[str, Any]
) -> BinaryModel:
    """Make a blend of a logistic model and LightGBM, each with its own part of the settings."""
    parts = ("logistic", "lightgbm")
    if unknown := sorted({*settings, *params} - {*parts, "weight"}):
        raise ConfigError(
            f"models: blend has no parameter {', '.join(map(repr, unknown))}. It knows: logistic, lightgbm, weight."
        )
    made = {
        part: make_model(part, categorical=categorical, seed=seed, settings=settings.get(part), params=params.get(part))
        for part in parts
    }
    weight = params.get("weight", settings.get("weight", 0.5))
    return model_class("blend")(**made, weight=weight)


def load_model(kind: str, files: Mapping[str, str]) -> BinaryModel:
    """Restore a fitted model from the text files that its ``to_files`` made.

    Parameters
    ----------
    kind : str
        One of `MODEL_NAMES`.
    files : mapping of str to str
        File name to text. Files of others are ignored.

    Returns
    -------
    BinaryModel
        Predictions are equal to the bit to those of the model that was saved.

    Raises
    ------
    BundleError
        If the kind is unknown, or a file is missing or damaged.

    Examples
    --------
    >>> import numpy as np
    >>> from propensity.models import load_model, make_model
    >>> X = np.array([[0.0], [1.0], [2.0], [3.0]], dtype=np.float32)
    >>> model = make_model("logistic").fit(X, [0, 0, 1, 1])
    >>> twin = load_model("logistic", model.to_files())
    >>> bool((twin.decision_function(X) == model.decision_function(X)).all())
    True
    """
    if kind not in MODEL_NAMES:
        raise BundleError(f"model: the bundle names the kind {kind!r}, this version knows {', '.join(MODEL_NAMES)}.")
    return model_class(kind).from_files(files)
