"""SHAP's own plots of a model, as PNG images."""

import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

DEPENDENCE_PLOTS = 3


def shap_figures(explanation: Any, *, seed: int) -> dict[str, bytes]:
    """The summary plot and the dependence plots of the strongest features.

    Parameters
    ----------
    explanation : shap.Explanation
        Contributions of a sample of rows, in points or log-odds.
    seed : int
        Seed of the jitter that spreads the dots.

    Returns
    -------
    dict of str to bytes
        ``shap_summary`` and ``shap_dependence_1`` … as PNG.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # deprecations inside shap, which a user cannot mend
        return _draw(explanation, seed=seed)


def _draw(explanation: Any, *, seed: int) -> dict[str, bytes]:
    # Both take seconds to import, and only a report needs them.
    import shap
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figures: dict[str, bytes] = {}

    def new_axes() -> Any:
        figure = Figure(figsize=(9.0, 5.4), layout="constrained")
        FigureCanvasAgg(figure)
        return figure.add_subplot()

    axes = new_axes()
    with _seeded(seed):
        shap.plots.beeswarm(explanation, max_display=15, show=False, ax=axes, plot_size=None)
    axes.set_xlabel("contribution (log-odds)")
    figures["shap_summary"] = _png(axes.figure)
    strongest = np.argsort(-np.abs(explanation.values).mean(axis=0), kind="stable")[:DEPENDENCE_PLOTS]
    for position, column in enumerate(strongest, start=1):
        axes = new_axes()
        with _seeded(seed):
            shap.plots.scatter(explanation[:, int(column)], ax=axes, show=False, hist=False)
        figures[f"shap_dependence_{position}"] = _png(axes.figure)
    return figures


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """Give NumPy's global generator, which both plots draw their jitter from, a seed for a moment."""
    state = np.random.get_state()  # noqa: NPY002 - shap takes no generator
    np.random.seed(seed)  # noqa: NPY002
    try:
        yield
    finally:
        np.random.set_state(state)  # noqa: NPY002


def _png(figure: Any) -> bytes:
    buffer = io.BytesIO()
    # No date in the file: the same figures are the same bytes.
    figure.savefig(buffer, format="png", dpi=110, metadata={"Software": None})
    return buffer.getvalue()
