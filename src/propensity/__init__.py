"""Which target customers who have never bought this product will buy it next, how sure are we, and why?

``import propensity as pp`` gives `load_study`, `check`, `audit`, `classify`, `feature_catalogue`, `write_matrix`,
`train`, `track`, `score`, `outcomes`, `backtest`, `monitor`, `promote`, `explain`, `load_bundle`, `show_scorecard`,
`explain_scorecard`, `fit_scorecard`, `scorecard_sql`, `shap_explanation` and `simulate`; each imports what it needs
when it is first used.
"""

import sys
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from propensity.api import (
        audit,
        backtest,
        check,
        classify,
        explain,
        explain_scorecard,
        feature_catalogue,
        fit_scorecard,
        load_bundle,
        load_study,
        monitor,
        outcomes,
        promote,
        score,
        scorecard_sql,
        shap_explanation,
        show_scorecard,
        simulate,
        track,
        train,
        write_matrix,
    )

__version__ = "0.1.0"
__all__ = [
    "__version__",
    "audit",
    "backtest",
    "check",
    "classify",
    "explain",
    "explain_scorecard",
    "feature_catalogue",
    "fit_scorecard",
    "load_bundle",
    "load_study",
    "monitor",
    "outcomes",
    "promote",
    "score",
    "scorecard_sql",
    "shap_explanation",
    "show_scorecard",
    "simulate",
    "track",
    "train",
    "write_matrix",
]


class _Package(ModuleType):
    """The package: its functions are looked up when they are first used.

    `audit`, `backtest` and `explain` are functions here and rooms of the code as well: importing a room does not hide
    its function.
    """

    def __getattr__(self, name: str) -> Any:
        if name in __all__:
            return getattr(import_module("propensity.api"), name)
        raise AttributeError(f"module 'propensity' has no attribute {name!r}")

    def __setattr__(self, name: str, value: Any) -> None:
        if not (name in __all__ and isinstance(value, ModuleType)):
            super().__setattr__(name, value)

    def __dir__(self) -> list[str]:
        return __all__


sys.modules[__name__].__class__ = _Package
