"""``visionzoo test``: measure a model with the metric of its data set."""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Mapping, Sequence
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
from visionzoo.cli.suite import add_suite_flags, run_suite_command
from visionzoo.errors import ConfigError
from visionzoo.system.paths import shown_path

if TYPE_CHECKING:
    from visionzoo.engine.testing import Predictor

_ALL_WRONG = "every number is 0: no result of the model is correct; `visionzoo infer` shows its results and best scores"
_OF_SUITES = ("suite", "models", "set", "limit", "from_predictions")
EXAMPLES = """  visionzoo test work_dirs/rcnet_retinanet
  visionzoo test configs/rcnet_retinanet.py --weights best.safetensors --json
  visionzoo test bossnet_t0_imagenet --suite geo-shift --models "timm.resnet*" @models.txt"""


def parser() -> argparse.ArgumentParser:
    """Return the parser of ``test``."""
    made = Parser("test", "Measure a model and write metrics.json, report.md and report.html.", EXAMPLES)
    made.add_argument(
        "config",
        nargs="?",
        default=None,
        help="the folder of a run, a released config's name or a "
        "file; a file of `visionzoo export` is tested with the data of the config it was made from",
    )
    made.add_argument(
        "--weights",
        help="a checkpoint, or the folder of a run: its best, else its last; released or an ID of the card "
        "(`visionzoo weights list NAME`) (default: those of the run)",
    )
    add_offline_flag(made)
    add_suite_flags(made)
    add_short_options(made, training=False)
    add_config_flags(made)
    add_data_flags(made)
    add_output_flags(made, "RUN/test, else work_dirs/NAME_test")
    add_run_flags(made, seed="the config's, else 0")
    made.add_argument(
        "--tta", action="store_true", help="test-time augmentation: the config's tta_model, tta_pipeline (default: off)"
    )
    made.add_argument(
        "--exact",
        action="store_true",
        help="run the model as it is built (default: its fast form on a CPU, equal up to rounding)",
    )
    made.add_argument(
        "--no-report",
        action="store_true",
        help="write only the numbers, without figures and images (default: report.html)",
    )
    return made


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command. Return 0 on success, 1 if the test failed, 2 for wrong use, 130 if interrupted."""
    return run_command(parser(), _test, argv)


def _test(args: argparse.Namespace) -> int:
    if args.suite is not None:
        return run_suite_command(args)
    _refuse_options_of_suites(args)
    say_loading(quiet=args.quiet)
    from visionzoo.weights.runs import load_with_weights

    exported = _exported_file(args)
    name, again = args.config, "`visionzoo test {run}`"
    changes = dict(again=again, tiny=args.tiny, allow_new=args.allow_new)
    loaded = load_with_short_options(
        args, lambda options: load_with_weights(name, args.weights, options=options, **changes), training=False
    )
    prepare_data_sets(loaded, args, ("test",))

    from visionzoo.engine.loops import Interrupted
    from visionzoo.engine.measures import as_text
    from visionzoo.engine.testing import test

    taken = {
        "config",
        "tiny",
        "cfg_options",
        "allow_new",
        "allow_outside",
        "json",
        "traceback",
        "no_report",
        *_OF_SUITES,
    }
    options = {name: value for name, value in vars(args).items() if name not in taken}
    try:
        outcome = test(loaded, predictor=_predictor(exported), **options, report=not args.no_report)
    except Interrupted:
        note("stopped; nothing was written")
        return INTERRUPTED
    if os.environ.get("RANK", os.environ.get("SLURM_PROCID", "0")) != "0":
        return 0
    if args.json:
        print(json.dumps(outcome))
    else:
        print(as_text(outcome["metrics"], outcome["per_class"]))
        if all_wrong(outcome["metrics"], loaded.cfg.task):
            note(_ALL_WRONG, quiet=args.quiet)
        note(f"written to {shown_path(outcome['work_dir'])}/metrics.json and report.md", quiet=args.quiet)
        if outcome["report"]:
            note(f"report with figures and images: {shown_path(outcome['report'])}", quiet=args.quiet)
    return 0


def _exported_file(args: argparse.Namespace) -> Path | None:
    """Return the exported file that is tested; it takes the place of the weights of the model it was made from."""
    from visionzoo.config.runs import run_of
    from visionzoo.inference.exported import exported_file, open_exported

    if (file := exported_file(args.config)) is not None:
        run = run_of(file.parent.parent) if file.parent.name == "export" else None
        args.weights, args.config = str(file), str(run or open_exported(file)[0]["name"])
    return exported_file(args.weights)


def _predictor(file: Path | None) -> Predictor | None:
    """Return what lets an exported file predict; None without one."""
    if file is None:
        return None
    from visionzoo.engine.testing import Predictor
    from visionzoo.inference.backends import EXPORTED
    from visionzoo.inference.tested_file import predict_by_file

    return Predictor(predict_by_file, EXPORTED)


def _refuse_options_of_suites(args: argparse.Namespace) -> None:
    """Raise an error for a test without a config, and for options that need ``--suite``."""
    given = [name for name in _OF_SUITES if vars(args)[name]]
    if args.config is None or given:
        where = f"--{given[0].replace('_', '-')}" if given else "visionzoo test"
        found = "no --suite" if given else "none"
        raise ConfigError(
            where, expected="a config, or --suite NAME", found=found, advice="`visionzoo test --help` lists the options"
        )


def all_wrong(metrics: Mapping[str, float], tasks: str | Sequence[str]) -> bool:
    """Return True if the numbers are 0 or absent (-1), at least one is 0, and 0 is the worst value of the metrics.

    Example:
        >>> all_wrong({"coco/bbox_mAP": 0.0}, "detection"), all_wrong({"count/MAE": 0.0}, "counting")
        (True, False)
    """
    from visionzoo.engine.best_metric import best_metric_of

    rules = best_metric_of(tasks)
    rising = all(rules.get(name, "greater") == "greater" for name in metrics)
    return rising and any(name in rules for name in metrics) and max(metrics.values()) == 0
