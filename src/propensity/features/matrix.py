"""The matrix: profile, behaviour and purchases side by side, as one block of float32.

What is learnt (vocabularies, categories, which columns are constant) is learnt on train and kept in a
`FeaturePlan`; training and scoring build their rows with the same plan and the same code.
"""

import os
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from propensity.config import Study
from propensity.data.connect import to_frame
from propensity.data.schema import AMOUNT_UNITS
from propensity.data.tables import Tables, attributes_as_of
from propensity.errors import DataError
from propensity.features.behaviour import plan_behaviour, slotted_events
from propensity.features.catalogue import Feature
from propensity.features.custom import CustomFunction, CustomPlan, custom_columns, plan_custom
from propensity.features.profile import ProfilePlan, plan_profile, profile_columns
from propensity.features.purchases import plan_purchases, slotted_purchases
from propensity.features.records import RecordPlan, Slotted, sorted_batches
from propensity.features.spread import float_columns, sweep_on_workers
from propensity.features.sweep import Column, Sweep, sweep_blocks
from propensity.temporal import Duration, format_instant

Floats = npt.NDArray[np.float32]
Functions = Mapping[str, CustomFunction]
NO_FUNCTIONS: Functions = MappingProxyType({})
BLOCK_ROWS = 65_536
"""Rows of a block where there is nothing to sweep."""


@dataclass(frozen=True)
class FeaturePlan:
    """All that is needed to build a row as train did.

    Attributes
    ----------
    profile : ProfilePlan
        Profile features and their categories.
    records : tuple of RecordPlan
        Swept features of events and purchases.
    custom : tuple of CustomPlan
        Features of the study's own functions.
    features : tuple of Feature
        The catalogue of the columns that are kept, in column order.
    """

    profile: ProfilePlan
    records: tuple[RecordPlan, ...]
    features: tuple[Feature, ...]
    custom: tuple[CustomPlan, ...] = ()

    @property
    def names(self) -> list[str]:
        """Column names in order."""
        return [feature.name for feature in self.features]

    @property
    def categories(self) -> dict[str, list[str]]:
        """The categories of each category feature."""
        return {f.name: list(f.categories) for f in self.features if f.kind == "category"}

    def catalogue(self) -> list[dict[str, Any]]:
        """The catalogue as data."""
        return [feature.to_dict() for feature in self.features]

    def to_dict(self) -> dict[str, Any]:
        """As plain values for JSON."""
        return {
            "profile": self.profile.to_dict(),
            "records": [plan.to_dict() for plan in self.records],
            "custom": [plan.to_dict() for plan in self.custom],
            "features": self.catalogue(),
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "FeaturePlan":
        """The inverse of `to_dict`."""
        return cls(
            profile=ProfilePlan.from_dict(values["profile"]),
            records=tuple(RecordPlan.from_dict(plan) for plan in values["records"]),
            custom=tuple(CustomPlan.from_dict(plan) for plan in values["custom"]),
            features=tuple(Feature.from_dict(feature) for feature in values["features"]),
        )


@dataclass(frozen=True)
class Frame:
    """Rows for the learning arm.

    Attributes
    ----------
    X : DataFrame of float32, shape (n, p)
        The features, one block.
    keys : DataFrame, n rows
        ``customer_id``, ``code`` and ``cutoff`` (naive UTC; NaT in snapshots).
    y : ndarray of int8, shape (n,), or None
        Labels.
    unseen : dict
        Category feature → rows whose category train did not have.
    """

    X: pd.DataFrame
    keys: pd.DataFrame
    y: npt.NDArray[np.int8] | None = None
    unseen: Mapping[str, int] | None = None

    def __len__(self) -> int:
        return len(self.X)

    @property
    def groups(self) -> npt.NDArray[np.int64]:
        """Customer numbers, shape (n,)."""
        codes: npt.NDArray[np.int64] = self.keys["code"].to_numpy()
        return codes

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


def usable_windows(windows: Sequence[Duration], tables: Tables, first: datetime) -> tuple[list[Duration], list[str]]:
    """The windows that the records before the first cutoff can fill, and a warning for each that they cannot."""
    begins = tables.begins
    if begins is None:
        return list(windows), []
    kept = [w for w in windows if w.before(first, zone=tables.spec.zone) >= begins or w == windows[0]]
    short = [w for w in windows if w not in kept]
    zone = tables.spec.zone
    return kept, [
        f"features: the window {window} is dropped: records begin {format_instant(begins, zone=zone)[:10]}, and the "
        f"first cutoff is {format_instant(first, zone=zone)}."
        for window in short
    ]


def learn_plan(
    tables: Tables,
    study: Study,
    *,
    cohorts: Sequence[pd.DataFrame],
    cutoffs: Sequence[datetime],
    functions: Functions = NO_FUNCTIONS,
) -> tuple[FeaturePlan, list[str]]:
    """Learn the features of a study on its train cohorts.

    Parameters
    ----------
    cohorts : sequence of DataFrame
        The keys of the train cohorts.
    cutoffs : sequence of datetime
        Their cutoffs; vocabularies see what was known before the last.
    functions : mapping
        The study's own, by name: see `features.custom`.

    Returns
    -------
    plan : FeaturePlan
        With all columns; `Frame` building may drop the constant ones through `keep_informative`.
    warnings : list of str
        Windows that were dropped.
    """
    windows, warnings = usable_windows(study.features.windows, tables, cutoffs[0])
    most, last = study.features.top_categories, cutoffs[-1]
    attributes = pd.concat(
        [_attributes(tables, keys["code"].to_numpy(), cutoff) for keys, cutoff in zip(cohorts, cutoffs, strict=True)],
        ignore_index=True,
    )
    profile = plan_profile(tables.spec.customers, attributes, most=max(most, 30))
    records = []
    if tables.events is not None and tables.spec.events is not None:
        records.append(plan_behaviour(tables, tables.spec.events, study.features, windows=windows, cutoff=last))
    if tables.purchases is not None and tables.spec.purchases is not None:
        first_slot = records[-1].next_slot if records else 0
        records.append(
            plan_purchases(
                tables, tables.spec.purchases, study.features, windows=windows, cutoff=last, first_slot=first_slot
            )
        )
    custom = plan_custom(tables, functions, cutoff=last)
    swept = [feature for plan in records for feature in plan.features]
    features = (*profile.features, *swept, *[feature for plan in custom for feature in plan.features])
    _refuse_same_names(features)
    return FeaturePlan(profile=profile, records=tuple(records), features=features, custom=custom), warnings


def _refuse_same_names(features: Sequence[Feature]) -> None:
    names = [feature.name for feature in features]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise DataError(f"features: two features would be called {twice}. Rename the attribute or the event kind.")


def keep_informative(plan: FeaturePlan, frame: Frame, *, always: Sequence[str]) -> FeaturePlan:
    """The plan without columns that are constant on train (unless named in `always`), with typical values.

    Parameters
    ----------
    frame : Frame
        The train rows with all columns.
    always : sequence of str
        Features that rules name, kept in any case.
    """
    kept = []
    for feature in plan.features:
        column = frame.X[feature.name].to_numpy()
        known = column[~np.isnan(column)]
        varies = len(known) > 0 and (len(known) < len(column) or bool((known != known[0]).any()))
        if varies or feature.name in always:
            typical: float | str | None = float(np.median(known)) if len(known) else None
            if feature.kind == "category" and len(known):
                typical = feature.categories[int(np.bincount(known.astype(np.intp)).argmax())]
            share = 1 - len(known) / max(len(column), 1)
            kept.append(replace(feature, typical=typical, missing_share=round(share, 6)))
    return replace(plan, features=tuple(kept))


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
        keys = pd.concat(list(cohorts), ignore_index=True)
        position = np.repeat(np.arange(len(cohorts), dtype=np.int64), [len(cohort) for cohort in cohorts])
        order = np.lexsort((position, keys["code"].to_numpy()))
        keys = keys.iloc[order].reset_index(drop=True)
        code = keys["code"].to_numpy(dtype=np.int64)
        return cls(keys=keys, code=code, cutoff=position[order], cutoffs=tuple(cutoffs), order=order)


def feature_blocks(
    tables: Tables,
    plan: FeaturePlan,
    rows: Rows,
    *,
    beside: pd.DataFrame,
    progress: Callable[[str], None] | None = None,
) -> Iterator[tuple[int, Floats]]:
    """The matrix in blocks of rows, as one sweep over events and purchases gives them.

    Parameters
    ----------
    rows : Rows
        The rows wanted.
    beside : DataFrame of float32, n rows
        The features that are not swept: see `unswept_columns`.

    Yields
    ------
    start : int
        The block's first row.
    block : ndarray of float32, shape (rows of the block, features)
    """
    names = plan.names
    columns = tuple(c for records in plan.records for c in records.columns if c.name in set(names))
    unswept = [name for name in names if name in beside]
    left, right = _places(unswept, names), _places([column.name for column in columns], names)
    side = beside[unswept].to_numpy()
    for start, swept in _swept_blocks(tables, plan, rows, columns, progress):
        block = np.empty((len(swept), len(names)), dtype=np.float32)
        block[:, left], block[:, right] = side[start : start + len(swept)], swept
        yield start, block


def _places(some: Sequence[str], names: Sequence[str]) -> slice | list[int]:
    """Where some names stand among all: as a slice, which is copied faster, where they stand together."""
    at = [names.index(name) for name in some]
    together = at == list(range(at[0], at[0] + len(at))) if at else True
    return (slice(at[0], at[0] + len(at)) if at else slice(0, 0)) if together else at


def _swept_blocks(
    tables: Tables,
    plan: FeaturePlan,
    rows: Rows,
    columns: tuple[Column, ...],
    progress: Callable[[str], None] | None,
) -> Iterator[tuple[int, Floats]]:
    if not columns:
        for start in range(0, len(rows.code), BLOCK_ROWS):
            yield start, np.empty((min(BLOCK_ROWS, len(rows.code) - start), 0), dtype=np.float32)
        return
    roles, sweep = _what_to_sweep(tables, plan, rows, columns)
    if tables.source.has_workers:
        yield 0, _swept_by_workers(tables, roles, sweep, rows)
        return
    codes = tables.codes.semi_join(tables.source.memtable(code=np.unique(rows.code)), "code")
    batches = sorted_batches(tables, roles, until=max(rows.cutoffs), codes=codes, progress=progress)
    yield from sweep_blocks(batches, replace(sweep, threads=os.cpu_count() or 1), rows.code, rows.cutoff)


def _what_to_sweep(
    tables: Tables, plan: FeaturePlan, rows: Rows, columns: tuple[Column, ...]
) -> tuple[list[Slotted], Sweep]:
    roles = [_SLOTTED[records.role](tables, records) for records in plan.records]
    return roles, Sweep(
        columns=columns,
        cutoffs=rows.cutoffs,
        zone=tables.spec.zone,
        slots=plan.records[-1].next_slot,
        value_unit=AMOUNT_UNITS,
    )


def _swept_by_workers(tables: Tables, roles: list[Slotted], sweep: Sweep, rows: Rows) -> Floats:
    """What workers swept, back in the order of the rows, shape (n, columns)."""
    asked = pa.table({"sweep_code": rows.code, "sweep_cutoff": rows.cutoff, "row": np.arange(len(rows.code))})
    out = np.empty((len(rows.code), len(sweep.columns)), dtype=np.float32)
    with tables.source.work_folder() as folder:
        sweep_on_workers(tables, roles, sweep, asked, folder=folder)
        for file in sorted(folder.glob("*.parquet")):
            part = pq.read_table(file)
            at = part["row"].to_numpy()
            for j, column in enumerate(sweep.columns):
                out[at, j] = part[column.name].to_numpy()
    return out


def write_matrix_by_workers(
    tables: Tables,
    plan: FeaturePlan,
    rows: Rows,
    *,
    beside: pd.DataFrame,
    extra: pa.Table,
    folder: Path,
) -> None:
    """Have workers write the matrix as Parquet files: `extra`'s columns, what is not swept, then what is.

    Parameters
    ----------
    beside : DataFrame of float32, n rows
        See `unswept_columns`.
    extra : pyarrow Table, n rows
        Keys and labels.
    folder : Path
        Empty, or not there yet.
    """
    names = set(plan.names)
    columns = tuple(c for records in plan.records for c in records.columns if c.name in names)
    unswept = replace(plan, features=tuple(f for f in plan.features if f.name in beside))
    schema = matrix_schema(unswept, extra.schema, text=pa.string())
    known = matrix_table(unswept, beside[unswept.names].to_numpy(), extra.columns, schema)
    asked = known.append_column("sweep_code", [rows.code]).append_column("sweep_cutoff", [rows.cutoff])
    roles, sweep = _what_to_sweep(tables, plan, rows, columns)
    sweep_on_workers(tables, roles, sweep, asked, folder=folder)


_SLOTTED: dict[str, Callable[[Tables, RecordPlan], Slotted]] = {
    "events": slotted_events,
    "purchases": slotted_purchases,
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
            out[at], found = profile_columns(plan.profile, _attributes(tables, rows.code[at], cutoff))
            unseen.update(found)
    profile = pd.DataFrame(out, columns=[feature.name for feature in plan.profile.features])
    custom = custom_columns(
        tables, plan.custom, functions, code=rows.code, cutoff_of_row=rows.cutoff, cutoffs=rows.cutoffs
    )
    return pd.concat([profile, custom], axis=1), dict(unseen)


TEXT = pa.dictionary(pa.int32(), pa.string())
"""How a category is stored in a matrix."""


def matrix_schema(plan: FeaturePlan, extra: pa.Schema, *, text: pa.DataType = TEXT) -> pa.Schema:
    """The matrix as a table: `extra` columns, then each feature; a category as its text, everything else float32."""
    kinds = [(feature.name, text if feature.kind == "category" else pa.float32()) for feature in plan.features]
    return pa.schema([*extra, *[pa.field(name, kind) for name, kind in kinds]])


def matrix_table(plan: FeaturePlan, block: Floats, extra: Sequence[pa.Array], schema: pa.Schema) -> pa.Table:
    """A block of rows as a table of `schema`; missing values are null."""
    columns = float_columns(block)
    for j, feature in enumerate(plan.features):
        if feature.kind == "category":
            texts = pa.DictionaryArray.from_arrays(
                columns[j].cast(pa.int32()), pa.array(feature.categories, pa.string())
            )
            columns[j] = texts.cast(schema.field(feature.name).type)
    return pa.Table.from_arrays([*extra, *columns], schema=schema)


def build_frame(
    tables: Tables,
    plan: FeaturePlan,
    *,
    cohorts: Sequence[pd.DataFrame],
    cutoffs: Sequence[datetime],
    labels: Sequence[npt.NDArray[np.int8]] | None = None,
    functions: Functions = NO_FUNCTIONS,
    progress: Callable[[str], None] | None = None,
) -> Frame:
    """The rows of cohorts at their cutoffs: profile as of each, and one sweep over events and purchases for all.

    Parameters
    ----------
    cohorts : sequence of DataFrame
        Keys (``customer_id``, ``code``, ``cutoff``), one frame per cutoff.
    cutoffs : sequence of datetime
        Aware instants in the same order.
    labels : sequence of ndarray, optional
        Labels in the order of the cohorts.
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
    for start, block in feature_blocks(tables, plan, rows, beside=beside, progress=progress):
        X[start : start + len(block)] = block
    y = None if labels is None else np.concatenate(list(labels))[rows.order]
    return Frame(X=pd.DataFrame(X, columns=plan.names), keys=rows.keys, y=y, unseen=unseen)


def _attributes(tables: Tables, code: npt.NDArray[np.int64], cutoff: datetime) -> pd.DataFrame:
    """Attributes of customers as of the cutoff, in the order of `code`, shape (n,)."""
    wanted = tables.source.memtable(code=code)
    known = attributes_as_of(tables, cutoff).inner_join(tables.codes, "customer_id")
    rows = to_frame(known.semi_join(wanted, "code").drop("customer_id").order_by("code"))
    return rows.set_index("code").reindex(code).reset_index(drop=True)
