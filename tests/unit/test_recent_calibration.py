"""Which rows calibrate the deployed model: the latest cutoff, all of them, or those since buying has changed."""

import numpy as np
import pytest
from scipy.special import expit

from propensity.learning import _calibrates, _recent


def _history(buyers: list[int], *, n: int = 3_000, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Cutoffs with about so many buyers among `n` prospects each, whom a model ranks alike at every one."""
    rng = np.random.default_rng(seed)
    place = np.repeat(np.arange(len(buyers)), n)
    raw = rng.normal(-4, 1, len(place))
    levels = np.log(np.array(buyers) / (n * expit(raw).mean()))
    return place, (rng.random(len(place)) < expit(raw + levels[place])).astype(np.int8), raw


def _used(place: np.ndarray, labels: np.ndarray, raw: np.ndarray) -> list[int]:
    recent = _recent(place, labels)
    assert len(set(recent[place == place.max()])) == 1
    return np.unique(place[recent] if _calibrates(recent, place, labels, raw) else place).tolist()


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
    place, labels, raw = _history([25, 25, 5])
    assert labels.sum() < 100
    assert _used(place, labels, raw) == [0, 1, 2]
