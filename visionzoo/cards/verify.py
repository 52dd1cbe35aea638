"""Run the checks of cards, one after another, and record new numbers for them.

What a card states is compared with what its model does; see :mod:`visionzoo.cards.checks` for each kind.
"""

from __future__ import annotations

import contextlib
import io
import json
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml

from visionzoo.cards.checks import COMPARE, MEASURE, Outcome, arrays_path
from visionzoo.cards.files import Card, missing_cards, own_cards, read_cards, split_front_matter
from visionzoo.cards.schema import ForwardCheck
from visionzoo.cards.table import readme_path, table_in, zoo_table
from visionzoo.config import load_config
from visionzoo.errors import CardError, ZooError

TIERS = {
    "fast": ("build", "forward", "metric"),
    "slow": ("build", "forward", "metric", "eval", "learn"),
}


def verify_cards(cards: Sequence[Card], tier: str = "fast") -> Iterator[Outcome]:
    """One outcome per check of each card, as they come.

    Args:
        cards: which cards.
        tier: ``fast`` builds and compares one forward; ``slow`` also evaluates and trains on drawn images. Checks
            of kind ``full`` need the real data and are run by hand.
    """
    for card in cards:
        yield _timed(card.name, "config", partial(_config_problem, card))
        for check in card.zoo.checks:
            if check.kind in TIERS[tier]:
                yield _timed(card.name, check.kind, partial(_check_problem, card, check))


def verify_collection() -> Iterator[Outcome]:
    """That configs and cards match, that short names are clear, and that the README shows the table of our cards."""
    yield _timed("model_cards", "complete", lambda: "; ".join(missing_cards()) or None)
    yield _timed("model_cards", "headlines", lambda: headlines_problem(read_cards()))
    readme = readme_path()
    if readme.is_file():
        yield _timed("README.md", "table", lambda: table_problem(readme, own_cards()))


def headlines_problem(cards: Iterable[Card]) -> str | None:
    """Why a system's name does not say which model it means, or None."""
    systems: dict[str, list[str]] = {}
    for card in cards:
        if card.zoo.headline:
            systems.setdefault(card.zoo.system, []).append(card.name)
    for system, names in systems.items():
        if len(names) > 1:
            return f"expected at most one card of {system} with headline: true, found {', '.join(names)}; keep one"
    return None


def table_problem(readme: Path, cards: Iterable[Card]) -> str | None:
    """Why the table in ``readme`` is stale, or None."""
    try:
        shown = table_in(readme.read_text(encoding="utf-8"), readme)
    except CardError as error:
        return str(error)
    current = zoo_table(cards)
    if shown == current:
        return None
    rows = [row for row in current.splitlines() if row not in shown.splitlines()]
    row = f" the row {rows[0]!r:.60}..." if rows else " fewer rows"
    return f"expected the table of the cards, found one without{row}; refresh it with `visionzoo cards table --write`"


def _timed(name: str, kind: str, problem: Callable[[], str | None]) -> Outcome:
    start = time.perf_counter()
    with _calmly():
        try:
            found = problem()
        except ZooError as error:  # user errors are outcomes; our own mistakes keep their traceback
            found = error.sentence
    return Outcome(name, kind, found is None, found or "agrees", time.perf_counter() - start)


@contextlib.contextmanager
def _calmly() -> Iterator[None]:
    """Use one thread, the fastest for tiny models, and keep the output of libraries off stdout, which holds results."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        torch.set_num_threads(threads)


def _config_problem(card: Card) -> str | None:
    task = load_config(card.name).cfg.get("task")
    if task == card.task:
        return None
    return f"visionzoo.task: expected {task!r} as in configs/{card.name}.py, found {card.task!r}"


def _check_problem(card: Card, check: Any) -> str | None:
    return COMPARE[check.kind](card, check, MEASURE[check.kind](card, check))


def summary(outcomes: Sequence[Outcome], tier: str) -> dict[str, Any]:
    """The content of ``report.json``."""
    from visionzoo._version import __version__

    return {
        "passed": all(outcome.passed for outcome in outcomes),
        "tier": tier,
        "visionzoo": __version__,
        "when": datetime.now(UTC).isoformat(timespec="seconds"),
        "checks": [outcome.as_dict() for outcome in outcomes],
    }


def write_report(outcomes: Sequence[Outcome], tier: str, folder: Path) -> Path:
    """Write ``report.json`` into ``folder``."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "report.json"
    path.write_text(json.dumps(summary(outcomes, tier), indent=2) + "\n", encoding="utf-8")
    return path


# --------------------------------------------------------------------------- recording


def record_card(card: Card) -> list[str]:
    """Measure what the card's checks store, and write it: parameter counts and metrics into the card, arrays beside it.

    Only numbers change; comments and layout stay.

    Returns:
        One line for each thing written.
    """
    changes: dict[tuple, Any] = {}
    written = []
    for index, check in enumerate(card.zoo.checks):
        if check.kind in ("full", "learn"):  # nothing of these is stored
            continue
        with _calmly():
            found = MEASURE[check.kind](card, check)
        if check.kind == "build":
            changes |= {("visionzoo", "compute", key): value for key, value in found.items()}
        elif isinstance(check, ForwardCheck):
            written.append(_write_arrays(arrays_path(card), found))
        else:
            changes["visionzoo", "checks", index, "metrics"] = _rounded(found)
    card.path.write_text(replace_values(card.text, changes, card.path), encoding="utf-8")
    return [*written, *(f"{card.path.name}: {'.'.join(map(str, path))}" for path in changes)]


def _write_arrays(path: Path, found: dict[str, Any]) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(path, **found)
    return str(path)


def _rounded(numbers: dict[str, float]) -> dict[str, float]:
    return {name: round(value, 5) for name, value in numbers.items()}


def replace_values(text: str, changes: dict[tuple, Any], path: Path) -> str:
    """A card's text with the values at some paths of its front matter replaced, and all else as it was."""
    front, _ = split_front_matter(text, path)
    offset = text.index(front)
    root = yaml.compose(front, Loader=yaml.SafeLoader)
    spans = [(_node(root, keys), value) for keys, value in changes.items()]
    for node, value in sorted(spans, key=lambda pair: -pair[0].start_mark.index):
        start, end = offset + node.start_mark.index, offset + node.end_mark.index
        text = text[:start] + _inline(value) + text[end:]
    return text


def _inline(value: Any) -> str:
    """YAML on one line; JSON would write 4e-05, which YAML reads as text."""
    dumped = yaml.safe_dump(value, default_flow_style=True, sort_keys=False, width=10_000)
    return dumped.removesuffix("...\n").strip()


def _node(node: yaml.Node, keys: tuple) -> yaml.Node:
    for key in keys:
        if isinstance(key, int):
            node = node.value[key]
        else:
            node = next(value for name, value in node.value if name.value == key)
    return node
