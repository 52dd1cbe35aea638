"""Functions that benchmarks share: CPU time of several candidates in turns, peak memory, and the rows of run_all.py."""

from __future__ import annotations

import ctypes
import gc
import json
import os
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median

Run = Callable[[], object]

ROWS_FILE = "BENCHMARK_ROWS"  # environment variable: file to which each row is appended as a line of JSON


@dataclass(frozen=True)
class Row:
    """One comparison with what a user would otherwise run.

    Attributes:
        what: what both sides compute, with its size.
        theirs: the opponent.
        ours_s, theirs_s: CPU seconds.
        equal: how closely the results agree; results that differ more have no row.
        goal: largest ratio of our time to theirs that is accepted; None without a goal.
        floor_s: CPU seconds of only the arithmetic or the reading of bytes, if known.
        least_share: smallest share of the limit that is accepted; None without such a goal.
    """

    what: str
    theirs: str
    ours_s: float
    theirs_s: float
    equal: str
    goal: float | None = None
    floor_s: float | None = None
    least_share: float | None = None

    @property
    def ratio(self) -> float:
        """Our time divided by theirs."""
        return self.ours_s / self.theirs_s

    @property
    def share(self) -> float | None:
        """The time of the limit divided by ours, if known."""
        return None if self.floor_s is None else self.floor_s / self.ours_s

    @property
    def is_met(self) -> bool:
        """True if both goals are met: the ratio is not above its goal, the share not below its own."""
        has_share = self.least_share is None or (self.share is not None and self.share >= self.least_share)
        return has_share and (self.goal is None or self.ratio <= self.goal)

    @property
    def goals(self) -> str:
        """The goals and whether they are met, or an empty text."""
        goals = [] if self.goal is None else [f"{self.goal:.2g}"]
        goals += [] if self.least_share is None else [f"share {self.least_share:.2g}"]
        return f"{', '.join(goals)}: {'met' if self.is_met else '**not met**'}" if goals else ""

    def __str__(self) -> str:
        goals = f" (goal {self.goals})" if self.goals else ""
        share = "" if self.share is None else f"; share of the limit: {self.share:.2f}"
        return f"{self.what}: {self.ratio:.3f} of the time of {self.theirs}{goals}{share}; equal: {self.equal}"


def record(row: Row) -> int:
    """Print a row, and append it to the file that ``run_all.py`` reads. Return 1 if the goal is missed, else 0."""
    print(row, flush=True)
    if file := os.environ.get(ROWS_FILE):
        with Path(file).open("a", encoding="utf-8") as lines:
            lines.write(json.dumps(asdict(row)) + "\n")
    return int(not row.is_met)


def time_in_turns(runs: dict[str, Run], rounds: int, least: int = 5) -> dict[str, float]:
    """Return the median CPU seconds of each run, over ``rounds`` rounds, but at least ``least``."""
    times: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(max(least, rounds)):
        for name, run in runs.items():
            start = time.process_time()
            run()
            times[name].append(time.process_time() - start)
    return {name: median(values) for name, values in times.items()}


def arithmetic_seconds(run: Run, side: int = 1024) -> float:
    """Return the CPU seconds of the floating-point operations of ``run`` at the rate of a matrix product.

    Operations are those that torch counts in a forward pass: matrix products and convolutions.
    """
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    with FlopCounterMode(display=False) as counter:
        run()
    left, right = torch.randn(2, side, side)
    seconds = time_in_turns({"product": lambda: left @ right}, 15)["product"]
    return counter.get_total_flops() * seconds / (2 * side**3)


def peak_memory(run: Run) -> int | None:
    """Return the increase of memory to its peak during ``run``, in bytes; None if it cannot be measured."""
    gc.collect()
    try:
        ctypes.CDLL("libc.so.6").malloc_trim(0)  # free pages of earlier runs would hide the memory of this run
        Path("/proc/self/clear_refs").write_text("5")  # reset the peak
    except OSError:
        return None
    before = _status("VmRSS")
    run()
    return _status("VmHWM") - before


def mebibytes(peak: int | None) -> str:
    """Return a peak of memory as text in MiB."""
    return "n/a" if peak is None else f"{peak / 2**20:.1f}"


def _status(entry: str) -> int:
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(entry))
    return int(line.split()[1]) * 1024
