"""The scramble test: rows at or after a cutoff are changed at the source, and nothing as of the cutoff may move.

Rows that happened or became known at or after the cutoff are deleted, duplicated, and altered (each column's values
dealt out anew among those rows, quantities blown up besides). The cohort, the funnel, what is learnt on train, every
feature to the last bit, and every score must stay the same. Whatever moves has looked at what came later.
"""

import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import ibis
import ibis.expr.types as ir
import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
from scipy.special import expit

from propensity.audit.lineage import Lineage
from propensity.config import DataSpec, Study
from propensity.data.connect import Alter, to_count
from propensity.data.tables import Tables, is_later
from propensity.data.values import read_text_number
from propensity.features.matrix import build_frame
from propensity.features.plan import FeaturePlan, learn_plan
from propensity.files import to_json
from propensity.samples import draw, study_functions

DELETED, DUPLICATED, ALTERED = "deleted", "duplicated", "altered"
CHANGES = (DELETED, DUPLICATED, ALTERED)

LogOdds = Callable[[pd.DataFrame], npt.NDArray[np.float64]]


def later_rows(raw: ir.Table, name: str, *, lineage: Lineage, spec: DataSpec, cutoff: datetime) -> ir.BooleanValue:
    """Which rows of a raw table nothing as of the cutoff may know.

    Where a table serves several roles, a row counts as later when it is later for all of them: what one of them may
    know by then is left alone.
    """
    later = ibis.literal(value=True)
    for role in dict.fromkeys(time.role for time in lineage.times[name]):
        times = [time.read(raw, spec) for time in lineage.times[name] if time.role == role]
        later = later & is_later(times, cutoff)
    return later


def count_later(raws: Mapping[str, ir.Table], *, lineage: Lineage, spec: DataSpec, cutoff: datetime) -> dict[str, int]:
    """How many rows of each dated raw table are at or after the cutoff."""
    return {
        name: to_count(later_rows(raws[name], name, lineage=lineage, spec=spec, cutoff=cutoff).sum())
        for name in lineage.times
    }


def alteration(change: str, *, lineage: Lineage, spec: DataSpec, cutoff: datetime, seed: int) -> Alter:
    """The hook that changes every dated raw table from the cutoff on, in one of the three ways."""

    def alter(name: str, raw: ir.Table) -> ir.Table:
        if name not in lineage.times:
            return raw
        later = later_rows(raw, name, lineage=lineage, spec=spec, cutoff=cutoff)
        if change == DELETED:
            return raw.filter(~later)
        if change == DUPLICATED:
            # A table that must hold each key once is left alone: to double its rows is refused, and proves nothing.
            return raw if name in lineage.unique else ibis.union(raw, raw.filter(later), raw.filter(later))
        return _dealt_anew(raw, name, later, lineage=lineage, seed=seed)

    return alter


def _dealt_anew(raw: ir.Table, name: str, later: ir.BooleanValue, *, lineage: Lineage, seed: int) -> ir.Table:
    """The table with each column of its later rows shuffled by itself, and quantities blown up; times stay."""
    rows = raw.filter(later).to_pyarrow()
    if rows.num_rows == 0:
        return raw
    held = {time.source.column for time in lineage.times[name]} | lineage.unique.get(name, set())
    draw = np.random.default_rng([seed, zlib.crc32(name.encode())])
    columns = {
        column: rows[column] if column in held else rows[column].take(pa.array(draw.permutation(rows.num_rows)))
        for column in rows.column_names
    }
    table = ibis.memtable(pa.table(columns)).cast(raw.schema())
    quantities = [column for column in table.columns if column not in held | lineage.keys]
    blown = {column: _blown_up(table[column], as_number=column in lineage.numbers) for column in quantities}
    return ibis.union(raw.filter(~later), table.mutate(**blown))


def _blown_up(column: ir.Value, *, as_number: bool) -> ir.Value:
    """A quantity times a thousand and a bit, where its type can hold that; other values as they are."""
    kind = column.type()
    if kind.is_numeric():
        return ibis.coalesce((column.cast("float64") * 1000.0 + 7.0).try_cast(kind), column)
    if kind.is_string() and as_number:
        return ibis.coalesce((read_text_number(column) * 1000.0 + 7.0).cast("string"), column)
    return column


@dataclass(frozen=True)
class AsOf:
    """All that is known as of a cutoff.

    Attributes
    ----------
    customers : Index, n keys
        The cohort.
    funnel : dict
        Step → count.
    X : ndarray of float32, shape (n, features)
        The cohort's features.
    learnt : str or None
        What features would be learnt on this cohort, as text.
    """

    customers: pd.Index
    funnel: dict[str, int]
    X: npt.NDArray[np.float32]
    learnt: str | None


def look(tables: Tables, study: Study, plan: FeaturePlan, cutoff: datetime, *, learn: bool) -> AsOf:
    """The cohort and its features as of a cutoff, as scoring draws and builds them."""
    cohort = draw(tables, study, cutoff, plan=plan)
    funnel = {step.name: step.count for step in cohort.funnel}
    if len(cohort) == 0:
        return AsOf(pd.Index([]), funnel, np.empty((0, len(plan.names)), dtype=np.float32), None)
    functions = study_functions(study)
    frame = build_frame(tables, plan, cohorts=[cohort.keys], cutoffs=[cutoff], functions=functions)
    learnt = None
    if learn:
        again, _ = learn_plan(tables, study, cohorts=[cohort.keys], cutoffs=[cutoff], functions=functions)
        learnt = to_json(again.to_dict())
    return AsOf(pd.Index(frame.keys["customer_id"]), funnel, frame.X[plan.names].to_numpy(), learnt)


@dataclass(frozen=True)
class Difference:
    """What moved as of a cutoff when later rows were changed.

    Attributes
    ----------
    cutoff : datetime
        The aware instant.
    change : str
        What was done to the later rows, or ``trained`` where training is held against scoring.
    prospects : int
        Prospects before the change.
    left, entered : int
        Customers who left or entered the cohort.
    funnel : dict
        Step → counts before and after, where they differ.
    features : dict
        Feature → prospects (of those in both cohorts) whose value differs, where any does.
    scores : int
        Prospects whose score differs; `largest` by how much in probability at most.
    learnt : bool
        Whether what is learnt on train differs.
    """

    cutoff: datetime
    change: str
    prospects: int
    left: int = 0
    entered: int = 0
    funnel: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    features: Mapping[str, int] = field(default_factory=dict)
    scores: int = 0
    largest: float = 0.0
    learnt: bool = False

    @property
    def is_same(self) -> bool:
        """Whether nothing moved."""
        return not (self.left or self.entered or self.funnel or self.features or self.scores or self.learnt)

    def to_dict(self) -> dict[str, Any]:
        """As plain values for JSON."""
        return {**vars(self), "cutoff": self.cutoff.isoformat(), "funnel": dict(self.funnel)}


def difference(
    before: AsOf, after: AsOf, *, cutoff: datetime, change: str, names: Sequence[str], log_odds: LogOdds | None
) -> Difference:
    """Hold two looks at the same cutoff against each other, customer by customer.

    Customers are matched by their keys: their numbers may differ where customers are derived from records.
    """
    position = after.customers.get_indexer(before.customers)
    both = np.flatnonzero(position >= 0)
    mine, other = before.X[both], after.X[position[both]]
    moved = (mine.view(np.uint32) != other.view(np.uint32)) & ~(np.isnan(mine) & np.isnan(other))
    counts = moved.sum(axis=0)
    scores, largest = 0, 0.0
    rows = moved.any(axis=1)
    if log_odds is not None and rows.any():
        was, now = (log_odds(pd.DataFrame(X[rows], columns=list(names))) for X in (mine, other))
        scores, largest = int((was != now).sum()), float(np.abs(expit(was) - expit(now)).max())
    return Difference(
        cutoff=cutoff,
        change=change,
        prospects=len(before.customers),
        left=len(before.customers) - len(both),
        entered=len(after.customers) - len(both),
        funnel={step: (n, after.funnel[step]) for step, n in before.funnel.items() if after.funnel[step] != n},
        features={names[j]: int(counts[j]) for j in np.flatnonzero(counts).tolist()},
        scores=scores,
        largest=largest,
        learnt=None not in (before.learnt, after.learnt) and before.learnt != after.learnt,
    )
