"""``visionzoo compare``: the numbers of several runs in one table and one figure."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

from visionzoo.cli.common import Parser, add_output_flags, add_summary_flags, choose_output_dir, note, run_command
from visionzoo.system.paths import shown_path

EXAMPLES = """  visionzoo compare work_dirs/rcnet_retinanet work_dirs/fpn_retinanet
  visionzoo compare work_dirs/rcnet_retinanet/test work_dirs/fpn_retinanet/test/metrics.json --json"""


def parser() -> argparse.ArgumentParser:
    """Return the parser of ``compare``."""
    made = Parser(
        "compare",
        "Compare trainings or tests: all metrics, classes and configs, in compare.md and compare.png. Runs that differ "
        "only in their seed are given as mean and spread.",
        EXAMPLES,
    )
    made.add_argument("runs", nargs="+", metavar="RUN", help="folder of a training or of a test, or a metrics.json")
    add_output_flags(made, "work_dirs/compare")
    add_summary_flags(made)
    return made


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command. Return 0 on success, 2 for wrong use."""
    return run_command(parser(), _compare, argv)


def _compare(args: argparse.Namespace) -> int:
    from visionzoo.engine.comparison import compare
    from visionzoo.engine.comparison_figure import write_figure
    from visionzoo.engine.comparison_text import as_markdown, as_text
    from visionzoo.engine.recorded_runs import read_run
    from visionzoo.system.atomic import write_text

    comparison = compare([read_run(path) for path in args.runs])
    out = choose_output_dir(Path(args.work_dir or Path("work_dirs", "compare")), overwrite=args.overwrite)
    write_text(out / "compare.md", as_markdown(comparison))
    write_figure(comparison, out / "compare.png")
    print(json.dumps(comparison.to_json(), allow_nan=False) if args.json else as_text(comparison))
    note(f"written to {shown_path(out)}/compare.md and compare.png", quiet=args.quiet)
    return 0
