"""Which cells of the matrix run, and the run itself, in one or several processes."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from hashlib import sha256
from itertools import groupby
from pathlib import Path
from typing import Any

from visionzoo.analysis.matrix.cells import FAILED, Cell, run_cell
from visionzoo.analysis.matrix.fitting import refusal
from visionzoo.analysis.matrix.parts import backbones, heads, matching, necks
from visionzoo.analysis.matrix.records import add_outcome, read_outcomes
from visionzoo.errors import ConfigError

Names = tuple[str, str, str]


def cells_of(backbone: Sequence[str] = (), neck: Sequence[str] = (), head: Sequence[str] = ()) -> list[Cell]:
    """Return the cells whose parts match patterns, head by head.

    Args:
        backbone, neck, head: patterns of names; none for all.

    Raises:
        UnknownName: a pattern matches no part.

    Example:
        >>> [cell.key for cell in cells_of(["DiNAT"], ["rc*"], ["HMoDE*"])]
        ['DiNAT | RCNet | HMoDEHead']
    """
    parts = (
        matching(backbones(), backbone, "backbone"),
        matching(necks(), neck, "neck"),
        matching(heads(), head, "head"),
    )
    return [Cell(one, between, last) for last in parts[2] for between in parts[1] for one in parts[0]]


def share_of(cells: Iterable[Cell], text: str) -> list[Cell]:
    """Return one of N disjoint shares of the cells. A cell keeps its share if parts are added.

    Args:
        cells: the cells.
        text: ``K/N`` with 1 <= K <= N.

    Raises:
        ConfigError: the text is not of this form.

    Example:
        >>> cells = cells_of([], ["no neck"], ["HMoDE*", "SCNN*"])
        >>> sum(len(share_of(cells, f"{number}/3")) for number in (1, 2, 3)) == len(cells)
        True
    """
    number, slash, count = text.partition("/")
    if not (slash and number.isdecimal() and count.isdecimal() and 1 <= int(number) <= int(count)):
        raise ConfigError("--part", expected="K/N with K from 1 to N", found=text, advice="write 1/10")
    return [cell for cell in cells if _number(cell) % int(count) == int(number) - 1]


def _number(cell: Cell) -> int:
    return int.from_bytes(sha256(cell.key.encode()).digest()[:8])


def one_per_part(cells: Sequence[Cell]) -> list[Cell]:
    """Return few of the cells that have every part at least once, without cells that a reason of principle refuses.

    A part all of whose cells are refused has one of them.

    Example:
        >>> [cell.key for cell in one_per_part(cells_of(["VGG", "MICDIR*"], ["no neck"], ["SCNN*", "MICDIR*3-D*"]))]
        ['MICDIREncoder | no neck | MICDIRHead (3-D)', 'VGG | no neck | SCNNHead']
    """
    chosen: list[Cell] = []
    covered: set[tuple[str, str]] = set()
    for part in dict.fromkeys(part for kind in ("head", "backbone", "neck") for part in _parts(cells, kind)):
        if part in covered:
            continue
        having = [cell for cell in cells if part in _parts_of(cell)]
        having.sort(key=lambda cell: -len(set(_parts_of(cell)) - covered))  # stable: ties keep their order
        best = next((cell for cell in having if not _is_refused(cell)), having[0])
        chosen.append(best)
        covered |= set(_parts_of(best))
    return chosen


def _parts(cells: Iterable[Cell], kind: str) -> Iterator[tuple[str, str]]:
    return ((kind, getattr(cell, kind).name) for cell in cells)


def _parts_of(cell: Cell) -> list[tuple[str, str]]:
    return [(kind, getattr(cell, kind).name) for kind in ("head", "backbone", "neck")]


def _is_refused(cell: Cell) -> bool:
    if cell.head.config is None:
        return False
    try:
        return refusal(cell) is not None
    except Exception:  # the cell fails, which the matrix must show
        return False


def run_cells(cells: Sequence[Cell], workers: int = 1) -> Iterator[tuple[str, dict[str, Any]]]:
    """Run cells. Yield key and outcome of each as soon as it is known.

    Args:
        cells: the cells.
        workers: number of processes, >= 1. Several processes take the cells of one head and neck in turn.
    """
    if workers <= 1:
        yield from ((cell.key, run_cell(cell)) for cell in cells)
        return
    groups = [list(group) for _, group in groupby(cells, key=lambda cell: (cell.head.name, cell.neck.name))]
    with ProcessPoolExecutor(workers, multiprocessing.get_context("spawn")) as pool:
        running = [pool.submit(_run_group, [_names(cell) for cell in group]) for group in groups]
        for done in as_completed(running):
            yield from done.result()


def _names(cell: Cell) -> Names:
    return cell.backbone.name, cell.neck.name, cell.head.name


def _run_group(names: Sequence[Names]) -> list[tuple[str, dict[str, Any]]]:
    """Run cells by the names of their parts."""
    found = {_names(cell): cell for cell in cells_of()}
    return [(found[name].key, run_cell(found[name])) for name in names]


def finish(
    cells: Sequence[Cell],
    path: Path,
    report: Callable[[str, dict[str, Any]], None],
    *,
    again: bool = False,
    workers: int = 1,
) -> dict[str, dict[str, Any]]:
    """Run the cells that a file does not have, add each outcome to the file, and return the outcomes of all cells.

    Args:
        cells: the cells.
        path: file of outcomes; it may be absent.
        report: function that is called with the key and the outcome of each cell that runs.
        again: also run the cells that failed.
        workers: number of processes, >= 1.
    """
    known = read_outcomes(path)
    open_cells = [cell for cell in cells if not _is_done(known.get(cell.key), again)]
    for key, outcome in run_cells(open_cells, workers):
        known[key] = outcome
        add_outcome(path, key, outcome)
        report(key, outcome)
    return {cell.key: known[cell.key] for cell in cells}


def _is_done(outcome: dict[str, Any] | None, again: bool) -> bool:
    return outcome is not None and not (again and outcome["status"] == FAILED)
