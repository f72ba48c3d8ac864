"""A run's ``report.json`` as one self-contained HTML file."""

import logging
import uuid
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from propensity.errors import EnvironmentFailedError
from propensity.report import bars, formatting, interactive, story

logger = logging.getLogger(__name__)

_IMAGE = "data:image/"


def write_report(report: Mapping[str, Any], path: Path) -> Path:
    """Write the report of a run, whole or not at all.

    Parameters
    ----------
    report : mapping
        The content of ``report.json``. Nothing of it is trusted to be free of markup.
    path : Path
        The HTML file; its folder must exist. An older file is replaced in one step.

    Returns
    -------
    Path
        `path`.

    Raises
    ------
    EnvironmentFailedError
        If the file cannot be written.
    ValueError
        If a figure is not embedded as a ``data:image/`` URI: the report loads nothing from elsewhere.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> study = {"name": "tea", "question": "Who will buy tea?", "market": "consumer", "kind": "snapshot",
    ...          "product": "tea", "horizon": None, "simulated": True}
    >>> empty = {"funnel": [], "models": {}, "comparisons": [], "curves": {}, "importance": [], "prospects": [],
    ...          "limits": []}
    >>> with TemporaryDirectory() as folder:
    ...     path = write_report({"study": study, "run": {"id": "1", "seed": 7}, **empty}, Path(folder) / "report.html")
    ...     "Who will buy tea?" in path.read_text(encoding="utf-8")
    True
    """
    write_page(render_report(report), path)
    logger.info("report: %d models, %d prospects", len(report["models"]), len(report["prospects"]))
    return path


def write_page(html: str, path: Path) -> None:
    """Write a page, whole or not at all.

    Raises
    ------
    EnvironmentFailedError
        If the file cannot be written.
    """
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}.tmp")
    try:
        # Text that came from data may hold half a surrogate pair, which UTF-8 cannot carry.
        temporary.write_bytes(html.encode("utf-8", errors="replace"))
        temporary.replace(path)
    except OSError as error:
        raise EnvironmentFailedError(
            f"report: {path} cannot be written ({error.strerror}). Choose another folder, or make room there."
        ) from error
    finally:
        temporary.unlink(missing_ok=True)


def render_report(report: Mapping[str, Any]) -> str:
    """Render the report to HTML text, without writing it.

    Parameters
    ----------
    report : mapping
        As for `write_report`.

    Returns
    -------
    str
        A whole HTML document that loads nothing.

    Examples
    --------
    >>> study = {"name": "tea", "question": "Who will buy <i>tea</i>?", "market": "consumer", "kind": "snapshot",
    ...          "product": "tea", "horizon": None, "simulated": True}
    >>> empty = {"funnel": [], "models": {}, "comparisons": [], "curves": {}, "importance": [], "prospects": [],
    ...          "limits": []}
    >>> "&lt;i&gt;tea&lt;/i&gt;" in render_report({"study": study, "run": {"id": "1", "seed": 7}, **empty})
    True
    """
    from propensity.report.drawings import draw  # matplotlib is imported where it is needed

    selected = report["run"].get("selected")
    ranked = rank_models(report["models"])
    script = interactive.page_script(report)
    return (
        environment()
        .get_template("report.html")
        .render(
            report=report,
            selected=selected,
            ranked=ranked,
            drawn=draw(report, selected, ranked),
            verdict=story.verdict(selected, report["comparisons"]),
            headline=_headline(report, selected),
            figures=_figures(report),
            policy=interactive.policy(script),
            script=None if script is None else Markup(script),  # noqa: S704 - of the package alone, none of it is data
            embedded=lambda value: Markup(interactive.embedded(value)),  # noqa: S704 - no markup can begin in it
        )
    )


def rank_models(models: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Order models by average precision on test, best first; those without the figure come last.

    Examples
    --------
    >>> rank_models({"a": {"test": {"average_precision": 0.1}}, "b": {}, "c": {"test": {"average_precision": 0.2}}})
    ['c', 'a', 'b']
    """

    def figure(name: str) -> float:
        value = models[name].get("test", {}).get("average_precision")
        return -1.0 if formatting.is_missing(value) else float(value)

    return sorted(models, key=figure, reverse=True)


def _headline(report: Mapping[str, Any], selected: str | None) -> str:
    """Choose the key of the lift that the answer is given in: at the capacity, where one is declared."""
    figures = report["models"].get(selected, {}).get("test", {})
    return "lift_at_10pct" if formatting.is_missing(figures.get("lift_at_capacity")) else "lift_at_capacity"


def _figures(report: Mapping[str, Any]) -> dict[str, list[str]]:
    figures = report.get("figures") or {}
    summary = figures.get("shap_summary")
    sources = {"summary": [summary] if summary else [], "dependence": list(figures.get("shap_dependence") or [])}
    for source in (*sources["summary"], *sources["dependence"]):
        if not source.startswith(_IMAGE):
            raise ValueError(f"report: a figure must be embedded as {_IMAGE}…, found {source[:40]!r}")
    return sources


@cache
def environment() -> Environment:
    """The templates, with the ways in which figures are written."""
    made = Environment(
        loader=PackageLoader("propensity.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    written = (
        formatting.decimal, formatting.signed, formatting.thousands, formatting.percent, formatting.percent_interval,
        formatting.share, formatting.plain, formatting.duration, formatting.words, formatting.model_name,
        formatting.interval, formatting.money, formatting.money_difference, formatting.money_interval,
    )  # fmt: skip
    made.filters.update({function.__name__: function for function in written})
    made.tests["missing"] = formatting.is_missing
    made.globals.update(
        metric=formatting.metric,
        has_interval=formatting.has_interval,
        judge=story.judge,
        bar_width=bars.bar_width,
        model_slot=bars.model_slot,
        one_decimal=lambda value: formatting.decimal(value, 1),
        BASELINE=story.BASELINE,
    )
    return made
