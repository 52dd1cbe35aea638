"""``visionzoo train``: train a model from a config."""

from __future__ import annotations

import argparse
import json
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from visionzoo.cli.common import (
    INTERRUPTED,
    Parser,
    add_config_flags,
    add_data_flags,
    add_offline_flag,
    add_output_flags,
    add_run_flags,
    note,
    run_command,
    say_loading,
)
from visionzoo.cli.data_sets import prepare_data_sets
from visionzoo.cli.short_options import add_short_options, load_with_short_options

if TYPE_CHECKING:
    from visionzoo.config import LoadedConfig

EXAMPLES = """  visionzoo train rcnet_retinanet --tiny
  visionzoo train rcnet_retinanet --data my_data/ --epochs 30 --image-size 640
  visionzoo train rcnet_retinanet --weights FILE --data my_data/ --replace-head --freeze backbone.stages.0
  visionzoo train configs/rcnet_retinanet.py --amp --cfg-options model.backbone.depth=101
  visionzoo train --resume work_dirs/rcnet_retinanet
  torchrun --nproc-per-node=4 tools/train.py configs/rcnet_retinanet.py"""


def parser() -> argparse.ArgumentParser:
    """Return the parser of ``train``."""
    made = Parser("train", "Train a model from a config, or resume a stopped run.", EXAMPLES)
    made.add_argument(
        "config",
        nargs="?",
        help="a released config's name, a file or the folder of a run (default: that of --resume or --weights)",
    )
    add_short_options(made)
    add_config_flags(made)
    add_data_flags(made)
    add_output_flags(made, "work_dirs/NAME")
    add_run_flags(made, seed="that of the resumed run, else the config's, else 0")
    made.add_argument("--deterministic", action="store_true", help="use only deterministic algorithms (default: off)")
    made.add_argument(
        "--resume",
        nargs="?",
        const=True,
        default=False,
        metavar="PATH",
        help="continue a run: its folder or a checkpoint; without PATH the newest run of the config (default: off)",
    )
    made.add_argument(
        "--weights",
        default=None,
        help="initial weights: a file, the folder of a run or an address; released or an ID of the card "
        "(`visionzoo weights list NAME`) (default: none)",
    )
    add_offline_flag(made)
    made.add_argument(
        "--ignore",
        nargs="+",
        action="extend",
        default=[],
        metavar="PATTERN",
        help="weights that are not loaded, e.g. 'bbox_head.*' (default: none)",
    )
    made.add_argument(
        "--replace-head",
        action="store_true",
        help="do not load the tensors that belong to the classes of --weights (default: only if the classes differ)",
    )
    _add_training_flags(made)
    return made


def _add_training_flags(made: argparse.ArgumentParser) -> None:
    """Add the options that change how a model is trained and logged."""
    made.add_argument("--amp", action="store_true", help="mixed precision (default: off)")
    made.add_argument(
        "--accumulate",
        type=int,
        default=None,
        metavar="N",
        help="iterations per optimizer step (default: the config's, 1)",
    )
    made.add_argument("--ema", action="store_true", help="also keep averaged weights and measure them (default: off)")
    made.add_argument(
        "--tensorboard",
        action="store_true",
        help="also write losses, learning rates and metrics as events into WORK_DIR/tensorboard (default: off)",
    )
    made.add_argument(
        "--strategy", choices=("ddp", "fsdp"), default=None, help="how several processes share the work (default: ddp)"
    )
    made.add_argument(
        "--dry-run", action="store_true", help="build everything, run one batch and write nothing (default: off)"
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command. Return 0 on success, 1 if training failed, 2 for wrong use, 130 if interrupted."""
    return run_command(parser(), lambda args: _train(args, argv), argv)


def _train(args: argparse.Namespace, argv: Sequence[str] | None) -> int:
    say_loading(quiet=args.quiet)
    loaded = _loaded(args)
    if loaded.cfg.get("train_dataloader") is not None:  # else nothing can be trained, with any data
        prepare_data_sets(loaded, args, ("train", "val"))

    from visionzoo.config.files import display_path
    from visionzoo.engine.loops import Interrupted
    from visionzoo.engine.training import train
    from visionzoo.system.distributed import find_launcher

    taken = {"config", "tiny", "cfg_options", "allow_new", "allow_outside", "json", "traceback"}
    options = {name: value for name, value in vars(args).items() if name not in taken}
    command = ["visionzoo", "train", *(sys.argv[1:] if argv is None else argv)]
    try:
        outcome = train(loaded, command=command, **options)
    except Interrupted as stopped:
        if stopped.checkpoint is None:
            note("stopped before anything was trained; nothing was saved")
        else:
            saved = Path(display_path(stopped.checkpoint))
            note(f"stopped, saved {saved}; resume: visionzoo train --resume {shlex.quote(str(saved.parent))}")
        return INTERRUPTED
    if args.json and (find_launcher() == "none" or _is_first()):
        print(json.dumps(outcome))
    return 0


def _loaded(args: argparse.Namespace) -> LoadedConfig:
    """Load the config: that of the command, or that of the run to resume or to start from."""
    from visionzoo.weights.runs import load_with_weights

    run, option = args.weights, "--weights"
    if args.resume:
        from visionzoo.engine.workdir import folder_to_resume

        run, option = folder_to_resume(args.resume, args.work_dir, args.config), "--resume"
    again = f"`visionzoo train {option} {{run}}`"
    changes = dict(tiny=args.tiny, allow_new=args.allow_new, other_heads=True)
    return load_with_short_options(
        args, lambda options: load_with_weights(args.config, run, again=again, options=options, **changes)
    )


def _is_first() -> bool:
    import os

    return os.environ.get("RANK", os.environ.get("SLURM_PROCID", "0")) == "0"
