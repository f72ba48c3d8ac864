"""The report shows what report.json holds, as text, and loads nothing."""

import base64
import copy
import hashlib
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from matplotlib.patches import Polygon

from propensity.errors import EnvironmentFailedError
from propensity.evaluation.fairness import fairness_table
from propensity.report import render_report, write_report
from propensity.report.charts import (
    Chart,
    calibration_chart,
    gains_chart,
    interval_chart,
    lift_chart,
    profit_chart,
    pyramid_chart,
    timeline_chart,
)  # fmt: skip
from propensity.report.formatting import percent, percent_interval, signed
from propensity.report.prospects import prospect_drawings
from propensity.report.svg import theme

SAMPLE = json.loads((Path(__file__).parents[1] / "fixtures" / "report.json").read_text(encoding="utf-8"))
HOSTILE = "<script>alert(1)</script>\"><img src=x onerror=alert(1)> {{ 7 * 7 }} '=1+1' 🎂 שלום"
VOID = {"meta", "link", "img", "br", "input", "hr"}
# Tags that a reader sees as a gap between words.
BLOCKS = {"td", "th", "dt", "dd", "li", "p", "span", "div"}
# Strings by which the report decides what to show; everything else may hold what a customer typed.
DECIDING = {
    "split",
    "metric",
    "kind",
    "direction",
    "baseline",
    "shap_summary",
    "shap_dependence",
    "selected",
    "model",
    "set",
}


class Page(HTMLParser):
    """What a browser would make of the report: text, table rows, tags, attributes."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str, str]] = []
        self.rows: list[list[str]] = []
        self.texts: list[str] = []
        self.unbalanced: list[str] = []
        self._open: list[str] = []
        self.feed(html)
        self.close()
        self.unbalanced += self._open
        self.text = squeeze("".join(self.texts))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_startendtag(tag, attrs)
        if tag not in VOID:
            self._open.append(tag)
        if tag in BLOCKS:
            self.texts.append(" ")
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(tag, name, value or "") for name, value in attrs]

    def handle_endtag(self, tag: str) -> None:
        if not self._open or self._open.pop() != tag:
            self.unbalanced.append(tag)

    def handle_data(self, data: str) -> None:
        if "style" in self._open:
            return
        self.texts.append(data)
        if self.rows and {"td", "th"} & set(self._open):
            self.rows[-1][-1] = squeeze(self.rows[-1][-1] + data)


def squeeze(text: str) -> str:
    return re.sub(r"\s+", " ", text).strip()


@pytest.fixture
def report() -> dict[str, Any]:
    return copy.deepcopy(SAMPLE)


def page_of(report: dict[str, Any]) -> Page:
    return Page(render_report(report))


def row_of(page: Page, *cells: str) -> list[str]:
    found = [row for row in page.rows if all(any(cell in shown for shown in row) for cell in cells)]
    assert found, cells
    return found[0]


def minus(text: str) -> str:
    return text.replace("-", "−")


def points_text(points: float) -> str:
    return minus(f"{points:+.1f}")


MODEL_NAMES = {
    "single_indicator": "Single indicator", "scorecard": "Scorecard", "logistic": "Logistic", "lightgbm": "LightGBM",
    "blend": "Blend",
}  # fmt: skip
WRITTEN = {
    "average_precision": ".3f", "roc_auc": ".3f", "brier": ".4f", "log_loss": ".4f", "calibration_slope": ".2f",
    "lift_at_1pct": ".2f", "lift_at_5pct": ".2f", "lift_at_10pct": ".2f", "lift_at_20pct": ".2f",
    "lift_at_capacity": ".2f", "n": ",d", "positives": ",d",
}  # fmt: skip


# --- every number ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("model", SAMPLE["models"])
def test_every_figure_of_a_model_stands_in_the_report_with_its_interval(model: str) -> None:
    text = page_of(SAMPLE).text
    start = text.index("All figures of all models")
    own = text[text.index(MODEL_NAMES[model], start) :]
    for figures in SAMPLE["models"][model].values():
        for key, form in WRITTEN.items():
            assert format(figures[key], form) in own, (key, figures[key])
            if key in figures["intervals"]:
                assert (
                    " to ".join(format(bound, form) + "×" * ("lift" in key) for bound in figures["intervals"][key])
                    in own
                )
        for key in (
            "capture_at_1pct",
            "capture_at_5pct",
            "capture_at_10pct",
            "capture_at_20pct",
            "capture_at_capacity",
        ):
            assert f"{figures[key] * 100:.1f}%" in own


def test_models_stand_side_by_side_in_one_table() -> None:
    page = page_of(SAMPLE)
    for model, splits in SAMPLE["models"].items():
        row = row_of(page, MODEL_NAMES[model], format(splits["test"]["average_precision"], ".3f"))
        assert format(splits["test"]["roc_auc"], ".3f") in row[2]
        assert format(splits["test"]["lift_at_10pct"], ".2f") in row[3]


def test_every_difference_has_its_interval_and_what_it_says() -> None:
    page = page_of(SAMPLE)
    for comparison in SAMPLE["comparisons"]:
        places = 2 if "lift" in comparison["metric"] else 3
        low, high = comparison["interval"]
        interval = minus(f"{low:+.{places}f} to {high:+.{places}f}")
        says = "no clear difference" if low <= 0 <= high else "better" if low > 0 else "worse"
        row = row_of(page, MODEL_NAMES[comparison["model"]], comparison["split"], interval)
        assert minus(f"{comparison['difference']:+.{places}f}") in row
        assert says == row[-1]


@pytest.mark.parametrize("person", SAMPLE["prospects"], ids=lambda person: person["customer_id"])
def test_every_number_of_a_prospect_is_shown(person: dict[str, Any]) -> None:
    text = page_of(SAMPLE).text
    own = text[text.index(person["customer_id"]) :]
    own = own[: own.index("Scorecard points") + len("Scorecard points 000.0")]
    assert f"{person['probability'] * 100:.1f}%" in own
    assert f"{person['probability_low'] * 100:.1f}% to {person['probability_high'] * 100:.1f}%" in own
    assert f"Percentile {person['percentile']}" in own
    assert f"Decile {person['decile']} Grade {person['grade']}" in own
    assert f"Base: where everybody starts {person['base_points']:.1f}" in own
    assert f"Everything else {points_text(person['other_points'])}" in own
    assert f"Points {person['points']:.1f}" in own
    assert f"Scorecard points {person['scorecard_points']:.1f}" in own
    assert f"Buying stage {person['buying_stage'] or '–'}" in own
    assert f"Segment {person['segment'] or '–'}" in own
    for reason in person["reasons"]:
        assert f"{reason['text']} {points_text(reason['points'])}" in own
    for indicator in person["scorecard"]:
        assert f"{indicator['indicator']} {points_text(indicator['points'])}" in own


def test_funnel_calibration_importance_and_run_facts_are_shown() -> None:
    page = page_of(SAMPLE)
    for funnel in SAMPLE["funnel"]:
        for step in funnel["steps"]:
            row_of(page, step["name"], f"{step['count']:,}", f"{step['removed']:,}", step["reason"])
        if funnel["positives"] is not None:
            row_of(page, "bought within the horizon", f"{funnel['positives']:,}")
    for curves in SAMPLE["curves"].values():
        for bin_ in curves["calibration"]:
            row_of(page, f"{bin_['n']:,}", percent(bin_["predicted"]), percent(bin_["observed"]))
    for feature in SAMPLE["importance"]:
        row_of(page, feature["feature"], feature["description"], feature["group"], f"{feature['mean_abs_points']:.2f}")
    for table in SAMPLE["data"]["tables"]:
        row_of(page, table["role"], table["name"], f"{table['rows']:,}", table["first"], table["last"])
    for name, version in SAMPLE["run"]["versions"].items():
        assert f"{name} {version}" in page.text
    for words in (*SAMPLE["data"]["warnings"], *SAMPLE["limits"], *SAMPLE["study"]["notes"]):
        assert words in page.text
    for fact in ("497 prospects are listed", "25 of them", "2025-10-31", "20 points double the odds", "491 people"):
        assert fact in page.text


# --- profit ---------------------------------------------------------------------------------------------------------


def money(value: float, sign: str = "") -> str:
    return minus(f"{value:{sign},.0f}" if abs(value) >= 100 or value == int(value) else f"{value:{sign}.2f}")


@pytest.mark.parametrize("model", SAMPLE["profit"]["models"])
def test_every_figure_of_profit_stands_in_the_report_with_its_interval(model: str) -> None:
    own = SAMPLE["profit"]["models"][model]
    row = row_of(
        page_of(SAMPLE), MODEL_NAMES[model], money(own["at_capacity"]["profit"]), money(own["down_to"]["profit"])
    )
    for at, (earned, more) in (("at_capacity", (1, 2)), ("down_to", (5, 6))):
        low, high = own[at]["interval"]
        assert row[earned] == minus(f"{own[at]['profit']:,.0f}{low:,.0f} to {high:,.0f}")
        against = own[at]["against"]
        if against is None:
            assert row[more] == "–"
        else:
            low, high = against["interval"]
            assert row[more].startswith(money(against["difference"], "+"))
            assert row[more].endswith(minus(f"{low:+,.0f} to {high:+,.0f}"))
    assert row[3] == f"{own['down_to']['contacted']:,}"
    assert row[4] == money(own["down_to"]["expected_profit"])


def test_profit_says_how_far_to_go_and_what_it_counts() -> None:
    text = page_of(SAMPLE).text
    assert "Contact down to rank 402 of the current list: 387 prospects" in text
    assert (
        "within the capacity of 491. Expected of them: 97.3 buyers and a profit of 1,654 (90% interval 1,202 to" in text
    )
    assert (
        "paid 187 on average (standard error 7.75, 912 purchases); on test 184 was expected of buyers, and 176" in text
    )
    assert "of which 30% is earned" in text
    assert "The list is ranked by expected profit. Every buyer counts as won by the contact: propensity is not" in text
    assert "contact down to here" in text
    assert "Expected amount 180 Expected value" in text


def test_profit_by_a_fixed_value_and_a_list_that_pays_nobody(report: dict[str, Any]) -> None:
    report["profit"].update(value=60, margin=None, amount=None, rank_by="probability")
    report["profit"]["list"].update(rank=0, contacts=0, expected_buyers=0.0, expected_profit=0.0, interval=[0.0, 0.0])
    report["profit"]["models"]["lightgbm"]["down_to"].update(rank=0, contacted=0)
    text = page_of(report).text
    assert "A contact costs 1.50; a purchase brings 60." in text
    assert "Contact nobody on the current list" in text
    assert "contact down to here" not in text


def test_a_run_without_cost_and_value_has_no_profit(report: dict[str, Any]) -> None:
    for profit in (None, "absent"):
        report["profit"] = profit
        if profit == "absent":
            del report["profit"]
        page = page_of(report)
        assert not page.unbalanced
        assert "Contact down to rank" not in page.text
        assert not [value for _, name, value in page.attributes if name in ("id", "href") and "profit" in value]


# --- the verdict ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("intervals", "sentence"),
    [
        ([[0.01, 0.05], [0.02, 0.06]], "Better than the scorecard on every measure compared"),
        ([[-0.01, 0.05], [-0.02, 0.06]], "The scorecard is as good, as far as this test can tell"),
        ([[-0.05, -0.01], [-0.06, -0.02]], "The scorecard is better on every measure compared"),
        ([[0.01, 0.05], [-0.02, 0.06]], "better in average precision (+0.030, +0.010 to +0.050); no clear"),
        ([None, None], "Not compared with a scorecard"),
    ],
)  # fmt: skip
def test_the_verdict_says_what_the_intervals_allow(report: dict[str, Any], intervals: list[Any], sentence: str) -> None:
    report["comparisons"] = [
        {"model": "lightgbm", "baseline": "scorecard", "split": "test", "metric": metric, "difference": 0.03,
         "interval": interval}
        for metric, interval in zip(("average_precision", "roc_auc"), intervals, strict=True)
    ]  # fmt: skip
    text = page_of(report).text
    assert sentence in text
    assert "Rank them by LightGBM: on the test prospects its top 5% held 4.5 times as many buyers" in text
    assert "(95% interval 3.9 to 5.0); the scorecard’s held 3.1 times as many." in text


def test_a_difference_on_validation_does_not_reach_the_verdict(report: dict[str, Any]) -> None:
    report["comparisons"] = [row for row in report["comparisons"] if row["split"] == "validation"]
    assert "Not compared with a scorecard" in page_of(report).text


def test_the_scorecard_itself_may_be_selected(report: dict[str, Any]) -> None:
    report["run"]["selected"] = "scorecard"
    text = page_of(report).text
    assert "The scorecard itself was selected" in text
    assert "the scorecard’s held" not in text


def test_simulated_data_is_labelled_and_real_data_is_not(report: dict[str, Any]) -> None:
    assert "Simulated data." in page_of(report).text
    report["study"]["simulated"] = False
    assert "imulated" not in page_of(report).text


def test_the_standing_limits_are_always_said(report: dict[str, Any]) -> None:
    report["limits"] = []
    text = page_of(report).text
    assert "Propensity is not uplift." in text
    assert "they leave out how months differ and how a refitted model would differ" in text


# --- what is missing ------------------------------------------------------------------------------------------------


def blank(value: Any) -> Any:
    """Put null in place of every number, and of every interval."""
    if isinstance(value, dict):
        return {key: blank(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [blank(inner) for inner in value]
    return None if isinstance(value, int | float) and not isinstance(value, bool) else value


def test_null_figures_are_shown_as_not_available(report: dict[str, Any]) -> None:
    for key in (
        "models",
        "comparisons",
        "curves",
        "capacity",
        "importance",
        "points",
        "prospects",
        "funnel",
        "list",
        "profit",
    ):
        report[key] = blank(report[key])
    page = page_of(report)
    assert page.text.count("not available") > 20
    assert "None" not in page.text
    assert "nan" not in page.text.lower().split()


def test_a_snapshot_study_without_optional_parts_renders(report: dict[str, Any]) -> None:
    report["study"].update(kind="snapshot", horizon=None, simulated=False)
    report["run"].update(cutoffs={"train": None, "validation": None, "test": None, "list": None}, as_of=None)
    report["funnel"] = [
        {"split": split, "cutoff": None, "steps": [{"name": "rows", "count": 10, "removed": 0, "reason": ""}],
         "positives": 3}
        for split in ("train", "test")
    ]  # fmt: skip
    for person in report["prospects"]:
        person.update(
            buying_stage=None, segment=None, scorecard_points=None, scorecard=[], reasons=person["reasons"][:1]
        )
    for key in ("figures", "list", "points", "data"):
        del report[key]
    page = page_of(report)
    assert "A snapshot has no cutoffs" in page.text
    assert "None" not in page.text
    assert "img" not in page.tags


@pytest.mark.parametrize(
    "key",
    [
        *(
            "funnel",
            "models",
            "comparisons",
            "curves",
            "importance",
            "prospects",
            "figures",
            "list",
            "data",
            "capacity",
        ),
        *("criteria", "segments", "stages", "pyramid", "scorecard", "swap_sets", "avatars", "qualification"),
    ],
)
def test_an_empty_part_renders(report: dict[str, Any], key: str) -> None:
    report[key] = type(report[key])()
    assert not page_of(report).unbalanced


def test_a_run_without_a_selected_model_renders(report: dict[str, Any]) -> None:
    report["run"].update(selected=None, selection_reason=None)
    assert "No model was selected in this run." in page_of(report).text


def test_not_a_number_is_shown_as_missing(report: dict[str, Any]) -> None:
    report["models"]["lightgbm"]["test"].update(roc_auc=float("nan"), lift_at_capacity=float("inf"))
    text = page_of(report).text
    assert "inf×" not in text
    assert "nan" not in text.split()


# --- in marketing's terms -------------------------------------------------------------------------------------------


def test_every_group_tier_move_and_swap_set_is_shown() -> None:
    page = page_of(SAMPLE)
    for row in SAMPLE["segments"]:
        row_of(page, row["group"], f"{row['prospects']:,}", f"{row['test_prospects']:,}", f"{row['lift']:.2f}")
    for pyramid in SAMPLE["pyramid"].values():
        for row in pyramid["tiers"]:
            row_of(page, row["tier"], f"{row['prospects']:,}", f"{row['value']:.0f}")
    for move in SAMPLE["stages"]["transitions"]:
        row_of(page, move["from"], f"{move['customers']:,}")
    for row in SAMPLE["criteria"]:
        row_of(page, row["name"], row["text"], f"{row['fails']:,}", f"{row['kept_out']:,}")
    for row in SAMPLE["swap_sets"]["sets"]:
        row_of(page, f"{row['prospects']:.0f}", f"{row['buyers']:.1f}")
    for row in SAMPLE["swap_sets"]["agreement"]:
        row_of(page, str(row["decile"]), f"{row['prospects']:,}")
    for row in SAMPLE["scorecard"]:
        row_of(page, row["line"], signed(row["weight_of_evidence"], 2))
    for avatar in SAMPLE["avatars"]["texts"]:
        assert all(part["text"] in page.text for part in avatar["parts"])
    assert SAMPLE["single_indicator"]["description"] in page.text


def test_a_pyramids_tiers_have_areas_as_their_shares() -> None:
    shares = [0.05, 0.15, 0.3, 0.5]
    chart = pyramid_chart([{"tier": f"tier {share}", "share": share, "prospects": 1} for share in shares])
    areas = []
    for drawn in chart.figure.axes[0].patches:
        assert isinstance(drawn, Polygon)
        corners = drawn.get_xy()[:-1]
        turned = np.roll(corners, -1, axis=0)
        areas.append(abs(float((corners[:, 0] * turned[:, 1] - turned[:, 0] * corners[:, 1]).sum())) / 2)
        assert drawn.get_linewidth() == 0  # an edge would eat a thin tier
    assert [area / sum(areas) for area in areas] == pytest.approx(shares, abs=0.02)


def test_where_the_scorecard_ranks_better_is_told(report: dict[str, Any]) -> None:
    report["swap_sets"]["groups"][0].update(better="scorecard", auc=0.6, baseline_auc=0.7, difference=-0.1)
    assert "Where the scorecard ranks better: 1 of" in page_of(report).text


# --- text from data stays text --------------------------------------------------------------------------------------


def poison(value: Any, key: str = "") -> Any:
    if isinstance(value, dict):
        return {name: poison(inner, name) for name, inner in value.items()}
    if isinstance(value, list):
        return [poison(inner, key) for inner in value]
    return HOSTILE if isinstance(value, str) and key not in DECIDING else value


def test_hostile_text_is_shown_as_text_everywhere(report: dict[str, Any]) -> None:
    clean, page = page_of(report), page_of(poison(report))
    assert set(page.tags) == set(clean.tags)
    assert "script" not in page.tags
    assert not [name for _, name, _ in page.attributes if name.startswith("on")]
    assert not page.unbalanced
    assert page.text.count("<script>alert(1)</script>") > 100
    assert HOSTILE in page.text


def test_a_hostile_model_name_is_shown_as_text(report: dict[str, Any]) -> None:
    for part in ("models", "curves"):
        report[part][HOSTILE] = report[part].pop("blend")
    for comparison in report["comparisons"]:
        comparison["model"] = HOSTILE if comparison["model"] == "blend" else comparison["model"]
    report["run"]["selected"] = HOSTILE
    page = page_of(report)
    assert "script" not in page.tags
    assert set(page.tags) == set(page_of(SAMPLE).tags)
    assert HOSTILE in page.text


def test_half_a_surrogate_pair_does_not_break_the_file(report: dict[str, Any], tmp_path: Path) -> None:
    report["prospects"][0]["customer_id"] = "half \ud83d pair"
    assert "half ? pair" in write_report(report, tmp_path / "report.html").read_text(encoding="utf-8")


# --- one file that loads nothing ------------------------------------------------------------------------------------


def test_nothing_is_loaded_from_elsewhere() -> None:
    html = render_report(SAMPLE)
    page = Page(html)
    loads = [
        value for _, name, value in page.attributes if name in ("src", "href", "srcset", "action", "data", "poster")
    ]
    assert loads
    assert all(value.startswith(("#", "data:")) for value in loads)
    assert not re.search(r"https?:|url\(|@import|<script|<iframe|<object|<embed", html)


def test_the_policy_forbids_every_load_but_embedded_pictures() -> None:
    policies = [
        value for tag, name, value in Page(render_report(SAMPLE)).attributes if tag == "meta" and name == "content"
    ]
    assert (
        "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'" in policies
    )


# --- the list and the slider ----------------------------------------------------------------------------------------

ROWS = {
    "of": 2,
    "base_points": 500.0,
    "columns": {
        "rank": [1, 2],
        "customer_id": ["A1", "A2"],
        "probability": [0.5, 0.25],
        "probability_low": [0.4, 0.2],
        "probability_high": [0.6, 0.3],
        "points": [540.0, 490.0],
        "reasons": [[["4 visits", 30.0]], [["no visit", -15.0]]],
        "other_points": [10.0, 5.0],
    },
}
DEPTHS = [{"contacts": 1, "share": 0.5, "buyers": 0.5, "low": 0.0, "high": 1.0, "captured": 0.75}]


def test_only_the_reports_own_script_may_run_and_no_data_can_become_one(report: dict[str, Any]) -> None:
    report |= {"rows": copy.deepcopy(ROWS), "depths": DEPTHS}
    report["rows"]["columns"]["customer_id"][0] = HOSTILE
    html = render_report(report)
    scripts = re.findall(r"<script([^>]*)>(.*?)</script>", html, re.DOTALL)
    assert [kind for kind, _ in scripts] == [
        ' type="application/json" id="list-rows"',
        ' type="application/json" id="depths"',
        ' type="module"',
    ]
    digest = base64.b64encode(hashlib.sha256(scripts[2][1].encode()).digest()).decode()
    policies = [value for tag, name, value in Page(html).attributes if tag == "meta" and name == "content"]
    assert any(value.startswith(f"default-src 'none'; script-src 'sha256-{digest}'; style") for value in policies)
    assert json.loads(scripts[0][1]) == report["rows"]
    assert not re.search(r"\bfetch\(|XMLHttpRequest\(", scripts[2][1].split("// The list: search, sort")[1])


def test_a_report_of_a_run_without_rows_has_no_script(report: dict[str, Any]) -> None:
    assert "<script" not in render_report(report)
    assert 'id="list-frame"' not in render_report(report)


def test_sensitive_groups_stand_in_the_model_card_with_their_warning(report: dict[str, Any]) -> None:
    rows = fairness_table(["f"] * 50 + ["m"] * 50, np.tile([1, 0], 50), np.full(100, 0.3), np.arange(100) < 60)
    report["fairness"] = {"share": 0.6, "attributes": [{"attribute": "gender", "feature": "gender", "table": rows}]}
    page = page_of(report)
    assert row_of(page, "f", "50", "1.00")[-1] == ""
    # 10 of 50 against 50 of 50, 5 of 25 buyers; 15 buyers expected, 25 bought.
    assert row_of(page, "m", "50", "25", "15.0", "20", "0.20")[-1] == "under 0.8"


@pytest.mark.parametrize("source", ["https://example.org/a.png", "figures/shap.png", "data:text/html,<script>"])
def test_a_figure_that_is_not_embedded_is_refused(report: dict[str, Any], source: str) -> None:
    report["figures"]["shap_summary"] = source
    with pytest.raises(ValueError, match="a figure must be embedded as data:image/"):
        render_report(report)


def test_the_document_is_well_formed_and_its_links_lead_somewhere() -> None:
    page = page_of(SAMPLE)
    assert not page.unbalanced
    ids = [value for _, name, value in page.attributes if name == "id"]
    assert len(ids) == len(set(ids))
    targets = {value[1:] for _, name, value in page.attributes if name == "href" and value.startswith("#")}
    labels = {part for _, name, value in page.attributes if name == "aria-labelledby" for part in value.split()}
    assert targets | labels <= set(ids)


def test_every_chart_says_what_is_seen() -> None:
    html = render_report(SAMPLE)
    charts = re.findall(r'<svg class="chart".*?</svg>', html, re.DOTALL)
    assert len(charts) == 3 + 4 + 2 + 5 + 2 + 1
    for chart in charts:
        assert re.search(r"<title id=[^>]+>[^<]{15,}</title>\s*<desc id=[^>]+>[^<]{40,}</desc>", chart)


def test_the_same_report_gives_the_same_bytes(tmp_path: Path) -> None:
    first, second = (write_report(SAMPLE, tmp_path / name).read_bytes() for name in ("a.html", "b.html"))
    assert first == second


def test_an_older_file_is_replaced_and_nothing_else_is_left(tmp_path: Path) -> None:
    target = tmp_path / "report.html"
    target.write_text("older", encoding="utf-8")
    assert write_report(SAMPLE, target) == target
    assert target.read_text(encoding="utf-8").startswith("<!doctype html>")
    assert list(tmp_path.iterdir()) == [target]


def test_a_failed_write_leaves_what_was_there(tmp_path: Path) -> None:
    # A folder that is not empty stands where the file should go: the last step, the replacement, fails.
    target = tmp_path / "report.html"
    (target / "inside").mkdir(parents=True)
    with pytest.raises(EnvironmentFailedError, match="cannot be written"):
        write_report(SAMPLE, target)
    assert list(tmp_path.iterdir()) == [target]


def test_a_report_that_cannot_be_rendered_leaves_the_older_file(report: dict[str, Any], tmp_path: Path) -> None:
    target = tmp_path / "report.html"
    target.write_text("older", encoding="utf-8")
    report["figures"] = {"shap_summary": "elsewhere.png"}
    with pytest.raises(ValueError, match="embedded"):
        write_report(report, target)
    assert target.read_text(encoding="utf-8") == "older"


# --- charts ---------------------------------------------------------------------------------------------------------


def lines_of(chart: Chart | None) -> dict[str, Any]:
    """What stands behind each thing with words of its own."""
    assert chart is not None
    return {str(line.get_gid()).removeprefix("title:"): line for line in chart.figure.axes[0].lines if line.get_gid()}


def test_the_selected_curve_is_drawn_last_and_capacity_is_marked() -> None:
    chart = gains_chart(SAMPLE["curves"], selected="logistic", capacity_share=0.05, captured=0.2)
    assert chart is not None
    assert chart.names[-1] == "logistic"
    drawn = lines_of(chart)
    *_, curve, dot = drawn.values()
    assert curve is drawn["Logistic"]
    own = SAMPLE["curves"]["logistic"]["gains"]
    assert (list(curve.get_xdata()), list(curve.get_ydata())) == (own["share"], own["capture"])
    assert dot is drawn["20.0% of buyers"]
    assert (dot.get_xdata(), dot.get_ydata()) == ([0.05], [0.2])
    assert [0.05, 0.05] in [list(line.get_xdata()) for line in chart.figure.axes[0].lines]
    assert "capacity 5%" in chart.svg("gains", "Gains", "Curves.")


def test_a_curve_of_many_points_stays_light() -> None:
    share = [index / 100_000 for index in range(100_001)]
    chart = gains_chart(
        {"m": {"gains": {"share": share, "capture": share}}}, selected=None, capacity_share=None, captured=None
    )
    assert chart is not None
    assert len(chart.svg("gains", "Gains", "Curves.")) < 20_000


def test_lift_starts_at_one_percent_and_leaves_gaps_for_nulls() -> None:
    curve = {"gains": {"share": [0.0, 0.001, 0.01, 0.1, 1.0], "lift": [None, 90.0, 4.0, None, 1.0]}}
    chart = lift_chart({"m": curve}, selected=None, capacity_share=None)
    assert list(lines_of(chart)["M"].get_ydata()) == [4.0, 1.0]
    assert chart is not None
    assert chart.figure.axes[0].get_ylim() == (0.0, 5.0)
    assert ">5×<" in chart.svg("lift", "Lift", "Curves.")


@pytest.mark.parametrize(("lowest", "logarithmic"), [(0.1, False), (0.001, True)])
def test_calibration_is_logarithmic_where_buyers_are_rare(lowest: float, logarithmic: bool) -> None:
    bins = [
        {"bin": 1, "n": 100, "predicted": lowest, "observed": 0.0, "low": 0.0, "high": 0.03},
        {"bin": 2, "n": 100, "predicted": 0.2, "observed": 0.25, "low": 0.2, "high": 0.3},
    ]
    chart = calibration_chart("lightgbm", bins)
    assert chart is not None
    assert (chart.is_logarithmic, chart.has_hollow) == (logarithmic, logarithmic)
    axes = chart.figure.axes[0]
    assert axes.get_xscale() == axes.get_yscale() == ("log" if logarithmic else "linear")
    empty = lines_of(chart)[f"predicted {percent(lowest)}, observed 0%"]
    assert list(empty.get_ydata()) == [axes.get_ylim()[0]]


def test_a_calibrated_bin_lies_on_the_diagonal() -> None:
    bins = [{"predicted": p, "observed": p, "low": None, "high": None} for p in (0.001, 0.02, 0.3)]
    chart = calibration_chart("lightgbm", bins)
    assert chart is not None
    axes = chart.figure.axes[0]
    assert axes.get_xlim() == axes.get_ylim()
    dots = list(lines_of(chart).values())
    assert [(dot.get_xdata()[0], dot.get_ydata()[0]) for dot in dots] == [(p, p) for p in (0.001, 0.02, 0.3)]
    # without intervals there is nothing else but the diagonal
    assert len(axes.lines) == len(dots) + 1


def test_an_interval_without_bounds_is_a_point() -> None:
    chart = interval_chart([("a", 1.0, None), ("b", None, None), ("c", 2.0, [1.5, 2.5])], write=str)
    assert chart is not None
    assert chart.names == ["a", "c"]
    assert [list(line.get_xdata()) for line in chart.figure.axes[0].lines] == [[1.0], [1.5, 2.5], [2.0]]


def test_a_chart_has_the_colours_and_fonts_of_the_page_and_ids_of_its_own() -> None:
    tiers = [{"tier": f"<i>{i}\x01", "share": 0.25, "prospects": 1} for i in range(4)]
    svg = pyramid_chart(tiers).svg("pyramid-1", "A <b>pyramid</b>", "Its tiers & their counts.")
    assert [f"var(--g{i})" in svg for i in (1, 2, 3, 4)] == [True] * 4
    gains = gains_chart(SAMPLE["curves"], selected="logistic", capacity_share=0.05, captured=0.2)
    assert gains is not None
    for drawn, name in ((svg, "pyramid-1"), (gains.svg("gains", "Gains", "Curves."), "gains")):
        assert not re.search(r"#[0-9a-f]{6}|font|<style|<metadata|xmlns", drawn)
        assert all(known.startswith(name) for known in re.findall(r'\bid="([^"]*)"', drawn))
    assert "<i>" not in svg
    assert "&lt;i&gt;3: 1</title>" in svg


def test_a_mark_beyond_the_axis_stands_at_its_end() -> None:
    for share, place in [(0.0005, 0.01), (0.3, 0.3), (1.0, 1.0)]:
        chart = lift_chart(SAMPLE["curves"], selected="logistic", capacity_share=share)
        assert chart is not None
        marks = [line for line in chart.figure.axes[0].lines if line.get_color() == theme()["soft"]]
        assert [list(mark.get_xdata()) for mark in marks] == [[place, place]]


def test_words_at_the_right_edge_stand_to_the_left() -> None:
    chart = gains_chart(SAMPLE["curves"], selected="logistic", capacity_share=1.0, captured=1.0)
    assert chart is not None
    assert {text.get_ha() for text in chart.figure.axes[0].texts} == {"right"}


def test_a_notebooks_style_does_not_change_the_report() -> None:
    import matplotlib as mpl

    plain = render_report(SAMPLE)
    ours = {
        "axes.grid": True,
        "lines.marker": "x",
        "font.family": "serif",
        "savefig.bbox": "tight",
        "axes.facecolor": "r",
    }
    with mpl.rc_context(ours):
        assert render_report(SAMPLE) == plain
        assert mpl.rcParams["lines.marker"] == "x"


@pytest.mark.filterwarnings("error")
def test_names_of_any_script_and_number_of_lines_are_drawn() -> None:
    start, end = pd.Timestamp("2025-01-01"), pd.Timestamp("2025-12-31")
    names = ["保険\nのページ", "שלום", "tea 🎂", "tea\x00"]
    at = pd.Series([pd.Timestamp("2025-02-01")])
    svg = timeline_chart([(name, False, at) for name in names], start, end).svg("times", "Times", "Records.")
    for name in ("保険 のページ", "שלום", "tea 🎂", ">tea<"):
        assert name in svg
    assert "Jan 2025" in timeline_chart([], start, end).svg("none", "None", "No records.")


def test_ticks_that_read_the_same_are_told_once() -> None:
    own = {"curve": {"share": [0, 0.1], "profit": [0, 0.008], "low": [0, 0.005], "high": [0, 0.01]}}
    chart = profit_chart({"models": {"blend": own}, "prospects": 100}, selected="blend", beside="scorecard")
    assert chart is not None
    ticks = [label.get_text() for label in chart.figure.axes[0].get_yticklabels()]
    assert len(ticks) == len(set(ticks)) > 1


def test_the_colours_of_charts_can_be_told_apart_in_the_style_sheet() -> None:
    own = {name: value for name, value in theme().items() if re.fullmatch(r"[mg]\d", name)}
    assert len(own) == 11
    assert len(set(own.values())) == len(own)


def test_text_in_a_chart_is_no_formula() -> None:
    chart = interval_chart([("a", 1.0, None)], write=lambda _: "$x^2$")
    assert chart is not None
    assert ">$x^2$</text>" in chart.svg("odd", "Odd", "An odd figure.")


def test_a_waterfall_ends_where_the_points_are() -> None:
    for person, drawing in zip(SAMPLE["prospects"], prospect_drawings(SAMPLE["prospects"]), strict=True):
        steps = [*drawing.reasons, drawing.other]
        assert drawing.base is not None
        assert drawing.total is not None
        level = drawing.base.width
        for step, points in zip(
            steps, [*(r["points"] for r in person["reasons"]), person["other_points"]], strict=True
        ):
            assert step is not None
            assert step.sign == ("up" if points >= 0 else "down")
            assert (step.x if points >= 0 else step.x + step.width) == pytest.approx(level, abs=0.5)
            level = step.x + step.width if points >= 0 else step.x
        assert level == pytest.approx(drawing.total.width, abs=0.5)


def test_ticks_are_round_and_inside() -> None:
    bins = [{"predicted": p, "observed": p, "low": None, "high": None} for p in (0.0045, 0.18)]
    chart = calibration_chart("lightgbm", bins)
    assert chart is not None
    ticks = re.findall(r">([\d.]+%)</text>", chart.svg("ticks", "Ticks", "Ticks alone."))
    assert ticks == ["0.5%", "1%", "2%", "5%", "10%", "20%"] * 2


def test_numbers_are_written_as_readers_expect() -> None:
    assert [percent(value) for value in (0.00001, 0.0421, 0.5, 0.999)] == ["0.0010%", "4.2%", "50.0%", "99.90%"]
    assert percent_interval([0.1, 0.2]) == "10.0% to 20.0%"
    assert [signed(value) for value in (-0.0, 0.04, -12.0, 1234.5)] == ["0.0", "+0.04", "−12.0", "+1,234.5"]


def test_parts_pairs_and_changes_of_what_drives_the_model_are_shown(report: dict[str, Any]) -> None:
    feature = {"feature": "age", "description": "age <i>", "mean_abs_points": [4.0, 1.0]}
    report["importance_by_segment"] = {"groups": ["owners", "<b>others"], "rows": [60, 40], "features": [feature]}
    report["interactions"] = [
        {"features": ["a", "b"], "descriptions": ["visits", "age"], "mean_abs_points": 3.21, "both_high": -1.5},
        {"features": ["a", "c"], "descriptions": ["visits", "region"], "mean_abs_points": 1.0, "both_high": None},
    ]
    change = {"feature": "age", "description": "age", "before": 9.0, "now": 3.0, "change": -6.0, "clear": True}
    small = {**change, "description": "region", "change": 1.0, "before": 2.0, "clear": False}
    last = {"what": "the champion", "run": "r0", "as_of": "2025-08-01", "selected": "blend"}
    report["since_last"] = {**last, "features": [change, small]}
    page = page_of(report)
    assert "What has changed since the champion" in page.text
    assert "<b>others" in page.text
    assert row_of(page, "age <i>", "4.0", "1.0")
    assert row_of(page, "visits", "age", "3.21", "−1.50")
    assert row_of(page, "visits", "region", "1.00", "–")
    assert row_of(page, "age", "9.00", "3.00", "−6.00")[-1] == "yes"
    assert row_of(page, "region", "2.00", "3.00", "+1.00")[-1] == ""
    report["interactions"] = []
    assert "This model adds features up" in page_of(report).text
