"""``visionzoo convert geode``: metadata of GeoDE for geographic shift, from its own index."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from visionzoo.cli.common import Parser, add_summary_flags, note, readers_on_stderr
from visionzoo.errors import OutputError

_EXAMPLES = """  visionzoo convert geode data/geode/index.csv
  visionzoo convert geode data/geode/index.csv -o data/geode/fifth.csv --share 0.2 --seed 42"""


def parser() -> Parser:
    """Return the parser of ``convert geode``."""
    made = Parser(
        "convert geode",
        "Add class indices of ImageNet, the index of the object and an id to the index of GeoDE.",
        _EXAMPLES,
    )
    made.add_argument("source", type=Path, help="index.csv of GeoDE, in the folder of its images")
    made.add_argument("-o", "--out", type=Path, default=None, help="a new CSV file (default: metadata.csv beside it)")
    made.add_argument(
        "--share", type=float, default=1.0, help="share of the images, chosen by image with the seed (default: 1)"
    )
    made.add_argument("--seed", type=int, default=42, help="seed of the choice (default: 42)")
    made.add_argument("--overwrite", action="store_true", help="replace OUT if it exists (default: an error)")
    add_summary_flags(made)
    return made


def run(args: argparse.Namespace) -> int:
    """Run the conversion. Return 0."""
    from visionzoo.datasets.geo_shift.geode import METADATA, metadata_of_index
    from visionzoo.system.atomic import require_writable, write_text

    out = args.out or args.source.with_name(METADATA)
    if out.exists() and not args.overwrite:
        raise OutputError(out, expected="a new file", found="one that exists", advice="add --overwrite, or change -o")
    require_writable(out)
    with readers_on_stderr(quiet=args.quiet):
        text, counts = metadata_of_index(args.source, share=args.share, seed=args.seed)
    out.parent.mkdir(parents=True, exist_ok=True)
    write_text(out, text)
    without = counts.pop("without a class in ImageNet", 0)
    summary = {
        "out": str(out),
        "images": counts.total(),
        "without_class": without,
        "regions": dict(sorted(counts.items())),
    }
    if args.json:
        print(json.dumps(summary))
    regions = ", ".join(f"{name} {count}" for name, count in sorted(counts.items()))
    note(f"{out}: {counts.total()} images ({regions}); {without} without a class in ImageNet", quiet=args.quiet)
    return 0
