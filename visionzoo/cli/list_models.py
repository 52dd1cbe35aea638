"""``visionzoo list``: list the models of the zoo."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from visionzoo.cli.common import Parser, note, run_command
from visionzoo.cli.tables import table

_COLUMNS = ("name", "task", "params", "licence", "status", "about")


def parser() -> Parser:
    """Return the parser of ``list``."""
    parser = Parser(
        "list",
        "List the models of the zoo. A licence is that of the weights, or of the code without weights; - is unknown.",
        '  visionzoo list\n  visionzoo list "rcnet_*" --task detection --json',
    )
    parser.add_argument("pattern", nargs="?", help="only names that contain or match this pattern (default: all)")
    parser.add_argument("--task", help="only models of this task, e.g. detection (default: all)")
    parser.add_argument(
        "--weights",
        action="store_true",
        help="only models with released weights, and what is on this machine (default: all)",
    )
    parser.add_argument(
        "--json", action="store_true", help="print a JSON list of objects instead of a table (default: off)"
    )
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command. Return 0 if a model matches, 1 if none matches, 2 for wrong use."""
    return run_command(parser(), _list, argv)


def _list(args: argparse.Namespace) -> int:
    from visionzoo.front_matter import card_files
    from visionzoo.zoo import list_models

    cards = card_files()
    rows = [_row(name, cards.get(name)) for name in list_models(args.pattern, args.task)]
    if args.weights:
        rows = [{**row, **_cached(row["name"])} for row in rows if row["weights"]]
    if args.json:
        print(json.dumps(rows, indent=2))
    elif rows:
        columns = (*_COLUMNS, "weights here") if args.weights else _COLUMNS
        print("\n".join(table(columns, [[_cell(row, column) for column in columns] for row in rows])))
    if not rows:
        note("no model matches; `visionzoo list` shows them all")
    return 0 if rows else 1


def _row(name: str, path: Path | None) -> dict[str, Any]:
    """Return the table row of a model: from its card at ``path``, or task and headline from its config."""
    from visionzoo.zoo import headline, tasks_of

    if path is None:
        return dict.fromkeys(_COLUMNS) | {
            "name": name,
            "task": ", ".join(tasks_of(name)),
            "weights": 0,
            "about": headline(name),
        }
    try:
        return {"name": name, **_stated(path)}
    except (KeyError, TypeError, AttributeError):  # the schema states which field of the card is wrong
        from visionzoo.cards import read_card

        read_card(path)
        raise


def _stated(path: Path) -> dict[str, Any]:
    """Return what a card states. The schema is not checked, because that would take most of the time of the command."""
    from visionzoo.front_matter import card_text, heading, parsed_front_matter, split_front_matter

    front, body = split_front_matter(card_text(path), path)
    zoo = parsed_front_matter(front, path)["visionzoo"]
    weights, licences = len(zoo["weights"]), zoo["licenses"]
    return {
        "task": zoo["task"] if isinstance(zoo["task"], str) else ", ".join(zoo["task"]),
        "params": zoo["compute"]["params"],
        "licence": licences["weights" if weights else "code"],
        "status": zoo["status"],
        "weights": weights,
        "about": heading(body),
    }


def _cached(name: str) -> dict[str, int]:
    """Return the number of released files of a model that are on this machine, and their bytes."""
    from visionzoo.weights.release import releases_of

    files = [path for release in releases_of(name) if (path := release.cached()) is not None]
    return {"cached": len(files), "bytes": sum(path.stat().st_size for path in files)}


def _cell(row: dict[str, Any], column: str) -> str:
    if column == "weights here":
        return f"{row['cached']} of {row['weights']}" + (f", {row['bytes'] / 1e6:.1f} MB" if row["cached"] else "")
    value = row[column]
    if value is None:
        return "-"
    return f"{value / 1e6:.1f}M" if column == "params" else str(value)
