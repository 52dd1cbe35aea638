"""``visionzoo browse``: a contact sheet of what a model is really fed, with the truth drawn."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

from visionzoo.cli.common import (
    Parser,
    add_config_flags,
    add_data_flags,
    note,
    readers_on_stderr,
    run_command,
    say_loading,
)
from visionzoo.cli.data_sets import prepare_data_sets
from visionzoo.cli.short_options import add_short_options, load_with_short_options
from visionzoo.errors import ConfigError
from visionzoo.system.paths import shown_path

EXAMPLES = """  visionzoo browse rcnet_retinanet --tiny
  visionzoo browse configs/rcnet_retinanet.py --data my_data/ --number 48 -o sheet.png
  visionzoo browse work_dirs/rcnet_retinanet --split val --seed 1"""


def parser() -> argparse.ArgumentParser:
    """Return the parser of ``browse``."""
    made = Parser("browse", "Draw a contact sheet of what a model is really fed, with the truth.", EXAMPLES)
    made.add_argument("config", help="a released config's name, a file or the folder of a run")
    made.add_argument("--split", choices=("train", "val", "test"), default="train", help="default: train")
    made.add_argument("--number", type=int, default=24, metavar="N", help="images of the sheet (default: 24)")
    made.add_argument("--seed", type=int, default=None, help="of order and transforms (default: the config's, else 0)")
    made.add_argument("-o", "--out", type=Path, default=None, help="PNG file (default: NAME_SPLIT.png)")
    made.add_argument("--overwrite", action="store_true", help="replace an existing file (default: use NAME-2)")
    add_short_options(made, training=False)
    add_config_flags(made)
    add_data_flags(made)
    made.add_argument("-q", "--quiet", action="store_true", help="no notes (default: off)")
    made.add_argument("--json", action="store_true", help="the facts as JSON on stdout (default: as text)")
    return made


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command. Return 0 on success, 2 for wrong use or data that cannot be read, 130 if interrupted."""
    return run_command(parser(), _browse, argv)


def _browse(args: argparse.Namespace) -> int:
    if args.number < 1:
        raise ConfigError("--number", expected="a whole number above 0", found=f"{args.number}", advice="use 24")
    if args.out is not None and args.out.suffix.lower() != ".png":
        advice = f"use -o {args.out.name}/sheet.png" if args.out.is_dir() else "end its name with .png"
        raise ConfigError("-o", expected="a PNG file", found=f"{args.out}", advice=advice)
    say_loading(quiet=args.quiet)
    from visionzoo.config import load_config

    name, tiny, allow_new = args.config, args.tiny, args.allow_new
    loaded = load_with_short_options(
        args, lambda options: load_config(name, tiny=tiny, options=options, allow_new=allow_new), training=False
    )
    prepare_data_sets(loaded, args, (args.split,))
    from PIL import Image

    from visionzoo.analysis.browsing import browse
    from visionzoo.system.atomic import require_writable, write_file

    path = _free(args.out or Path(f"{loaded.name}_{args.split}.png"), overwrite=args.overwrite)
    require_writable(path)
    with readers_on_stderr(quiet=args.quiet):
        for line in loaded.notes:
            note(line, quiet=args.quiet)
        sheet, facts = browse(loaded, args.split, args.number, args.seed)
    write_file(path, lambda file: Image.fromarray(sheet).save(file, "PNG"))
    if args.json:
        print(json.dumps({"file": f"{path}", "facts": facts}))
    else:
        print("\n".join([*facts, f"written to {shown_path(path)}"]))
    return 0


def _free(path: Path, *, overwrite: bool) -> Path:
    """Return the file to write: another name than that of an existing file, unless it is to be replaced."""
    number, free = 1, path
    while free.exists() and not overwrite:
        number += 1
        free = path.with_name(f"{path.stem}-{number}{path.suffix}")
    return free
