"""``visionzoo test --suite NAME``: judge many models on many data sets."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from visionzoo.cli.common import note, readers_on_stderr, say_loading
from visionzoo.errors import ConfigError
from visionzoo.system.paths import shown_path

_BATCH_SIZE = 32
_SHOWN_ROWS = 24
_UNUSED = ("allow_new", "allow_outside", "max_samples", "tta", "no_report", "image_size", "verbose", "overwrite")


def add_suite_flags(parser: argparse.ArgumentParser) -> None:
    """Add the options of a suite as a group of the help text."""
    group = parser.add_argument_group(
        "suites", "many models on many data sets; see the README of the suite in visionzoo/suites"
    )
    group.add_argument("--suite", metavar="NAME", default=None, help="the suite, e.g. geo-shift (default: none)")
    group.add_argument(
        "--models",
        nargs="+",
        action="extend",
        default=[],
        metavar="MODEL",
        help="further models: names, patterns, timm.NAME, @FILE with one model and optional weights a line",
    )
    group.add_argument(
        "--set",
        nargs="+",
        action="extend",
        default=[],
        metavar="NAME=VALUE",
        help="options of the suite (default: none)",
    )
    group.add_argument("--limit", type=int, default=None, metavar="N", help="only N samples of each data set")
    group.add_argument(
        "--from-predictions",
        nargs="+",
        action="extend",
        type=Path,
        default=[],
        metavar="DIR",
        help="folders of predictions of other programs, each like a model (default: none)",
    )


def run_suite_command(args: argparse.Namespace) -> int:
    """Run a suite. Return 0, also if some data sets or models were left out with a line."""
    from visionzoo.errors import require_known
    from visionzoo.suites._finding import suite_names

    require_known(args.suite.replace("_", "-"), suite_names(), "suite")
    _refuse_unused(args)
    say_loading(quiet=args.quiet)

    from visionzoo.cli.progress import progress
    from visionzoo.suites import SuiteSettings, run_suite, suite_of
    from visionzoo.suites._models import expanded

    kind = suite_of(args.suite)
    name = args.suite.replace("_", "-")
    out = Path(args.work_dir or Path("work_dirs", f"suite_{name}"))
    settings = SuiteSettings(
        tiny=args.tiny,
        data=args.data or "data",
        device=args.device,
        seed=args.seed or 0,
        limit=args.limit,
        out=out,
        options=tuple(args.cfg_options),
    )
    words = [*([args.config] if args.config else []), *args.models]
    with readers_on_stderr(quiet=args.quiet):
        suite = kind.with_options(settings, args.set)
        models = expanded(words, args.weights, kind.tasks, kind.libraries)

        def watch(items: Sequence[Any], title: str) -> Iterable[Any]:
            return progress(items, len(items), title, quiet=args.quiet, plain=args.no_progress)

        report = run_suite(
            name,
            suite,
            models,
            predictions=args.from_predictions,
            batch_size=int(args.batch_size or _BATCH_SIZE),
            note=lambda text: note(text, quiet=args.quiet),
            watch=watch,
        )
    _print(args, report, out)
    return 0


def _refuse_unused(args: argparse.Namespace) -> None:
    """Raise an error for options of a plain test, and for a suite without models."""
    unused = [name for name in _UNUSED if vars(args).get(name)]
    if unused:
        option = f"--{unused[0].replace('_', '-')}"
        advice = "use --limit" if unused[0] == "max_samples" else "leave it out"
        raise ConfigError(option, expected="an option of a suite", found="one of a plain test", advice=advice)
    if not args.config and not args.models and not args.from_predictions:
        raise ConfigError(
            "--suite", expected="a model", found="none", advice="name a config, --models or --from-predictions"
        )
    if args.limit is not None and args.limit < 1:
        raise ConfigError("--limit", expected="1 or more", found=f"{args.limit}", advice="leave it out for all samples")


def _print(args: argparse.Namespace, report: Any, out: Path) -> None:
    from visionzoo.suites._writing import table_text

    if args.json:
        print(json.dumps({"out": str(out), "notes": report.notes, "tables": sorted(report.tables)}))
    else:
        for name in report.shown[:2]:
            if rows := report.tables.get(name):
                print(f"{name}\n{table_text(rows, _SHOWN_ROWS)}\n")
    note(f"written to {shown_path(out)}/report.md, report.json and a CSV file for each table", quiet=args.quiet)
