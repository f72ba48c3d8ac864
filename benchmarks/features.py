"""How fast the feature engine is, beside its peers: same data, same features, same run.

    python -m benchmarks.features [--customers 200000] [--repeats 3] [--folder DIR] [--json FILE] [--large]

Simulates a market once (200,000 customers over 38 periods of 30 days: about 20 million events), and asks everybody for
the same counts of events for every customer at 12 cutoffs, delivered as one block of float32 by customer and cutoff.
Each peer's numbers are first compared with ours: one number that differs stops the benchmark. Then all take turns,
`--repeats` times; the table shows medians, and every ratio is of two medians of this run. Slow peers run on 3 of the
cutoffs, scaled up. On a machine with two cores everybody has two threads; every DuckDB has the same memory limit.
Spark is compared with DuckDB on a tenth of the customers, from opened tables to Parquet, its start not counted.
`--large` also measures peak memory at 1,000,000 customers with 2 GB for the engine.
"""

import os

os.environ.setdefault("POLARS_MAX_THREADS", "2")  # read when Polars is imported
# Read when NumPy is imported. Huge pages that lay idle are given back to a virtual machine's host, and cost up to ten
# times as much to get again: everybody's block of numbers would take 0.1 s or 1 s, by chance.
os.environ.setdefault("NUMPY_MADVISE_HUGEPAGE", "0")

import argparse
import json
import tempfile
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.ours import Prepared, ours_as_parquet, ours_in_memory, peak_memory_gb, prepare, spark_local
from benchmarks.peers_frames import PANDAS, POLARS, POLARS_FILTERED
from benchmarks.peers_sql import ALL_AT_ONCE, FILTERED, GROUPED, PIVOTED, floor
from benchmarks.window_counts import Peer, Question, assemble, differences, make_market, read_question

PEERS = (PIVOTED, GROUPED, ALL_AT_ONCE, FILTERED, PANDAS, POLARS, POLARS_FILTERED)
SLOW_CUTOFFS = 3
OURS, PARQUET = "ours, in memory", "ours, written as Parquet"
FLOOR, FLOOR_CODES = "floor: DuckDB reads and sorts", "floor, by customer number"
DOUBLE = "ours, twice the customers"


@dataclass
class Timings:
    """Seconds by measure, one for each repeat; `loading` is the part of them that loads data."""

    seconds: dict[str, list[float]] = field(default_factory=dict)
    loading: dict[str, list[float]] = field(default_factory=dict)

    def median(self, name: str) -> float:
        """The median of a measure."""
        return median(self.seconds[name])


@dataclass(frozen=True)
class Line:
    """One line of the table: a measure, its ratio to another, and the bar that the ratio has to meet."""

    measure: str
    seconds: float | None = None
    ratio: float | None = None
    bar: str = ""
    met: bool | None = None


def exhaust(stream: Iterable[Any]) -> None:
    """Take everything, keep nothing."""
    for _ in stream:
        pass


def seconds_of(work: Callable[[], object]) -> float:
    """How long it takes."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def positions_of(peer: Peer, question: Question) -> list[int]:
    """The cutoffs that a peer is run on: all, or for slow ones the first, a middle one and the last."""
    last = len(question.cutoffs) - 1
    return sorted({0, last // 2, last}) if peer.slow and last >= SLOW_CUTOFFS else list(range(last + 1))


def time_peer(peer: Peer, question: Question) -> tuple[float, float]:
    """Seconds for all cutoffs, and those of them that were spent on preparing (loading)."""
    positions = positions_of(peer, question)
    started = time.perf_counter()
    prepared = peer.prepare(question)
    loaded = time.perf_counter()
    assemble(question, peer.answer(prepared, question, positions), positions)
    answered = time.perf_counter() - loaded
    return loaded - started + answered * len(question.cutoffs) / len(positions), loaded - started


def check_peers(peers: Iterable[Peer], question: Question, prepared: Prepared) -> None:
    """Stop unless every number of every peer is exactly ours (which also warms everybody up)."""
    expected = ours_in_memory(prepared, question).to_numpy()[:, prepared.order(question)]
    for peer in peers:
        positions = positions_of(peer, question)
        parts = peer.answer(peer.prepare(question), question, positions)
        wrong = differences(question, parts, expected, positions)
        if wrong:
            raise SystemExit(f"{peer.name}: {wrong:,} numbers are not ours. No time is told before they are equal.")
        print(f"equal to ours: {peer.name}", flush=True)


def other_sizes(question: Question, double: Question) -> dict[str, Question]:
    """The questions that only we are asked, to see how time grows."""
    return {"ours, 6 cutoffs": question.with_cutoffs(6), "ours, 24 cutoffs": question.with_cutoffs(24), DOUBLE: double}


def take_times(question: Question, double: Question, prepared: Prepared, *, repeats: int) -> Timings:
    """All measures, in turns."""
    others = other_sizes(question, double)
    plans = {name: prepare(other) for name, other in others.items()}
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "matrix.parquet"
        work: dict[str, Callable[[], object]] = {
            FLOOR: lambda: exhaust(floor(question, as_codes=False)),
            FLOOR_CODES: lambda: exhaust(floor(question, as_codes=True)),
            OURS: lambda: ours_in_memory(prepared, question),
            PARQUET: lambda: ours_as_parquet(prepared, question, file),
        }
        for name, other in others.items():
            work[name] = partial(ours_in_memory, plans[name], other)
        timings = Timings()
        for repeat in range(repeats):
            for name, run in work.items():
                timings.seconds.setdefault(name, []).append(seconds_of(run))
            for peer in PEERS:
                total, loading = time_peer(peer, question)
                timings.seconds.setdefault(peer.name, []).append(total)
                timings.loading.setdefault(peer.name, []).append(loading)
            print(f"round {repeat + 1} of {repeats} done", flush=True)
    return timings


def at_most(measure: str, seconds: float | None, ratio: float, bar: float) -> Line:
    """A ratio that may not be above its bar."""
    return Line(measure, seconds, ratio, f"<= {bar}", ratio <= bar)


def at_least(measure: str, seconds: float, ratio: float, bar: float) -> Line:
    """A ratio that may not be below its bar."""
    return Line(measure, seconds, ratio, f">= {bar:g}", ratio >= bar)


def lines_of(timings: Timings) -> list[Line]:
    """The table of what took time, in the order in which it is asked for."""
    middle, ours = timings.median, timings.median(OURS)
    once = min((PIVOTED, GROUPED, FILTERED), key=lambda peer: middle(peer.name))
    slower = [Line(f"{p.name} / ours", middle(p.name), middle(p.name) / ours) for p in (PIVOTED, GROUPED) if p != once]
    return [
        Line(FLOOR, middle(FLOOR)),
        Line(FLOOR_CODES, middle(FLOOR_CODES), middle(FLOOR_CODES) / middle(FLOOR)),
        at_most(f"{OURS} / floor", ours, ours / middle(FLOOR), 2.0),
        at_most(f"{PARQUET} / floor", middle(PARQUET), middle(PARQUET) / middle(FLOOR), 3.0),
        at_least(f"fastest: {once.name} / ours", middle(once.name), middle(once.name) / ours, 8),
        *slower,
        *[
            _peer_line(timings, peer, bar)
            for peer, bar in ((ALL_AT_ONCE, 4), (FILTERED, 30), (PANDAS, 12), (POLARS_FILTERED, 8), (POLARS, 8))
        ],
        at_most("24 cutoffs / 6 cutoffs", None, middle("ours, 24 cutoffs") / middle("ours, 6 cutoffs"), 2.0),
        at_most("twice the customers / once", middle(DOUBLE), middle(DOUBLE) / ours, 2.2),
    ]


def _peer_line(timings: Timings, peer: Peer, bar: float) -> Line:
    seconds, loading = timings.median(peer.name), median(timings.loading[peer.name])
    name = f"{peer.name} (loading {loading:.1f} s)" if loading >= 0.05 else peer.name
    return at_least(f"{name} / ours", seconds, seconds / timings.median(OURS), bar)


def spark_lines(folder: Path, arguments: argparse.Namespace) -> list[Line]:
    """Spark beside DuckDB, on a tenth of the customers."""
    market = make_market(folder, customers=max(1000, arguments.customers // 10))
    question = read_question(market, cutoffs=arguments.cutoffs, memory_limit=arguments.memory)
    took = spark_local(question)
    name = f"Spark local[2] / DuckDB, {question.events:,} events ({took.kernel_share:.0%} in the kernel)"
    return [Line(name, took.spark, took.spark / took.here, "reported")]


def peak_lines(arguments: argparse.Namespace, folder: Path) -> list[Line]:
    """Peak memory of a process of its own, at the large size."""
    if not arguments.large:
        return [Line("peak memory at 100 million events, in GB", bar="<= 4, with --large")]
    market = make_market(folder, customers=arguments.large_customers)
    events = read_question(market, cutoffs=1, memory_limit="2GB").events
    peak = peak_memory_gb(market, cutoffs=arguments.cutoffs, memory_limit="2GB")
    return [at_most(f"peak memory at {events:,} events, in GB", None, peak, 4.0)]


def table(lines: Iterable[Line]) -> str:
    """The lines as Markdown."""
    shown = ["| measure | seconds | ratio | bar | met |", "|---|---|---|---|---|"]
    for line in lines:
        seconds = "" if line.seconds is None else f"{line.seconds:.2f}"
        ratio = "" if line.ratio is None else f"{line.ratio:.2f}"
        met = "" if line.met is None else ("yes" if line.met else "NO")
        shown.append(f"| {line.measure} | {seconds} | {ratio} | {line.bar} | {met} |")
    return "\n".join(shown)


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--customers", type=int, default=200_000)
    parser.add_argument("--cutoffs", type=int, default=12)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--memory", default="8GB", help="memory limit of every DuckDB (default: 8GB)")
    parser.add_argument("--folder", type=Path, help="where markets are kept (default: a temporary folder)")
    parser.add_argument("--json", type=Path, help="write the table and every single time to this file")
    parser.add_argument("--large", action="store_true", help="also measure peak memory (long, and much disk)")
    parser.add_argument("--large-customers", type=int, default=1_000_000)
    return parser.parse_args()


def run(arguments: argparse.Namespace, folder: Path) -> None:
    """Make the data, check, measure, and print."""
    sizes = [make_market(folder, customers=arguments.customers * times) for times in (1, 2)]
    question, double = (
        read_question(market, cutoffs=arguments.cutoffs, memory_limit=arguments.memory) for market in sizes
    )
    counts, rows = len(question.counts), len(question.customers) * len(question.cutoffs)
    print(f"{question.events:,} events; {rows:,} rows of {counts} counts; twice: {double.events:,} events", flush=True)
    prepared = prepare(question)
    check_peers(PEERS, question, prepared)
    timings = take_times(question, double, prepared, repeats=arguments.repeats)
    lines = [*lines_of(timings), *spark_lines(folder, arguments), *peak_lines(arguments, folder)]
    slow = ", ".join(peer.name for peer in PEERS if len(positions_of(peer, question)) < len(question.cutoffs))
    print(f"\n{table(lines)}\n\nmedians of {arguments.repeats}")
    if slow:
        print(f"run on {SLOW_CUTOFFS} of {len(question.cutoffs)} cutoffs, scaled up: {slow}")
    if arguments.json:
        facts = {"events": question.events, "rows": rows, "counts": counts, "table": [asdict(line) for line in lines]}
        arguments.json.write_text(json.dumps(facts | asdict(timings), indent=2) + "\n", encoding="utf-8")


def main() -> None:
    """Run the benchmark in its folder."""
    arguments = parse_arguments()
    with tempfile.TemporaryDirectory() as temporary:
        run(arguments, arguments.folder or Path(temporary))


if __name__ == "__main__":
    main()
