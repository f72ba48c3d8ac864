"""Which target customers who have never bought this product will buy it next, how sure are we, and why?

``import propensity as pp`` gives `load_study`, `check`, `train`, `score`, `explain` and `load_bundle`; each imports
what it needs when it is first used.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from propensity.api import check, explain, load_bundle, load_study, score, train

__version__ = "0.1.0"
__all__ = ["__version__", "check", "explain", "load_bundle", "load_study", "score", "train"]


def __getattr__(name: str) -> Any:
    if name in __all__:
        return getattr(import_module("propensity.api"), name)
    raise AttributeError(f"module 'propensity' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
