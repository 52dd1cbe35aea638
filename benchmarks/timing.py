"""Functions that benchmarks share: CPU time of several candidates in turns, and peak memory of each."""

from __future__ import annotations

import ctypes
import gc
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

Run = Callable[[], object]


def time_in_turns(runs: dict[str, Run], rounds: int, least: int = 5) -> dict[str, float]:
    """Return the median CPU seconds of each run, over ``rounds`` rounds, but at least ``least``."""
    times: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(max(least, rounds)):
        for name, run in runs.items():
            start = time.process_time()
            run()
            times[name].append(time.process_time() - start)
    return {name: median(values) for name, values in times.items()}


def peak_memory(run: Run) -> int | None:
    """Return the increase of memory to its peak during ``run``, in bytes; None if it cannot be measured."""
    gc.collect()
    try:
        ctypes.CDLL("libc.so.6").malloc_trim(0)
        Path("/proc/self/clear_refs").write_text("5")  # reset the peak
    except OSError:
        return None
    before = _status("VmRSS")
    run()
    return _status("VmHWM") - before


def _status(entry: str) -> int:
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(entry))
    return int(line.split()[1]) * 1024
