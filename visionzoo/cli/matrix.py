"""``visionzoo matrix``: every backbone with every neck and head."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from visionzoo.cli.common import Parser, note, readers_on_stderr, run_command, say_loading
from visionzoo.errors import ConfigError
from visionzoo.system.paths import shown_path

_OUT = "work_dirs/matrix.jsonl"


def parser() -> Parser:
    """Return the parser of the command."""
    made = Parser(
        "matrix",
        "Build every backbone with every neck and head in small variants, train one step, predict, and print what "
        "works. A cell that does not work has a reason of principle, or it is a failure.",
        "  visionzoo matrix --backbone DiNAT --neck RCNet\n  visionzoo matrix --part 1/10 -o matrix.jsonl",
    )
    for kind in ("backbone", "neck", "head"):
        made.add_argument(
            f"--{kind}", nargs="+", action="extend", default=[], metavar="PATTERN",
            help=f"only {kind}s whose names match, e.g. 'timm.*' (default: all)",
        )  # fmt: skip
    made.add_argument("--part", metavar="K/N", help="only the K-th of N shares of the cells (default: all)")
    made.add_argument(
        "--one-per-part", action="store_true", help="only few cells that have every part once (default: off)"
    )
    made.add_argument("--list", action="store_true", help="print the cells and run none (default: off)")
    made.add_argument(
        "-o", "--out", metavar="FILE", default=_OUT,
        help=f"file of outcomes; cells that it has are not repeated (default: {_OUT})",
    )  # fmt: skip
    made.add_argument("--overwrite", action="store_true", help="replace the file (default: continue it)")
    made.add_argument("--retry-failed", action="store_true", help="repeat the failed cells of the file (default: off)")
    made.add_argument("--workers", type=int, default=1, metavar="N", help="number of processes (default: 1)")
    made.add_argument(
        "--markdown",
        metavar="FILE",
        help="write the table of all cells of the file between the markers of this page (default: none)",
    )
    made.add_argument("-q", "--quiet", action="store_true", help="no line for each cell (default: off)")
    made.add_argument("--json", action="store_true", help="print the outcomes as JSON on stdout (default: off)")
    return made


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command. Return 0, 1 if a cell fails, or 2 for wrong use."""
    return run_command(parser(), _matrix, argv)


def _matrix(args: argparse.Namespace) -> int:
    out = _checked(args)
    say_loading(quiet=args.quiet)

    from visionzoo.analysis.matrix.cells import FAILED
    from visionzoo.analysis.matrix.running import finish
    from visionzoo.analysis.matrix.table import line_of, summary, text_table

    with readers_on_stderr(quiet=args.quiet):
        cells = _cells(args)
    if args.list:
        return _print_cells(args, cells)

    def report(key: str, outcome: dict[str, Any]) -> None:
        note(line_of(key, outcome), quiet=args.quiet)

    with readers_on_stderr(quiet=args.quiet):
        outcomes = finish(cells, out, report, again=args.retry_failed, workers=args.workers)
    if args.markdown:
        _write_page(Path(args.markdown), out)
    failed = {key: outcome for key, outcome in outcomes.items() if outcome["status"] == FAILED}
    print(json.dumps(outcomes) if args.json else f"{text_table(outcomes)}\n\n{summary(outcomes)}")
    for key, outcome in failed.items():
        note(line_of(key, outcome))
    note(f"written to {shown_path(out)}", quiet=args.quiet)
    return 1 if failed else 0


def _checked(args: argparse.Namespace) -> Path:
    """Return the file of outcomes, which exists afterwards; it is empty with ``--overwrite``."""
    from visionzoo.system.atomic import require_writable

    if args.workers < 1:
        raise ConfigError("--workers", expected="1 or more", found=f"{args.workers}", advice="leave it out for 1")
    if args.markdown:
        _require_page(Path(args.markdown))
    out = Path(args.out)
    if out.is_dir():
        raise ConfigError("--out", expected="a file", found=f"the folder {shown_path(out)}", advice="name a file in it")
    if not args.list:
        require_writable(out)
        out.parent.mkdir(parents=True, exist_ok=True)
        if args.overwrite:
            out.unlink(missing_ok=True)
    return out


def _require_page(path: Path) -> None:
    """Raise an error before the run if the table cannot be written into this page."""
    from visionzoo.analysis.matrix.table import BEGIN, END, with_table

    if not path.is_file():
        expected, advice = f"a page with {BEGIN} and {END}", "create the page, or name an existing one"
        raise ConfigError("--markdown", expected=expected, found=f"no file {path}", advice=advice)
    with_table(path.read_text(encoding="utf-8"), {})


def _cells(args: argparse.Namespace) -> Any:
    from visionzoo.analysis.matrix.running import cells_of, one_per_part, share_of

    cells = cells_of(args.backbone, args.neck, args.head)
    if args.part:
        cells = share_of(cells, args.part)
    return one_per_part(cells) if args.one_per_part else cells


def _print_cells(args: argparse.Namespace, cells: Any) -> int:
    keys = [cell.key for cell in cells]
    print(json.dumps(keys) if args.json else "\n".join(keys))
    return 0


def _write_page(path: Path, out: Path) -> None:
    """Write the table of all cells that the file has, also those that earlier runs added."""
    from visionzoo.analysis.matrix.records import read_outcomes
    from visionzoo.analysis.matrix.running import cells_of
    from visionzoo.analysis.matrix.table import with_table
    from visionzoo.system.atomic import write_text

    known = read_outcomes(out)
    outcomes = {cell.key: known[cell.key] for cell in cells_of() if cell.key in known}
    write_text(path, with_table(path.read_text(encoding="utf-8"), outcomes))
