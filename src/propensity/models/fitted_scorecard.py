"""A scorecard learnt from data, as a model: marketing's form, fitted like any other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from propensity.models.base import Float32, Float64
from propensity.models.scorecard import ScorecardModel
from propensity.rules.fitting import FitSettings, fit_scorecard
from propensity.rules.scorecard import Scorecard


class FittedScorecardModel(ScorecardModel):
    """Learns buckets and points (`propensity.rules.fitting`), then how points turn into log-odds.

    Parameters
    ----------
    categories : mapping of str to sequence of str, or None, default=None
        Category feature to the names that its codes 0, 1, ... stand for.
    pdo, reference_points, reference_odds : float
        The scale: `pdo` points double the odds, `reference_points` stand for `reference_odds`.
    directions : mapping of str to {"rising", "falling"}, or None, default=None
        Features whose points must rise, or fall, with their value.

    Attributes
    ----------
    card_ : Scorecard or None
        What was learnt; None where no feature varies. The rest is as of `ScorecardModel`.

    Examples
    --------
    >>> import numpy as np
    >>> X = np.repeat(np.arange(4, dtype="float32"), 50).reshape(-1, 1)
    >>> y = np.tile(np.arange(50) % 10, 4) < X[:, 0] * 2
    >>> model = FittedScorecardModel().fit(X, y)
    >>> bool((np.diff(model.points([[0.0], [1.0], [2.0], [3.0]])) >= 0).all())
    True
    """

    kind = "fitted_scorecard"

    def __init__(
        self,
        categories: Mapping[str, Sequence[str]] | None = None,
        pdo: float = 20.0,
        reference_points: float = 600.0,
        reference_odds: float = 1 / 19,
        directions: Mapping[str, str] | None = None,
    ) -> None:
        self.categories = categories
        self.pdo = pdo
        self.reference_points = reference_points
        self.reference_odds = reference_odds
        self.directions = directions

    def _make_card(self, X: Float32, y: Float64, weight: Float64) -> Scorecard | None:
        settings = FitSettings(
            pdo=self.pdo,
            reference_points=self.reference_points,
            reference_odds=self.reference_odds,
            directions=self.directions,  # type: ignore[arg-type] # checked by the study
        )
        return fit_scorecard(self._named(X), y, name="fitted", settings=settings, weight=weight)

    def _given_card(self) -> None:
        """There is none: it is learnt, and kept with what is learnt."""

    def _plain_parameters(self) -> dict[str, Any]:
        categories = self.categories
        return {
            "categories": None if categories is None else {name: list(values) for name, values in categories.items()},
            "pdo": self.pdo,
            "reference_points": self.reference_points,
            "reference_odds": self.reference_odds,
            "directions": None if self.directions is None else dict(self.directions),
        }

    def _state(self) -> tuple[dict[str, Any], dict[str, str]]:
        state, files = super()._state()
        return {**state, "card": None if self.card_ is None else self.card_.model_dump(mode="json")}, files

    def _restore(self, state: dict[str, Any], files: Mapping[str, str]) -> None:
        super()._restore(state, files)
        self.card_ = None if state["card"] is None else Scorecard.model_validate(state["card"])

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.poor_score = False
        return tags
