"""A market whose truth is known: customers, events, purchases, and each prospect's true probability to buy.

`simulate` writes the tables of a made-up insurer. The chance to buy home insurance within a period of 30 days depends
only on what the tables show when the period starts, so that `truth.parquet` holds it exactly. The law itself is in
`propensity.data.market`, in words in docs/simulated_market.md.
"""

import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from tempfile import mkdtemp
from types import TracebackType
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from propensity.data import market
from propensity.data.market import DAY, PERIOD, PERIOD_DAYS, START, Flags, Floats, Integers, People, Records, State
from propensity.errors import InputError

PERIODS = 25
# Chunks have a fixed size and seeds of their own: memory is bounded, and the size of the market changes no chunk's law.
CHUNK = 10_000
_EPOCH_SECONDS = (START - date(1970, 1, 1)).days * DAY
_README = "README.txt"
_MARK = "A simulated market."


@dataclass(frozen=True)
class MarketSummary:
    """What `simulate` wrote.

    Attributes
    ----------
    folder : Path
        The folder that holds the tables.
    customers, events, purchases, contracts, truth : int
        Rows of each table.
    base_rate : mapping of date to float
        By cutoff, the share of the demo's prospects (see `is_target`) expected to buy home insurance within 30 days.
    auc_of_truth : float
        Expected ROC AUC of the true probability among the demo's prospects at the last cutoff, in [0, 1] (NaN
        without prospects): what a perfect model would reach there.
    """

    folder: Path
    customers: int
    events: int
    purchases: int
    contracts: int
    truth: int
    base_rate: Mapping[date, float]
    auc_of_truth: float


def simulate(
    out: str | Path,
    *,
    customers: int = 20_000,
    seed: int = 7,
    periods: int = PERIODS,
    turns: int | None = None,
    progress: Callable[[str], None] | None = None,
) -> MarketSummary:
    """Simulate a market and write its tables to the folder `out`, whole or not at all.

    Parameters
    ----------
    out : str or Path
        The folder to write. A simulated market that is already there is replaced; anything else is left alone.
    customers : int
        Number of customers, from 1.
    seed : int
        The same seed, customers and periods give the same bytes.
    periods : int
        Length of the history in periods of 30 days, from 1. It starts on 2023-09-09, so that the 25 of the default
        end on 2025-09-28.
    turns : int, optional
        The period from which on a cheap competitor changes who buys; by default none does.
    progress : callable, optional
        Told after each chunk of 10,000 customers how far the simulation is.

    Returns
    -------
    MarketSummary
        Counts of rows, base rates and the AUC of the truth.

    Raises
    ------
    InputError
        When a number is out of range or `out` holds something else than a simulated market.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     summary = simulate(Path(folder) / "market", customers=500, periods=4)
    ...     sorted(path.name for path in summary.folder.iterdir())
    ['README.txt', 'contracts.parquet', 'customers.parquet', 'events.parquet', 'purchases.parquet', 'truth.parquet']
    """
    _check_numbers(customers=customers, seed=seed, periods=periods)
    if turns is not None and not 0 <= turns <= periods:
        raise InputError(f"simulated market: turns must be 0 to {periods}, a period of the market (found {turns}).")
    folder = Path(out).absolute()
    _check_replaceable(folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    unfinished = Path(mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        summary = _write_market(
            unfinished, folder, customers, seed, periods, turns=turns, progress=progress or _say_nothing
        )
        unfinished.chmod(0o755)
        _put_in_place(unfinished, folder)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    return summary


def longer_horizon_truth(
    cutoff: date,
    *,
    horizon_periods: int,
    customers: int = 20_000,
    seed: int = 7,
    periods: int = PERIODS,
    repeats: int = 100,
) -> pd.DataFrame:
    """True probabilities beyond one period, by living through the coming periods again and again.

    The market of `simulate` (same `customers`, `seed` and `periods`) is replayed up to the cutoff. From there each
    repeat draws other needs, events and contracts for those who have not bought, and multiplies their chances to stay
    without home insurance; the mean over repeats is the truth of the longer horizon. Unlike the truth of one period
    it also rests on what nobody records (needs, traits): no model can know it in full.

    Parameters
    ----------
    cutoff : date
        A day of the grid, such as 2025-07-30.
    horizon_periods : int
        Length of the horizon in periods of 30 days: 2 gives 60 days, 3 gives 90.
    customers, seed, periods : int
        As given to `simulate`.
    repeats : int
        Number of repeats, from 2.

    Returns
    -------
    DataFrame
        One row per registered customer who has not bought yet: `customer_id`, `cutoff`, `horizon_days`,
        `true_probability` in [0, 1] and its `standard_error` over the repeats.

    Examples
    --------
    >>> truth = longer_horizon_truth(date(2023, 12, 8), horizon_periods=2, customers=300, periods=4, repeats=5)
    >>> list(truth.columns)
    ['customer_id', 'cutoff', 'horizon_days', 'true_probability', 'standard_error']
    """
    _check_numbers(customers=customers, seed=seed, periods=periods)
    first = (cutoff - START).days // PERIOD_DAYS
    if not 0 <= first <= periods or market.cutoff_day(first) != cutoff:
        raise InputError(
            f"simulated market: {cutoff} is no cutoff of a market of {periods} periods. "
            f"Choose {START} plus a multiple of {PERIOD_DAYS} days, up to {market.cutoff_day(periods)}."
        )
    if horizon_periods < 1 or repeats < 2:
        raise InputError(
            f"simulated market: horizon_periods must be 1 or more and repeats 2 or more "
            f"(found {horizon_periods} and {repeats})."
        )
    parts = []
    for begin, people, rng in _chunks(customers, seed, periods):
        state = State.first(people)
        while state.period < first:
            state = market.advance(people, state, chance=_chance(people, state), rng=rng)
        draws = np.stack([_buy_by(people, state, horizon_periods, child) for child in rng.spawn(repeats)])
        open_rows = _unbought(people, state)
        error = draws.std(axis=0, ddof=1) / np.sqrt(repeats)
        parts.append(
            pd.DataFrame(
                {
                    "customer_id": _names(begin, len(people))[open_rows],
                    "cutoff": pd.Timestamp(cutoff),
                    "horizon_days": horizon_periods * PERIOD_DAYS,
                    "true_probability": draws.mean(axis=0)[open_rows],
                    "standard_error": error[open_rows],
                }
            )
        )
    return pd.concat(parts, ignore_index=True)


def is_target(people: People, state: State) -> Flags:
    """Who is a prospect of the demo's study when the state's period starts (n,).

    Registered private persons of 18 years or more in the target regions who have not bought home insurance and are
    not known to have opted out.
    """
    start = state.period * PERIOD
    adult = people.recorded["age"] + start / DAY / 365.25 >= 18
    regions = [market.REGIONS.index(name) for name in market.TARGET_REGIONS]
    lives_there = np.isin(people.recorded["region"], regions)
    return np.asarray(_unbought(people, state) & adult & lives_there & (state.opted_out >= start))


def _chance(people: People, state: State, *, turned: bool = False) -> Floats:
    chance = market.chance_to_buy(market.observe(people, state), period=state.period, turned=turned)
    return np.where(_unbought(people, state), chance, 0.0)


def _unbought(people: People, state: State) -> Flags:
    return ~state.bought & (people.registered < state.period * PERIOD)


def _buy_by(people: People, state: State, horizon_periods: int, rng: np.random.Generator) -> Floats:
    """One repeat: the chance (n,) to have bought by the horizon's end, on a path on which nobody has bought so far."""
    without = np.ones(len(people))
    nobody = np.zeros(len(people))
    for ahead in range(horizon_periods):
        if ahead:
            state = market.advance(people, state, chance=nobody, rng=rng)
        without *= 1 - _chance(people, state)
    return 1 - without


def _chunks(customers: int, seed: int, periods: int) -> Iterator[tuple[int, People, np.random.Generator]]:
    """Chunks of customers: the number of the first, the people, and the chunk's own source of draws."""
    begins = range(0, customers, CHUNK)
    for begin, child in zip(begins, np.random.SeedSequence(seed).spawn(len(begins)), strict=True):
        rng = np.random.default_rng(child)
        yield begin, market.draw_people(min(CHUNK, customers - begin), periods=periods, rng=rng), rng


class _Tables:
    """The Parquet files of a market: each chunk becomes a row group; `rows` counts what was written."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._writers: dict[str, pq.ParquetWriter] = {}
        self.rows: dict[str, int] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for writer in self._writers.values():
            writer.close()

    def append(self, name: str, table: pa.Table) -> None:
        """Add a chunk's rows to the table `name`."""
        if name not in self._writers:
            self._writers[name] = pq.ParquetWriter(self._folder / f"{name}.parquet", table.schema, compression="zstd")
        self._writers[name].write_table(table, row_group_size=max(len(table), 1))
        self.rows[name] = self.rows.get(name, 0) + len(table)


def _write_market(
    unfinished: Path,
    folder: Path,
    customers: int,
    seed: int,
    periods: int,
    *,
    turns: int | None,
    progress: Callable[[str], None],
) -> MarketSummary:
    expected, prospects = np.zeros(periods + 1), np.zeros(periods + 1)
    last: list[Floats] = []
    with _Tables(unfinished) as tables:
        for begin, people, rng in _chunks(customers, seed, periods):
            names = _names(begin, len(people))
            state, chances, targets = _live(people, periods, rng, turns=turns)
            tables.append("customers", _customers_table(names, people))
            tables.append("events", _events_table(names, state))
            tables.append("purchases", _purchases_table(names, state))
            tables.append("contracts", _contracts_table(names, state, rng))
            tables.append("truth", _truth_table(names, chances))
            expected += np.where(targets, chances, 0.0).sum(axis=1)
            prospects += targets.sum(axis=1)
            last.append(chances[-1][targets[-1]])
            progress(f"simulated {begin + len(people):,} of {customers:,} customers")
        rows = tables.rows
    (unfinished / _README).write_text(_readme(customers, seed, periods, turns), encoding="utf-8")
    shares = np.divide(expected, prospects, out=np.zeros(periods + 1), where=prospects > 0)
    base_rate = {market.cutoff_day(k): float(shares[k]) for k in range(periods + 1) if prospects[k]}
    return MarketSummary(folder=folder, **rows, base_rate=base_rate, auc_of_truth=_expected_auc(np.concatenate(last)))


def _live(people: People, periods: int, rng: np.random.Generator, *, turns: int | None) -> tuple[State, Floats, Flags]:
    """A chunk's whole history: its last state, and by period, (periods + 1, n) each, chances and `is_target`.

    A chance is NaN for who is not registered or has bought.
    """
    state = State.first(people)
    chances, targets = [], []
    for period in range(periods + 1):
        chance = _chance(people, state, turned=turns is not None and period >= turns)
        chances.append(np.where(_unbought(people, state), chance, np.nan))
        targets.append(is_target(people, state))
        if period < periods:
            state = market.advance(people, state, chance=chance, rng=rng)
    return state, np.stack(chances), np.stack(targets)


def _expected_auc(chance: Floats) -> float:
    """Expected ROC AUC of the probabilities `chance` (n,) where they are true: ties count one half."""
    values, inverse = np.unique(chance, return_inverse=True)
    buyers = np.bincount(inverse, weights=chance)
    others = np.bincount(inverse, weights=1 - chance)
    pairs = buyers.sum() * others.sum()
    below = np.cumsum(others) - others
    return float((buyers * (below + others / 2)).sum() / pairs) if len(values) and pairs > 0 else float("nan")


def _names(begin: int, count: int) -> npt.NDArray[np.str_]:
    return np.strings.add("C", np.strings.zfill(np.arange(begin, begin + count).astype(str), 7))


def _moments(seconds: Integers) -> pa.Array:
    return pa.array((seconds + _EPOCH_SECONDS) * 1_000_000, pa.timestamp("us"))


def _labels(codes: npt.NDArray[Any], words: tuple[str, ...]) -> pa.Array:
    """Words by code, in a dictionary; code -1 is missing."""
    return pa.DictionaryArray.from_arrays(pa.array(codes.astype(np.int8), mask=codes < 0), pa.array(words))


def _owners(names: npt.NDArray[np.str_], who: Integers) -> pa.Array:
    return pa.DictionaryArray.from_arrays(pa.array(who.astype(np.int32)), pa.array(names))


def _numbers(values: Floats, kind: pa.DataType) -> pa.Array:
    return pa.array(values, pa.float64(), from_pandas=True).cast(kind)


def _customers_table(names: npt.NDArray[np.str_], people: People) -> pa.Table:
    seen = people.recorded
    days = np.round(np.nan_to_num(seen["age"]) * 365.25).astype(np.int64)
    birth = pa.array((START - date(1970, 1, 1)).days - days, mask=np.isnan(seen["age"])).cast(pa.int32())
    return pa.table(
        {
            "customer_id": names,
            "customer_type": _labels(seen["business"], ("consumer", "business")),
            "registered_at": _moments(people.registered),
            "birth_date": birth.cast(pa.date32()),
            "gender": _labels(seen["gender"], market.GENDERS),
            "region": _labels(seen["region"], market.REGIONS),
            "household_size": _numbers(seen["household_size"], pa.int16()),
            "income": _numbers(seen["income"], pa.float64()),
            "home_owner": pa.array(seen["home_owner"] == 1, mask=seen["home_owner"] < 0),
            "occupation": _labels(seen["occupation"], market.OCCUPATIONS),
            "acquisition_source": _labels(seen["source"], market.SOURCES),
            "industry": _labels(seen["industry"], market.INDUSTRIES),
            "employees": _numbers(seen["employees"], pa.int32()),
            "turnover": _numbers(seen["turnover"], pa.float64()),
            "ownership": _labels(seen["ownership"], market.OWNERSHIPS),
            "job_title": _labels(seen["job_title"], market.JOB_TITLES),
            "goal": _labels(seen["goal"], market.GOALS),
            "interest": _labels(seen["interest"], market.INTERESTS),
            "challenge": _labels(seen["challenge"], market.CHALLENGES),
            "decision_role": _labels(seen["decision_role"], market.ROLES),
        }
    )


def _recorded(parts: tuple[Records, ...], state: State) -> Records:
    """Records that the extract holds: known by its day, in order of customer and time."""
    records = Records.join(parts).known(state.period * PERIOD)
    return records.take(np.lexsort((records.what, records.occurred, records.who)))


def _events_table(names: npt.NDArray[np.str_], state: State) -> pa.Table:
    events = _recorded((*state.events, *state.contracts), state)
    own = (events.what == market.KIND["email_sent"]).astype(np.int64)
    return pa.table(
        {
            "customer_id": _owners(names, events.who),
            "occurred_at": _moments(events.occurred),
            "event_type": _labels(events.what, market.KINDS),
            "channel": _labels(events.detail, market.CHANNELS),
            "initiated_by": _labels(own, ("customer", "business")),
            "available_at": _moments(events.available),
        }
    )


def _purchases_table(names: npt.NDArray[np.str_], state: State) -> pa.Table:
    orders = _recorded(state.purchases, state)
    return pa.table(
        {
            "customer_id": _owners(names, orders.who),
            "ordered_at": _moments(orders.occurred),
            "category": _labels(orders.what, market.PRODUCTS),
            "amount": pa.array(orders.detail / 100),
            "available_at": _moments(orders.available),
        }
    )


def _contracts_table(names: npt.NDArray[np.str_], state: State, rng: np.random.Generator) -> pa.Table:
    contracts = _recorded(state.contracts, state)
    count = len(contracts.who)
    return pa.table(
        {
            "customer_id": _owners(names, contracts.who),
            "competitor": _labels(rng.choice(4, count, p=[0.4, 0.3, 0.2, 0.1]), market.COMPETITORS),
            "product": _labels(np.zeros(count), market.PRODUCTS[:1]),
            "started_at": _moments(contracts.occurred),
            "ends_at": _moments(contracts.occurred + 365 * DAY),
            "yearly_premium": pa.array(np.round(360 * rng.lognormal(0.0, 0.3, count), 2)),
            "available_at": _moments(contracts.available),
        }
    )


def _truth_table(names: npt.NDArray[np.str_], chances: Floats) -> pa.Table:
    period, who = np.nonzero(~np.isnan(chances))
    return pa.table(
        {
            "customer_id": _owners(names, who),
            "cutoff": _moments(period * PERIOD),
            "true_probability": chances[period, who],
        }
    )


def _readme(customers: int, seed: int, periods: int, turns: int | None) -> str:
    entry = None if turns is None else market.cutoff_day(turns)
    turned = f"\nA cheap competitor enters on {entry} and changes who buys.\n" if entry else ""
    return f"""{_MARK} Nobody in these tables exists.

Written by: propensity simulate --customers {customers}  (seed {seed}, {periods} periods of {PERIOD_DAYS} days from
{START} to {market.cutoff_day(periods)})
{turned}
customers.parquet   one row per customer, private persons and businesses; goal, interest, challenge and decision_role
                    are answers to a survey that about half of them gave
events.parquet      what customers did, and the e-mails that were sent to them; available_at: when it became known
purchases.parquet   what customers bought, by product; an amount below zero is a cancellation
contracts.parquet   contracts with competitors, in detail (their starts are events of kind competitor_contract)
truth.parquet       the true probability to buy home insurance within {PERIOD_DAYS} days of a cutoff, of each registered
                    customer without it: to judge models by. Opening it in training is cheating.
"""


def _check_numbers(*, customers: int, seed: int, periods: int) -> None:
    for name, value, low in (("customers", customers, 1), ("periods", periods, 1), ("seed", seed, 0)):
        if value < low:
            raise InputError(f"simulated market: {name} must be {low} or more (found {value}).")


def _check_replaceable(folder: Path) -> None:
    if not folder.exists():
        return
    readme = folder / _README
    simulated = readme.is_file() and readme.read_text(encoding="utf-8", errors="replace").startswith(_MARK)
    if not folder.is_dir() or not (simulated or not any(folder.iterdir())):
        raise InputError(
            f"simulated market: {folder} exists and holds something else than a simulated market. "
            f"Choose another folder, or remove it first."
        )


def _put_in_place(unfinished: Path, folder: Path) -> None:
    """Rename the finished folder into place; what was there is moved aside first and removed last."""
    if not folder.exists():
        unfinished.rename(folder)
        return
    aside = Path(mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    folder.rename(aside / "old")
    unfinished.rename(folder)
    shutil.rmtree(aside)


def _say_nothing(_: str) -> None:
    return None
