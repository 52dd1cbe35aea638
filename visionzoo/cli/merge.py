"""``visionzoo merge``: one model from the heads of runs that share a frozen trunk."""

from __future__ import annotations

import argparse
import json
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from visionzoo.cli.common import Parser, add_summary_flags, note, run_command

EXAMPLES = """  visionzoo merge work_dirs/lanes work_dirs/counting -o work_dirs/road
  visionzoo infer work_dirs/road images/"""


def parser() -> argparse.ArgumentParser:
    """Return the parser of ``merge``."""
    made = Parser(
        "merge",
        "Join runs whose backbone and neck have equal weights into one model with the heads of all runs. The result is "
        "the folder of a run, for test and infer.",
        EXAMPLES,
    )
    made.add_argument("runs", nargs="+", metavar="RUN", help="folder of a run")
    made.add_argument(
        "--work-dir", "-o", "--out", dest="work_dir", required=True, metavar="RUN", help="folder of the new run"
    )
    made.add_argument(
        "--pipeline",
        default=None,
        metavar="RUN",
        help="the run whose test pipeline infer uses, if they differ (default: the first one that crops nothing)",
    )
    made.add_argument(
        "--overwrite", action="store_true", help="write into a folder that is not empty (default: an error)"
    )
    add_summary_flags(made)
    return made


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command. Return 0 on success, 2 for wrong use."""
    return run_command(parser(), lambda args: _merge(args, argv), argv)


def _merge(args: argparse.Namespace, argv: Sequence[str] | None) -> int:
    from visionzoo.engine.merging import merge_runs
    from visionzoo.engine.workdir import MERGED_SUMMARY

    command = ["visionzoo", "merge", *(sys.argv[1:] if argv is None else argv)]
    done = merge_runs(args.runs, args.work_dir, pipeline=args.pipeline, overwrite=args.overwrite, command=command)
    for line in done["notes"]:
        note(line, quiet=args.quiet)
    print(json.dumps(done) if args.json else Path(args.work_dir, MERGED_SUMMARY).read_text(encoding="utf-8").rstrip())
    run = shlex.quote(args.work_dir)
    note(f"\nnext:\n  visionzoo infer {run} IMAGES\n  visionzoo test {run}", quiet=args.quiet)
    return 0
