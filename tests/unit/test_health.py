"""What monitoring concludes: quiet months do not alarm, a broken promise does, and each rule by itself."""

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit
from scipy.stats import poisson

from propensity.config import MonitoringSpec
from propensity.health import Cohort, Health, as_promised, expected_performance, look_after

WEIGHT = {"visits": 0.7, "region": 0.3}


def cohort(
    seed: int,
    *,
    n: int = 4_000,
    odds: float = 1.0,
    slope: float = 1.0,
    error: float = 5.0,
    visits: float = 0.0,
    known: bool = True,
) -> Cohort:
    """Prospects whose odds are `odds` times what the model says, its slope times `slope`."""
    rng = np.random.default_rng(seed)
    X = pd.DataFrame({"visits": rng.normal(visits, 1, n), "region": rng.integers(0, 3, n).astype(float)})
    z = 1.2 * X["visits"].to_numpy() + 0.3 * X["region"].to_numpy() - 3.5
    y = (rng.random(n) < expit(slope * (z + 3.5) - 3.5 + np.log(odds))).astype(np.int8)
    return Cohort("2025-08-01", X, z, expit(z), y if known else None, error, {"segment": rng.choice(["a", "b"], n)}, {})


# Learnt from a whole year: every season was seen.
LEARNT = [replace(cohort(seed, known=False), as_of=f"{2023 + seed}-08-01") for seed in range(3)]
NOW = cohort(9, known=False)


def looked_after(since: list[Cohort], now: Cohort = NOW, **more: Any) -> Health:
    given: dict[str, Any] = {"weight": WEIGHT, "categorical": ["region"], "descriptions": {"visits": "site visits"},
                             "spec": MonitoringSpec(), "capacity": 0.1, "seed": 0}  # fmt: skip
    return look_after(LEARNT, since, now, **{**given, **more})


def level(health: Health, name: str) -> str:
    (found,) = [check.level for check in health.checks if check.name.startswith(name)]
    return found


def test_quiet_months_are_ok() -> None:
    health = looked_after([cohort(seed) for seed in range(20, 26)])
    assert health.verdict == "ok"
    assert [row["buyers"] for row in health.months] == [cohort(seed).y.sum() for seed in range(20, 26)]  # type: ignore[union-attr]


def test_half_the_buyers_ask_for_a_training_at_once() -> None:
    health = looked_after([cohort(20), cohort(21), cohort(22, odds=0.5)])
    assert health.verdict == "retrain"
    assert level(health, "buyers") == "retrain"
    assert level(health, "ranking") == "ok"


def test_what_the_model_itself_does_not_know_is_no_alarm() -> None:
    month = cohort(22, odds=0.5)
    unsure = replace(month, error=0.4 * float(month.probability.sum()))
    assert level(looked_after([unsure]), "buyers") == "ok"


def test_between_notice_and_alarm_it_is_to_be_watched() -> None:
    def months(odds: float) -> list[Cohort]:
        return [cohort(seed, n=20_000, odds=odds, error=0.0) for seed in range(40, 44)]

    assert level(looked_after(months(0.9)), "buyers") == "ok"  # months differ by as much
    assert level(looked_after(months(0.74)), "buyers") == "watch"
    assert level(looked_after(months(0.6)), "buyers") == "retrain"
    wide = MonitoringSpec(calibration=(0.5, 2.0))
    assert level(looked_after(months(0.6), spec=wide), "buyers") == "watch"  # clear, and within what the study allows


def test_how_months_differ_is_learnt_from_those_of_before() -> None:
    seasons = [cohort(seed, odds=odds, error=0.0) for seed, odds in enumerate((0.5, 1.0, 1.6, 0.6, 1.5))]
    given: dict[str, Any] = {"weight": WEIGHT, "categorical": ["region"], "descriptions": {}, "spec": MonitoringSpec(),
                             "capacity": 0.1, "seed": 0}  # fmt: skip
    weak = cohort(22, odds=0.5, error=0.0)
    alike = [replace(cohort(seed, error=0.0), as_of=f"{2021 + seed}-08-01") for seed in range(5)]
    assert level(look_after(alike, [weak], NOW, **given), "buyers") == "retrain"
    assert level(look_after(seasons, [weak], NOW, **given), "buyers") == "ok"


def test_a_ranking_that_has_worn_off_is_seen() -> None:
    assert level(looked_after([cohort(50, slope=0.2)]), "ranking") == "retrain"


def test_too_few_buyers_tell_nothing() -> None:
    few = cohort(60, n=100)
    few = replace(few, y=np.zeros(100, np.int8))
    health = looked_after([few])
    assert few.probability.sum() < 10
    assert level(health, "buyers") == "ok"
    assert "too few buyers" in health.checks[0].found
    assert health.months[0]["roc_auc"] is None


def test_without_outcomes_the_inputs_still_speak() -> None:
    moved = cohort(9, visits=0.8, known=False)
    health = looked_after([], moved)
    assert level(health, "buyers") == "ok"
    assert level(health, "score") == "retrain"
    assert level(health, "inputs") == "retrain"
    assert health.features["feature"].iloc[0] == "visits"
    assert level(looked_after([], cohort(9, visits=0.4, known=False)), "score") == "watch"


def test_what_moved_as_much_while_the_model_learnt_is_usual() -> None:
    seasons = [cohort(seed, visits=shift, known=False) for seed, shift in ((0, -0.8), (1, 0.0), (2, 0.8))]
    given: dict[str, Any] = {"weight": WEIGHT, "categorical": ["region"], "descriptions": {}, "spec": MonitoringSpec(),
                             "capacity": 0.1, "seed": 0}  # fmt: skip
    health = look_after(seasons, [], cohort(9, visits=0.7, known=False), **given)
    assert health.score["score"] > 0.1
    assert level(health, "score") == "ok"


def test_gaps_new_categories_and_another_mix_are_to_be_watched() -> None:
    X = NOW.X.copy()
    X.loc[: len(X) // 3, "visits"] = np.nan
    health = looked_after([], replace(NOW, X=X))
    (check,) = [check for check in health.checks if check.name == "missing values"]
    assert (check.level, check.found) == ("watch", "site visits: 33%, 0% on train. Look at the source first")
    assert level(looked_after([], replace(NOW, unseen={"region": 400})), "new categories") == "watch"
    assert level(looked_after([], replace(NOW, unseen={"region": 4})), "new categories") == "ok"
    mixed = looked_after([], replace(NOW, groups={"segment": np.repeat(["a", "c"], [3_000, 1_000])}))
    assert level(mixed, "mix") == "watch"
    shares = {row["group"]: (round(row["before"], 1), row["now"]) for row in mixed.mix}
    assert shares == {"a": (0.5, 0.75), "b": (0.5, 0.0), "c": (0.0, 0.25)}


def test_expected_performance_is_what_comes_true_on_average() -> None:
    rows = cohort(70, n=2_000)
    found = expected_performance(rows.probability, rows.log_odds, capacity=0.1, seed=0)
    actual = [cohort(seed, n=2_000) for seed in range(300, 340)]
    from sklearn.metrics import roc_auc_score

    aucs = [roc_auc_score(one.y, one.log_odds) for one in actual]
    assert found["roc_auc"] == pytest.approx(np.mean(aucs), abs=0.01)
    assert np.mean([found["roc_auc_low"] <= auc <= found["roc_auc_high"] for auc in aucs]) >= 0.85
    assert found["buyers"] == pytest.approx(rows.probability.sum())
    assert found["lift_at_capacity_low"] < found["lift_at_capacity"] < found["lift_at_capacity_high"]


def test_the_interval_of_a_promise_is_poissons_where_the_model_is_sure_and_wider_where_it_is_not() -> None:
    rows = cohort(80, error=0.0)
    assert rows.y is not None
    buyers, expected = int(rows.y.sum()), float(rows.probability.sum())
    found = as_promised([rows], level=0.95, spread=0.0)
    # exact: the rates at which so many, or so few, are the 2.5 % tail
    assert poisson.sf(buyers - 1, found["low"] * expected) == pytest.approx(0.025, rel=1e-6)
    assert poisson.cdf(buyers, found["high"] * expected) == pytest.approx(0.025, rel=1e-6)
    unsure = as_promised([replace(rows, error=0.1 * expected)], level=0.95, spread=0.0)
    assert unsure["low"] < found["low"] < found["high"] < unsure["high"]
    nobody = as_promised([replace(rows, y=np.zeros_like(rows.y))], level=0.95, spread=0.0)
    assert (nobody["ratio"], nobody["low"]) == (0.0, 0.0)
    assert nobody["high"] == pytest.approx(-np.log(0.025) / expected)


def test_a_season_that_was_not_seen_is_no_alarm() -> None:
    """Two fifths fewer buyers: clear where every season was seen, a season where spring alone was."""
    autumn = [cohort(seed, odds=0.5) for seed in range(40, 43)]
    year, spring = LEARNT, [replace(one, as_of=f"2025-0{3 + i}-01") for i, one in enumerate(LEARNT)]
    given: dict[str, Any] = {"weight": WEIGHT, "categorical": ["region"], "descriptions": {}, "spec": MonitoringSpec(),
                             "capacity": 0.1, "seed": 0}  # fmt: skip
    assert level(look_after(year, autumn, NOW, **given), "buyers") == "retrain"
    assert level(look_after(spring, autumn, NOW, **given), "buyers") != "retrain"
    turned = [*autumn, cohort(43, odds=0.3)]
    assert level(look_after(spring, turned, NOW, **given), "buyers") == "retrain"


def test_quiet_years_alarm_in_fewer_than_one_of_twenty_and_turned_markets_are_seen() -> None:
    """The model's level off by its own standard error, one draw a year, and each quarter's by a tenth."""
    rng, quiet, seen = np.random.default_rng(5), 0, 0
    for year in range(40):
        off = np.exp(rng.normal(0, 0.1) + np.repeat(rng.normal(0, 0.1, 4), 3))
        months = [cohort(1_000 + 20 * year + m, n=2_000, odds=off[m], error=0.0) for m in range(12)]
        months = [replace(month, error=0.1 * float(month.probability.sum())) for month in months]
        quiet += any(_alarms(months[: m + 1]) for m in range(12))
        turned = cohort(5_000 + year, n=2_000, odds=0.38)
        seen += _alarms([*months, replace(turned, error=0.1 * float(turned.probability.sum()))])
    assert quiet <= 2
    assert seen >= 38


def _alarms(months: list[Cohort]) -> bool:
    from propensity.health import _calibration

    return _calibration(months, MonitoringSpec(), spread=0.1).level == "retrain"
