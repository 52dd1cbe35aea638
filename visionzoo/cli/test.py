"""``visionzoo test``: measure a model with the metric of its data set."""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Mapping, Sequence

from visionzoo.cli.common import (
    INTERRUPTED,
    Parser,
    add_config_flags,
    add_data_flags,
    add_output_flags,
    add_run_flags,
    note,
    run_command,
    say_loading,
)
from visionzoo.cli.data_sets import prepare_data_sets
from visionzoo.cli.short_options import add_short_options, load_with_short_options
from visionzoo.system.paths import shown_path

_ALL_WRONG = "every number is 0: no result of the model is correct; `visionzoo infer` shows its results and best scores"
EXAMPLES = """  visionzoo test work_dirs/rcnet_retinanet
  visionzoo test configs/rcnet_retinanet.py --weights best.safetensors --json"""


def parser() -> argparse.ArgumentParser:
    """Return the parser of ``test``."""
    made = Parser("test", "Measure a model and write metrics.json and report.md.", EXAMPLES)
    made.add_argument("config", help="the folder of a run, a released config's name or a file")
    made.add_argument(
        "--weights", help="a checkpoint, or the folder of a run: its best, else its last (default: those of the run)"
    )
    add_short_options(made, training=False)
    add_config_flags(made)
    add_data_flags(made)
    add_output_flags(made, "RUN/test, else work_dirs/NAME_test")
    add_run_flags(made, seed="the config's, else 0")
    made.add_argument(
        "--tta", action="store_true", help="test-time augmentation: the config's tta_model, tta_pipeline (default: off)"
    )
    return made


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command. Return 0 on success, 1 if the test failed, 2 for wrong use, 130 if interrupted."""
    return run_command(parser(), _test, argv)


def _test(args: argparse.Namespace) -> int:
    say_loading(quiet=args.quiet)
    from visionzoo.weights.runs import load_with_weights

    name, again = args.config, "`visionzoo test {run}`"
    changes = dict(again=again, tiny=args.tiny, allow_new=args.allow_new)
    loaded = load_with_short_options(
        args, lambda options: load_with_weights(name, args.weights, options=options, **changes), training=False
    )
    prepare_data_sets(loaded, args, ("test",))

    from visionzoo.engine.loops import Interrupted
    from visionzoo.engine.measures import as_text
    from visionzoo.engine.testing import test

    taken = {"config", "tiny", "cfg_options", "allow_new", "allow_outside", "json", "traceback"}
    try:
        outcome = test(loaded, **{name: value for name, value in vars(args).items() if name not in taken})
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
    return 0


def all_wrong(metrics: Mapping[str, float], tasks: str | Sequence[str]) -> bool:
    """Return True if every number is 0 or absent (-1), and 0 is the worst value of the metrics of the tasks.

    Example:
        >>> all_wrong({"coco/bbox_mAP": 0.0}, "detection"), all_wrong({"count/MAE": 0.0}, "counting")
        (True, False)
    """
    from visionzoo.tasks import task_of

    rules = [task_of(name).save_best for name in ([tasks] if isinstance(tasks, str) else tasks)]
    rising = all(rule.get(name, "greater") == "greater" for rule in rules for name in metrics)
    return rising and any(name in rule for rule in rules for name in metrics) and max(metrics.values()) <= 0
