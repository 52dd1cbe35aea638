"""``visionzoo cards``: verify model cards, record their numbers, print the zoo table."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from visionzoo.cli.common import Parser, note, run_verb
from visionzoo.errors import CardError

if TYPE_CHECKING:
    from visionzoo.cards import Card
    from visionzoo.cards.checks import Outcome

_USAGE = """usage: visionzoo cards VERB ...

verbs:
  verify   compare the statements of cards with the behaviour of their models
  record   measure the numbers of cards again and write them into the cards
  table    print the zoo table of the README
  schema   print the JSON Schema of a card's front matter

`visionzoo cards VERB --help` lists the options. Two examples:
  visionzoo cards verify
  visionzoo cards verify rcnet_retinanet --tier slow"""


def parser() -> argparse.ArgumentParser:
    """Return the parser of ``cards verify``, the main verb."""
    return _verify_parser()


def main(argv: Sequence[str] | None = None) -> int:
    """Run one verb. Return 0 on success, 1 if a check failed, 2 for wrong use."""
    return run_verb("cards", "verb", _VERBS, _USAGE, argv)


def _verify_parser() -> Parser:
    parser = Parser(
        "cards verify",
        "Run the checks named in cards: build, forward and metric; with --tier slow also eval and learn.",
        "  visionzoo cards verify                                all cards and the table of the README\n"
        "  visionzoo cards verify rcnet_retinanet --tier slow    one card, with evaluation and a few training steps",
    )
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help="names of cards (default: all, and the table of the README)"
    )
    parser.add_argument(
        "--tier",
        choices=("fast", "slow"),
        default="fast",
        help="slow also runs the checks on drawn images (default: fast)",
    )
    parser.add_argument(
        "--json", action="store_true", help="print the report as JSON instead of a table (default: off)"
    )
    parser.add_argument("--work-dir", "-o", "--out", dest="out", help="folder for report.json (default: not written)")
    parser.add_argument("-q", "--quiet", action="store_true", help="print only the checks that fail (default: off)")
    return parser


def _record_parser() -> Parser:
    parser = Parser(
        "cards record",
        "Measure the checks of cards and store the results: parameter counts, metrics, arrays. Review the difference.",
        "  visionzoo cards record rcnet_retinanet\n  visionzoo cards record rcnet_atss rcnet_gfl",
    )
    parser.add_argument("names", nargs="+", metavar="NAME", help="names of cards")
    return parser


def _table_parser() -> Parser:
    parser = Parser(
        "cards table",
        "Print the zoo table, one row per card.",
        "  visionzoo cards table\n  visionzoo cards table --write",
    )
    parser.add_argument("--write", action="store_true", help="write it into README.md (default: print it)")
    return parser


def _schema_parser() -> Parser:
    parser = Parser(
        "cards schema",
        "Print the JSON Schema of a card's front matter.",
        "  visionzoo cards schema\n  visionzoo cards schema --write",
    )
    parser.add_argument(
        "--write", action="store_true", help="write it into model_cards/schema.json (default: print it)"
    )
    return parser


def verify(args: argparse.Namespace) -> int:
    """Run the checks. Return 0 if all pass, else 1."""
    from visionzoo.cards import card_names, read_card

    cards = [read_card(name) for name in args.names or card_names()]
    outcomes = _outcomes(cards, args)
    if args.json:
        from visionzoo.cards.verify import summary

        print(json.dumps(summary(outcomes, args.tier), indent=2))
    else:
        print_outcomes(outcomes, only_failed=args.quiet)
    if args.out:
        from visionzoo.cards.verify import write_report

        note(f"report: {write_report(outcomes, args.tier, Path(args.out))}", quiet=args.quiet)
    return 0 if all(outcome.passed for outcome in outcomes) else 1


def _outcomes(cards: Sequence[Card], args: argparse.Namespace) -> list[Outcome]:
    from visionzoo.cards.verify import verify_cards, verify_collection

    outcomes = [] if args.names else list(verify_collection())
    for outcome in verify_cards(cards, args.tier):
        outcomes.append(outcome)
        if not outcome.passed:
            note(f"{outcome.card}: {outcome.check}: {outcome.detail}", quiet=not sys.stderr.isatty())
    return outcomes


def print_outcomes(outcomes: Sequence[Outcome], *, only_failed: bool) -> None:
    """Print one row per card and one column per check, then one line for each failure."""
    from rich.console import Console
    from rich.table import Table

    console = Console(file=sys.stdout, width=None if sys.stdout.isatty() else 120)
    failed = [outcome for outcome in outcomes if not outcome.passed]
    if not only_failed:
        kinds = list(dict.fromkeys(outcome.check for outcome in outcomes))
        shown = Table(title="model cards", title_justify="left")
        for heading in ("card", *kinds, "seconds"):
            shown.add_column(heading)
        for name in dict.fromkeys(outcome.card for outcome in outcomes):
            shown.add_row(*_row(name, kinds, [outcome for outcome in outcomes if outcome.card == name]))
        console.print(shown)
    for outcome in failed:
        print(f"failed: {outcome.card}: {outcome.check}: {outcome.detail}")
    if not only_failed:
        print(f"{len(outcomes) - len(failed)} of {len(outcomes)} checks passed")


def _row(name: str, kinds: Sequence[str], outcomes: Sequence[Outcome]) -> list[str]:
    results = {outcome.check: "ok" if outcome.passed else "FAILED" for outcome in outcomes}
    return [name, *(results.get(kind, "") for kind in kinds), f"{sum(outcome.seconds for outcome in outcomes):.1f}"]


def record(args: argparse.Namespace) -> int:
    """Measure the checks of cards and write the results into the cards. Review the difference before a commit."""
    from visionzoo.cards import read_card
    from visionzoo.cards.verify import record_card

    for card in [read_card(name) for name in args.names]:
        for line in record_card(card):
            print(line)
    return 0


def table(args: argparse.Namespace) -> int:
    """Print the zoo table, or write it into the README."""
    from visionzoo.cards.files import own_cards
    from visionzoo.cards.table import readme_path, with_table, zoo_table

    text = zoo_table(own_cards())
    if not args.write:
        print(text)
        return 0
    path = readme_path()
    if not path.is_file():
        raise CardError(
            path, expected="the README to write the table into", found="none", advice="run it in a checkout"
        )
    path.write_text(with_table(path.read_text(encoding="utf-8"), text, path), encoding="utf-8")
    note(f"written: {path}")
    return 0


def schema(args: argparse.Namespace) -> int:
    """Print the JSON Schema of the front matter, or write it into its file."""
    from visionzoo.cards import card_folder
    from visionzoo.cards.schema import json_schema

    text = json.dumps(json_schema(), indent=2) + "\n"
    if not args.write:
        print(text, end="")
        return 0
    path = card_folder() / "schema.json"
    path.write_text(text, encoding="utf-8")
    note(f"written: {path}")
    return 0


_VERBS = {
    "verify": (_verify_parser, verify),
    "record": (_record_parser, record),
    "table": (_table_parser, table),
    "schema": (_schema_parser, schema),
}
