"""``visionzoo search bossnas | encoding``: search a network without labels and print the encoding of the result."""

from __future__ import annotations

import argparse
import json
import os
import re
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from visionzoo.cli.common import INTERRUPTED, Parser, note, run_verb, say_loading
from visionzoo.errors import DataError, UnknownName
from visionzoo.system.text_files import read_text

if TYPE_CHECKING:
    from visionzoo.algorithms.bossnas import SearchSettings

_USAGE = """usage: visionzoo search WHAT ...

what:
  bossnas   search block by block, rate every path, keep the best (Li et al. 2021)
  encoding  print the encoding of the BossNet with the best paths of a search

`visionzoo search WHAT --help` lists the options. Two examples:
  visionzoo search bossnas --tiny -o work_dirs/bossnas
  visionzoo search encoding work_dirs/bossnas"""

_HYTRA_BLOCKS = 4

# Settings of --tiny: the supernet of the paper with an eighth of the width, on 64 drawn images; a minute on a CPU.
_TINY_DATA = "tiny://imagenet?train=64&val=16&size=56&seed=0"
_TINY: dict[str, Any] = dict(
    blocks=4, epochs=2, paths=2, views=2, batch_size=16, update_interval=1, lr=1.0, warmup_epochs=0,
    projector_width=16, projection=16, rating_batch_size=8, rating_images=8,
    space_options={"image_size": 64, "width": 8, "head_dim": 8},
)  # fmt: skip


def parser() -> argparse.ArgumentParser:
    """Return the parser of ``search bossnas``."""
    return _bossnas_parser()


def main(argv: Sequence[str] | None = None) -> int:
    """Run one search. Return 0 on success, 2 for wrong use, 130 if interrupted."""
    return run_verb("search", "search", _SEARCHES, _USAGE, argv)


# --------------------------------------------------------------------------- bossnas


def _bossnas_parser() -> Parser:
    made = Parser(
        "search bossnas",
        "Search a network without labels. The paths of each block are trained against their ensemble and rated. The "
        "next block reads the output of the best path. The same command with the same folder resumes a stopped "
        "search. Under torchrun the processes share the images; the settings of the paper are for 8 processes.",
        "  visionzoo search bossnas --tiny -o work_dirs/bossnas\n"
        "  visionzoo search bossnas -o work_dirs/nats --space nats_cifar10 --cfg-options epochs=10 batch_size=64\n"
        "  torchrun --nproc-per-node=8 tools/search.py bossnas --cfg-options train_root=data/imagenet/train",
    )
    made.add_argument("--space", default="hytra", help="hytra, mbconv, nats_cifar10, nats_cifar100 (default: hytra)")
    made.add_argument("--tiny", action="store_true", help="search a narrow space on drawn images (default: off)")
    made.add_argument(
        "--cfg-options",
        nargs="+",
        action="extend",
        default=[],
        metavar="NAME=VALUE",
        help="settings of the search, e.g. epochs=2 space_options.width=32 (default: the paper's)",
    )
    made.add_argument(
        "--work-dir", "-o", "--out", dest="work_dir", default="work_dirs/bossnas", help="default: %(default)s"
    )
    made.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:1 (default: auto)")
    made.add_argument("--seed", type=int, default=0, help="seed of every random number (default: 0)")
    made.add_argument("-q", "--quiet", action="store_true", help="no progress and no notes (default: off)")
    made.add_argument("--no-progress", action="store_true", help="plain lines instead of a bar (default: a bar)")
    made.add_argument("--json", action="store_true", help="machine-readable result on stdout (default: off)")
    return made


def _bossnas(args: argparse.Namespace) -> int:
    say_loading(quiet=args.quiet)
    from visionzoo.algorithms.bossnas import search, searched_encoding
    from visionzoo.cli.progress import progress
    from visionzoo.system import distributed

    settings = _settings(args)
    watch = partial(progress, quiet=args.quiet, plain=args.no_progress)
    try:
        result = search(settings, log=partial(note, quiet=args.quiet), watch=watch)
    except KeyboardInterrupt:
        note(f"stopped; the same command resumes from the last checkpoint in {settings.work_dir}")
        return INTERRUPTED
    finally:
        is_first = distributed.is_first()
        distributed.stop()
    if is_first:
        is_whole = settings.space == "hytra" and len(result.best_paths) == _HYTRA_BLOCKS
        encoding = searched_encoding(result.best_paths, settings.work_dir) if is_whole else None
        _tell(result.best_paths, encoding, args, {"out": str(settings.work_dir)})
    return 0


def _settings(args: argparse.Namespace) -> SearchSettings:
    from visionzoo.algorithms.bossnas import paper_settings
    from visionzoo.system.devices import choose_device

    changes: dict[str, Any] = dict(_tiny_settings(args.space)) if args.tiny else {}
    changes |= {"seed": args.seed, "device": "cuda" if args.device == "cuda" else str(choose_device(args.device))}
    return paper_settings(args.space, args.work_dir, **_with_options(changes, args.cfg_options))


def _tiny_settings(space: str) -> dict[str, Any]:
    from visionzoo.datasets.tiny import resolve_data_root

    if space.startswith("nats"):
        root = resolve_data_root(f"tiny://{space.removeprefix('nats_')}?train=64&val=16&seed=0")
        small: dict[str, Any] = dict(epochs=1, rate_every=1, rating_images=4, space_options={"projected_channels": 16})
        return {**_TINY, "blocks": None, **small, "views": 1, "train_root": root, "val_root": root}
    root = resolve_data_root(_TINY_DATA)
    own: dict[str, Any] = {} if space == "hytra" else {"blocks": 1, "space_options": {"image_size": 64}}
    return {**_TINY, **own, "train_root": root / "train", "val_root": root / "val"}


def _with_options(changes: dict[str, Any], options: Sequence[str]) -> dict[str, Any]:
    """Return the settings changed by ``name=value``, or by ``space_options.name=value`` for options of the space."""
    from dataclasses import fields

    from visionzoo.algorithms.bossnas import SearchSettings
    from visionzoo.config.options import parse_options

    known = {entry.name for entry in fields(SearchSettings)} - {"work_dir", "space", "seed", "device"}
    for (name, *inner), value in parse_options(options).items():
        if name not in known or (inner and name != "space_options") or len(inner) > 1:
            raise UnknownName(".".join(map(str, [name, *inner])), kind="setting of the search", known=known)
        changes[name] = {**changes.get(name, {}), inner[0]: value} if inner else value
    return changes


def _tell(
    best_paths: Sequence[Sequence[int]], encoding: Any, args: argparse.Namespace, more: dict[str, Any] | None = None
) -> None:
    spelled = None if encoding is None else [list(stage) for stage in encoding]
    if args.json:
        print(json.dumps({**(more or {}), "best_paths": [list(path) for path in best_paths], "encoding": spelled}))
        return
    if spelled is None:
        print(f"best paths: {[list(path) for path in best_paths]}")
        return
    print(f"encoding: {spelled}")
    option = f'"model.backbone.encoding={spelled}"'
    note(f"train it: visionzoo train bossnet_t0_imagenet --cfg-options {option}", quiet=args.quiet)


# --------------------------------------------------------------------------- encoding


def _encoding_parser() -> Parser:
    made = Parser(
        "search encoding",
        "Print the encoding of the BossNet with the best paths of a finished search in the space HyTra.",
        "  visionzoo search encoding work_dirs/bossnas\n  visionzoo search encoding bestpath_3_6.yml --json",
    )
    made.add_argument(
        "source", type=Path, help="the work dir of a search, or a bestpath file of visionzoo or of the authors"
    )
    made.add_argument("-q", "--quiet", action="store_true", help="print only the encoding (default: off)")
    made.add_argument("--json", action="store_true", help="machine-readable result on stdout (default: off)")
    return made


def _encoding(args: argparse.Namespace) -> int:
    from visionzoo.algorithms.bossnas import read_best_paths, searched_encoding

    is_folder = os.path.isdir(args.source)
    paths = read_best_paths(_newest(args.source) if is_folder else args.source)
    encoding = searched_encoding(paths, args.source)
    if is_folder:
        _require_finished(args.source)
    _tell(paths, encoding, args)
    return 0


def _newest(folder: Path) -> Path:
    """Return the latest file of best paths in the work dir of a search: of the last block, epoch and date."""
    files = [file for file in folder.glob("path_rank/bestpath_*.yml") if file.is_file()]
    if not files:
        raise DataError(
            folder, expected="path_rank/bestpath_*.yml of a search", found="none", advice="pass its work dir"
        )
    return max(files, key=_order)


def _order(file: Path) -> list[tuple[int, str]]:
    """Return block, epoch and date in a name like ``bestpath_3_5_11-28-10-31-07.yml``. Copies lose the file's time."""
    parts = re.split(r"[_-]", file.stem)[1:]
    return [(int(part) if part.isdecimal() else -1, part) for part in parts]


def _require_finished(folder: Path) -> None:
    """Raise an error if ``search.json`` states that the search of this folder is not finished."""
    file = folder / "search.json"
    if not file.is_file():  # a folder of the authors' code
        return
    try:
        summary = json.loads(read_text(file, "the summary of a search", "search again"))
    except (ValueError, RecursionError) as error:
        raise DataError(file, expected="JSON", but=" ".join(f"{error}".split()), advice="search again") from error
    if not isinstance(summary, dict) or not isinstance(summary.get("finished"), bool):
        raise DataError(file, expected="'finished' of a search, true or false", found="neither", advice="search again")
    if not summary["finished"]:
        raise DataError(
            folder,
            expected="a finished search",
            found="one whose last block may still get another best path",
            advice="let the search finish, or pass the bestpath file itself",
        )


_SEARCHES = {"bossnas": (_bossnas_parser, _bossnas), "encoding": (_encoding_parser, _encoding)}
