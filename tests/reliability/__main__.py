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
    parser.add_argument("--only", nargs="+", default=[], help="names of formats (default: all)")
    parser.add_argument("--write", action="store_true", help="update docs/reliability.md")
    args = parser.parse_args(argv)
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    rows = {}
    for name, each in all_formats().items():
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
        head, _, _ = PAGE.read_text(encoding="utf-8").partition("| format |")
        PAGE.write_text(f"{head}{table(rows)}\n", encoding="utf-8")
    return int(any(one.failures or two.failures for one, two in rows.values()))


if __name__ == "__main__":
    sys.exit(main())
