"""Damage files of every format, read them, and count what happens."""

from __future__ import annotations

import argparse
import logging
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path

from reliability.campaign import all_formats, run, table

PAGE = Path(__file__).parents[2] / "docs" / "reliability.md"


def main(argv: Sequence[str] | None = None) -> int:
    """Run the campaign. Return 1 if there is a failure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=2000, help="mutations of each format (default: 2000)")
    parser.add_argument(
        "--by-worker", type=int, default=50, help="further ones, read by a worker process (default: 50)"
    )
    parser.add_argument("--seed", type=int, default=0)
    formats = all_formats()
    parser.add_argument("--only", nargs="+", default=[], choices=formats, help="names of formats (default: all)")
    parser.add_argument("--write", action="store_true", help="update the rows of docs/reliability.md")
    args = parser.parse_args(argv)
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    rows = {}
    for name, each in formats.items():
        if args.only and name not in args.only:
            continue
        rows[name] = (
            run(each, args.count, seed=args.seed),
            run(each, args.by_worker, seed=args.seed + 1, workers=1),
        )
        for failure in [*rows[name][0].failures, *rows[name][1].failures]:
            print(failure, file=sys.stderr)
        print(f"{name}: {dict(rows[name][0].outcomes)}, by a worker {dict(rows[name][1].outcomes)}", file=sys.stderr)
    print(table(rows))
    if args.write:
        PAGE.write_text(updated(PAGE.read_text(encoding="utf-8"), table(rows)), encoding="utf-8")
    return int(any(one.failures or two.failures for one, two in rows.values()))


def updated(page: str, new: str) -> str:
    """Return the page with the rows of a table, which replace rows of the same format; all are sorted by format."""
    head, between, old = page.partition("| format |")
    top, line, *rows = new.splitlines()
    by_format = {row.split("|")[1].strip(): row for row in [*(between + old).splitlines()[2:], *rows]}
    return head + "\n".join([top, line, *(by_format[name] for name in sorted(by_format))]) + "\n"


if __name__ == "__main__":
    sys.exit(main())
