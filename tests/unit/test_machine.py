"""The machine's load while work is done: however long that takes, few samples are kept, in the order of time."""

from time import sleep

import pytest

from propensity import machine


def test_long_work_leaves_few_samples_evenly_spread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "INTERVAL", 0.005)
    monkeypatch.setattr(machine, "MOST", 8)
    with machine.sampled() as samples:
        sleep(0.6)
    assert 2 <= len(samples) <= 8
    times = [sample["timestamp"] for sample in samples]
    assert times == sorted(times)
    assert times[-1] - times[0] > 200  # of all the time, not of its beginning alone
    assert all(0 < sample["system/process_memory_megabytes"] < 1e6 for sample in samples)


def test_short_work_leaves_none() -> None:
    with machine.sampled() as samples:
        pass
    assert samples == []
