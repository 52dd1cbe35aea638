"""``visionzoo check-data``: everything that is wrong with a data set."""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from visionzoo.cli.common import Parser, add_config_flags, readers_on_stderr, run_command, say_loading
from visionzoo.cli.progress import progress
from visionzoo.errors import ConfigError

if TYPE_CHECKING:
    from visionzoo.analysis.data_check import Report

EXAMPLES = """  visionzoo check-data my_data/
  visionzoo check-data voc:my_data/ --quick
  visionzoo check-data configs/rcnet_retinanet.py --split train --json
  visionzoo check-data rcnet_retinanet --tiny"""
_SPLITS = ("train", "val", "test")


def parser() -> argparse.ArgumentParser:
    """Return the parser of ``check-data``."""
    made = Parser(
        "check-data", "Read a data set once and report everything that is wrong. Exit code 1 if anything is.", EXAMPLES
    )
    made.add_argument(
        "data", help="a folder in a layout of --data, LAYOUT:FOLDER, a config's name or file, or the folder of a run"
    )
    made.add_argument("--data", dest="folder", metavar="DIR", help="check this folder for a config (default: its data)")
    made.add_argument(
        "--split", default=",".join(_SPLITS), help="splits to read, with commas (default: train,val,test)"
    )
    made.add_argument("--max-samples", type=int, default=None, metavar="N", help="first N of each set (default: all)")
    made.add_argument(
        "--quick", action="store_true", help="read annotations and headers, decode no pixels (default: off)"
    )
    made.add_argument("--jobs", type=int, default=None, metavar="N", help="threads (default: the number of cores)")
    add_config_flags(made)
    made.add_argument("-q", "--quiet", action="store_true", help="no progress (default: off)")
    made.add_argument("--no-progress", action="store_true", help="plain lines instead of a bar (default: a bar)")
    made.add_argument("--json", action="store_true", help="the report as JSON on stdout (default: as text)")
    return made


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command. Return 0 if nothing is wrong, 1 for findings, 2 for wrong use, 130 if interrupted."""
    return run_command(parser(), _check, argv)


def _check(args: argparse.Namespace) -> int:
    splits = _splits(args.split)
    for option, number in (("--max-samples", args.max_samples), ("--jobs", args.jobs)):
        if number is not None and number < 1:
            raise ConfigError(option, expected="a whole number above 0", found=f"{number}")
    say_loading(quiet=args.quiet)
    with readers_on_stderr(quiet=args.quiet):
        report = _report(args, splits)
    print(json.dumps(report.to_json(), indent=1) if args.json else report.text())
    return int(report.has_findings)


def _splits(text: str) -> tuple[str, ...]:
    names = tuple(name.strip() for name in text.split(",") if name.strip())
    unknown = [name for name in names if name not in _SPLITS]
    if unknown or not names:
        found = ", ".join(unknown) or "none"
        raise ConfigError("--split", expected=f"some of {', '.join(_SPLITS)}", found=found, advice="use --split train")
    return names


def _report(args: argparse.Namespace, splits: Sequence[str]) -> Report:
    from visionzoo.analysis.data_check import Options, check_data

    def watch(items: Iterable[Any], total: int | None, title: str) -> Iterable[Any]:
        return progress(items, total, title, quiet=args.quiet, plain=args.no_progress)

    jobs = args.jobs or os.cpu_count() or 1
    options = Options(splits, args.max_samples, pixels=not args.quick, jobs=jobs, watch=watch)
    return check_data(_sources(args), args.data, options)


def _sources(args: argparse.Namespace) -> list:
    from visionzoo.analysis.data_check.sources import sources_of_config, sources_of_folder
    from visionzoo.cli.short_options import load_with_short_options
    from visionzoo.config import load_config

    if args.folder is None and _is_folder(args.data):
        if args.tiny or args.cfg_options:
            raise ConfigError("--tiny" if args.tiny else "--cfg-options", expected="a config", found="a folder of data")
        return sources_of_folder(args.data)
    name, tiny, allow_new = args.data, args.tiny, args.allow_new
    settings = argparse.Namespace(data=args.folder, cfg_options=args.cfg_options, quiet=args.quiet)
    loaded = load_with_short_options(
        settings,
        lambda options: load_config(name, tiny=tiny, options=options, allow_new=allow_new),
        training=False,
    )
    return sources_of_config(loaded)


def _is_folder(text: str) -> bool:
    """Return True for a folder of data, and for ``LAYOUT:FOLDER``; False for a config and the folder of a run."""
    from pathlib import Path

    from visionzoo.config.runs import run_of

    path = Path(text).expanduser()
    if path.is_dir():
        return run_of(path) is None
    name, colon, _ = text.partition(":")
    return bool(colon) and "/" not in name and not path.exists()
