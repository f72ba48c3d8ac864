"""The command line. Nothing heavy is imported before a command needs it."""

import json
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from propensity.errors import EnvironmentFailedError, PropensityError

if TYPE_CHECKING:
    import pandas as pd

app = typer.Typer(
    name="propensity",
    help="Which target customers who have never bought this product will buy it next, how sure are we, and why?",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

StudyPath = Annotated[Path, typer.Argument(metavar="STUDY", help="The study's YAML file.")]
Json = Annotated[bool, typer.Option("--json", help="Print the facts as JSON, for machines.")]
Model = Annotated[
    str | None,
    typer.Option(help="models:/name@alias, runs:/… or a run's bundle folder. Default: the study's latest run."),
]
Runs = Annotated[Path | None, typer.Option(help="Where the study's runs are. Default: runs/<study>.")]
Tracking = Annotated[str | None, typer.Option("--tracking-uri", help="MLflow's store, in place of the study's.")]
AsOf = Annotated[str | None, typer.Option("--as-of", help="The cutoff, such as 2025-09-01: only rows before it count.")]


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


def _say(text: str = "") -> None:
    typer.echo(text)


def _table(frame: "pd.DataFrame", *, title: str | None = None) -> None:
    """Print a DataFrame as a table that fits the terminal."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(title=title, title_justify="left", title_style="bold", box=None, pad_edge=False, header_style="bold")
    for column in frame.columns:
        numeric = frame[column].dtype.kind in "iuf"
        table.add_column(Text(str(column)), justify="right" if numeric else "left", overflow="fold")
    for row in frame.itertuples(index=False):
        table.add_row(*(Text(_cell(value)) for value in row))
    wide = None if sys.stdout.isatty() else 160
    Console(width=wide, highlight=False).print(table)


def _cell(value: Any) -> str:
    if value is None or value != value:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:,.4g}" if abs(value) < 1000 else f"{value:,.0f}"
    return f"{value:,}" if isinstance(value, int) else str(value)


def _print_json(value: Any) -> None:
    from propensity.files import to_json

    typer.echo(to_json(value), nl=False)


def _records(frame: "pd.DataFrame") -> list[dict[str, Any]]:
    """Rows as plain values, with missing ones as null."""
    rows: list[dict[str, Any]] = json.loads(frame.to_json(orient="records", date_format="iso"))
    return rows


@app.command()
def check(study: StudyPath, as_json: Json = False) -> None:
    """Look at the tables and the funnel, without training."""
    from propensity import api

    with _progress() as progress:
        result = api.check(study, progress=progress)
    if as_json:
        _print_json(
            {
                "study": result.study,
                "tables": _records(result.tables),
                "funnel": _records(result.funnel),
                "warnings": result.warnings,
            }
        )
        return
    tables = result.tables.assign(findings=[_findings(found) for found in result.tables["findings"]])
    _table(tables, title="Tables")
    _say()
    _table(result.funnel, title="Funnel")
    _warn(result.warnings)


def _findings(found: dict[str, int]) -> str:
    return ", ".join(f"{name.replace('_', ' ')}: {count:,}" for name, count in found.items()) or "–"


def _warn(warnings: list[str]) -> None:
    for warning in warnings:
        typer.echo(f"warning: {warning}", err=True)


@app.command()
def features(study: StudyPath, as_json: Json = False) -> None:
    """List the features: name, plain description, window, source, share missing."""
    from datetime import UTC, datetime

    from propensity import api, pipelines

    table = pipelines.catalogue(api.load_study(study), now=datetime.now(UTC))
    if as_json:
        _print_json(_records(table))
    else:
        _table(table[["name", "description", "window", "source", "kind", "missing_share"]], title="Features")


@app.command()
def train(
    study: StudyPath,
    out: Annotated[Path | None, typer.Option(help="Where runs go. Default: runs/<study>.")] = None,
    track: Annotated[bool, typer.Option("--track/--no-track", help="Whether to log to MLflow.")] = True,
    tracking_uri: Tracking = None,
    as_json: Json = False,
) -> None:
    """Train the models side by side; leave a run with report, list and model bundle."""
    from propensity import api

    with _progress() as progress:
        result = api.train(study, out=out, track=track, tracking_uri=tracking_uri, progress=progress)
    if as_json:
        _print_json(
            {
                "study": result.study,
                "folder": str(result.folder),
                "selected": result.selected,
                "reason": result.reason,
                "metrics": _records(result.metrics),
                "comparisons": _records(result.comparisons),
                "funnel": _records(result.funnel),
                "warnings": result.warnings,
                "tracking": result.tracking,
            }
        )
        return
    _show_training(result)


def _show_training(result: Any) -> None:
    """Print where to look: funnel, models, first prospects, report, and MLflow's command."""
    _table(result.funnel, title="Funnel")
    _say()
    test = result.metrics[result.metrics["split"] == "test"]
    shown = test[["model"]].copy()
    for name, metric in (("AUC", "roc_auc"), ("average precision", "average_precision"), ("lift@10%", "lift_at_10pct")):
        shown[name] = [_with_interval(row, metric) for row in test.to_dict("records")]
    shown["Brier"], shown["calibration slope"] = test["brier"], test["calibration_slope"]
    prospects = int(test["n"].iloc[0])
    _table(shown, title=f"Models on test ({prospects:,} prospects, {int(test['positives'].iloc[0]):,} bought)")
    _say(f"Selected: {result.selected}. {result.reason}")
    _say()
    columns = ["rank", "customer_id", "probability", "probability_low", "probability_high", "grade", "points"]
    listed = result.prospects.head(10)[[*columns, "scorecard_points", "reason_1", "reason_2", "reason_3"]]
    _table(listed, title=f"First {len(listed)} of {len(result.prospects):,} prospects")
    _say()
    _warn(result.warnings)
    _say(f"Run     {result.folder}")
    _say(f"Report  {result.folder / 'report.html'}")
    if result.tracking:
        _say(f"MLflow  {mlflow_command(result.tracking)}")
        place = f"experiments/{result.tracking['experiment_id']}/runs/{result.tracking['run_id']}"
        _say(f"        then open http://127.0.0.1:5000/#/{place}")


def mlflow_command(tracking: dict[str, str]) -> str:
    """The command that opens MLflow's own pages on a store."""
    return f"mlflow ui --backend-store-uri {tracking['uri']}"


def _with_interval(row: dict[str, Any], metric: str) -> str:
    value, low, high = row[metric], row[f"{metric}_low"], row[f"{metric}_high"]
    if value is None or value != value:
        return "–"
    return f"{value:.3f} ({low:.3f}–{high:.3f})" if low is not None and low == low else f"{value:.3f}"


@app.command()
def score(
    study: StudyPath,
    out: Annotated[Path, typer.Option(help="The list to write, .parquet or .csv; its manifest goes beside it.")],
    as_of: AsOf = None,
    model: Model = None,
    data: Annotated[Path | None, typer.Option(help="For a snapshot study: the rows to score.")] = None,
    runs: Runs = None,
    tracking_uri: Tracking = None,
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
            progress=progress,
        )
    if as_json:
        _print_json({"file": str(result.path), **result.manifest})
        return
    import pandas as pd

    _table(pd.DataFrame(result.manifest["waterfall"])[["name", "count", "reason"]], title="Waterfall")
    _say(f"List    {result.path}")


@app.command()
def explain(
    study: StudyPath,
    customer: Annotated[str, typer.Argument(metavar="CUSTOMER", help="The customer's key.")],
    as_of: AsOf = None,
    model: Model = None,
    runs: Runs = None,
    tracking_uri: Tracking = None,
    as_json: Json = False,
) -> None:
    """Take one prospect's score apart."""
    from propensity import api

    result = api.explain(study, customer, as_of=as_of, model=model, runs=runs, tracking_uri=tracking_uri)
    if as_json:
        tables = {"contributions": _records(result.contributions), "scorecard": _records(result.scorecard)}
        _print_json({**{k: v for k, v in vars(result).items() if k not in tables}, **tables})
        return
    when = f" as of {result.as_of}" if result.as_of else ""
    _say(f"{result.customer_id}{when}")
    _say(
        f"Probability {result.probability:.2%} (90 % interval {result.probability_low:.2%} to "
        f"{result.probability_high:.2%}); {result.points:.1f} points, of which {result.base_points:.1f} are the base."
    )
    _say()
    shown = result.contributions.head(15)
    rest = result.contributions["points"].iloc[15:].sum()
    _table(shown[["reason", "points", "typical", "group"]], title="Model: points by reason")
    _say(f"Everything else: {rest:+.1f} points")
    if len(result.scorecard):
        _say()
        _table(result.scorecard, title=f"Scorecard: {result.scorecard['points'].sum():g} points")


@app.command()
def report(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A run's folder.")],
    out: Annotated[Path | None, typer.Option(help="The page to write. Default: the run's report.html.")] = None,
) -> None:
    """Write a run's report again, from its report.json."""
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
    _say(str(write_report(values, out or run / "report.html")))


@app.command()
def track(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A run's folder, such as runs/demo/latest.")],
) -> None:
    """Print the command that opens MLflow's pages on a run."""
    from propensity.errors import InputError

    try:
        tracking = json.loads((run / "tracking.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        raise InputError(f"{run}: this run was not logged to MLflow. Train without --no-track.") from None
    _say(mlflow_command(tracking))
    _say(f"http://127.0.0.1:5000/#/experiments/{tracking['experiment_id']}/runs/{tracking['run_id']}")


@app.command()
def schema() -> None:
    """Print the JSON Schema of a study."""
    from propensity.config import Study

    _print_json(Study.model_json_schema())


@app.command()
def simulate(
    out: Annotated[Path, typer.Option(help="The folder to write the market to.")],
    customers: Annotated[int, typer.Option(min=1_000, help="How many customers.")] = 20_000,
    seed: Annotated[int, typer.Option(min=0)] = 7,
) -> None:
    """Write a simulated market, whose true probabilities are known (nobody in it exists)."""
    from propensity.data.simulate import simulate as simulate_market

    with _progress() as progress:
        summary = simulate_market(out, customers=customers, seed=seed, progress=progress)
    _say(
        f"Simulated {summary.customers:,} customers, {summary.events:,} events, {summary.purchases:,} purchases: {out}"
    )


@app.command()
def demo(
    customers: Annotated[int, typer.Option(min=1_000, help="How many customers.")] = 5_000,
    out: Annotated[Path, typer.Option(help="A folder for everything that the demo makes.")] = Path("demo"),
    seed: Annotated[int, typer.Option(min=0)] = 7,
) -> None:
    """Simulate a market, train, score, write the report, and print where to look."""
    from importlib import resources

    from propensity import api
    from propensity.data.simulate import simulate as simulate_market

    shipped = resources.files("propensity") / "data" / "demo"
    study = out / "configs" / "demo.yaml"
    for name in ("demo.yaml", "scorecards/demo.yaml"):
        place = out / "configs" / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(shipped.joinpath(name).read_text(encoding="utf-8"), encoding="utf-8")
    with _progress() as progress:
        simulate_market(out / "data" / "demo", customers=customers, seed=seed, progress=progress)
        uri = f"sqlite:///{out / 'mlflow.db'}"
        result = api.train(study, out=out / "runs" / "demo", tracking_uri=uri, progress=progress)
    _say("This market is simulated: nobody in it exists.")
    _say()
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
