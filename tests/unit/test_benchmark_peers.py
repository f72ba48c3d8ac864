"""The feature benchmark's peers give exactly the numbers of a slow and plain count, and so do we."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow.parquet as pq
import pytest
from benchmarks.features import PEERS, Timings, lines_of, positions_of, table
from benchmarks.ours import ours_as_parquet, ours_in_memory, prepare
from benchmarks.peers_sql import floor
from benchmarks.window_counts import WINDOWS, Part, Peer, Question, differences, make_market, read_question

CUTOFFS = 3
MICROSECOND = timedelta(microseconds=1)


@pytest.fixture(scope="module")
def question(tmp_path_factory: pytest.TempPathFactory) -> Question:
    """A small market, with events added at the instants where windows and cutoffs meet."""
    market = make_market(tmp_path_factory.mktemp("benchmark"), customers=120)
    question = read_question(market, cutoffs=CUTOFFS, memory_limit="1GB")
    events = pd.concat([pd.read_parquet(market / "events.parquet"), _at_the_boundaries(question)], ignore_index=True)
    texts = ["customer_id", "event_type", "channel", "initiated_by"]
    events[texts] = events[texts].astype("str").astype("category")
    events.to_parquet(market / "events.parquet")
    return read_question(market, cutoffs=CUTOFFS, memory_limit="1GB")


def _at_the_boundaries(question: Question) -> pd.DataFrame:
    """Around each boundary; known at once, exactly at a cutoff (too late for it), or a microsecond before."""
    instants = [cutoff - timedelta(days=days) for cutoff in question.cutoffs for days in (0, *WINDOWS)]
    rows = []
    for i, instant in enumerate(instants):
        for occurred in (instant - MICROSECOND, instant, instant + MICROSECOND):
            for known in (occurred, question.cutoffs[0], question.cutoffs[1] - MICROSECOND, question.cutoffs[1]):
                kind, channel = question.pairs[i % len(question.pairs)]
                rows.append((question.customers[i % 7], occurred, kind, channel, "customer", max(occurred, known)))
    names = ["customer_id", "occurred_at", "event_type", "channel", "initiated_by", "available_at"]
    return pd.DataFrame(rows, columns=names)


@pytest.fixture(scope="module")
def expected(question: Question) -> npt.NDArray[np.int64]:
    """Counted feature by feature, shape (customers * cutoffs, features)."""
    events = pd.read_parquet(question.folder / "events.parquet")
    counted = np.zeros((len(question.customers), CUTOFFS, len(question.counts)), dtype=np.int64)
    for k, cutoff in enumerate(question.cutoffs):
        known = events[(events["occurred_at"] < cutoff) & (events["available_at"] < cutoff)]
        for j, count in enumerate(question.counts):
            seen = known[known["occurred_at"] >= cutoff - timedelta(days=count.window)]
            seen = seen[seen["event_type"] == count.kind] if count.kind else seen
            seen = seen[seen["channel"] == count.channel] if count.channel else seen
            of_customer = seen["customer_id"].astype("str").value_counts()
            counted[:, k, j] = of_customer.reindex(question.customers, fill_value=0)
    return counted.reshape(-1, len(question.counts))


def test_the_question_has_what_the_benchmark_promises(question: Question) -> None:
    assert len(question.counts) == (1 + 13 + 5 + 15) * 4
    assert len({count.name for count in question.counts}) == len(question.counts)
    assert question.membership().sum(axis=0).tolist() == [len(question.cells(count)) for count in question.counts]


def test_some_records_are_late(question: Question, expected: npt.NDArray[np.int64]) -> None:
    at_once = pd.read_parquet(question.folder / "events.parquet")
    first = question.cutoffs[0]
    in_time = at_once["occurred_at"].between(first - timedelta(days=365), first, inclusive="left")
    assert expected[::CUTOFFS, 3].sum() < in_time.sum()


@pytest.mark.parametrize("peer", PEERS, ids=lambda peer: peer.name)
def test_a_peer_counts_as_a_plain_count_does(peer: Peer, question: Question, expected: npt.NDArray[np.int64]) -> None:
    everywhere = range(CUTOFFS)
    assert differences(question, peer.answer(peer.prepare(question), question, everywhere), expected, everywhere) == 0


@pytest.mark.parametrize("peer", PEERS, ids=lambda peer: peer.name)
def test_a_peer_answers_for_some_of_the_cutoffs(
    peer: Peer, question: Question, expected: npt.NDArray[np.int64]
) -> None:
    parts = peer.answer(peer.prepare(question), question, [0, 2])
    assert differences(question, parts, expected, [0, 2]) == 0


def test_we_count_as_a_plain_count_does(question: Question, expected: npt.NDArray[np.int64], tmp_path: Path) -> None:
    prepared = prepare(question)
    order = prepared.order(question)
    matrix = ours_in_memory(prepared, question)
    np.testing.assert_array_equal(matrix.to_numpy()[:, order], expected)
    ours_as_parquet(prepared, question, tmp_path / "matrix.parquet")
    written = pq.read_table(tmp_path / "matrix.parquet").to_pandas()
    assert written["customer_id"].tolist() == np.repeat(question.customers, CUTOFFS).tolist()
    assert written["cutoff"].tolist() == list(question.cutoffs) * len(question.customers)
    pd.testing.assert_frame_equal(written.drop(columns=["customer_id", "cutoff"]), matrix)


def test_the_check_sees_a_wrong_number_and_an_absent_or_doubled_row(question: Question) -> None:
    features = len(question.counts)
    rows = np.zeros((len(question.customers) * CUTOFFS, features))

    def parts(*, times: int = 1, without: int = 0, wrong: int = 0) -> Iterator[Part]:
        for _ in range(times):
            answer = np.zeros((len(question.customers) - without, features))
            answer.ravel()[:wrong] = 1
            keys = question.customers[: len(answer)]
            yield Part(keys, 0, lambda answer=answer: answer)  # type: ignore[misc]

    assert differences(question, parts(), rows, [0]) == 0
    assert differences(question, parts(wrong=2), rows, [0]) == 2
    assert differences(question, parts(without=3), rows, [0]) == 3 * features
    assert differences(question, parts(times=2), rows, [0]) == len(rows) // CUTOFFS * features
    assert differences(question, parts(), rows, [0, 1]) == len(rows) // CUTOFFS * features


@pytest.mark.parametrize("as_codes", [False, True])
def test_the_floor_gives_all_records_sorted(question: Question, *, as_codes: bool) -> None:
    batches = [batch.to_pandas() for batch in floor(question, as_codes=as_codes)]
    records = pd.concat(batches, ignore_index=True)
    assert len(records) == question.events
    key = [records.columns[0], "occurred_at"]
    pd.testing.assert_frame_equal(records[key], records[key].sort_values(key, ignore_index=True))


def test_slow_peers_run_on_three_of_the_cutoffs(question: Question) -> None:
    twelve = question.with_cutoffs(12)
    assert {len(positions_of(peer, twelve)) for peer in PEERS if peer.slow} == {3}
    assert all(positions_of(peer, twelve) == list(range(12)) for peer in PEERS if not peer.slow)
    assert positions_of(replace(PEERS[0], slow=True), twelve) == [0, 5, 11]


def test_the_table_holds_the_fastest_peer_against_its_bar() -> None:
    names = ["floor: DuckDB reads and sorts", "floor, by customer number", "ours, in memory"]
    names += ["ours, written as Parquet", "ours, 6 cutoffs", "ours, 24 cutoffs", "ours, twice the customers"]
    seconds = dict.fromkeys([*names, *[peer.name for peer in PEERS]], 1.0)
    seconds |= {"ours, in memory": 1.5, PEERS[0].name: 9.0, PEERS[1].name: 12.0, PEERS[3].name: 45.0}
    timings = Timings({name: [value] for name, value in seconds.items()}, {peer.name: [0.0] for peer in PEERS})
    shown = table(lines_of(timings))
    assert "| ours, in memory / floor | 1.50 | 1.50 | <= 2.0 | yes |" in shown
    assert f"| fastest: {PEERS[0].name} / ours | 9.00 | 6.00 | >= 8 | NO |" in shown
    assert f"| {PEERS[1].name} / ours | 12.00 | 8.00 |  |  |" in shown
    assert f"| {PEERS[3].name} / ours | 45.00 | 30.00 | >= 30 | yes |" in shown
