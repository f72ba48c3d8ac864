"""The matrix as it is stored: tables of keys, labels and features, and files that an engine's workers write."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pyarrow as pa

from propensity.data.tables import Tables
from propensity.features.matrix import Floats, Rows, what_to_sweep
from propensity.features.plan import FeaturePlan
from propensity.features.spread import float_columns, sweep_on_workers

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
    unswept = replace(plan, features=tuple(f for f in plan.features if f.name in beside))
    schema = matrix_schema(unswept, extra.schema, text=pa.string())
    known = matrix_table(unswept, beside[unswept.names].to_numpy(), extra.columns, schema)
    asked = known.append_column("sweep_code", [rows.code]).append_column("sweep_cutoff", [rows.cutoff])
    roles, sweep = what_to_sweep(tables, plan, rows, plan.swept_columns)
    sweep_on_workers(tables, roles, sweep, asked, folder=folder)
