"""Which rows calibrate the deployed model: the latest cutoff, all of them, or those since buying has changed."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit

from propensity.features.matrix import Frame
from propensity.learning import _calibrates, _recent


def _history(buyers: list[int], *, n: int = 3_000, seed: int = 0) -> tuple[np.ndarray, Frame, np.ndarray]:
    """Cutoffs with about so many buyers among `n` prospects each, whom a model ranks alike at every one."""
    rng = np.random.default_rng(seed)
    place = np.repeat(np.arange(len(buyers)), n)
    raw = rng.normal(-4, 1, len(place))
    y = np.zeros(len(place), dtype=np.int8)
    for k, share in enumerate(np.array(buyers) / (n * expit(raw).mean())):
        y[place == k] = rng.random(n) < share * expit(raw[place == k])
    return place, Frame(X=pd.DataFrame(index=range(len(y))), keys=pd.DataFrame({"code": np.arange(len(y))}), y=y), raw


def _used(place: np.ndarray, rows: Frame, raw: np.ndarray) -> list[int]:
    recent = _recent(place, rows)
    assert recent[place == place.max()].all()
    return np.unique(place[recent] if _calibrates(recent, place, rows, raw) else place).tolist()


@pytest.mark.parametrize("others", [150, 400])
def test_the_latest_cutoff_alone_where_it_has_buyers_enough(others: int) -> None:
    assert _used(*_history([others, others, 150])) == [2]


def test_all_cutoffs_where_the_latest_has_few_buyers_and_nothing_has_changed() -> None:
    for seed in range(20):
        assert _used(*_history([60] * 5, seed=seed)) == [0, 1, 2, 3, 4]


def test_what_came_before_a_turn_does_not_calibrate() -> None:
    used = [_used(*_history([180, 180, 180, 70, 70], seed=seed)) for seed in range(10)]
    assert used.count([3, 4]) >= 9  # 70 and 70 make 140; the odds are 0.39 of before: a step of ten errors of 0.09


def test_all_cutoffs_where_even_all_have_few_buyers() -> None:
    place, rows, raw = _history([25, 25, 5])
    assert rows.labels.sum() < 100
    assert _used(place, rows, raw) == [0, 1, 2]


def test_cutoffs_at_which_nobody_bought_have_no_say() -> None:
    assert _used(*_history([0, 0, 0, 80, 80])) == [3, 4]


def test_a_purchase_in_overlapping_windows_counts_once() -> None:
    place, rows, raw = _history([300, 300, 60, 60, 60])
    assert _used(place, rows, raw) == [3, 4]
    # the same buyers stand at the last three cutoffs: they are 60
    bought = [np.flatnonzero((place == k) & (rows.labels == 1)) for k in (2, 3, 4)]
    few = min(map(len, bought))
    code = rows.groups.copy()
    for own in bought:
        code[own[:few]] = -1 - np.arange(few)
    keys = rows.keys.assign(code=code)
    assert 1 in np.unique(place[_recent(place, replace(rows, keys=keys))])
