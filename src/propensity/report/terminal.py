"""Results as text for a terminal of any width: tables, the funnel, models side by side, and prospects with reasons."""

import os
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from propensity.report.formatting import model_name
from propensity.results import (
    AuditResult,
    BacktestResult,
    CustomerExplanation,
    MonitoringResult,
    OutcomesResult,
    PromotionResult,
)

_WIDTH = 100
"""Columns where the output goes to a file or a pipe, and nobody says how wide it is."""
_MISSING = "–"
_REASONS = 3
_CONTRIBUTIONS = 15
_MOVED = 5
_SHORT = {
    "single_indicator": "Indicator", "fitted_scorecard": "Fitted", "selected": "Anew", "never_retrained": "Never",
    "truth": "Truth", "random": "Lot",
}  # fmt: skip
_RECORDS = 8


def console() -> Console:
    """A console on standard output: as wide as the terminal, or as ``COLUMNS`` says."""
    known = sys.stdout.isatty() or "COLUMNS" in os.environ
    return Console(width=None if known else _WIDTH, highlight=False, soft_wrap=False)


def say(text: str = "") -> None:
    """Print words, broken between words."""
    console().print(Text(text))


def whole(text: str = "") -> None:
    """Print a line that is to be copied, such as a path or a command: never broken."""
    console().print(Text(text), soft_wrap=True)


def show_table(frame: pd.DataFrame, *, title: str | None = None, fold: Sequence[str] = ()) -> None:
    """Print a DataFrame; numbers stand right, and the columns named in `fold` give way where room is short."""
    table = Table(title=title, title_justify="left", title_style="bold", box=None, pad_edge=False, header_style="bold")
    for name in frame.columns:
        right = frame[name].dtype.kind in "iuf" or _looks_like_numbers(frame[name])
        table.add_column(
            Text(str(name)),
            justify="right" if right else "left",
            overflow="fold",
            no_wrap=bool(fold) and name not in fold,
        )
    for row in frame.itertuples(index=False):
        table.add_row(*(Text(cell(value)) for value in row))
    console().print(table)


def _looks_like_numbers(column: pd.Series) -> bool:
    texts = [value for value in column if isinstance(value, str) and value != _MISSING]
    return bool(texts) and all(text[:1].isdigit() or text[:1] in "+-" for text in texts)


def cell(value: Any) -> str:
    """One value in a table.

    Examples
    --------
    >>> cell(1234567), cell(0.123456), cell(None), cell(True)
    ('1,234,567', '0.1235', '–', 'yes')
    """
    if value is None or value != value:
        return _MISSING
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:,.4g}" if abs(value) < 1000 else f"{value:,.0f}"
    return f"{value:,}" if isinstance(value, int) else str(value)


def percent(value: float, *, digits: int = 1) -> str:
    """A share in percent.

    Examples
    --------
    >>> percent(0.0314), percent(float("nan"))
    ('3.1 %', '–')
    """
    return _MISSING if value != value else f"{100 * value:.{digits}f} %"


def show_funnel(funnel: pd.DataFrame) -> None:
    """Print the funnel of a run: a row for each step, a column for each split."""
    steps = [name for name in funnel.columns if name not in ("split", "cutoff", "positives")]
    shown: dict[str, list[str]] = {"": ["as of", *steps, "bought"]}
    for split, rows in funnel.groupby("split", sort=False):
        counts = [f"{int(rows[step].sum()):,}" for step in steps]
        prospects, bought = rows[steps[-1]].sum(), rows["positives"].sum(min_count=1)
        share = _MISSING if pd.isna(bought) else f"{int(bought):,} ({percent(bought / max(prospects, 1))})"
        shown[str(split)] = [_when(rows["cutoff"]), *counts, share]
    table = pd.DataFrame(shown)
    together = (funnel["split"] == "train").sum() > 1
    title = "Funnel (train: its cutoffs together)" if together else "Funnel"
    show_table(table if (table.iloc[0, 1:] != _MISSING).any() else table.drop(index=0), title=title)


def _when(cutoffs: pd.Series) -> str:
    if cutoffs.isna().all():
        return _MISSING
    return str(cutoffs.iloc[0]) if len(cutoffs) == 1 else f"{len(cutoffs)} cutoffs"


def show_models(metrics: pd.DataFrame, *, selected: str) -> None:
    """Print the models' figures on test, with 95 % intervals; a star marks the one that is deployed."""
    test = metrics[metrics["split"] == "test"]
    shown = pd.DataFrame({"": ["*" if name == selected else "" for name in test["model"]], "model": test["model"]})
    for name, key in (("AUC", "roc_auc"), ("avg. precision", "average_precision"), ("lift@10%", "lift_at_10pct")):
        shown[name] = [_with_interval(row, key) for row in test.to_dict("records")]
    shown["Brier"] = [f"{value:.4f}" for value in test["brier"]]
    shown["cal. slope"] = [cell(round(value, 2)) for value in test["calibration_slope"]]
    bought, prospects = int(test["positives"].iloc[0]), int(test["n"].iloc[0])
    show_table(shown, title=f"Models on test: {prospects:,} prospects, {bought:,} bought (95 % intervals)")


def _with_interval(row: Mapping[Any, Any], key: str) -> str:
    value, low, high = row[key], row[f"{key}_low"], row[f"{key}_high"]
    digits = 2 if key.startswith("lift") else 3
    if value is None or value != value:
        return _MISSING
    told = f"{value:.{digits}f}"
    return f"{told} ({low:.{digits}f}–{high:.{digits}f})" if low is not None and low == low else told


def show_prospects(prospects: pd.DataFrame, *, most: int = 10) -> None:
    """Print the first prospects: probability with its 90 % interval, points, and below them the strongest reasons."""
    first = prospects.head(most)
    width = max(len("customer"), *(len(str(key)) for key in first["customer_id"]), 0)
    out = console()
    out.print(Text(f"First {len(first)} of {len(prospects):,} prospects (points and strongest reasons)", style="bold"))
    head = f"{'rank':>4}  {'customer':<{width}}  {'probability':<21}  {'points':>6}  grade  {'scorecard':>9}  stage"
    out.print(Text(head, style="bold"), no_wrap=True, overflow="ellipsis")
    for row in first.to_dict("records"):
        out.print(Text(_prospect_line(row, width=width)), no_wrap=True, overflow="ellipsis")
        out.print(Padding(Text(_reasons(row)), (0, 0, 0, 6), expand=False))


def _prospect_line(row: Mapping[Any, Any], *, width: int) -> str:
    interval = f"({100 * row['probability_low']:.1f}–{100 * row['probability_high']:.1f} %)"
    chance = f"{percent(row['probability']):>6} {interval}"
    scorecard = row["scorecard_points"]
    stage = row["buying_stage"] if isinstance(row["buying_stage"], str) else _MISSING
    return (
        f"{row['rank']:>4}  {row['customer_id']!s:<{width}}  {chance:<21}  {row['points']:>6.0f}  {row['grade']:<5}  "
        f"{_MISSING if scorecard != scorecard else f'{round(scorecard, 1):g}':>9}  {stage}"
    )


def _reasons(row: Mapping[Any, Any]) -> str:
    told = [(row[f"contribution_{i}"], row[f"reason_{i}"]) for i in range(1, _REASONS + 1)]
    return "; ".join(f"{reason} ({points:+.0f})" for points, reason in told if isinstance(reason, str)) or _MISSING


def show_horizons(table: pd.DataFrame) -> None:
    """Print how many were expected to buy within each horizon on test, and how many did."""
    told = []
    for row in table.to_dict("records"):
        known = f"{row['buyers']:,.0f} bought, {row['expected_buyers']:,.1f} expected" if not row["why"] else row["why"]
        told.append(f"within {row['horizon']}: {known}")
    say(f"* On test, {'; '.join(told)}.")


def show_profit(profit: Mapping[str, Any]) -> None:
    """Say how far down the list to go, what to expect of it, and what the same rule earned on test."""
    listed, earned = profit["list"], profit["models"][profit["selected"]]["down_to"]
    if not listed["contacts"]:
        say("Profit: contact nobody on the list; no prospect's expected value covers the cost of a contact.")
        return
    then = _money(earned["profit"], earned["interval"])
    say(
        f"Profit: contact down to rank {listed['rank']:,} ({listed['contacts']:,} prospects): expected "
        f"{listed['expected_buyers']:.0f} buyers and {_money(listed['expected_profit'], listed['interval'])}, "
        f"every buyer counted as won. On test the same rule earned {then}, expected were "
        f"{earned['expected_profit']:,.0f} (90 % intervals)."
    )


def _money(value: float, interval: Sequence[float] | None) -> str:
    return f"{value:,.0f}" + (f" ({interval[0]:,.0f} to {interval[1]:,.0f})" if interval else "")


def show_outcomes(found: OutcomesResult) -> None:
    """Show what became of earlier lists; those that have not matured by what is expected of them."""
    shown = []
    for row in found.lists.to_dict("records"):
        line = {
            "as of": f"{row['as_of']}{' *' if row['is_seen'] else ''}",
            "prospects": f"{row['prospects']:,}",
            "expected": f"{row['expected']:,.1f} ({row['expected_low']:,.0f} to {row['expected_high']:,.0f})",
        }
        if row["is_mature"]:
            line |= {"bought": f"{row['buyers']:,.0f}", "ratio": _figure_with(row, "ratio", "low", "high")}
            line["lift at 10 %"] = _figure_with(row, "lift_at_10pct", "lift_at_10pct_low", "lift_at_10pct_high")
        else:
            line |= {"bought": f"known on {row['matures_on']}", "ratio": "", "lift at 10 %": ""}
        shown.append(line)
    show_table(pd.DataFrame(shown), title=f"{found.study}: lists and what became of them")
    say("In brackets: what chance leaves open of expected figures, of others 95 % intervals, without change over time.")
    if found.lists["is_seen"].any():
        say("* The model may have learnt from these very outcomes: they flatter it, and prove nothing.")
    for effect in found.effects.to_dict("records"):
        say(
            f"\n{effect['as_of']}: of {effect['contacted']:,} contacted {percent(effect['contacted_bought'])} bought, "
            f"of {effect['left_alone']:,} left alone by lot {percent(effect['left_alone_bought'])}: "
            f"{100 * effect['difference']:+.1f} points ({100 * effect['low']:+.1f} to {100 * effect['high']:+.1f})."
        )
        if effect["control_contacted"] is not None and effect["control_contacted"] > 0:
            say(f"{effect['control_contacted']:,.0f} of the control group were contacted all the same: not its effect.")
    if len(found.contacted):
        say()
        show_contacted(found.contacted)
    short = found.lists[found.lists["contacts_until"].notna()]
    for row in short.to_dict("records"):
        say(f"{row['as_of']}: contacts are on record until {row['contacts_until']} alone; later ones count as none.")


def show_contacted(contacted: pd.DataFrame) -> None:
    """Show what became of those who were contacted after a list, and of the others."""
    shown = pd.DataFrame(
        {
            "as of": contacted["as_of"],
            "since then": contacted["group"],
            "prospects": contacted["prospects"].map("{:,}".format),
            "expected": contacted["expected"].map("{:,.1f}".format),
            "bought": contacted["buyers"].map("{:,}".format),
            "of them": [
                f"{percent(row['bought'])} ({percent(row['low'])} to {percent(row['high'])})"
                for row in contacted.to_dict("records")
            ],
        }
    )
    show_table(shown, title="By contact")
    say("Nobody was contacted by lot: who was chosen is in these shares. The control group tells the effect.")


def _figure_with(row: Mapping[Any, Any], name: str, low: str, high: str) -> str:
    if row[name] is None or pd.isna(row[name]):
        return ""
    bounds = "" if pd.isna(row[low]) else f" ({row[low]:.2f} to {row[high]:.2f})"
    return f"{row[name]:.2f}{bounds}"


def show_changes(changes: pd.DataFrame, told: Mapping[str, Any]) -> None:
    """Show who rose and fell most since an earlier list, and why."""
    stayed = changes[changes["points_before"].notna() & changes["points_now"].notna()]
    change = stayed["points_now"] - stayed["points_before"]
    moved = pd.concat([stayed[change > 0].head(_MOVED), stayed[change < 0].head(_MOVED)])
    names = {
        "customer_id": "customer",
        "rank_before": "rank then",
        "rank_now": "rank now",
        "reason_1": "what moved it most",
    }
    shown = moved[list(names)].rename(columns=names)
    points = (moved["points_now"] - moved["points_before"]).map("{:+.1f}".format)
    shown.insert(3, "points", points)
    shown.insert(4, "by data", moved["by_data"].map("{:+.1f}".format))
    shown.insert(5, "by model", moved["by_model"].map("{:+.1f}".format))
    show_table(shown, title=f"Who rose and fell most since {told['since']}", fold=["what moved it most"])
    counts = (f"{count:,} {name}" for name, count in told["status"].items())
    say(f"Since {told['since']}: {', '.join(counts)}.")


def show_backtest(found: BacktestResult) -> None:
    """Show how many buyers each method found at each step, and all steps together."""
    steps = found.by_step()
    size = found.steps.groupby("as_of", sort=False)["buyers"].first().rename("bought")
    names = {name: _SHORT.get(str(name), model_name(name)) for name in steps}
    table = pd.concat([size, steps.map("{:,.1f}".format).rename(columns=names)], axis=1)
    show_table(table.rename_axis("as of").reset_index(), title=f"{found.study}: buyers found among those contacted")
    say("Anew: selected and trained at each step. Never: the first step's model, kept. Lot: as many drawn by lot.\n")
    baseline = model_name(found.totals["baseline"].iloc[0]).lower()
    shown = []
    for row in found.totals.to_dict("records"):
        method = str(row["method"])
        line = {"all steps": _SHORT.get(method, model_name(method)), "found": f"{row['captured']:,.1f}"}
        line["of all buyers"] = percent(row["capture"])
        if found.totals["profit"].notna().any():
            line["profit"] = f"{row['profit']:,.0f}"
        line[f"found more than {baseline}"] = _more(row, "captured_more", 1)
        shown.append(line)
    show_table(pd.DataFrame(shown))
    say("In brackets 95 % intervals over customers; how a refit would differ is not in them.")
    for reason, steps_ in found.left_out.groupby("reason", sort=False)["as_of"]:
        say(f"\nLeft out, for the study could not have been then: {', '.join(steps_)}. {reason}")


def _more(row: Mapping[Any, Any], name: str, digits: int) -> str:
    if pd.isna(row[name]):
        return ""
    more, low, high = (f"{row[key]:+,.{digits}f}" for key in (name, f"{name}_low", f"{name}_high"))
    return f"{more} ({low} to {high})"


def show_monitoring(found: MonitoringResult) -> None:
    """Show the verdict on a model, and what was looked at."""
    show_table(found.checks, title=f"{found.study} as of {found.as_of}: {found.verdict}", fold=["found"])
    expected = found.expected
    if expected["buyers_low"] is not None:
        say(
            f"\nExpected of the prospects now: {expected['buyers']:,.1f} buyers ({expected['buyers_low']:,.0f} to "
            f"{expected['buyers_high']:,.0f} by chance alone), if the probabilities are right."
        )


def show_promotion(found: PromotionResult) -> None:
    """Show the rules of the gate, and what was found."""
    rules = found.rules.assign(holds=found.rules["is_met"].map({True: "yes", False: "no"}))
    show_table(rules[["name", "holds", "found"]], title=f"{found.study}: the gate", fold=["found"])


def show_audit(audit: AuditResult) -> None:
    """Print a leak audit: the scramble test by cutoff, the best features by themselves, and the findings."""
    if len(audit.trials):
        show_table(_trials(audit.trials), title="Scramble test: rows at or after each cutoff, changed at the source")
        say()
    if len(audit.features):
        best = audit.features.head(_REASONS)
        shown = best[["feature", "description"]].assign(by=best["by"], AUC=best["auc"].map("{:.3f}".format))
        shown["surely above"] = best["low"].map("{:.2f}".format)
        show_table(shown, title="Best single features on train", fold=["description"])
        say()
    if len(audit.findings):
        found = audit.findings
        texts = [f"{row['subject']}: {row['text']}. {row['advice']}".strip() for row in found.to_dict("records")]
        show_table(found[["level", "test"]].assign(finding=texts), title="Findings", fold=["finding"])


def _trials(trials: pd.DataFrame) -> pd.DataFrame:
    """The scramble test with a row for each cutoff, a column for each change."""
    rows: dict[str, dict[str, str]] = {}
    for trial in trials.sort_values("rows", ascending=False, kind="stable").to_dict("records"):
        row = rows.setdefault(str(trial["cutoff"]), {"as of": str(trial["cutoff"])})
        if trial["rows"]:
            row["rows changed"] = f"{trial['rows']:,}"
        row[str(trial["change"])] = _moved(trial)
    table = pd.DataFrame(list(rows.values())).fillna(_MISSING).sort_values("as of")
    return table.rename(columns={"trained": "train against score"})


def _moved(trial: Mapping[Any, Any]) -> str:
    if trial["identical"]:
        return "identical"
    counts = {
        "customers": trial["left"] + trial["entered"],
        "features": trial["features"],
        "scores": trial["scores"],
    }
    return "MOVED: " + (", ".join(f"{what} {n:,}" for what, n in counts.items() if n) or "the funnel")


def show_explanation(told: CustomerExplanation) -> None:
    """Print one prospect: score, reasons, scorecard, latest records, who is alike, and what would move it."""
    say(told.customer_id + (f" as of {told.as_of}" if told.as_of else ""))
    low, high = percent(told.probability_low), percent(told.probability_high)
    say(f"Probability {percent(told.probability)} (90 % interval {low} to {high})")
    say(f"Rank {told.rank:,} of {told.prospects:,} by probability")
    say(f"{told.points:.1f} points, of which {told.base_points:.1f} are the base")
    say()
    first = told.contributions.head(_CONTRIBUTIONS)
    shown = first[["reason"]].assign(points=first["points"].map("{:+.1f}".format), usually=first["typical"])
    show_table(shown.assign(kind=first["group"]), title="Model: points by reason", fold=["reason"])
    rest = told.contributions["points"].iloc[_CONTRIBUTIONS:]
    if len(rest):
        say(f"{len(rest)} other features together: {rest.sum():+.1f} points")
    if told.scorecard_points is not None:
        say()
        columns = told.scorecard[["indicator", "value", "line", "weighted"]].rename(columns={"weighted": "points"})
        show_table(columns, title=f"Scorecard: {told.scorecard_points:g} points", fold=["indicator", "line"])
    if told.timeline is not None:
        say()
        _show_records(told.timeline)
    if told.neighbours is not None and len(told.neighbours):
        say()
        alike = told.neighbours.assign(
            bought=told.neighbours["bought"].map({True: "bought", False: "did not"}),
            probability=told.neighbours["probability"].map(percent),
            apart=told.neighbours["distance"].map("{:.0f} points".format),
        )[["customer_id", "bought", "as_of", "probability", "apart", "reasons"]]
        show_table(
            alike.rename(columns={"customer_id": "customer"}), title="Who is alike, and what they did", fold=["reasons"]
        )
    if len(told.moves):
        say()
        moved = told.moves[["now", "then"]].rename(columns={"then": "if it were"})
        moved["points"] = told.moves["points"].map("{:+.1f}".format)
        moved["probability then"] = told.moves["probability"].map(percent)
        show_table(moved, title="What would move it: the model's view, not cause", fold=["now", "if it were"])
    if told.untried:
        say(f"Not tried, for they move together with what is not declared actionable: {', '.join(told.untried)}")


def _show_records(timeline: pd.DataFrame) -> None:
    if timeline.empty:
        say("Nothing is recorded of this customer before the cutoff.")
        return
    latest = timeline.iloc[::-1].head(_RECORDS)
    value = latest["value"].map(lambda amount: "" if amount != amount else f"{amount:,.2f}")
    shown = pd.DataFrame({"when": latest["at"].dt.strftime("%Y-%m-%d %H:%M"), "what": latest["what"]})
    shown = shown.assign(details=latest["details"], value=value)
    show_table(shown, title=f"Latest {len(latest)} of {len(timeline):,} records", fold=["details"])
