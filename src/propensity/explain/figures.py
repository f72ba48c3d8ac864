"""SHAP's own plots of a model, and pictures of avatars, as PNG images."""

import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pandas as pd

DEPENDENCE_PLOTS = 3
_SHOWN = 12
"""Differences in an avatar's picture."""


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
    # They take seconds to import, and only a report needs them.
    import matplotlib.pyplot as plt
    import shap
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figures: dict[str, bytes] = {}

    def drawn(axes: Any) -> bytes:
        png = _png(axes.figure)
        plt.close(axes.figure)  # shap makes it pyplot's own: a notebook would show it
        return png

    def new_axes() -> Any:
        figure = Figure(figsize=(9.0, 5.4), layout="constrained")
        FigureCanvasAgg(figure)
        return figure.add_subplot()

    axes = new_axes()
    with _seeded(seed):
        shap.plots.beeswarm(explanation, max_display=15, show=False, ax=axes, plot_size=None)
    axes.set_xlabel("contribution (log-odds)")
    figures["shap_summary"] = drawn(axes)
    strongest = np.argsort(-np.abs(explanation.values).mean(axis=0), kind="stable")[:DEPENDENCE_PLOTS]
    for position, column in enumerate(strongest, start=1):
        axes = new_axes()
        with _seeded(seed):
            shap.plots.scatter(explanation[:, int(column)], ax=axes, show=False)
        figures[f"shap_dependence_{position}"] = drawn(axes)
    return figures


def avatar_figures(table: pd.DataFrame) -> dict[str, bytes]:
    """A picture of each avatar: what sets it apart from all prospects, by effect size.

    Parameters
    ----------
    table : DataFrame
        From `propensity.explain.avatar.describe`.

    Returns
    -------
    dict of str to bytes
        ``avatar_<name>`` as PNG, of avatars with a clear difference.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figures: dict[str, bytes] = {}
    clear = table[table["is_clear"]] if len(table) else table
    for avatar, own in clear.groupby("avatar", sort=False) if len(clear) else ():
        order = own["effect"].abs().sort_values(ascending=False, kind="stable").index
        shown = own.loc[order].drop_duplicates("feature").head(_SHOWN)[::-1]
        level = shown["level"].where(shown["level"].notna() & (shown["level"] != "yes"), "")
        names = [f"{text}: {of}" if of else text for text, of in zip(shown["description"], level, strict=True)]
        figure = Figure(figsize=(9.0, 1.4 + 0.42 * len(shown)), layout="constrained")
        FigureCanvasAgg(figure)
        axes = figure.add_subplot()
        axes.barh(names, shown["effect"], color=np.where(shown["effect"] > 0, "#0072B2", "#D55E00"))
        axes.axvline(0, color="#333333", linewidth=1)
        axes.set_title(f"{avatar} ({shown['prospects'].iloc[0]:,}) beside all prospects", loc="left")
        axes.set_xlabel("effect size (Cohen's d of means, h of shares)")
        axes.spines[["top", "right", "left"]].set_visible(False)
        figures[f"avatar_{str(avatar).replace(' ', '_')}"] = _png(figure)
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
