"""What a long piece of work asks of the machine, sampled while it runs, under names that MLflow's pages show."""

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event, Thread
from time import time
from typing import Any

import psutil

INTERVAL = 10.0
"""Seconds between the first samples: work that is shorter leaves none."""
MOST = 400
"""Samples that are kept: of longer work every second one, twice as far apart."""

Sample = dict[str, Any]


def sample(process: psutil.Process) -> Sample:
    """The machine's load now: ``timestamp`` (milliseconds since 1970), and figures among MLflow's system metrics."""
    memory = psutil.virtual_memory()
    return {
        "timestamp": int(time() * 1000),
        "system/cpu_utilization_percentage": psutil.cpu_percent(),
        "system/system_memory_usage_megabytes": round(memory.used / 1e6, 1),
        "system/system_memory_usage_percentage": memory.percent,
        "system/process_memory_megabytes": round(process.memory_info().rss / 1e6, 1),
    }


@contextmanager
def sampled() -> Iterator[list[Sample]]:
    """The samples that are taken while the block runs, `MOST` at the most, evenly spread."""
    samples: list[Sample] = []
    over, process = Event(), psutil.Process()
    psutil.cpu_percent()  # a share is since the call before

    def watch() -> None:
        interval = INTERVAL
        while not over.wait(interval):
            samples.append(sample(process))
            if len(samples) > MOST:
                del samples[1::2]
                interval *= 2

    thread = Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield samples
    finally:
        over.set()
        thread.join()
