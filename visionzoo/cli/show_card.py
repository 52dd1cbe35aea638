"""``visionzoo show``: print the card of a model."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from visionzoo.cli.common import Parser, run_command
from visionzoo.errors import InputError


def parser() -> Parser:
    """Return the parser of ``show``."""
    parser = Parser(
        "show",
        "Print the card of a model: description, numbers with their sources, licences and limits.",
        "  visionzoo show rcnet_retinanet\n  visionzoo show rcnet_retinanet --json",
    )
    parser.add_argument("name", help="a model of the zoo (`visionzoo list`)")
    parser.add_argument("--json", action="store_true", help="print the front matter as JSON (default: the whole card)")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command. Return 0 on success, 2 if no such model or card exists."""
    return run_command(parser(), _show, argv)


def _show(args: argparse.Namespace) -> int:
    from visionzoo.cards import card_names, read_card
    from visionzoo.config import find_config

    name = find_config(args.name).stem
    if name not in card_names():
        raise InputError(
            name, expected="a card", found="none", advice=f"`visionzoo config show {name}` prints its config"
        )
    card = read_card(name)
    if args.json:
        print(card.fields.model_dump_json(by_alias=True, indent=2))
    else:
        print(card.text, end="")
    return 0
