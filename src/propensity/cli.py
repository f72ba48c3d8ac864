"""The command line. Nothing heavy is imported before a command needs it."""

import json
import os
import shlex
import signal
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from propensity.errors import CheckFailedError, EnvironmentFailedError, InputError, PropensityError

if TYPE_CHECKING:
    import pandas as pd

    from propensity.results import AuditResult, ScorecardTable, TrainResult

app = typer.Typer(
    name="propensity",
    help="Which target customers who have never bought this product will buy it next, how sure are we, and why?",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

StudyPath = Annotated[Path, typer.Argument(metavar="STUDY", help="The study's YAML file.")]
_SHOWN = 15
"""Reasons of one prospect that are shown; the others are summed."""

Json = Annotated[bool, typer.Option("--json", help="Print the facts as JSON, for machines.")]
Model = Annotated[
    str | None,
    typer.Option(help="models:/name@alias, runs:/… or a run's bundle folder. Default: the study's latest run."),
]
Runs = Annotated[Path | None, typer.Option(help="Where the study's runs are. Default: runs/<study>.")]
Tracking = Annotated[str | None, typer.Option("--tracking-uri", help="MLflow's store, in place of the study's.")]
Words = Annotated[str | None, typer.Option("--wording", help="The language of the reasons (en, de) or a wording file.")]
AsOf = Annotated[str | None, typer.Option("--as-of", help="The cutoff, such as 2025-09-01: only rows before it count.")]


def _tell_version(asked: bool) -> None:
    if asked:
        from propensity import __version__

        typer.echo(f"propensity {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_tell_version, is_eager=True, help="Print the version and leave.")
    ] = False,
) -> None:
    pass


@contextmanager
def _progress() -> Iterator[Callable[[str], None]]:
    """Show on the terminal's error stream what is being done."""
    from rich.console import Console

    console = Console(stderr=True, highlight=False)
    if not console.is_terminal:
        yield lambda text: console.print(f"· {text}", markup=False)
        return
    with console.status("starting") as status:
        yield lambda text: status.update(text)


def _print_json(value: Any) -> None:
    from propensity.files import to_json

    typer.echo(to_json(value), nl=False)


def _records(frame: "pd.DataFrame") -> list[dict[str, Any]]:
    """Rows as plain values, with missing ones as null."""
    rows: list[dict[str, Any]] = json.loads(frame.to_json(orient="records", date_format="iso"))
    return rows


@app.command()
def check(
    study: StudyPath,
    leaks: Annotated[bool, typer.Option("--leaks", help="Audit the study for leaks: exit code 1 on a proof.")] = False,
    model: Model = None,
    runs: Runs = None,
    tracking_uri: Tracking = None,
    as_json: Json = False,
) -> None:
    """Look at the tables and the funnel, without training; or, with --leaks, for knowledge of what came later."""
    from propensity import api

    if leaks:
        with _progress() as progress:
            found = api.audit(study, model=model, runs=runs, tracking_uri=tracking_uri, progress=progress)
        _show_audit(found, as_json=as_json)
        raise typer.Exit(code=1 if found.is_proven else 0)
    if model or runs or tracking_uri:
        raise InputError("--model, --runs, --tracking-uri: they say whose scores --leaks looks at. Add --leaks.")
    with _progress() as progress:
        result = api.check(study, progress=progress)
    if as_json:
        _print_json(
            {
                "study": result.study,
                "tables": _records(result.tables),
                "funnel": _records(result.funnel),
                "criteria": _records(result.criteria),
                "warnings": result.warnings,
            }
        )
        return
    from propensity.report.terminal import percent, say, show_table

    tables = result.tables.assign(findings=[_findings(found) for found in result.tables["findings"]])
    for end in ("first", "last"):
        tables[end] = [instant[:10] if isinstance(instant, str) else None for instant in tables[end]]
    show_table(tables, title="Tables", fold=["findings"])
    say()
    shares = result.funnel["positives"] / result.funnel["prospects"]
    show_table(result.funnel.assign(share=shares.map(percent)), title="Funnel")
    if len(result.criteria):
        say()
        show_table(_criteria(result.criteria, percent), title="Criteria, over the train cutoffs", fold=["criterion"])
    _warn(result.warnings)


def _criteria(table: "pd.DataFrame", percent: Callable[[float], str]) -> "pd.DataFrame":
    """What each criterion does, as the terminal shows it."""
    return table.assign(criterion=table["name"])[["criterion"]].assign(
        **{
            "not met": table["fails"].map("{:,}".format),
            "kept out by it alone": table["kept_out"].map("{:,}".format),
            "of them bought": table["kept_out_conversion"].astype(float).map(percent),
            "prospects bought": table["conversion"].map(percent),
            "without it": table["conversion_without"].map(percent),
        }
    )


def _show_audit(found: "AuditResult", *, as_json: bool) -> None:
    if as_json:
        tables = {name: _records(getattr(found, name)) for name in ("trials", "features", "availability")}
        findings = found.findings.to_dict("records")
        _print_json({**vars(found), **tables, "findings": findings})
        return
    from propensity.report.terminal import say, show_audit

    show_audit(found)
    say()
    say(found.sentence)


def _findings(found: dict[str, int]) -> str:
    return ", ".join(f"{name.replace('_', ' ')}: {count:,}" for name, count in found.items()) or "–"


def _warn(warnings: list[str]) -> None:
    for warning in warnings:
        typer.echo(f"warning: {warning}", err=True)


@app.command()
def features(
    study: StudyPath,
    out: Annotated[Path | None, typer.Option(help="Write the labelled rows of all cutoffs to this .parquet.")] = None,
    as_json: Json = False,
) -> None:
    """List the features in plain words, or write them."""
    from propensity import api

    if out is not None:
        with _progress() as progress:
            written = api.write_matrix(study, out, progress=progress)
        if as_json:
            _print_json({**{k: v for k, v in vars(written).items() if k != "path"}, "file": str(out)})
            return
        typer.echo(f"{written.rows:,} rows, {written.features:,} features: {written.path}")
        _warn(written.warnings)
        return
    with _progress() as progress:
        table = api.feature_catalogue(study, progress=progress)
    if as_json:
        _print_json(_records(table))
        return
    from propensity.report.terminal import percent, show_table

    shown = table[["name", "description", "window", "source"]].assign(
        type=table["kind"], missing=table["missing_share"].map(percent)
    )
    show_table(shown, title=f"{len(table)} features", fold=["description"])


@app.command()
def train(
    study: StudyPath,
    out: Annotated[Path | None, typer.Option(help="Where runs go. Default: runs/<study>.")] = None,
    track: Annotated[bool, typer.Option("--track/--no-track", help="Whether to log to MLflow.")] = True,
    tracking_uri: Tracking = None,
    as_json: Json = False,
) -> None:
    """Train models side by side; leave a report, a list, a model."""
    from propensity import api

    with _progress() as progress:
        result = api.train(study, out=out, track=track, tracking_uri=tracking_uri, progress=progress)
    if as_json:
        _print_json(_training_facts(result))
    else:
        _show_training(result)
    _fail_untracked(result.untracked)


def _fail_untracked(reason: str | None) -> None:
    """Leave with the environment's exit code where MLflow was not reached, after all else was told."""
    if reason:
        raise EnvironmentFailedError(reason)


def _training_facts(result: "TrainResult") -> dict[str, Any]:
    return {
        "study": result.study,
        "folder": str(result.folder),
        "selected": result.selected,
        "reason": result.reason,
        "tuning": result.tuning,
        "verdict": result.verdict,
        "metrics": _records(result.metrics),
        "comparisons": _records(result.comparisons),
        "funnel": _records(result.funnel),
        "warnings": result.warnings,
        "profit": result.profit
        and {
            "list": result.profit["list"],
            "test": result.profit["models"][result.selected]["down_to"],
        },
        "horizons": None if result.horizons is None else _records(result.horizons),
        "tracking": result.tracking,
        "untracked": result.untracked,
    }


def _show_training(result: "TrainResult") -> None:
    """Print where to look: funnel, models, first prospects, report, and MLflow's command."""
    from propensity.report.terminal import (
        say,
        show_funnel,
        show_horizons,
        show_models,
        show_profit,
        show_prospects,
        whole,
    )

    show_funnel(result.funnel)
    say()
    show_models(result.metrics, selected=result.selected)
    say(f"* Selected on validation: {result.reason}")
    if result.tuning:
        say(f"* LightGBM's parameters: {result.tuning}")
    if result.verdict:
        say(f"Verdict on test: {result.verdict}")
    say()
    show_prospects(result.prospects)
    say()
    if result.profit:
        show_profit(result.profit)
        say()
    if result.horizons is not None:
        show_horizons(result.horizons)
        say()
    _warn(result.warnings)
    whole(f"Run     {result.folder}")
    whole(f"Report  {result.folder / 'report.html'}")
    if result.tracking:
        command, page = mlflow_page(result.tracking)
        whole(f"MLflow  {command}")
        whole(f"        then open {page}")


def mlflow_page(tracking: Mapping[str, str]) -> tuple[str, str]:
    """The command that serves a store's pages, and the address of a run among them."""
    place = f"experiments/{tracking['experiment_id']}/runs/{tracking['run_id']}"
    if tracking["uri"].startswith(("http://", "https://")):
        return "(is served already)", f"{tracking['uri'].rstrip('/')}/#/{place}"
    return f"mlflow ui --backend-store-uri {shlex.quote(tracking['uri'])}", f"http://127.0.0.1:5000/#/{place}"


@app.command()
def score(
    study: StudyPath,
    out: Annotated[Path, typer.Option(help="The list to write, .parquet or .csv; its manifest goes beside it.")],
    as_of: AsOf = None,
    model: Model = None,
    data: Annotated[Path | None, typer.Option(help="For a snapshot study: the rows to score.")] = None,
    runs: Runs = None,
    tracking_uri: Tracking = None,
    wording: Words = None,
    random_control: Annotated[
        str | None, typer.Option(help="The share of customers whom the campaign leaves alone, by lot, such as 2%.")
    ] = None,
    anyway: Annotated[
        bool, typer.Option("--anyway", help="Make the list although there is less to make it from than usual.")
    ] = False,
    since: Annotated[
        Path | None, typer.Option(help="An earlier list: who rose and fell since, and why, is written beside this one.")
    ] = None,
    table: Annotated[
        str | None, typer.Option(help="A database's table that gets the list too: NAME or SCHEMA.NAME.")
    ] = None,
    database: Annotated[
        str | None,
        typer.Option(
            envvar="PROPENSITY_DATABASE",
            help="Its address, duckdb://FILE or postgresql://…; one with a password belongs in the environment.",
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Rank the prospects as of a date and write the list."""
    from propensity import api

    with _progress() as progress:
        result = api.score(
            study,
            as_of=as_of,
            data=data,
            model=model,
            out=out,
            runs=runs,
            tracking_uri=tracking_uri,
            wording=wording,
            random_control=random_control,
            anyway=anyway,
            since=since,
            table=table,
            database=database if table else None,
            progress=progress,
        )
    if as_json:
        _print_json({"file": str(result.path), **result.manifest})
        return
    import pandas as pd

    from propensity.report.terminal import say, show_changes, show_prospects, show_table, whole

    waterfall = pd.DataFrame(result.manifest["waterfall"])[["name", "count", "reason"]]
    show_table(waterfall, title="Waterfall", fold=["reason"])
    say()
    show_prospects(result.prospects)
    say()
    manifest = result.manifest
    if result.changes is not None:
        show_changes(result.changes, manifest["changes"])
        say()
    known = f", known on {manifest['matures_on']}" if manifest["matures_on"] else ""
    if manifest["control"]:
        say(f"Control: {manifest['control']['prospects']:,} are left alone (column control).")
    say(f"Expected to buy: {manifest['expected_buyers']:,.1f} of {manifest['rows']:,}{known}.")
    whole(f"List    {result.path}")
    if table:
        whole(f"Table   {table}")


@app.command()
def outcomes(
    study: StudyPath,
    lists: Annotated[
        Path | None, typer.Option(help="A folder of lists that score wrote. Default: lists/<study>.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="The rows to write. Default: outcomes.parquet in the folder of lists.")
    ] = None,
    track: Annotated[bool, typer.Option(help="Log the figures of matured lists to MLflow.")] = True,
    tracking_uri: Tracking = None,
    as_json: Json = False,
) -> None:
    """Hold earlier lists against what has happened since."""
    from propensity import api

    with _progress() as progress:
        found = api.outcomes(study, lists, out=out, track=track, tracking_uri=tracking_uri, progress=progress)
    if as_json:
        tables = {name: _records(getattr(found, name)) for name in ("lists", "bands", "effects", "contacted")}
        _print_json({"study": found.study, "until": found.until, "file": str(found.path), **tables})
        _fail_untracked(found.untracked)
        return
    from propensity.report.terminal import show_outcomes, whole

    show_outcomes(found)
    whole(f"Rows    {found.path}")
    _fail_untracked(found.untracked)


@app.command()
def backtest(
    study: StudyPath,
    steps: Annotated[
        int | None,
        typer.Option(min=1, help="How many; the last is the latest whose outcome is known. Default: twelve, or fewer."),
    ] = None,
    every: Annotated[
        str | None, typer.Option(help="From step to step, such as 30d. Default: as the train cutoffs, or the horizon.")
    ] = None,
    workers: Annotated[int | None, typer.Option(min=1, help="Steps at a time. Default: one for each core.")] = None,
    out: Annotated[
        Path | None, typer.Option(help="Where results go, and steps are kept. Default: runs/<study>/backtest.")
    ] = None,
    track: Annotated[bool, typer.Option(help="Log to MLflow.")] = True,
    tracking_uri: Tracking = None,
    as_json: Json = False,
) -> None:
    """Walk through the past as if live: learn, rank, wait, count."""
    from propensity import api

    with _progress() as progress:
        found = api.backtest(
            study, steps=steps, every=every, workers=workers or os.cpu_count() or 1, out=out, track=track,
            tracking_uri=tracking_uri, progress=progress,
        )  # fmt: skip
    if as_json:
        tables = {name: _records(getattr(found, name)) for name in ("steps", "chosen", "left_out", "totals")}
        _print_json({"study": found.study, "folder": str(found.folder), **tables})
        _fail_untracked(found.untracked)
        return
    from propensity.report.terminal import show_backtest, whole

    show_backtest(found)
    whole(f"Page    {found.folder / 'backtest.html'}")
    _fail_untracked(found.untracked)


@app.command()
def monitor(
    study: StudyPath,
    model: Model = None,
    runs: Runs = None,
    out: Annotated[
        Path | None, typer.Option(help="The folder of the page and its figures. Default: runs/<study>/monitoring.")
    ] = None,
    fail_on: Annotated[
        Literal["watch", "retrain"], typer.Option(help="The verdict from which the exit code is 1.")
    ] = "retrain",
    track: Annotated[bool, typer.Option(help="Log the figures to MLflow.")] = True,
    tracking_uri: Tracking = None,
    as_json: Json = False,
) -> None:
    """Tell whether a model is still what it was: ok, watch or retrain; exit code 1 if it is to be trained anew."""
    from propensity import api

    with _progress() as progress:
        found = api.monitor(
            study, model=model, runs=runs, out=out, track=track, tracking_uri=tracking_uri, progress=progress
        )
    if as_json:
        tables = {name: _records(getattr(found, name)) for name in ("checks", "features", "months", "mix")}
        _print_json({"study": found.study, "as_of": found.as_of, "model": found.model, "verdict": found.verdict,
                     "expected": found.expected, "score": found.score, **tables})  # fmt: skip
    else:
        from propensity.report.terminal import show_monitoring, whole

        show_monitoring(found)
        whole(f"Page    {found.folder / found.as_of.replace(':', '')}.html")
    levels = ["ok", "watch", "retrain"]
    if levels.index(found.verdict) >= levels.index(fail_on):
        if found.untracked:  # the verdict is what the exit code tells
            typer.echo(f"warning: {found.untracked}", err=True)
        raise typer.Exit(CheckFailedError.exit_code)
    _fail_untracked(found.untracked)


@app.command()
def promote(
    study: StudyPath,
    rollback: Annotated[bool, typer.Option(help="Make the earlier champion the champion again.")] = False,
    tracking_uri: Tracking = None,
    as_json: Json = False,
) -> None:
    """Let the challenger take the champion's place, if every rule holds; exit code 1 if not."""
    from propensity import api

    with _progress() as progress:
        found = api.promote(study, rollback=rollback, tracking_uri=tracking_uri, progress=progress)
    if as_json:
        tables = {name: _records(getattr(found, name)) for name in ("rules", "metrics", "comparisons")}
        _print_json({"study": found.study, "is_promoted": found.is_promoted, "reason": found.reason,
                     "as_of": found.as_of, "versions": found.versions, **tables})  # fmt: skip
    else:
        from propensity.report.terminal import show_promotion, whole

        if len(found.rules):
            show_promotion(found)
        whole(found.reason)
    if not (found.is_promoted or rollback):
        raise typer.Exit(CheckFailedError.exit_code)


@app.command()
def explain(
    study: StudyPath,
    customer: Annotated[str, typer.Argument(metavar="CUSTOMER", help="The customer's key.")],
    as_of: AsOf = None,
    model: Model = None,
    runs: Runs = None,
    tracking_uri: Tracking = None,
    wording: Words = None,
    html: Annotated[Path | None, typer.Option("--html", help="Write it as a page of its own, too.")] = None,
    as_json: Json = False,
) -> None:
    """Take one prospect's score apart: reasons, the scorecard, the timeline, similar prospects, what would move it."""
    from propensity import api

    if html is not None and html.suffix not in (".html", ".htm"):
        from propensity.errors import InputError

        raise InputError(f"--html: {html.name} does not end in .html. Choose such a name.")
    loaded = api.load_study(study)
    with _progress() as progress:
        result = api.explain(
            loaded,
            customer,
            as_of=as_of,
            model=model,
            runs=runs,
            tracking_uri=tracking_uri,
            wording=wording,
            progress=progress,
        )
    if html is not None:
        from propensity.report import render_customer, write_page

        question = loaded.about or loaded.study
        write_page(render_customer(result, question=question, simulated=loaded.simulated), html)
    if as_json:
        told = vars(result).items()
        _print_json({name: _records(value) if hasattr(value, "to_json") else value for name, value in told})
        return
    from propensity.report.terminal import show_explanation, whole

    show_explanation(result)
    if html is not None:
        whole(f"Page  {html}")


@app.command()
def classify(
    study: StudyPath,
    as_of: Annotated[str, typer.Option("--as-of", help="The cutoff, such as 2025-09-01: only rows before it count.")],
    since: Annotated[str | None, typer.Option(help="An earlier cutoff, to tell who moved between stages.")] = None,
    out: Annotated[Path | None, typer.Option(help="Write every prospect with its groups (.parquet or .csv).")] = None,
    model: Model = None,
    runs: Runs = None,
    tracking_uri: Tracking = None,
    as_json: Json = False,
) -> None:
    """Divide the target customers as of a date: who has bought, segments, buying stages, and moves between them."""
    from propensity import api

    with _progress() as progress:
        found = api.classify(
            study, as_of=as_of, since=since, out=out, model=model, runs=runs, tracking_uri=tracking_uri,
            progress=progress,
        )  # fmt: skip
    moves = found.transitions
    if as_json:
        tables = {"customers": _records(found.customers), "groups": _records(found.groups)}
        tables["transitions"] = [] if moves is None else _records(moves)
        _print_json({"study": found.study, "as_of": found.as_of, "since": found.since, **tables})
        return
    from propensity.report.terminal import percent, say, show_table

    def counted(table: "pd.DataFrame", name: str) -> "pd.DataFrame":
        return table.assign(**{name: table[name].map("{:,}".format)})

    show_table(counted(found.customers, "customers"), title=f"As of {found.as_of}")
    groups = counted(found.groups, "prospects").assign(share=found.groups["share"].map(percent))
    groups["dimension"] = groups["dimension"].where(~groups["dimension"].duplicated(), "")
    show_table(groups, title="Prospects")
    if moves is not None:
        shown = counted(moves, "customers").assign(share=moves["share"].map(percent))
        shown["from"] = shown["from"].where(~shown["from"].duplicated(), "")
        show_table(shown, title=f"Moves since {found.since}")
    if found.path is not None:
        say(f"Every prospect with its groups: {found.path}")


scorecards = typer.Typer(help="Show a scorecard, take it apart, learn one, or write it as SQL.", no_args_is_help=True)
app.add_typer(scorecards, name="scorecard")
Card = Annotated[Path | None, typer.Option("--card", help="A scorecard's file. Default: the study's own.")]


@scorecards.command("show")
def scorecard_show(study: StudyPath, card: Card = None, as_json: Json = False) -> None:
    """Print a scorecard line by line, with what became of the train prospects in each."""
    from propensity import api

    with _progress() as progress:
        found = api.show_scorecard(study, card=card, progress=progress)
    _show_scorecard(found, as_json=as_json)


def _show_scorecard(found: "ScorecardTable", *, as_json: bool) -> None:
    if as_json:
        _print_json({**vars(found), "table": _records(found.table)})
        return
    import pandas as pd

    from propensity.report.terminal import percent, say, show_table

    table = found.table[(found.table["prospects"] > 0) | (found.table["line"] != "missing")]
    first = ~table["indicator"].duplicated()
    shown = pd.DataFrame(
        {
            "indicator": table["indicator"].where(first, ""),
            **({"kind": table["kind"].where(first, "")} if table["kind"].notna().any() else {}),
            "line": table["line"],
            "points": table["points"].map("{:g}".format),
            "share": table["share"].map(percent),
            "conversion": table["conversion"].map(percent),
            "woe": table["weight_of_evidence"].map("{:+.2f}".format),
            "iv": table["information_value"].map("{:.2f}".format).where(first, ""),
            "psi": table["psi"].map("{:.2f}".format).where(first & table["psi"].notna(), ""),
        }
    )
    show_table(shown, title=f"{found.scorecard}: {found.prospects:,} train prospects", fold=["indicator"])
    say("woe: weight of evidence, above 0 speaks for buying. iv: information value. psi: stability from train to test.")


@scorecards.command("explain")
def scorecard_explain(
    study: StudyPath,
    customer: Annotated[str, typer.Argument(metavar="CUSTOMER", help="The customer's key.")],
    card: Card = None,
    as_of: AsOf = None,
    as_json: Json = False,
) -> None:
    """Print the arithmetic of one prospect's points."""
    from propensity import api

    with _progress() as progress:
        found = api.explain_scorecard(study, customer, card=card, as_of=as_of, progress=progress)
    if as_json:
        _print_json({**vars(found), "table": _records(found.table)})
        return
    from propensity.report.terminal import say, show_table

    say(found.customer_id + (f" as of {found.as_of}" if found.as_of else ""))
    kind = ["kind"] if found.table["kind"].notna().any() else []
    columns = ["indicator", *kind, "value", "line", "points", "weight", "weighted"]
    show_table(found.table[columns], title=found.scorecard)
    say(found.arithmetic)


@scorecards.command("fit")
def scorecard_fit(
    study: StudyPath,
    out: Annotated[Path, typer.Option(help="The .yaml file to write; it must not be there yet.")],
    as_json: Json = False,
) -> None:
    """Learn a scorecard on train, and write it as a file to take over."""
    from propensity import api

    with _progress() as progress:
        found = api.fit_scorecard(study, out, progress=progress)
    _show_scorecard(found, as_json=as_json)
    if not as_json:
        from propensity.report.terminal import whole

        whole(f"Scorecard  {out}")


@scorecards.command("sql")
def scorecard_as_sql(
    study: StudyPath,
    card: Card = None,
    table: Annotated[str, typer.Option(help="The table that holds the features.")] = "matrix",
    dialect: Annotated[Literal["duckdb", "spark"], typer.Option(help="Whose SQL.")] = "duckdb",
) -> None:
    """Print a scorecard as SQL that gives the same points."""
    from propensity import api

    typer.echo(api.scorecard_sql(study, card=card, table=table, dialect=dialect))


@app.command()
def report(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A run's folder.")],
    out: Annotated[Path | None, typer.Option(help="The page to write. Default: the run's report.html.")] = None,
    as_json: Json = False,
) -> None:
    """Write a run's report again."""
    from propensity.errors import InputError
    from propensity.report import write_report

    source = run / "report.json"
    try:
        values = json.loads(source.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(
            f"{source}: cannot be read ({error}). Name a run's folder, such as runs/demo/latest."
        ) from None
    if not (isinstance(values, dict) and values.keys() >= {"study", "run", "funnel", "models", "prospects", "limits"}):
        raise InputError(f"{source}: this is no run's report. Name a run's folder, such as runs/demo/latest.")
    with suppress(OSError, ValueError):  # an audit after the training knows more
        found = json.loads((run / "leaks.json").read_text(encoding="utf-8"))
        values["leaks"] = found if isinstance(found, dict) else None
    written = write_report(values, out or run / "report.html")
    if as_json:
        _print_json({"report": str(written)})
    else:
        typer.echo(str(written))


@app.command()
def track(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A run's folder, such as runs/demo/latest.")],
    tracking_uri: Tracking = None,
    as_json: Json = False,
) -> None:
    """Send a run to MLflow, unless it is there already, and print how to open it."""
    from propensity import api

    tracking = api.track(run, tracking_uri=tracking_uri)
    command, page = mlflow_page(tracking)
    if as_json:
        _print_json({**tracking, "command": command, "page": page})
        return
    typer.echo(command)
    typer.echo(page)


@app.command()
def schema(
    of_list: Annotated[bool, typer.Option("--list", help="Of a row of a prospect list instead.")] = False,
) -> None:
    """Print the JSON Schema of a study, for an editor, or of a list's rows, for other systems."""
    if of_list:
        from propensity.list_schema import list_schema

        _print_json(list_schema())
        return
    from propensity.config import Study

    _print_json(Study.model_json_schema())


@app.command()
def simulate(
    out: Annotated[Path, typer.Option(help="The folder to write the market to.")],
    customers: Annotated[int, typer.Option(min=1_000, help="How many customers.")] = 20_000,
    seed: Annotated[int, typer.Option(min=0, help="The same seed gives the same market.")] = 7,
    as_json: Json = False,
) -> None:
    """Write a simulated market, whose truth is known."""
    from propensity.data.simulate import simulate as simulate_market

    with _progress() as progress:
        summary = simulate_market(out, customers=customers, seed=seed, progress=progress)
    counts = {name: getattr(summary, name) for name in ("customers", "events", "purchases")}
    if as_json:
        _print_json({"folder": str(summary.folder), **counts})
        return
    typer.echo("Simulated " + ", ".join(f"{count:,} {name}" for name, count in counts.items()) + f": {out}")


@app.command()
def demo(
    customers: Annotated[int, typer.Option(min=1_000, help="How many customers.")] = 5_000,
    out: Annotated[Path, typer.Option(help="A folder for everything that the demo makes.")] = Path("demo"),
    seed: Annotated[int, typer.Option(min=0, help="The same seed gives the same market.")] = 7,
    as_json: Json = False,
) -> None:
    """Simulate a market, train, score, and show where to look."""
    from importlib import resources

    from propensity import api
    from propensity.data.simulate import simulate as simulate_market

    shipped = resources.files("propensity") / "data" / "demo"
    study = out / "configs" / "demo.yaml"
    own = ("scorecards/demo.yaml", "scorecards/demo_business.yaml", "wording/demo.yaml", "wording/demo_de.yaml")
    for name in ("demo.yaml", "demo_business.yaml", *own):
        place = out / "configs" / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(shipped.joinpath(name).read_text(encoding="utf-8"), encoding="utf-8")
    with _progress() as progress:
        simulate_market(out / "data" / "demo", customers=customers, seed=seed, progress=progress)
        uri = f"sqlite:///{out / 'mlflow.db'}"
        result = api.train(study, out=out / "runs" / "demo", tracking_uri=uri, progress=progress)
    if as_json:
        _print_json(_training_facts(result))
        return
    typer.echo("This market is simulated: nobody in it exists.\n")
    _show_training(result)


def _stop(number: int, _: object) -> None:
    """End as on an error, so that what is half-written is removed."""
    sys.exit(128 + number)


def main() -> None:
    """Run the command line; a user's mistake gives a message and its exit code, no traceback."""
    signal.signal(signal.SIGTERM, _stop)
    try:
        app(prog_name="propensity")
    except PropensityError as error:
        typer.echo(f"error: {error}", err=True)
        sys.exit(error.exit_code)
    except (OSError, MemoryError) as error:
        typer.echo(f"error: the environment failed: {error}", err=True)
        sys.exit(EnvironmentFailedError.exit_code)
