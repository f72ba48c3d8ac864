"""The matrix: profile, behaviour, purchases and a study's own features side by side, as one block of float32."""

import os
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from propensity.data.connect import memory_bytes
from propensity.data.schema import AMOUNT_UNITS
from propensity.data.tables import Tables
from propensity.features.behaviour import slotted_events
from propensity.features.contacts import slotted_contacts
from propensity.features.custom import custom_columns
from propensity.features.dealing import Spill
from propensity.features.plan import NO_FUNCTIONS, FeaturePlan, Functions
from propensity.features.profile import attributes_of, profile_columns
from propensity.features.purchases import slotted_purchases
from propensity.features.records import Progress, RecordPlan, Slotted, Told, record_batches
from propensity.features.spread import sweep_on_workers
from propensity.features.sweep import BLOCK_ROWS, Column, Sweep, sweep_blocks

Floats = npt.NDArray[np.float32]
_KEYS = ("customer_id", "cutoff")
_DAY = 86_400_000_000  # microseconds


@dataclass(frozen=True)
class Frame:
    """Rows for the learning arm.

    Attributes
    ----------
    X : DataFrame of float32, shape (n, p)
        The features, one block.
    keys : DataFrame, n rows
        ``customer_id``, ``code`` and ``cutoff`` (naive UTC; NaT in snapshots, which have ``position`` if ordered).
    y : ndarray of int8, shape (n,), or None
        Labels.
    unseen : dict
        Category feature → rows whose category train did not have.
    purchases : DataFrame, n rows, or None
        See `propensity.labels.first_purchases`; None in snapshots and where nothing is known of the outcome.
    """

    X: pd.DataFrame
    keys: pd.DataFrame
    y: npt.NDArray[np.int8] | None = None
    unseen: Mapping[str, int] | None = None
    purchases: pd.DataFrame | None = None

    def __len__(self) -> int:
        return len(self.X)

    @property
    def groups(self) -> npt.NDArray[np.int64]:
        """Customer numbers, shape (n,)."""
        codes: npt.NDArray[np.int64] = self.keys["code"].to_numpy()
        return codes

    @property
    def at(self) -> npt.NDArray[np.float64] | None:
        """When each row stands: its cutoff in days, or its place in a snapshot's order, shape (n,); None without."""
        if "position" in self.keys:
            return self.keys["position"].to_numpy(dtype=np.float64)
        cutoff = self.keys["cutoff"].to_numpy()
        return None if np.isnat(cutoff).any() else cutoff.astype("datetime64[us]").astype(np.int64) / _DAY

    @property
    def labels(self) -> npt.NDArray[np.int8]:
        """The labels, of a frame that has them."""
        assert self.y is not None  # noqa: S101 - asked of labelled frames only
        return self.y

    def take(self, rows: npt.NDArray[Any]) -> "Frame":
        """The frame of some rows, by position or mask."""
        return Frame(
            X=self.X.iloc[rows] if rows.dtype != bool else self.X[rows],
            keys=(self.keys.iloc[rows] if rows.dtype != bool else self.keys[rows]).reset_index(drop=True),
            y=None if self.y is None else self.y[rows],
            unseen=self.unseen,
            purchases=None if self.purchases is None else self.purchases.loc[rows].reset_index(drop=True),
        )


def decode(X: pd.DataFrame, features: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """Rows as the rules see them: categories as texts (None where missing), everything else as numbers."""
    decoded = {}
    for feature in features:
        column = X[feature["name"]].to_numpy()
        if feature["kind"] == "category":
            texts = np.array([*feature["categories"], None], dtype=object)
            column = texts[np.where(np.isnan(column), len(texts) - 1, column).astype(np.intp)]
        decoded[feature["name"]] = column
    return pd.DataFrame(decoded, index=X.index)


@dataclass(frozen=True)
class Rows:
    """The rows of a matrix, ordered by customer, then cutoff.

    Attributes
    ----------
    keys : DataFrame, n rows
        ``customer_id``, ``code`` and ``cutoff``.
    code, cutoff : ndarray of int64, shape (n,)
        Customer number, and position in `cutoffs`.
    cutoffs : tuple of datetime
        Aware instants.
    order : ndarray of int64, shape (n,)
        Where each row stands in the cohorts put below one another.
    """

    keys: pd.DataFrame
    code: npt.NDArray[np.int64]
    cutoff: npt.NDArray[np.int64]
    cutoffs: tuple[datetime, ...]
    order: npt.NDArray[np.int64]

    @classmethod
    def of(cls, cohorts: Sequence[pd.DataFrame], cutoffs: Sequence[datetime]) -> "Rows":
        """The rows of cohorts, one for each cutoff."""
        position = np.repeat(np.arange(len(cohorts), dtype=np.int64), [len(cohort) for cohort in cohorts])
        code = np.concatenate([cohort["code"].to_numpy(dtype=np.int64) for cohort in cohorts])
        order = np.argsort(code, kind="stable")  # cohorts stand in the order of their cutoffs
        code, position = code[order], position[order]
        # Column by column: a frame of millions of rows is taken apart, and put together, more slowly.
        customer_id, cutoff = (pd.concat([cohort[name] for cohort in cohorts]).array.take(order) for name in _KEYS)
        keys = pd.DataFrame({"customer_id": customer_id, "code": code, "cutoff": cutoff}, copy=False)
        return cls(keys=keys, code=code, cutoff=position, cutoffs=tuple(cutoffs), order=order)


def feature_blocks(
    tables: Tables,
    plan: FeaturePlan,
    rows: Rows,
    *,
    beside: pd.DataFrame,
    into: Floats | None = None,
    progress: Progress | None = None,
) -> Iterator[tuple[int, Floats]]:
    """The matrix in blocks of rows, as one sweep over events and purchases gives them.

    Parameters
    ----------
    rows : Rows
        The rows wanted.
    beside : DataFrame of float32, n rows
        The features that are not swept: see `unswept_columns`.
    into : ndarray of float32, shape (n, features), optional
        What the matrix is written into; each block is a part of it.

    Yields
    ------
    start : int
        The block's first row.
    block : ndarray of float32, shape (rows of the block, features)
    """
    columns, unswept = plan.swept_columns, [name for name in plan.names if name in beside]
    assert len(unswept) + len(columns) == len(plan.names)  # noqa: S101 - every feature comes from one side
    place = {name: i for i, name in enumerate(plan.names)}
    side, left = beside[unswept].to_numpy(), [place[name] for name in unswept]
    for start, block in _swept_blocks(tables, plan, rows, columns, place, into, progress):
        block[:, left] = side[start : start + len(block)]
        yield start, block


def _swept_blocks(
    tables: Tables,
    plan: FeaturePlan,
    rows: Rows,
    columns: tuple[Column, ...],
    place: Mapping[str, int],
    into: Floats | None,
    progress: Progress | None,
) -> Iterator[tuple[int, Floats]]:
    """The matrix's blocks with the swept columns filled in."""
    if not columns:
        for start in range(0, len(rows.code), BLOCK_ROWS):
            stop = min(start + BLOCK_ROWS, len(rows.code))
            yield start, np.empty((stop - start, len(place)), dtype=np.float32) if into is None else into[start:stop]
        return
    roles, sweep = what_to_sweep(tables, plan, rows, columns)
    sweep = replace(sweep, places=tuple(place[column.name] for column in columns), width=len(place))
    if tables.source.has_workers:
        yield 0, _swept_by_workers(tables, roles, sweep, rows, into)
        return
    wanted = rows.code[np.diff(rows.code, prepend=-1) != 0]
    codes = tables.codes.semi_join(tables.source.memtable(code=wanted), "code")
    batches = record_batches(tables, roles, sweep, codes=codes, progress=progress)
    told = Told("sweeping rows", len(rows.code), progress)
    with tables.source.work_folder() as folder:
        spill = Spill(folder, memory_bytes(tables.spec.memory_limit) // 4)
        sweep = replace(sweep, threads=os.cpu_count() or 1)
        for start, block in sweep_blocks(batches, sweep, rows.code, rows.cutoff, into=into, spill=spill):
            yield start, block
            told.more(len(block))


def what_to_sweep(
    tables: Tables, plan: FeaturePlan, rows: Rows, columns: tuple[Column, ...]
) -> tuple[list[Slotted], Sweep]:
    """The records of each role with their slots, and what is computed of them."""
    roles = [_SLOTTED[records.role](tables, records) for records in plan.records]
    return roles, Sweep(
        columns=columns,
        cutoffs=rows.cutoffs,
        zone=tables.spec.zone,
        slots=plan.records[-1].next_slot,
        value_unit=AMOUNT_UNITS,
    )


def _swept_by_workers(tables: Tables, roles: list[Slotted], sweep: Sweep, rows: Rows, into: Floats | None) -> Floats:
    """What workers swept, back in the order of the rows, at its places, shape (n, width)."""
    assert sweep.places is not None  # noqa: S101 - the matrix has places
    asked = pa.table({"sweep_code": rows.code, "sweep_cutoff": rows.cutoff, "row": np.arange(len(rows.code))})
    out = np.empty((len(rows.code), sweep.width or 0), dtype=np.float32) if into is None else into
    with tables.source.work_folder() as folder:
        sweep_on_workers(tables, roles, replace(sweep, places=None, width=None), asked, folder=folder)
        for file in sorted(folder.glob("*.parquet")):
            part = pq.read_table(file)
            at = part["row"].to_numpy()
            for place, column in zip(sweep.places, sweep.columns, strict=True):
                out[at, place] = part[column.name].to_numpy()
    return out


_SLOTTED: dict[str, Callable[[Tables, RecordPlan], Slotted]] = {
    "events": slotted_events,
    "purchases": slotted_purchases,
    "contacts": slotted_contacts,
}


def unswept_columns(
    tables: Tables, plan: FeaturePlan, rows: Rows, *, functions: Functions = NO_FUNCTIONS
) -> tuple[pd.DataFrame, dict[str, int]]:
    """The features that are not swept, of all rows, and how many categories of each were never seen on train.

    Returns
    -------
    columns : DataFrame of float32, n rows
        The profile, and what the study's own functions give.
    unseen : dict
        Category feature → rows.
    """
    out = np.empty((len(rows.code), len(plan.profile.features)), dtype=np.float32)
    unseen: Counter[str] = Counter()
    for i, cutoff in enumerate(rows.cutoffs if plan.profile.features else ()):
        at = np.flatnonzero(rows.cutoff == i)
        if len(at):
            out[at], found = profile_columns(plan.profile, attributes_of(tables, rows.code[at], cutoff))
            unseen.update(found)
    profile = pd.DataFrame(out, copy=False, columns=[feature.name for feature in plan.profile.features])
    custom = custom_columns(
        tables, plan.custom, functions, code=rows.code, cutoff_of_row=rows.cutoff, cutoffs=rows.cutoffs
    )
    return pd.concat([profile, custom], axis=1), dict(unseen)


def build_frame(
    tables: Tables,
    plan: FeaturePlan,
    *,
    cohorts: Sequence[pd.DataFrame],
    cutoffs: Sequence[datetime],
    labels: Sequence[pd.DataFrame] | None = None,
    functions: Functions = NO_FUNCTIONS,
    progress: Progress | None = None,
) -> Frame:
    """The rows of cohorts at their cutoffs: profile as of each, and one sweep over events and purchases for all.

    Parameters
    ----------
    cohorts : sequence of DataFrame
        Keys (``customer_id``, ``code``, ``cutoff``), one frame per cutoff.
    cutoffs : sequence of datetime
        Aware instants in the same order.
    labels : sequence of DataFrame, optional
        ``bought_at``, ``amount`` and ``y`` in the order of the cohorts.
    functions : mapping
        The study's own, by name: see `features.custom`.

    Returns
    -------
    Frame
        Rows ordered by customer, then cutoff.
    """
    rows = Rows.of(cohorts, cutoffs)
    beside, unseen = unswept_columns(tables, plan, rows, functions=functions)
    X = np.empty((len(rows.code), len(plan.features)), dtype=np.float32)
    for _ in feature_blocks(tables, plan, rows, beside=beside, into=X, progress=progress):
        pass
    known = None if labels is None else pd.concat(labels, ignore_index=True).take(rows.order).reset_index(drop=True)
    return Frame(
        X=pd.DataFrame(X, columns=plan.names, copy=False),
        keys=rows.keys,
        y=None if known is None else known["y"].to_numpy(),
        unseen=unseen,
        purchases=None if known is None else known[["bought_at", "amount"]],
    )
