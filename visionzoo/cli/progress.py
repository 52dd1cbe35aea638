"""Progress on stderr: a bar with rate and remaining time on a terminal, else a plain line every ten seconds."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

from visionzoo.cli.common import note

_SECONDS_BETWEEN_LINES = 10.0

Item = TypeVar("Item")


def progress(
    items: Iterable[Item], total: int | None, title: str, *, quiet: bool = False, plain: bool = False
) -> Iterator[Item]:
    """Yield ``items`` and print the progress.

    Args:
        items: any iterable.
        total: number of items; None if unknown.
        title: printed before the numbers.
        quiet: print nothing.
        plain: print lines even on a terminal.

    Example:
        >>> list(progress(["a", "b"], total=2, title="read", quiet=True))
        ['a', 'b']
    """
    if quiet:
        return iter(items)
    if plain or not sys.stderr.isatty():
        return _with_lines(items, total, title)
    return _with_bar(items, total, title)


def _with_lines(items: Iterable[Item], total: int | None, title: str) -> Iterator[Item]:
    started = last = time.monotonic()
    for number, item in enumerate(items, start=1):
        yield item
        now = time.monotonic()
        if now - last >= _SECONDS_BETWEEN_LINES:
            last = now
            note(_line(title, number, total, number / (now - started)))


def _line(title: str, number: int, total: int | None, rate: float) -> str:
    if total is None:
        return f"{title}: {number}, {rate:.2f}/s"
    return f"{title}: {number}/{total}, {rate:.2f}/s, {(total - number) / rate:.0f} s left"


def _with_bar(items: Iterable[Item], total: int | None, title: str) -> Iterator[Item]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn(title),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(),
    )
    started = time.monotonic()
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(title, total=total, rate="")
        for number, item in enumerate(items, start=1):
            yield item
            rate = number / max(time.monotonic() - started, 1e-9)
            bar.update(task, completed=number, rate=f"{rate:.2f}/s")
