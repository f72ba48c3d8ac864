"""Our own answer to the benchmark's question: one function for each way that is measured.

What a study learns on train (which kinds, channels and pairs have columns) is learnt outside the time taken, as the
peers are told it; everything from opening the source to the last row is inside.
"""

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.window_counts import WINDOWS, Count, Question
from propensity.config import Study, load_study
from propensity.data.tables import Tables, open_tables
from propensity.features.matrix import FeaturePlan, Frame, build_frame, learn_plan
from propensity.samples import express

ROOT = Path(__file__).resolve().parents[1]
PAIR = "pair"
ROW_GROUP = 100_000


@dataclass(frozen=True)
class Prepared:
    """What is known before time is taken."""

    study: Study
    plan: FeaturePlan


def prepare(question: Question) -> Prepared:
    """The demo's study on the market's events, and a plan with the question's columns only."""
    study = load_study(ROOT / "configs" / "demo.yaml")
    spec = study.data
    data = spec.model_copy(
        update={
            "source": str(question.folder),
            "customers": spec.customers.model_copy(update={"attributes": {}}),
            "events": spec.events.model_copy(update={"attributes": ("channel",), "initiated_by": None}),
            "purchases": None,
        }
    )
    features = study.features.model_copy(update={"top_categories": len(question.pairs)})
    study = study.model_copy(update={"data": data, "features": features})
    with _open(study, question) as tables:
        cutoffs = [cutoff.replace(tzinfo=UTC) for cutoff in question.cutoffs]
        plan, _ = learn_plan(tables, study, cohorts=[_cohort(question, 0)], cutoffs=cutoffs[-1:])
    found = {feature.name: feature for feature in plan.features}
    wanted = tuple(found[_our_name(count)] for count in question.counts)
    profile = replace(plan.profile, features=(), sources=())
    return Prepared(study=study, plan=replace(plan, profile=profile, features=wanted))


def _our_name(count: Count) -> str:
    parts = {(True, True): PAIR, (False, True): "channel"}
    middle = parts.get((count.kind is not None, count.channel is not None))
    return "_".join(["events", *filter(None, (middle, count.kind, count.channel)), f"{count.window}d"])


@contextmanager
def _open(study: Study, question: Question) -> Iterator[Tables]:
    """The study's tables, with the pair of kind and channel as one more attribute of events."""
    source = Path(study.data.source)
    with open_tables(study.data, source, express=express, memory_limit=question.memory_limit) as tables:
        assert tables.events is not None  # noqa: S101 - the demo declares events
        assert tables.spec.events is not None  # noqa: S101
        events = tables.spec.events.model_copy(update={"attributes": ("channel", PAIR)})
        paired = tables.events.mutate(**{PAIR: tables.events.kind + " " + tables.events.channel})
        yield replace(tables, events=paired, spec=tables.spec.model_copy(update={"events": events}))


def _cohort(question: Question, position: int) -> pd.DataFrame:
    cutoff = pd.Timestamp(question.cutoffs[position]).as_unit("us")
    codes = np.arange(len(question.customers), dtype=np.int64)
    return pd.DataFrame({"customer_id": question.customers, "code": codes, "cutoff": cutoff})


def _frame(prepared: Prepared, question: Question) -> Frame:
    with _open(prepared.study, question) as tables:
        return build_frame(
            tables,
            prepared.plan,
            cohorts=[_cohort(question, position) for position in range(len(question.cutoffs))],
            cutoffs=[cutoff.replace(tzinfo=UTC) for cutoff in question.cutoffs],
        )


# ---- The functions below are what is measured. ------------------------------------------------------------------


def ours_in_memory(prepared: Prepared, question: Question) -> npt.NDArray[np.float32]:
    """The matrix in memory, shape (customers * cutoffs, features), ordered by customer, then cutoff."""
    matrix: npt.NDArray[np.float32] = _frame(prepared, question).X.to_numpy()
    return matrix


def ours_as_parquet(prepared: Prepared, question: Question, file: Path) -> None:
    """The same, with the matrix written as Parquet."""
    frame = _frame(prepared, question)
    table = pa.Table.from_pandas(frame.X.assign(customer_id=frame.keys["customer_id"], cutoff=frame.keys["cutoff"]))
    pq.write_table(table, file, row_group_size=ROW_GROUP)


def spark_local(question: Question) -> tuple[float, float] | None:
    """Seconds on Spark local[2], and the share of them spent in the kernel; None where it is not measured."""
    del question
    return None


# -----------------------------------------------------------------------------------------------------------------


def peak_memory_gb(market: Path, *, cutoffs: int, memory_limit: str) -> float:
    """Peak memory in GB of a process of its own that writes the market's matrix as Parquet."""
    command = [sys.executable, "-m", "benchmarks.ours", str(market), str(cutoffs), memory_limit]
    done = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    return float(json.loads(done.stdout.splitlines()[-1])["peak_gb"])


def _own_peak_gb() -> float:
    """The most memory this process held, in GB.

    Linux hands `resource.getrusage`'s figure from a parent to the program that it starts: a small child of a large
    benchmark would seem large. VmHWM belongs to this program alone.
    """
    status = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return next(int(line.split()[1]) for line in status if line.startswith("VmHWM")) * 1024 / 1e9


def _measure_peak(arguments: list[str]) -> Iterator[str]:
    from benchmarks.window_counts import read_question

    market, cutoffs, memory_limit = arguments
    question = read_question(Path(market), cutoffs=int(cutoffs), memory_limit=memory_limit)
    prepared = prepare(question)
    with tempfile.TemporaryDirectory() as folder:
        ours_as_parquet(prepared, question, Path(folder) / "matrix.parquet")
    yield json.dumps({"peak_gb": _own_peak_gb(), "events": question.events, "windows": WINDOWS})


if __name__ == "__main__":
    print(*_measure_peak(sys.argv[1:]), sep="\n")
