"""Run the checks of cards in sequence, and record new numbers in cards.

A check compares the statements of a card with the behaviour of its model; see :mod:`visionzoo.cards.checks`.
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
from visionzoo.cards.fast_form_check import fast_form_problem, measure_fast_form
from visionzoo.cards.fast_forms import fast_forms_path, write_fast_form
from visionzoo.cards.files import Card, missing_cards, own_cards, read_cards
from visionzoo.cards.schema import ForwardCheck, WeightsCheck
from visionzoo.cards.table import readme_path, table_in, zoo_table
from visionzoo.config import load_config
from visionzoo.config.data_parts import tasks_of
from visionzoo.errors import CardError, ZooError
from visionzoo.front_matter import card_folder, split_front_matter

TIERS = {
    "fast": ("build", "forward", "metric", "weights"),
    "slow": ("build", "forward", "metric", "weights", "eval", "learn"),
}


def verify_cards(cards: Sequence[Card], tier: str = "fast") -> Iterator[Outcome]:
    """Run the checks of cards and yield one outcome per check.

    Args:
        cards: the cards.
        tier: ``fast`` runs the checks ``build``, ``forward``, ``metric`` and ``weights``, and compares the fast form
            of the model, see :mod:`visionzoo.models.fast_form`, with the model. ``slow`` also evaluates and
            trains on drawn images. Checks of kind ``full`` need the real data and are run manually.
    """
    for card in cards:
        yield _timed(card.name, "config", partial(_config_problem, card))
        for check in card.zoo.checks:
            if check.kind in TIERS[tier]:
                yield _timed(card.name, check.kind, partial(_check_problem, card, check))
            if isinstance(check, ForwardCheck):
                yield _timed(card.name, "fast form", partial(fast_form_problem, card, check))


def verify_collection() -> Iterator[Outcome]:
    """Check that each config has a card, that short names are unique and that the table of the README is current."""
    yield _timed("model_cards", "complete", lambda: "; ".join(missing_cards()) or None)
    yield _timed("model_cards", "headlines", lambda: headlines_problem(read_cards()))
    readme = readme_path()
    if readme.is_file():
        yield _timed("README.md", "table", lambda: table_problem(readme, own_cards()))


def headlines_problem(cards: Iterable[Card]) -> str | None:
    """Return a sentence about the first short name that two cards share, or None."""
    systems: dict[str, list[str]] = {}
    for card in cards:
        if card.zoo.headline:
            systems.setdefault(card.zoo.system, []).append(card.name)
    for system, names in systems.items():
        if len(names) > 1:
            return f"expected at most one card of {system} with headline: true, found {', '.join(names)}; keep one"
    return None


def table_problem(readme: Path, cards: Iterable[Card]) -> str | None:
    """Return a sentence if the table in ``readme`` is not current, or None."""
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
            sentence = problem()
        except ZooError as error:  # an error of the user is an outcome; other errors keep their traceback
            sentence = error.sentence
    return Outcome(name, kind, sentence is None, sentence or "agrees", time.perf_counter() - start)


@contextlib.contextmanager
def _calmly() -> Iterator[None]:
    """Use one thread, which is fastest for tiny models, and suppress output of libraries on stdout."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        torch.set_num_threads(threads)


def _config_problem(card: Card) -> str | None:
    tasks = tasks_of(load_config(card.name).cfg)
    if tasks == card.tasks:
        return None
    return f"visionzoo.task: expected {', '.join(tasks)} as in configs/{card.name}.py, found {card.task}"


def _check_problem(card: Card, check: Any) -> str | None:
    return COMPARE[check.kind](card, check, MEASURE[check.kind](card, check))


def summary(outcomes: Sequence[Outcome], tier: str) -> dict[str, Any]:
    """Return the content of ``report.json``."""
    from visionzoo._version import __version__

    return {
        "passed": all(outcome.passed for outcome in outcomes),
        "tier": tier,
        "visionzoo": __version__,
        "when": datetime.now(UTC).isoformat(timespec="seconds"),
        "checks": [outcome.as_dict() for outcome in outcomes],
    }


def write_report(outcomes: Sequence[Outcome], tier: str, folder: Path) -> Path:
    """Write ``report.json`` into ``folder`` and return its path."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "report.json"
    path.write_text(json.dumps(summary(outcomes, tier), indent=2) + "\n", encoding="utf-8")
    return path


# --------------------------------------------------------------------------- recording


def record_card(card: Card) -> list[str]:
    """Measure the numbers of a card's checks and store them: counts and metrics in the card, arrays beside it.

    Only numbers change; comments and layout are kept.

    Returns:
        One line for each written field or file.
    """
    changes: dict[tuple, Any] = {}
    written = []
    for index, check in enumerate(card.zoo.checks):
        if check.kind in ("full", "learn"):  # these checks store nothing
            continue
        with _calmly():
            numbers = MEASURE[check.kind](card, check)
            if isinstance(check, ForwardCheck) and card.path.parent == card_folder():
                write_fast_form(card.name, measure_fast_form(card, check))
                written.append(str(fast_forms_path()))
        if check.kind == "build":
            changes |= {("visionzoo", "compute", key): value for key, value in numbers.items()}
        elif isinstance(check, ForwardCheck | WeightsCheck):
            written.append(_write_arrays(arrays_path(card, check), numbers))
        else:
            changes["visionzoo", "checks", index, "metrics"] = _rounded(numbers)
    card.path.write_text(replace_values(card.text, changes, card.path), encoding="utf-8")
    return [*written, *(f"{card.path.name}: {'.'.join(map(str, path))}" for path in changes)]


def _write_arrays(path: Path, found: dict[str, Any]) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(path, **found)
    return str(path)


def _rounded(numbers: dict[str, float]) -> dict[str, float]:
    return {name: round(value, 5) for name, value in numbers.items()}


def replace_values(text: str, changes: dict[tuple, Any], path: Path) -> str:
    """Return the text of a card with new values at some paths of its front matter."""
    front, _ = split_front_matter(text, path)
    offset = text.index(front)
    root = yaml.compose(front, Loader=yaml.SafeLoader)
    spans = [(_node(root, keys), value) for keys, value in changes.items()]
    for node, value in sorted(spans, key=lambda pair: -pair[0].start_mark.index):
        start, end = offset + node.start_mark.index, offset + node.end_mark.index
        text = text[:start] + _inline(value) + text[end:]
    return text


def _inline(value: Any) -> str:
    """Return a value as YAML on one line. JSON is not used, because it writes 4e-05, which YAML reads as text."""
    dumped = yaml.safe_dump(value, default_flow_style=True, sort_keys=False, width=10_000)
    return dumped.removesuffix("...\n").strip()


def _node(node: yaml.Node, keys: tuple) -> yaml.Node:
    for key in keys:
        if isinstance(key, int):
            node = node.value[key]
        else:
            node = next(value for name, value in node.value if name.value == key)
    return node
