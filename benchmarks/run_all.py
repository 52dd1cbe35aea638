"""All benchmarks that need no data set, each in a new process, and one table of ours against what users run.

    python benchmarks/run_all.py                                   # 20 minutes on an idle machine
    python benchmarks/run_all.py --only culane_f1 coco_eval
    python benchmarks/run_all.py --quick                           # tiny sizes: checks the results, not the times
    python benchmarks/run_all.py --json rows.json --markdown docs/performance.md

A row has the CPU seconds of both sides, our time divided by theirs, how closely the results agree, the share of the
limit (the time of only the arithmetic or the reading of bytes, divided by ours), and whether the goal is met.
Both files are written after each benchmark, so an interruption keeps what is done; ``--markdown`` replaces the table in
a file. Benchmarks that train on data sets or register scans are not included.

The exit code is 1 if a goal is missed or a benchmark fails, else 0.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from datetime import date
from pathlib import Path
from typing import NamedTuple

from timing import ROWS_FILE, Row

FOLDER = Path(__file__).resolve().parent
HEADING = "## Against what users run"
BEGIN, END = "<!-- benchmarks/run_all.py: begin -->", "<!-- benchmarks/run_all.py: end -->"
COLUMNS = ("what", "theirs", "ours s", "theirs s", "ours / theirs", "equal to", "share of the limit", "goal")
DIFFERENT = 2  # exit code of a benchmark whose results differ


class Plan(NamedTuple):
    """Arguments of a benchmark: for the table, and for ``--quick`` and the tests."""

    usual: str = ""
    quick: str = ""


PLANS = {
    "input_pipeline": Plan("", "--images 1"),
    "whole_inference": Plan("", "--images 1 --rounds 1 --size 64 96"),
    "startup": Plan("--rounds 3", "--rounds 1"),
    "networks": Plan("", "nasnet_mobile dinat_mini bossnet_t0 --size 64"),
    "fast_form": Plan("--rounds 3", "efficientnet_lite0_imagenet=64x64"),
    "nasnet": Plan("", "--size 64"),
    "neighborhood_attention": Plan("--rounds 5", "--only 6 0"),
    "message_passing": Plan("--rounds 5", "--only 1 0"),
    "scnn_network": Plan("", "--size 48 80"),
    "gconet_plus": Plan("", "--images 1 --size 64"),
    "shared_trunk": Plan("", "--size 64 96 --depth 18 --rounds 1"),
    "rcnet_neck": Plan("--rounds 5", "--size 128 128 --batch 2 --channels 32"),
    "connectivity": Plan("", "--sizes 16"),
    "text_encoders": Plan("", "--variants minilm"),
    "referring": Plan('--only "LAVT tiny" --size 224', '--only "LAVT tiny" --size 64'),
    "micdir_training": Plan("--size 64", "--size 32"),
    "registration_ops": Plan("--only correlation --only warp --only jacobian", "--only warp --mode 0 --side 16"),
    "density_maps": Plan("--heads 100", "--size 64 64 --heads 8"),
    "saliency_metrics": Plan("", "--size 32 32 --pairs 1"),
    "culane_f1": Plan("", "--size 160 60 --lanes 2"),
    "coco_eval": Plan("--rounds 3", "--images 3 --rounds 1"),
    "coco_reading": Plan("--rounds 5", "--images 40"),
    "panoptic": Plan("", "--images 1"),
    "geo_shift": Plan("", "--images 64"),
    "training_hooks": Plan("--rounds 3", "--rounds 1 --iterations 20"),
}


class Done(NamedTuple):
    """A benchmark that ran: its exit code and rows."""

    name: str
    code: int
    rows: list[Row]


def main(argv: Sequence[str] | None = None) -> int:
    """Run the benchmarks, and print and write the table."""
    args = parser().parse_args(argv)
    done: list[Done] = []
    for name in args.only or PLANS:
        done.append(run(name, args.quick))
        if args.json:
            args.json.write_text(json.dumps([as_record(row) for each in done for row in each.rows], indent=1) + "\n")
        if args.markdown:
            write_section(args.markdown, table(done))
    print("\n" + "\n".join(table(done)))
    return int(any(each.code for each in done))


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    described = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    described.add_argument("--only", nargs="+", choices=PLANS, metavar="NAME", help=f"some of: {', '.join(PLANS)}")
    described.add_argument("--quick", action="store_true", help="tiny sizes, only to check the results")
    described.add_argument("--json", type=Path, metavar="FILE", help="write the rows as JSON")
    described.add_argument("--markdown", type=Path, metavar="FILE", help="replace the table in this file")
    return described


def run(name: str, quick: bool) -> Done:
    """Run one benchmark on one thread. Its output appears as it comes."""
    arguments = shlex.split(PLANS[name].quick if quick else PLANS[name].usual)
    print(f"\n== {name} {' '.join(arguments)}", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "rows.jsonl")
        alone = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", ROWS_FILE: str(file)}
        code = subprocess.call([sys.executable, str(FOLDER / f"{name}.py"), *arguments], env=os.environ | alone)
        return Done(name, code, read_rows(file))


def read_rows(file: Path) -> list[Row]:
    """Return the rows that a benchmark recorded."""
    lines = file.read_text(encoding="utf-8").splitlines() if file.exists() else []
    return [Row(**json.loads(line)) for line in lines]


def as_record(row: Row) -> dict[str, object]:
    """Return a row with what is computed from it."""
    return asdict(row) | {"ratio": row.ratio, "share": row.share, "is_met": row.is_met}


def table(done: Sequence[Done]) -> list[str]:
    """Return the lines of a Markdown table, with a line for each benchmark that has no row."""
    lines = ["| " + " | ".join(COLUMNS) + " |", "|" + " --- |" * len(COLUMNS)]
    for name, code, rows in done:
        lines += [cells_of(row) for row in rows]
        if code == DIFFERENT or not rows:
            said = "results differ" if code == DIFFERENT else f"no row, exit code {code}"
            lines.append(f"| `{name}` | {said} |" + " |" * (len(COLUMNS) - 2))
    return lines


def cells_of(row: Row) -> str:
    """Return one line of the table."""
    share = "" if row.share is None else f"{row.share:.2f}"
    seconds = (f"{value:.3g}" for value in (row.ours_s, row.theirs_s))
    return "| " + " | ".join((row.what, row.theirs, *seconds, f"{row.ratio:.2f}", row.equal, share, row.goals)) + " |"


def write_section(file: Path, lines: Sequence[str]) -> None:
    """Replace the text between the markers, or add the section at the end of the file."""
    import torch

    about = f"Measured by `python benchmarks/run_all.py`, {date.today()}, one core, torch {torch.__version__}."
    section = "\n".join([BEGIN, about, "", *lines, END])
    text = file.read_text(encoding="utf-8") if file.exists() else "# Performance\n"
    if BEGIN in text:
        before, rest = text.split(BEGIN, 1)
        text = before + section + rest.split(END, 1)[1]
    else:
        text = f"{text.rstrip()}\n\n{HEADING}\n\n{section}\n"
    file.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    raise SystemExit(main())
