"""``visionzoo weights``: list, fetch, check and push weights."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from visionzoo.cli.common import Parser, add_offline_flag, note, run_verb

if TYPE_CHECKING:
    from visionzoo.weights.release import Release
    from visionzoo.weights.transfer import Progress

_USAGE = """usage: visionzoo weights VERB ...

verbs:
  list     list the released weights of cards: id, part, size, licence, and what is on this machine
  fetch    fetch, check and convert released weights, and print the file
  where    print the address of released weights and their places on this machine
  verify   compare the files on this machine with the sha256 of their cards or of the first download
  lock     write the sha256 of downloaded files into a card
  push     write the model of a run to the Hugging Face Hub: weights, config and card

`visionzoo weights VERB --help` lists the options. Two examples:
  visionzoo weights list dinat_mini_imagenet
  visionzoo weights fetch dinat_mini_imagenet"""
_COLUMNS = ("name", "id", "for", "size", "licence", "checked by", "here")


def parser() -> argparse.ArgumentParser:
    """Return the parser of ``weights fetch``, the main verb."""
    return _fetch_parser()


def main(argv: Sequence[str] | None = None) -> int:
    """Run one verb. Return 0 on success, 1 if nothing matches or a file is another one, 2 for wrong use."""
    return run_verb("weights", "verb", _VERBS, _USAGE, argv)


# --------------------------------------------------------------------------- parsers


def _parser(verb: str, description: str, *, one: bool) -> Parser:
    """Return a parser for a verb that takes one model, or any number of models."""
    parser = Parser(
        f"weights {verb}",
        description,
        f"  visionzoo weights {verb} dinat_mini_imagenet\n  visionzoo weights {verb} bossnet_t0_imagenet --json",
    )
    text = "a model of the zoo (`visionzoo weights list`)"
    if one:
        parser.add_argument("name", metavar="NAME", help=text)
        parser.add_argument("id", nargs="?", metavar="ID", help="id of the weights in the card (default: the first)")
    else:
        parser.add_argument("names", nargs="*", metavar="NAME", help=f"{text} (default: all)")
    parser.add_argument("--json", action="store_true", help="machine-readable result on stdout (default: off)")
    return parser


def _list_parser() -> Parser:
    return _parser("list", "List released weights. `here` names what is on this machine, - nothing.", one=False)


def _fetch_parser() -> Parser:
    parser = _parser("fetch", "Fetch released weights, check and convert them, and print the file.", one=True)
    add_offline_flag(parser)
    parser.add_argument("-q", "--quiet", action="store_true", help="no progress (default: off)")
    return parser


def _where_parser() -> Parser:
    return _parser("where", "Print where released weights come from and where they are.", one=True)


def _verify_parser() -> Parser:
    return _parser("verify", "Compare files with their sha256. The exit code is 1 if a file is another one.", one=False)


def _lock_parser() -> Parser:
    return _parser("lock", "Write the sha256 and size of downloaded files into a card.", one=True)


def _push_parser() -> Parser:
    parser = Parser(
        "weights push",
        "Write the model of a run to the Hugging Face Hub: weights as safetensors, config and card with its numbers.",
        "  visionzoo weights push work_dirs/rcnet_retinanet hf://me/my_detector\n"
        "  visionzoo weights push work_dirs/rcnet_retinanet hf://me/my_detector --private --license mit",
    )
    parser.add_argument("run", metavar="WORK_DIR", type=Path, help="the folder of a run; its best weights are written")
    parser.add_argument("target", metavar="hf://ORG/REPO", help="the repository, which is made if it does not exist")
    parser.add_argument("--license", default="other", help="licence of the weights, e.g. mit (default: other)")
    parser.add_argument("--private", action="store_true", help="make a private repository (default: public)")
    parser.add_argument("--only-folder", type=Path, metavar="DIR", help="write the files into DIR and upload nothing")
    return parser


# --------------------------------------------------------------------------- verbs


def list_weights(args: argparse.Namespace) -> int:
    """List the released weights of models."""
    rows = [_row(release) for release in _releases(args.names)]
    if args.json:
        print(json.dumps(rows, indent=2))
    elif rows:
        from visionzoo.cli.tables import table

        print("\n".join(table(_COLUMNS, [[_cell(row, column) for column in _COLUMNS] for row in rows])))
    if not rows and not args.names:
        note("no card lists released weights")
    _note_without_releases(args.names)
    return 0 if rows else 1


def _note_without_releases(names: Sequence[str]) -> None:
    """Name the given models without released weights, which have no line in a result."""
    without = [name for name in names if not _releases([name])]
    if without:
        note(f"{', '.join(without)}: no released weights")


def _row(release: Release) -> dict[str, Any]:
    entry, cached = release.entry, release.cached()
    return {
        "name": release.model,
        "id": entry.id,
        "for": entry.for_,
        "bytes": entry.bytes,
        "licence": entry.license,
        "checked by": entry.checked_by,
        "source": release.source,
        "cached": None if cached is None else str(cached),
    }


def _cell(row: dict[str, Any], column: str) -> str:
    if column == "size":
        return "-" if row["bytes"] is None else f"{row['bytes'] / 1e6:.1f} MB"
    return ("yes" if row["cached"] else "-") if column == "here" else str(row[column])


def fetch(args: argparse.Namespace) -> int:
    """Fetch released weights and print the file."""
    from visionzoo.weights.released import released_file

    path = released_file(args.name, args.id, progress=None if args.quiet else _shown_progress())
    print(json.dumps({"path": str(path)}) if args.json else path)
    return 0


def _shown_progress() -> Progress | None:
    """Return a function that prints received bytes on one line of a terminal; None without a terminal."""
    if not sys.stderr.isatty():
        return None

    def show(done: int, total: int | None) -> None:
        of = f" of {total / 1e6:.1f}" if total else ""
        print(f"\r{done / 1e6:.1f}{of} MB ", end="\n" if done == total else "", file=sys.stderr, flush=True)

    return show


def where(args: argparse.Namespace) -> int:
    """Print the places of released weights."""
    release = _release(args)
    known = release.known_sha256
    installed = release.scheme in ("pip", "package")  # these are read where they are
    places = {
        "source": release.source,
        "mirrors": list(release.entry.mirrors),
        "page": release.entry.page,
        "sha256": known,
        "download": None if installed else str(release.place),
        "converted": str(release.converted(known)) if known and release.scheme != "package" else None,
        "cached": None if (cached := release.cached()) is None else str(cached),
    }
    if args.json:
        print(json.dumps(places, indent=2))
        return 0
    for word, value in places.items():
        for each in value if isinstance(value, list) else [value]:
            print(f"{word}: {each if each is not None else '-'}")
    return 0


def verify(args: argparse.Namespace) -> int:
    """Compare the files on this machine with their sha256."""
    from visionzoo.weights.verification import verify_release

    on_hub = [name for name in args.names if name.startswith("hf://")]
    for name in on_hub:
        _verify_on_hub(name)
    if on_hub and len(on_hub) == len(args.names):
        return 0
    local = [name for name in args.names if name not in on_hub]
    verified = [(release, verify_release(release)) for release in _releases(local)]
    outcomes = [outcome for _, outcome in verified if outcome is not None]
    if args.json:
        print(json.dumps([outcome.to_json() for outcome in outcomes], indent=2))
    else:
        for outcome in outcomes:
            print(outcome)
    _note_without_releases(local)
    if verified and not outcomes:
        note("no released weights are on this machine")
    elif local:
        absent = [f"{release.model} {release.entry.id}" for release, outcome in verified if outcome is None]
        if absent:
            note(f"{', '.join(absent)}: not on this machine, not verified")
    return 0 if all(outcome.passed for outcome in outcomes) else 1


def _verify_on_hub(name: str) -> None:
    from visionzoo.cards.hub_card import require_hub_card
    from visionzoo.weights.hub_model import hub_model

    card = require_hub_card(hub_model(name))
    print(f"{name}: its weights, config and card agree ({card.name}, {card.params} parameters)")


def lock(args: argparse.Namespace) -> int:
    """Write pins into a card."""
    from visionzoo.cards.pinning import lock_card

    written = lock_card(_release(args).model, args.id)
    for line in written:
        print(line)
    if not written:
        note(f"{args.name}: nothing to lock; no file without a sha256 in the card is on this machine")
    return 0


def push(args: argparse.Namespace) -> int:
    """Write a model to the Hub."""
    from visionzoo.cards.pushing import push_model

    print(push_model(args.run, args.target, license=args.license, private=args.private, folder=args.only_folder))
    return 0


def _releases(names: Sequence[str]) -> list[Release]:
    from visionzoo.front_matter import card_names
    from visionzoo.weights.release import releases_of

    return [release for name in names or card_names() for release in releases_of(name)]


def _release(args: argparse.Namespace) -> Release:
    from visionzoo.weights.release import Release

    return Release.of(args.name, args.id)


_VERBS = {
    "list": (_list_parser, list_weights),
    "fetch": (_fetch_parser, fetch),
    "where": (_where_parser, where),
    "verify": (_verify_parser, verify),
    "lock": (_lock_parser, lock),
    "push": (_push_parser, push),
}
