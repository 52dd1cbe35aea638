"""Pace of a run: seconds per iteration, and the time left with all remaining validations."""

from __future__ import annotations

import time
from typing import Any

from mmengine.runner import EpochBasedTrainLoop


class Pace:
    """Seconds per iteration without validations, and seconds of a validation.

    The first iteration starts workers and compiles kernels. It counts only until a second one is done.

    Args:
        done: iterations that were done before, in the run that is resumed.

    Example:
        >>> pace = Pace()
        >>> pace.step(1)
        True
        >>> pace.left(done=1, total=1)
        0.0
    """

    def __init__(self, done: int = 0):
        self._begin = self._after_first = time.perf_counter()
        self._done_before = done
        self._apart = self._validation = self._since = 0.0

    def step(self, done: int) -> bool:
        """Record the end of iteration ``done``; return True if it is the first one."""
        is_first = done == self._done_before + 1
        if is_first:
            self._after_first, self._apart = time.perf_counter(), 0.0
        return is_first

    def start_validation(self) -> None:
        """Stop the clock of training."""
        self._since = time.perf_counter()

    def end_validation(self) -> None:
        """Start the clock of training again."""
        self._validation = time.perf_counter() - self._since
        self._apart += self._validation

    def seconds(self, done: int) -> float:
        """Return the mean seconds per iteration after ``done`` iterations, outside a validation."""
        counted = done - self._done_before - 1
        if counted < 1:
            return self._after_first - self._begin
        return (time.perf_counter() - self._after_first - self._apart) / counted

    def left(self, done: int, total: int, validations: int = 0) -> float:
        """Return the seconds until the end of the run.

        Args:
            done: iterations that are done.
            total: iterations of the run.
            validations: validations that are left. Each takes the time of the last one, or none before the first one.
        """
        return self.seconds(done) * max(total - done, 0) + validations * self._validation


def validations_left(runner: Any) -> int:
    """Return the number of validations after the current iteration of a run."""
    if runner.val_loop is None:
        return 0
    loop = runner.train_loop
    by_epoch = isinstance(loop, EpochBasedTrainLoop)
    done, last = (loop.epoch, loop.max_epochs) if by_epoch else (loop.iter, loop.max_iters)
    return count_validations(max(done, loop.val_begin - 1), last, loop.val_interval)


def count_validations(done: int, last: int, interval: int) -> int:
    """Return how many steps after ``done`` are validated: multiples of ``interval``, and the last step.

    Example:
        >>> count_validations(0, 5, 2), count_validations(4, 5, 2), count_validations(5, 5, 2)
        (3, 1, 0)
    """
    return 0 if done >= last else last // interval - done // interval + (last % interval != 0)


def clock(seconds: float) -> str:
    """Return a duration as hours, minutes and seconds.

    Example:
        >>> clock(3725.4)
        '1:02:05'
    """
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}"
