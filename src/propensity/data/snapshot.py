"""A snapshot study's rows: one flat table with a ready label, read through the same staging as customers."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from propensity.config import DataSpec, OutcomeSpec, SplitSpec, TableSpec
from propensity.data.connect import Express, open_source, to_frame
from propensity.data.schema import TableFacts, stage_customers
from propensity.data.values import scalar_text
from propensity.errors import DataError

_FILE = "the file given"


@dataclass(frozen=True)
class SnapshotRows:
    """The rows of a flat table, in their order.

    Attributes
    ----------
    attributes : DataFrame, n rows
        Declared attributes in their canonical types.
    keys : DataFrame, n rows
        ``customer_id`` (the key column or the row number), ``code`` (position) and ``cutoff`` (NaT).
    y : ndarray of int8, shape (n,), or None
        Labels; None for rows that are to be scored.
    part : ndarray of str, shape (n,), or None
        ``train``, ``validation`` or ``test`` (empty: left out); None when the split is by folds.
    meets : ndarray of bool, shape (n, criteria)
        Whether the row meets each of the target's criteria.
    is_suppressed : ndarray of bool, shape (n,)
        Whether the row is suppressed.
    """

    attributes: pd.DataFrame
    keys: pd.DataFrame
    y: npt.NDArray[np.int8] | None
    part: npt.NDArray[np.str_] | None
    meets: npt.NDArray[np.bool_]
    is_suppressed: npt.NDArray[np.bool_]
    facts: TableFacts
    warnings: list[str]

    @property
    def is_target(self) -> npt.NDArray[np.bool_]:
        """Whether the row meets all criteria, shape (n,)."""
        return np.asarray(self.meets.all(axis=1))


def read_snapshot(
    spec: DataSpec,
    path: Path,
    *,
    outcome: OutcomeSpec,
    split: SplitSpec,
    criteria: Mapping[str, str],
    suppress: str | None,
    express: Express,
    file: Path | None = None,
) -> SnapshotRows:
    """Read a flat table.

    Parameters
    ----------
    spec : DataSpec
        The study's data section.
    path : Path
        The source as a path.
    outcome, split : OutcomeSpec, SplitSpec
        Which column is the label, and how rows are split.
    criteria : mapping of str to str
        The target's, as checked expressions over attributes, by their place in the study.
    suppress : str, optional
        A checked expression over attributes: who is suppressed.
    express : callable
        Turns checked expressions into columns.
    file : Path, optional
        Rows to score instead of the study's own table; they need no label.

    Raises
    ------
    DataError
        When a column is missing, a label is empty, or a split has no rows.
    """
    labelled = file is None
    spec = _with_file(spec, file) if file else spec
    with open_source(spec, path, express=express) as source:
        order = split.order if split.order != "rows" else None
        carry = tuple(dict.fromkeys(c for c in (outcome.column, split.column, order) if c)) if labelled else ()
        table, facts, warnings = stage_customers(source, spec, carry=carry, numbered=True)
        rows = to_frame(table.order_by("row_position"))
        # Criteria are checked against the attributes alone: neither label nor split may decide who is a prospect.
        attributes = table.select("row_position", *spec.customers.attributes)
        flags = {f"meets_{i}": express(criteria[place], attributes, place) for i, place in enumerate(criteria)}
        if suppress:
            flags["suppressed"] = express(suppress, attributes, "target.suppress.where")
        flagged = to_frame(attributes.mutate(**flags).order_by("row_position"))
    keys = pd.DataFrame({"customer_id": rows["customer_id"], "code": np.arange(len(rows), dtype=np.int64)})
    keys["cutoff"] = pd.Series(pd.NaT, index=keys.index, dtype="datetime64[us]")
    if labelled and split.order is not None:
        keys.loc[_in_order(rows, split.order), "position"] = np.arange(len(rows), dtype=np.float64)
    meets = np.ones((len(rows), len(criteria)), dtype=bool)
    for i in range(len(criteria)):
        meets[:, i] = flagged[f"meets_{i}"].fillna(value=False)
    is_target, is_suppressed = meets.all(axis=1), np.zeros(len(rows), dtype=bool)
    if suppress:
        is_suppressed = flagged["suppressed"].fillna(value=False).to_numpy(dtype=bool)
    return SnapshotRows(
        attributes=rows[[*spec.customers.attributes]],
        keys=keys,
        y=_labels(rows[f"carried_{outcome.column}"], outcome) if labelled else None,
        part=_parts(rows, split, is_target & ~is_suppressed) if labelled else None,
        meets=meets,
        is_suppressed=is_suppressed,
        facts=facts,
        warnings=warnings,
    )


def _with_file(spec: DataSpec, file: Path) -> DataSpec:
    """The data section with `file` in place of the customers table, read as the study reads a file of that name."""
    if not file.exists():
        raise DataError(f"--data: {file} does not exist. Name an existing Parquet or CSV file.")
    alike = next((table for table in spec.tables.values() if table.file and Path(table.file).name == file.name), None)
    table = TableSpec(
        file=str(file.absolute()),
        csv=alike.csv if alike else None,
        columns=alike.columns if alike else (),
    )
    customers = spec.customers.model_copy(update={"table": _FILE})
    return spec.model_copy(update={"tables": {**spec.tables, _FILE: table}, "customers": customers})


def _labels(values: pd.Series, outcome: OutcomeSpec) -> npt.NDArray[np.int8]:
    empty = int(values.isna().sum())
    if empty:
        raise DataError(
            f"outcome.column: {empty:,} rows have no '{outcome.column}'. A snapshot's rows all need a label; rows to "
            "score go into a file of their own (score --data FILE)."
        )
    positive = [scalar_text(value) for value in outcome.positive]
    labels: npt.NDArray[np.int8] = values.isin(positive).to_numpy().astype(np.int8)
    if labels.min() == labels.max():
        found = sorted(values.unique())[:5]
        raise DataError(
            f"outcome.positive: {'no row is' if labels.max() == 0 else 'all rows are'} positive; "
            f"'{outcome.column}' holds {found}. Name the values that mean a purchase."
        )
    return labels


def _parts(rows: pd.DataFrame, split: SplitSpec, usable: npt.NDArray[np.bool_]) -> npt.NDArray[np.str_] | None:
    if split.folds:
        return None
    part = np.full(len(rows), "", dtype="<U10")
    if split.column:
        values = rows[f"carried_{split.column}"]
        for name in ("train", "validation", "test"):
            part[values.isin([scalar_text(value) for value in getattr(split, name)]).to_numpy()] = name
    else:
        order = _in_order(rows, str(split.order))
        # The shares are of the prospects; other rows belong to the part that they stand in.
        counted = np.cumsum(usable[order])
        reached = np.round(np.cumsum(split.shares) * counted[-1])
        ends = [*np.searchsorted(counted, reached[:2], side="left") + 1, len(rows)]
        for name, start, end in zip(("train", "validation", "test"), (0, *ends), ends, strict=False):
            part[order[start:end]] = name
    for name in ("train", "test"):
        if not (part == name).any():
            raise DataError(f"split: no row belongs to {name}. Check the column's values or the shares.")
    return part


def _in_order(rows: pd.DataFrame, name: str) -> npt.NDArray[np.intp]:
    """Row numbers, the first in the split's order first."""
    return np.arange(len(rows)) if name == "rows" else _order(rows[f"carried_{name}"], name)


def _order(values: pd.Series, name: str) -> npt.NDArray[np.intp]:
    number = pd.to_numeric(values, errors="coerce")
    if number.notna().all():
        return np.argsort(number.to_numpy(), kind="stable")
    if values.isna().any():
        raise DataError(f"split.order: {int(values.isna().sum()):,} rows have no '{name}'. Fill it, or order by rows.")
    return np.argsort(values.to_numpy(dtype=str), kind="stable")
