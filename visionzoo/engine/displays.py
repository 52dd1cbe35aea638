"""Displays of a run's progress on stderr: a bar, plain lines, or nothing."""

from __future__ import annotations

import sys
import threading
import time
from dataclasses import dataclass
from typing import Any

from visionzoo.engine.pace import clock


@dataclass(frozen=True)
class State:
    """State of one part of a run.

    Attributes:
        what: epoch, or the part that runs.
        done: iterations that are done.
        total: iterations of the part, >= 1.
        facts: numbers, such as ``loss 0.5``.
        place: position in words, for a display without a bar.
        pace: seconds per iteration; None if unknown.
        left: seconds to the end; None if unknown.

    Example:
        >>> State("epoch 2/9", 3, 18, ("loss 0.5",), "iter 1/2", pace=0.25, left=3.75).line()
        'epoch 2/9  iter 1/2  loss 0.5  0.25 s/iter  eta 0:00:04'
    """

    what: str
    done: int
    total: int
    facts: tuple[str, ...] = ()
    place: str = ""
    pace: float | None = None
    left: float | None = None

    def line(self) -> str:
        """Return the state as one line."""
        pace = "" if self.pace is None else f"{self.pace:.3g} s/iter"
        return "  ".join(filter(None, [self.what, self.place, *self.facts, pace, self.eta()]))

    def eta(self) -> str:
        """Return the time left, or nothing if it is unknown."""
        return "" if self.left is None else f"eta {clock(self.left)}"


class Display:
    """A display that shows nothing, and the interface of all displays."""

    def open(self, name: str) -> None:
        """Begin a part of the run, inside the part that is open."""

    def show(self, state: State, *, now: bool = False) -> None:
        """Show the state of the part that was opened last; ``now`` asks for a line at once."""

    def say(self, text: str) -> None:
        """Print one line."""

    def shut(self, name: str) -> None:
        """End the part that was opened last."""

    def close(self) -> None:
        """End all parts."""


class Lines(Display):
    """Plain lines on stderr. A thread prints one after each ``seconds`` without a line, also in a long iteration.

    Args:
        seconds: time between two lines, > 0.
    """

    def __init__(self, seconds: float):
        self._seconds = seconds
        self._begin = self._printed = time.perf_counter()
        self._state: State | None = None
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None

    def open(self, name: str) -> None:
        if self._thread is None:
            self._begin = self._printed = time.perf_counter()
            self._ended.clear()
            self._thread = threading.Thread(target=self._print_in_time, name="progress", daemon=True)
            self._thread.start()

    def show(self, state: State, *, now: bool = False) -> None:
        self._state = state
        if now:
            self.say(state.line())

    def say(self, text: str) -> None:
        self._printed = time.perf_counter()
        print(f"{clock(self._printed - self._begin)}  {text}", file=sys.stderr, flush=True)

    def close(self) -> None:
        if self._thread is not None:
            self._ended.set()
            self._thread.join()
            self._thread = None

    def _print_in_time(self) -> None:
        while not self._ended.wait(max(0.0, self._printed + self._seconds - time.perf_counter())):
            if self._state is not None and time.perf_counter() - self._printed >= self._seconds:
                self.say(self._state.line())


class Bar(Display):
    """Bars of the rich library, one for each open part."""

    def __init__(self) -> None:
        self._bars: Any = None
        self._tasks: list[Any] = []

    def open(self, name: str) -> None:
        if self._bars is None:
            self._bars = _rich_progress()
            self._bars.start()
        self._tasks.append(self._bars.add_task(name, total=None, facts="", pace="", eta=""))

    def show(self, state: State, *, now: bool = False) -> None:
        pace = "" if not state.pace else _rate(state.pace)
        text = "  ".join(filter(None, [state.what, *state.facts]))
        self._bars.update(
            self._tasks[-1], completed=state.done, total=state.total, description=text, pace=pace, eta=state.eta()
        )

    def say(self, text: str) -> None:
        if self._bars is not None:
            self._bars.console.print(text, highlight=False, markup=False, soft_wrap=True)

    def shut(self, name: str) -> None:
        self._bars.remove_task(self._tasks.pop())

    def close(self) -> None:
        if self._bars is not None:
            self._bars.stop()
            self._bars, self._tasks = None, []


def _rate(seconds: float) -> str:
    """Return the pace in the unit that gives a number above 1.

    Example:
        >>> _rate(0.25), _rate(2.5)
        ('4.00 iter/s', '2.50 s/iter')
    """
    return f"{1 / seconds:.2f} iter/s" if seconds < 1 else f"{seconds:.2f} s/iter"


def _rich_progress(console: Any = None) -> Any:
    """Return rich's bars on ``console``, by default on stderr."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
    from rich.table import Column

    text = Column(no_wrap=True, overflow="ellipsis")
    return Progress(
        TextColumn("{task.description}", markup=False, table_column=text),
        BarColumn(bar_width=16),
        MofNCompleteColumn(),
        TextColumn("{task.fields[pace]}", markup=False, table_column=Column(no_wrap=True)),
        TextColumn("{task.fields[eta]}", markup=False, table_column=Column(no_wrap=True)),
        console=console or Console(stderr=True),
        refresh_per_second=4,
    )


def display_of(style: str, seconds: float) -> Display:
    """Return the display ``bar``, ``lines`` or ``none``; ``seconds`` is the time between two lines."""
    return {"bar": Bar, "lines": lambda: Lines(seconds), "none": Display}[style]()
