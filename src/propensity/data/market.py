"""The simulated market's law: who the customers are, what they do, and their chance to buy, period by period.

Time is a whole number of seconds since `START`, cut into periods of 30 days. What customers do depends on traits
that nobody records; whether they buy home insurance depends only on what the tables show when a period starts.
"""

from dataclasses import dataclass, replace
from datetime import date, timedelta
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]

START = date(2023, 9, 9)
DAY = 86_400
PERIOD_DAYS = 30
PERIOD = PERIOD_DAYS * DAY
NEVER = 2**40

KINDS = (
    "visit",
    "search",
    "read",
    "price_page",
    "quote",
    "comparison",
    "abandoned_basket",
    "service_call",
    "moved_house",
    "competitor_contract",
    "email_sent",
    "email_open",
    "opted_out",
)
KIND = {name: code for code, name in enumerate(KINDS)}
CHANNELS = ("web", "app", "phone", "branch", "email")
PRODUCTS = (
    "home_insurance",
    "motor_insurance",
    "travel_insurance",
    "life_insurance",
    "pet_insurance",
    "liability_insurance",
)
PRODUCT = {name: code for code, name in enumerate(PRODUCTS)}
REGIONS = ("north", "south", "east", "west", "islands")
TARGET_REGIONS = ("north", "south", "east", "west")
OCCUPATIONS = ("employee", "self_employed", "manager", "student", "retired", "unemployed")
SOURCES = ("search", "advertising", "referral", "email", "trade_fair", "industry_directory")
GENDERS = ("female", "male", "other")
INDUSTRIES = ("services", "trade", "construction", "manufacturing", "hospitality", "agriculture")
OWNERSHIPS = ("private", "state", "cooperative")
JOB_TITLES = ("owner", "manager", "employee")
GOALS = ("price", "security", "service", "convenience", "sustainability")
INTERESTS = ("home_and_garden", "travel", "sports", "culture", "technology")
CHALLENGES = ("cost", "time", "choice", "paperwork", "nothing")
ROLES = ("decides_alone", "decides_with_others", "prepares", "uses")
COMPETITORS = ("Alder Mutual", "Brightwater", "Castellan", "Dunmore Direct")

_MEAN_PRICES = np.array([380.0, 520.0, 75.0, 610.0, 190.0, 840.0])
_CONSUMER_RATES = np.array([0.0, 0.012, 0.015, 0.004, 0.006, 0.0])
_BUSINESS_RATES = np.array([0.0, 0.018, 0.003, 0.002, 0.0, 0.014])
# Events a month of one ordinary customer, by need: none, looking around, about to buy.
_RATES = np.array(
    [
        [0.75, 0.10, 0.18, 0.04, 0.006, 0.010, 0.006, 0.05],
        [2.20, 0.90, 1.00, 0.45, 0.060, 0.150, 0.050, 0.08],
        [3.20, 1.20, 0.80, 1.30, 0.900, 0.800, 0.450, 0.15],
    ]
)
_OWN_KINDS = _RATES.shape[1]
# How need moves from one period to the next (row: from, column: to).
_NEED = np.array([[0.86, 0.10, 0.04], [0.47, 0.33, 0.20], [0.45, 0.22, 0.33]])
_EMAIL_DAYS = np.array([2, 9, 16, 23])


@dataclass(frozen=True)
class People:
    """One chunk of customers.

    `recorded` is what the customers table shows (n,) each, missing values as NaN or code -1; the rest is known to
    nobody: `activity` (mean 1), `digital` and `openness` (shares), each of shape (n,). `registered` is in seconds.
    """

    registered: Integers
    recorded: dict[str, Any]
    activity: Floats
    digital: Floats
    openness: Floats

    def __len__(self) -> int:
        return len(self.registered)


@dataclass(frozen=True)
class Records:
    """Dated records of a chunk, each (m,): whose (row in the chunk), what (code), when, and when known (seconds).

    `detail` is an event's channel, a purchase's amount in cents, or a contract's competitor.
    """

    who: Integers
    what: Integers
    occurred: Integers
    available: Integers
    detail: Integers

    @classmethod
    def join(cls, parts: "list[Records] | tuple[Records, ...]") -> "Records":
        """All parts, one after another."""
        columns = ("who", "what", "occurred", "available", "detail")
        if not parts:
            return cls(*(np.empty(0, np.int64) for _ in columns))
        return cls(*(np.concatenate([getattr(part, column) for part in parts]) for column in columns))

    def take(self, rows: Any) -> "Records":
        """The records at `rows` (a mask or positions)."""
        return Records(self.who[rows], self.what[rows], self.occurred[rows], self.available[rows], self.detail[rows])

    def known(self, start: int) -> "Records":
        """What happened and was known before `start`."""
        return self.take((self.occurred < start) & (self.available < start))


@dataclass(frozen=True)
class State:
    """A chunk at the start of a period: its needs (0 to 2), who has bought, and what was recorded so far.

    `opted_out` holds when an opt-out became known, `contract` when the newest competitor's contract began: (n,) each,
    in seconds, `NEVER` and the distant past where there is none.
    """

    period: int
    need: Integers
    bought: Flags
    opted_out: Integers
    contract: Integers
    events: tuple[Records, ...] = ()
    contracts: tuple[Records, ...] = ()
    purchases: tuple[Records, ...] = ()

    @classmethod
    def first(cls, people: People) -> "State":
        """The market before its first period."""
        n = len(people)
        return cls(0, np.zeros(n, np.int64), np.zeros(n, bool), np.full(n, NEVER), np.full(n, -NEVER))


def cutoff_day(period: int) -> date:
    """The day on which a period starts.

    Examples
    --------
    >>> cutoff_day(16).isoformat()
    '2025-01-01'
    """
    return START + timedelta(days=PERIOD_DAYS * period)


def draw_people(count: int, *, periods: int, rng: np.random.Generator) -> People:
    """Draw customers and what is recorded about them; some values go missing, and not at random."""
    business = rng.random(count) < 0.12
    before = rng.random(count) < 0.5
    registered = np.where(
        before, -rng.exponential(500 * DAY, count), rng.random(count) * (periods * PERIOD - DAY)
    ).astype(np.int64)
    activity = rng.gamma(2.0, 0.5, count)
    recorded = {
        "business": business,
        "region": rng.choice(len(REGIONS), count, p=[0.27, 0.23, 0.19, 0.17, 0.14]),
        "source": rng.choice(len(SOURCES), count, p=[0.34, 0.26, 0.2, 0.1, 0.04, 0.06]),
        **_draw_persons(business, activity, rng),
        **_draw_firms(business, rng),
    }
    digital = np.clip(rng.beta(4, 2, count) - 0.004 * (np.nan_to_num(recorded["age"], nan=45) - 40), 0.05, 0.98)
    openness = rng.beta(1.6, 3.0, count)
    recorded |= _ask(recorded, digital, openness, _survey_rng(rng))
    return People(registered, recorded, activity, digital, openness)


def _survey_rng(rng: np.random.Generator) -> np.random.Generator:
    """A source of draws of the survey's own: with or without it the market is the same."""
    seeds = rng.bit_generator.seed_seq
    assert isinstance(seeds, np.random.SeedSequence)  # noqa: S101 - what `default_rng` makes
    return np.random.default_rng(np.random.SeedSequence(seeds.entropy, spawn_key=(*seeds.spawn_key, 2**31)))


def _ask(recorded: dict[str, Any], digital: Floats, openness: Floats, rng: np.random.Generator) -> dict[str, Any]:
    """A survey that half of the customers answer: what matters to them, what they like, what is hard, who decides."""
    business = recorded["business"]
    n = len(business)
    answers = rng.random(n) < 0.4 + 0.5 * openness
    age, owner = np.nan_to_num(recorded["age"], nan=42.0), recorded["home_owner"] == 1
    pay = np.nan_to_num(recorded["income"], nan=31e3) / 31e3
    household = np.nan_to_num(recorded["household_size"], nan=2.0)
    small, nobody = np.nan_to_num(recorded["employees"], nan=10.0) < 12, np.zeros(n)

    def choose(*pulls: Floats | float) -> Integers:
        """One answer each: the stronger its pull (log-odds), the likelier."""
        strength = np.stack([np.broadcast_to(pull, n) for pull in pulls]) + rng.gumbel(size=(len(pulls), n))
        return np.where(answers, strength.argmax(axis=0), -1)

    goal = choose(
        1.2 - pay, 0.9 * owner + 0.3 * (household >= 3), 0.03 * (age - 45), 1.5 * digital - 0.8, -0.03 * (age - 35)
    )
    interest = choose(1.2 * owner, 0.6 * pay - 0.6, -0.03 * (age - 40), 0.02 * (age - 45), 1.4 * digital - 0.9)
    challenge = choose(
        1.4 - 1.1 * pay, 0.4 * (household >= 3) + 0.5 * business, 0.9 * digital - 0.4, 0.025 * (age - 40), -0.4
    )
    alone = np.where(business, 1.5 * (recorded["job_title"] == 0) - 1.0, 1.2 * (household < 2) - 0.2)
    role = choose(
        alone, np.where(business, 0.6 * small, 0.8 * (household >= 2)), np.where(business, 0.4, -0.8), nobody - 0.6
    )
    return {"goal": goal, "interest": np.where(business, -1, interest), "challenge": challenge, "decision_role": role}


def _draw_persons(business: Flags, activity: Floats, rng: np.random.Generator) -> dict[str, Any]:
    n = len(business)
    age = 15.5 + 68 * rng.beta(1.7, 2.6, n)
    occupation = rng.choice(len(OCCUPATIONS), n, p=[0.6, 0.14, 0.12, 0.05, 0.03, 0.06])
    occupation = np.where((age < 24) & (rng.random(n) < 0.7), OCCUPATIONS.index("student"), occupation)
    occupation = np.where((age > 65) & (rng.random(n) < 0.9), OCCUPATIONS.index("retired"), occupation)
    pay = np.array([31, 34, 56, 11, 22, 14])[occupation] * 1000.0
    income = np.round(pay * rng.lognormal(0.0, 0.38, n), -2)
    owner = rng.random(n) < 1 / (1 + np.exp(-(-0.2 + 0.05 * (np.minimum(age, 65) - 40) + 0.9 * np.log(income / 31e3))))
    household = 1 + rng.poisson(0.5 + 1.4 * ((age > 28) & (age < 58)), n).clip(max=5)
    # Those who earn most or are hardly ever active leave the income open; who rents often leaves the home open.
    hidden_income = rng.random(n) < 0.06 + 0.14 * (income > 52e3) + 0.08 * (activity < 0.5)
    hidden_owner = rng.random(n) < np.where(owner, 0.06, 0.15)
    return {
        "age": np.where(business | (rng.random(n) < 0.01), np.nan, np.round(age * 365.25) / 365.25),
        "gender": np.where(business | (rng.random(n) < 0.04), -1, rng.choice(3, n, p=[0.5, 0.49, 0.01])),
        "household_size": np.where(business | (rng.random(n) < 0.1), np.nan, household),
        "income": np.where(business | hidden_income, np.nan, income),
        "home_owner": np.where(business | hidden_owner, -1, owner),
        "occupation": np.where(business | (rng.random(n) < 0.07), -1, occupation),
    }


def _draw_firms(business: Flags, rng: np.random.Generator) -> dict[str, Any]:
    n = len(business)
    employees = np.ceil(rng.lognormal(2.0, 1.3, n))
    turnover = np.round(employees * 110e3 * rng.lognormal(0.0, 0.6, n), -3)
    hidden_turnover = rng.random(n) < np.where(employees < 10, 0.35, 0.15)
    return {
        "industry": np.where(business, rng.choice(6, n, p=[0.34, 0.24, 0.15, 0.11, 0.1, 0.06]), -1),
        "employees": np.where(business & (rng.random(n) > 0.05), employees, np.nan),
        "turnover": np.where(business & ~hidden_turnover, turnover, np.nan),
        "ownership": np.where(business, rng.choice(3, n, p=[0.84, 0.09, 0.07]), -1),
        "job_title": np.where(business & (rng.random(n) > 0.12), rng.choice(3, n, p=[0.38, 0.37, 0.25]), -1),
    }


def observe(people: People, state: State) -> dict[str, Any]:
    """What the tables show when the state's period starts, as arrays (n,): all that the chance to buy depends on.

    Windows reach back from the period's start, which they exclude: ``quote_30d`` counts quotes with
    ``start - 30 days <= occurred_at < start`` and ``available_at < start``.
    """
    start, n = state.period * PERIOD, len(people)
    recent = Records.join(state.events[-5:]).known(start)
    contracts = Records.join(state.contracts).known(start)
    orders = Records.join(state.purchases).known(start)

    def count(records: Records, what: str | None, codes: dict[str, int], days: int) -> Integers:
        chosen = records.occurred >= start - days * DAY
        if what is not None:
            chosen &= records.what == codes[what]
        return np.bincount(records.who[chosen], minlength=n)

    seen = {f"{kind}_30d": count(recent, kind, KIND, 30) for kind in KINDS}
    newest = np.full(n, -1)
    np.maximum.at(newest, contracts.who, contracts.occurred)
    return {
        **people.recorded,
        **seen,
        "age": people.recorded["age"] + start / DAY / 365.25,
        "abandoned_basket_7d": count(recent, "abandoned_basket", KIND, 7),
        "read_90d": count(recent, "read", KIND, 90),
        "moved_house_90d": count(recent, "moved_house", KIND, 90),
        "contract_days": np.where(newest >= 0, (start - newest) / DAY, np.inf),
        "motor_insurance_365d": count(orders.take(orders.detail > 0), "motor_insurance", PRODUCT, 365),
        "cancelled_365d": count(orders.take(orders.detail < 0), None, PRODUCT, 365),
    }


def chance_to_buy(seen: dict[str, Any], *, period: int, turned: bool = False) -> Floats:
    """Probability (n,) that a customer without home insurance buys it within the period, from what is seen alone.

    `turned`: a cheap competitor has entered. Less is bought, fewer of those who ask for a quote buy, and the north,
    where it began, falls behind.
    """
    age, income = seen["age"], seen["income"]
    log_odds = np.where(seen["business"], _firm_terms(seen), _person_terms(seen, age, income))
    log_odds = log_odds + _behaviour_terms(seen) + season_and_drift(period)
    if turned:
        log_odds = log_odds - 0.5 - 0.5 * (seen["quote_30d"] > 0) - 0.6 * (seen["region"] == REGIONS.index("north"))
    return np.asarray(1 / (1 + np.exp(-log_odds)))


def season_and_drift(period: int) -> float:
    """The period's own part of the log-odds: most is bought in spring, and the market cools slowly.

    Examples
    --------
    >>> round(season_and_drift(18) - season_and_drift(24), 2)
    0.35
    """
    month = cutoff_day(period).month
    return float(0.2 * np.cos(2 * np.pi * (month - 4) / 12) - 0.012 * period)


def _person_terms(seen: dict[str, Any], age: Floats, income: Floats) -> Floats:
    owner, household = seen["home_owner"], np.nan_to_num(seen["household_size"], nan=2.0)
    home = np.where(owner == 1, np.where(household >= 3, 1.0, 0.1), np.where(owner == 0, -1.0, -0.4))
    years = -0.7 * np.minimum(((np.nan_to_num(age, nan=40.0) - 38) / 16) ** 2, 3.0)
    # Young people buy when they earn well, older ones when they do not (who earns well has had cover for long).
    pay = np.tanh(np.log(np.nan_to_num(income, nan=31e3) / 31e3) / 0.35) * np.where(age < 48, 0.8, -0.6)
    region = np.array([0.2, 0.0, -0.2, 0.1, -0.4])[seen["region"]]
    source = np.array([0.1, -0.2, 0.4, 0.0, 0.0, 0.0])[seen["source"]]
    return np.asarray(-3.4 + home + years + pay + region + source)


def _firm_terms(seen: dict[str, Any]) -> Floats:
    small = np.nan_to_num(seen["employees"], nan=10.0) < 12
    decides = (seen["job_title"] == 0) | (seen["job_title"] == 1)
    private = seen["ownership"] == 0
    return np.asarray(-4.4 + np.where(small & decides, 1.1, 0.0) + np.where(private, 0.3, -0.6))


def _behaviour_terms(seen: dict[str, Any]) -> Floats:
    contract = seen["contract_days"]
    bound = contract < 300
    expiring = (contract >= 300) & (contract < 365)
    quoted = seen["quote_30d"] > 0
    interest = 0.22 * np.minimum(seen["search_30d"], 3) + 0.12 * np.minimum(seen["read_90d"], 4)
    quote = np.where(quoted, np.where(bound, 0.1, 2.0), 0.0)
    compared = np.where(seen["comparison_30d"] > 0, np.where(seen["price_page_30d"] > 0, 1.3, -0.3), 0.0)
    basket = np.where(seen["abandoned_basket_7d"] > 0, 0.8, 0.0)
    moved = np.where(seen["moved_house_90d"] > 0, np.where(seen["home_owner"] == 0, 0.2, 1.5), 0.0)
    pressed = np.where((seen["email_sent_30d"] >= 2) & (seen["email_open_30d"] == 0), -0.4, 0.0)
    bonds = 0.6 * (seen["motor_insurance_365d"] > 0) - 0.6 * (seen["cancelled_365d"] > 0)
    return np.asarray(interest + quote + compared + basket + moved + pressed + bonds - 0.6 * bound + 1.0 * expiring)


def advance(people: People, state: State, *, chance: Floats, rng: np.random.Generator) -> State:
    """Live through one period.

    Parameters
    ----------
    people : People
        The chunk's customers.
    state : State
        The chunk at the period's start.
    chance : ndarray of shape (n,)
        Each customer's probability to buy home insurance within the period.
    rng : numpy.random.Generator
        The source of all draws.

    Returns
    -------
    State
        The chunk at the start of the next period.
    """
    start, n = state.period * PERIOD, len(people)
    share = np.clip((start + PERIOD - people.registered) / PERIOD, 0.0, 1.0)
    since = np.maximum(people.registered, start)
    buyers, home = _buy_home(chance, start, rng)
    moved = _pick(rng.random(n) < 0.012 * share, "moved_house", since, start, rng)
    contract, signed = _sign_contracts(state, share, since, rng)
    need = _move_need(state, moved.who, start, rng)
    browsing = _browse(people, need, share, since, start, rng)
    mails = _send_mails(people, state, browsing, since, start, rng)
    leaving = _pick((state.opted_out == NEVER) & (rng.random(n) < 0.0035 * share), "opted_out", since, start, rng)
    opted_out = state.opted_out.copy()
    opted_out[leaving.who] = leaving.available
    orders = _buy_others(people, share, since, start, rng)
    events = Records.join([browsing, moved, mails, leaving])
    return replace(
        state,
        period=state.period + 1,
        need=np.where(buyers, 0, need),
        bought=state.bought | buyers,
        opted_out=opted_out,
        contract=contract,
        events=(*state.events, events),
        contracts=(*state.contracts, signed),
        purchases=(*state.purchases, Records.join([home, orders])),
    )


def _buy_home(chance: Floats, start: int, rng: np.random.Generator) -> tuple[Flags, Records]:
    draw = rng.random(len(chance))
    buyers = draw < chance
    who = np.flatnonzero(buyers)
    # A constant daily hazard: the time of purchase is exponential, given that it falls within the period. `draw` is
    # uniform below the chance, so it is the share of the distribution function that has passed.
    passed = np.log1p(-draw[who]) / np.log1p(-chance[who])
    occurred = start + np.minimum((passed * PERIOD).astype(np.int64), PERIOD - 1)
    # A policy is booked as it is bought: whether somebody has bought is known at once.
    return buyers, Records(who, np.zeros_like(who), occurred, occurred, _amounts(np.zeros_like(who), rng))


def _amounts(products: Integers, rng: np.random.Generator) -> Integers:
    return np.round(100 * _MEAN_PRICES[products] * rng.lognormal(0.0, 0.35, len(products))).astype(np.int64)


def _times(since: Integers, start: int, rng: np.random.Generator) -> Integers:
    """Uniform moments between `since` (m,) and the period's end."""
    return (since + rng.random(len(since)) * (start + PERIOD - since)).astype(np.int64)


def _pick(chosen: Flags, kind: str, since: Integers, start: int, rng: np.random.Generator) -> Records:
    who = np.flatnonzero(chosen)
    channel = rng.choice(len(CHANNELS), len(who), p=[0.45, 0.15, 0.3, 0.1, 0.0])
    occurred = _times(since[who], start, rng)
    return Records(who, np.full_like(who, KIND[kind]), occurred, _late(occurred, channel, rng), channel)


def _late(occurred: Integers, channel: Integers, rng: np.random.Generator) -> Integers:
    """When records become known: within minutes, but a few of them, mostly by phone or branch, days later."""
    late = rng.random(len(occurred)) < np.where((channel == 2) | (channel == 3), 0.12, 0.02)
    delay = np.where(late, rng.exponential(2.5 * DAY, len(occurred)), rng.random(len(occurred)) * 300)
    return occurred + 1 + delay.astype(np.int64)


def _sign_contracts(state: State, share: Floats, since: Integers, rng: np.random.Generator) -> tuple[Integers, Records]:
    start = state.period * PERIOD
    ended = start - state.contract
    rate = np.where(ended < 365 * DAY, 0.0, np.where(ended < 395 * DAY, 0.45, 0.035))
    who = np.flatnonzero(~state.bought & (rng.random(len(share)) < rate * share))
    occurred = _times(since[who], start, rng)
    told = np.where(rng.random(len(who)) < 0.6, rng.random(len(who)) * DAY, rng.exponential(15 * DAY, len(who)))
    channel = rng.choice(len(CHANNELS), len(who), p=[0.4, 0.1, 0.35, 0.15, 0.0])
    contract = state.contract.copy()
    contract[who] = occurred
    what = np.full_like(who, KIND["competitor_contract"])
    return contract, Records(who, what, occurred, occurred + 1 + told.astype(np.int64), channel)


def _move_need(state: State, moved: Integers, start: int, rng: np.random.Generator) -> Integers:
    draw = rng.random(len(state.need))
    need = (draw[:, None] > np.cumsum(_NEED[state.need], axis=1)[:, :2]).sum(axis=1)
    expiring = (start - state.contract > 300 * DAY) & (start - state.contract < 365 * DAY)
    need = np.where(expiring & (rng.random(len(need)) < 0.3), 2, need)
    need[moved] = 2
    return np.where(state.bought, 0, need)


def _browse(
    people: People, need: Integers, share: Floats, since: Integers, start: int, rng: np.random.Generator
) -> Records:
    """What customers do of their own accord, on up to four days of the period."""
    n = len(people)
    counts = rng.poisson(_RATES[need] * (people.activity * share)[:, None])
    who = np.repeat(np.arange(n), counts.sum(axis=1))
    what = np.repeat(np.tile(np.arange(_OWN_KINDS), n), counts.ravel())
    sittings = (since[:, None] + rng.random((n, 4)) * (start + PERIOD - since)[:, None]).astype(np.int64)
    occurred = sittings[who, rng.integers(0, 4, len(who))] + rng.integers(0, 3600, len(who))
    occurred = np.minimum(occurred, start + PERIOD - 1)
    advised = (what == KIND["quote"]) | (what == KIND["comparison"])
    online = rng.random(len(who)) < np.where(advised, people.digital[who], 1.0)
    online &= what != KIND["service_call"]
    first = rng.random(len(who)) < np.where(online, 0.7, 0.75)
    channel = np.where(online, np.where(first, 0, 1), np.where(first, 2, 3))
    return Records(who, what, occurred, _late(occurred, channel, rng), channel)


def _send_mails(
    people: People, state: State, browsing: Records, since: Integers, start: int, rng: np.random.Generator
) -> Records:
    """E-mails go out on four days, more to those who are active (the business's own policy); some are opened."""
    n = len(people)
    active = np.bincount(browsing.who, minlength=n) > 1
    chosen = rng.random((n, len(_EMAIL_DAYS))) < np.where(active, 0.4, 0.2)[:, None]
    sent = start + _EMAIL_DAYS * DAY + 9 * 3600
    chosen &= (state.opted_out[:, None] >= sent) & (since[:, None] < sent)
    who, turn = np.nonzero(chosen)
    occurred = sent[turn] + rng.integers(0, 3600, len(who))
    opened = rng.random(len(who)) < people.openness[who]
    read_at = occurred[opened] + 60 + rng.exponential(10 * 3600, int(opened.sum())).astype(np.int64)
    email = np.full(len(who), CHANNELS.index("email"))
    mails = Records(who, np.full_like(who, KIND["email_sent"]), occurred, occurred + 1, email)
    opens = np.full(len(read_at), KIND["email_open"])
    return Records.join([mails, Records(who[opened], opens, read_at, read_at + 1, email[opened])])


def _buy_others(people: People, share: Floats, since: Integers, start: int, rng: np.random.Generator) -> Records:
    """Purchases of the other products, and cancellations of a few of them some weeks later."""
    business = people.recorded["business"]
    summer = 2.2 if (START + timedelta(seconds=start)).month in (5, 6, 7) else 1.0
    rates = np.where(business[:, None], _BUSINESS_RATES, _CONSUMER_RATES) * np.array([1, 1, summer, 1, 1, 1])
    rates = rates * (0.6 + 0.4 * people.activity)[:, None] * share[:, None]
    who, products = np.nonzero(rng.random(rates.shape) < rates)
    occurred = _times(since[who], start, rng)
    amounts = _amounts(products, rng)
    booked = occurred + 1 + (rng.random(len(who)) * 1800).astype(np.int64)
    returned = rng.random(len(who)) < 0.07
    back = booked[returned] + 3600 + rng.exponential(20 * DAY, int(returned.sum())).astype(np.int64)
    orders = Records(who, products, occurred, booked, amounts)
    late = back + 1 + rng.exponential(2 * DAY, len(back)).astype(np.int64)
    return Records.join([orders, Records(who[returned], products[returned], back, late, -amounts[returned])])
