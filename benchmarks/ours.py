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
from time import perf_counter

import numpy as np
import pandas as pd
import pyarrow as pa

from benchmarks.window_counts import Count, Question, read_question
from propensity.config import Study, load_study
from propensity.data.tables import Tables, open_tables
from propensity.features.matrix import Rows, build_frame, feature_blocks, what_to_sweep
from propensity.features.plan import FeaturePlan, learn_plan
from propensity.features.records import record_batches
from propensity.features.stored import matrix_schema, matrix_table, write_matrix_by_workers
from propensity.features.sweep import read_ahead, sweep_blocks
from propensity.files import write_row_groups
from propensity.samples import express

ROOT = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class Prepared:
    """What is known before time is taken: the plan has the question's columns only, in an order of its own."""

    study: Study
    plan: FeaturePlan

    def order(self, question: Question) -> list[int]:
        """Where each count of the question stands among our columns."""
        return [self.plan.names.index(_our_name(count)) for count in question.counts]


def prepare(question: Question) -> Prepared:
    """The demo's study on the market's events alone."""
    study = load_study(ROOT / "configs" / "demo.yaml")
    spec = study.data
    assert spec.events is not None  # noqa: S101 - the demo declares events
    data = spec.model_copy(
        update={
            "source": str(question.folder),
            "memory_limit": question.memory_limit,
            "customers": spec.customers.model_copy(update={"attributes": {}}),
            "events": spec.events.model_copy(update={"attributes": ("channel",), "initiated_by": None}),
            "purchases": None,
        }
    )
    wanted = {"top_categories": len(question.pairs), "events": ("count",), "cross": ("channel",)}
    features = study.features.model_copy(update=wanted)
    study = study.model_copy(update={"data": data, "features": features})
    with _open(study, question) as tables:
        cutoffs = [cutoff.replace(tzinfo=UTC) for cutoff in question.cutoffs]
        plan, _ = learn_plan(tables, study, cohorts=_cohorts(question)[-1:], cutoffs=cutoffs[-1:])
    names = {_our_name(count) for count in question.counts}
    kept = tuple(feature for feature in plan.features if feature.name in names)
    profile = replace(plan.profile, features=(), sources=())
    return Prepared(study=study, plan=replace(plan, profile=profile, features=kept))


def _our_name(count: Count) -> str:
    by = {(True, True): "kind_channel", (False, True): "channel"}.get((bool(count.kind), bool(count.channel)))
    return "_".join(["events", *filter(None, (by, count.kind, count.channel)), f"{count.window}d"])


@contextmanager
def _open(study: Study, question: Question) -> Iterator[Tables]:
    source = Path(study.data.source)
    with open_tables(study.data, source, express=express) as tables:
        yield tables


def _cohorts(question: Question) -> list[pd.DataFrame]:
    """Every customer at each cutoff."""
    codes = np.arange(len(question.customers), dtype=np.int64)
    keys = pd.DataFrame({"customer_id": question.customers, "code": codes})
    return [keys.assign(cutoff=pd.Timestamp(cutoff).as_unit("us")) for cutoff in question.cutoffs]


# ---- The functions below are what is measured. ------------------------------------------------------------------


def ours_in_memory(prepared: Prepared, question: Question) -> pd.DataFrame:
    """The matrix in memory, customers * cutoffs rows ordered by customer, then cutoff."""
    cutoffs = [cutoff.replace(tzinfo=UTC) for cutoff in question.cutoffs]
    with _open(prepared.study, question) as tables:
        return build_frame(tables, prepared.plan, cohorts=_cohorts(question), cutoffs=cutoffs).X


def ours_as_parquet(prepared: Prepared, question: Question, file: Path) -> None:
    """The same as Parquet, block by block as the sweep gives them."""
    with _open(prepared.study, question) as tables:
        _write(tables, prepared.plan, _rows(question), file)


def _rows(question: Question) -> Rows:
    return Rows.of(_cohorts(question), [cutoff.replace(tzinfo=UTC) for cutoff in question.cutoffs])


def _write(tables: Tables, plan: FeaturePlan, rows: Rows, file: Path) -> None:
    keys = pa.table({"customer_id": pa.array(rows.keys["customer_id"]), "cutoff": pa.array(rows.keys["cutoff"])})
    keys, schema = keys.combine_chunks(), matrix_schema(plan, keys.schema)
    none = pd.DataFrame(index=rows.keys.index)
    blocks = feature_blocks(tables, plan, rows, beside=none)
    parts = (matrix_table(plan, block, keys.slice(start, len(block)).columns, schema) for start, block in blocks)
    write_row_groups(read_ahead(parts), file, schema=schema)


@dataclass(frozen=True)
class SparkTimes:
    """Seconds from opened tables to Parquet, on Spark local[2] and here, and seconds of the kernel alone."""

    spark: float
    here: float
    kernel: float

    @property
    def kernel_share(self) -> float:
        """The kernel's part of what Spark's two threads had."""
        return self.kernel / (2 * self.spark)


def spark_local(question: Question) -> SparkTimes:
    """The same matrix on Spark's workers. Starting Spark and looking at the tables is not in the time."""
    prepared, rows = prepare(question), _rows(question)
    keys = pa.table({"customer_id": pa.array(rows.keys["customer_id"]), "cutoff": pa.array(rows.keys["cutoff"])})
    none = pd.DataFrame(index=rows.keys.index)
    spark = prepared.study.data.model_copy(update={"engine": "spark"})
    with open_tables(spark, Path(spark.source), express=express) as tables, tempfile.TemporaryDirectory() as folder:
        started = perf_counter()
        write_matrix_by_workers(tables, prepared.plan, rows, beside=none, extra=keys, folder=Path(folder) / "matrix")
        on_spark = perf_counter() - started
    with _open(prepared.study, question) as tables, tempfile.TemporaryDirectory() as folder:
        started = perf_counter()
        _write(tables, prepared.plan, rows, Path(folder) / "matrix.parquet")
        here = perf_counter() - started
        roles, sweep = what_to_sweep(tables, prepared.plan, rows, prepared.plan.swept_columns)
        batches = list(record_batches(tables, roles, sweep, codes=tables.codes))
        started = perf_counter()
        for _ in sweep_blocks(batches, sweep, rows.code, rows.cutoff):
            pass
        return SparkTimes(spark=on_spark, here=here, kernel=perf_counter() - started)


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


def _measure_peak(market: Path, cutoffs: int, memory_limit: str) -> str:
    question = read_question(market, cutoffs=cutoffs, memory_limit=memory_limit)
    with tempfile.TemporaryDirectory() as folder:
        ours_as_parquet(prepare(question), question, Path(folder) / "matrix.parquet")
    return json.dumps({"peak_gb": _own_peak_gb(), "events": question.events})


if __name__ == "__main__":
    print(_measure_peak(Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3]))
