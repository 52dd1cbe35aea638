"""Limit of the CPU time of one step of a measurement."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from visionzoo.errors import ConfigError, RunFailed


class _LimitReached(BaseException):
    """Not an ``Exception``, because libraries catch those."""


@contextmanager
def cpu_limit(seconds: float | None) -> Iterator[None]:
    """End the block after this CPU time of the process; None for no limit.

    Raises:
        RunFailed: the limit is reached.
        ConfigError: the operating system has no timer of CPU time.

    Example:
        >>> with cpu_limit(60):
        ...     print("done")
        done
    """
    if seconds is None:
        yield
        return
    if not hasattr(signal, "setitimer"):
        raise ConfigError(
            "CPU limit", expected="a Unix system", found="one without timers of CPU time", advice="leave it out"
        )
    before = signal.signal(signal.SIGPROF, _stop)
    signal.setitimer(signal.ITIMER_PROF, seconds)
    try:
        yield
    except _LimitReached:
        raise RunFailed(f"it takes more than {seconds:g} CPU seconds") from None
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)


def _stop(number: int, frame: Any) -> None:
    raise _LimitReached
