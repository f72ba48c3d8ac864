"""The data frame peers: pandas and Polars, once a cutoff, on events that are loaded once.

Both work on cells (see `window_counts`): filter, group by customer and cell, spread the cells over columns, and add
them up to windows. Texts stay the categories as which the market's files hold them.
"""

from collections.abc import Iterator, Sequence
from datetime import timedelta

import numpy as np
import pandas as pd
import polars as pl

from benchmarks.window_counts import BUCKETS, WINDOWS, Part, Peer, Question, boundaries

COLUMNS = ["customer_id", "occurred_at", "available_at", "event_type", "channel"]


def _load_pandas(question: Question) -> pd.DataFrame:
    events = pd.read_parquet(question.folder / "events.parquet", columns=COLUMNS)
    kinds, channels = events["event_type"].cat, events["channel"].cat
    position = np.full((len(kinds.categories), len(channels.categories)), -1, dtype=np.int16)
    for i, (kind, channel) in enumerate(question.pairs):
        position[kinds.categories.get_loc(kind), channels.categories.get_loc(channel)] = i
    events["pair"] = position[kinds.codes, channels.codes]
    return events.drop(columns=["event_type", "channel"])


def _pandas(events: pd.DataFrame, question: Question, positions: Sequence[int]) -> Iterator[Part]:
    membership = question.membership()
    names = [count.name for count in question.counts]
    inner = pd.to_timedelta(np.array(WINDOWS[:-1]), unit="D").to_numpy()
    for position in positions:
        cutoff = pd.Timestamp(question.cutoffs[position])
        since = pd.Timestamp(boundaries(question.cutoffs[position])[-1])
        known = (events["occurred_at"] < cutoff) & (events["available_at"] < cutoff) & (events["occurred_at"] >= since)
        seen = events[known]
        bucket = np.searchsorted(inner, (cutoff - seen["occurred_at"]).to_numpy())
        cell = (seen["pair"] * BUCKETS + bucket).rename("cell")
        spread = seen.groupby(["customer_id", cell], observed=True).size().unstack(fill_value=0)  # noqa: PD010
        counted = spread.to_numpy(dtype=np.float32) @ membership[spread.columns.to_numpy()]
        answer = pd.DataFrame(counted, index=spread.index.astype("str"), columns=names)
        answer = answer.reindex(question.customers, fill_value=0)
        yield Part(question.customers, position, answer.to_numpy)


def _load_polars(question: Question) -> pl.DataFrame:
    kinds, channels = zip(*question.pairs, strict=True)
    pairs = pl.LazyFrame({"event_type": kinds, "channel": channels, "pair": range(len(kinds))}).with_columns(
        pl.col("event_type", "channel").cast(pl.Categorical), pl.col("pair").cast(pl.UInt16)
    )
    events = pl.scan_parquet(question.folder / "events.parquet").select(COLUMNS)
    joined = events.join(pairs, on=["event_type", "channel"])
    return joined.select("customer_id", "occurred_at", "available_at", "pair").collect(engine="streaming")


def _polars(events: pl.DataFrame, question: Question, positions: Sequence[int]) -> Iterator[Part]:
    cells = pl.Series("cell", range(len(question.pairs) * BUCKETS), dtype=pl.UInt16)
    sums = [
        pl.sum_horizontal([str(cell) for cell in question.cells(count)]).cast(pl.Int32).alias(count.name)
        for count in question.counts
    ]
    customers = _polars_customers(question)
    for position in positions:
        grouped = _polars_cells(events, question, position).group_by("customer_id", "cell").len()
        spread = grouped.pivot(  # noqa: PD010 - Polars has no pivot_table
            on="cell", on_columns=cells, index="customer_id", values="len", aggregate_function="sum"
        ).select("customer_id", *sums)
        answer = customers.join(spread, on="customer_id", how="left").fill_null(0).collect(engine="streaming")
        yield _polars_part(answer, position)


def _polars_customers(question: Question) -> pl.LazyFrame:
    keys = {"customer_id": question.customers.to_list()}
    return pl.LazyFrame(keys, schema={"customer_id": pl.Categorical}).with_row_index("code")


def _polars_part(answer: pl.DataFrame, position: int) -> Part:
    return Part(answer["code"].to_numpy(), position, answer.drop("code", "customer_id").to_numpy)


def _load_polars_plain(question: Question) -> pl.DataFrame:
    return pl.scan_parquet(question.folder / "events.parquet").select(COLUMNS).collect(engine="streaming")


def _polars_filtered(events: pl.DataFrame, question: Question, positions: Sequence[int]) -> Iterator[Part]:
    """What people write: one filtered count for each feature."""
    customers = _polars_customers(question)
    for position in positions:
        cutoff = question.cutoffs[position]
        occurred, available = pl.col("occurred_at"), pl.col("available_at")
        since = dict(zip(WINDOWS, boundaries(cutoff), strict=True))
        counts = []
        for count in question.counts:
            asked = occurred >= since[count.window]
            if count.kind:
                asked &= pl.col("event_type") == count.kind
            if count.channel:
                asked &= pl.col("channel") == count.channel
            counts.append(asked.sum().alias(count.name))
        seen = events.lazy().filter((occurred < cutoff) & (available < cutoff) & (occurred >= since[WINDOWS[-1]]))
        counted = seen.group_by("customer_id").agg(counts)
        answer = customers.join(counted, on="customer_id", how="left").fill_null(0).collect(engine="streaming")
        yield _polars_part(answer, position)


def _polars_cells(events: pl.DataFrame, question: Question, position: int) -> pl.LazyFrame:
    """What counts at a cutoff: customer and cell."""
    cutoff = question.cutoffs[position]
    occurred, available = pl.col("occurred_at"), pl.col("available_at")
    ages = [pl.when(occurred >= cutoff - timedelta(days=window)) for window in WINDOWS[:-1]]
    bucket = pl.lit(BUCKETS - 1, dtype=pl.UInt8)
    for i in reversed(range(len(ages))):
        bucket = ages[i].then(pl.lit(i, dtype=pl.UInt8)).otherwise(bucket)
    since = cutoff - timedelta(days=WINDOWS[-1])
    seen = events.lazy().filter((occurred < cutoff) & (available < cutoff) & (occurred >= since))
    return seen.select("customer_id", (pl.col("pair") * BUCKETS + bucket).cast(pl.UInt16).alias("cell"))


PANDAS = Peer("pandas, once a cutoff", _load_pandas, _pandas)
POLARS = Peer("Polars, group then pivot, once a cutoff", _load_polars, _polars)
POLARS_FILTERED = Peer("Polars, filtered counts, once a cutoff", _load_polars_plain, _polars_filtered, slow=True)
