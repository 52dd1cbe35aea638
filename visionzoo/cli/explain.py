"""``visionzoo explain``: which places of an image raise what a model finds in it (Grad-CAM)."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from visionzoo.cli.common import (
    FirstLook,
    Parser,
    add_config_flags,
    add_offline_flag,
    add_output_flags,
    add_run_flags,
    choose_output_dir,
    note,
    readers_on_stderr,
    run_command,
    say_loading,
)
from visionzoo.errors import ConfigError, ZooError, as_utf8, on_one_line
from visionzoo.system.deferred_imports import deferred_imports
from visionzoo.system.paths import other_folder_text, shown_path
from visionzoo.tasks.inputs.options import add_image_options

if TYPE_CHECKING:
    from visionzoo.analysis.explaining import Explainer, Explanation
    from visionzoo.config import LoadedConfig
    from visionzoo.tasks.inputs.base import Input, Source

EXAMPLES = """  visionzoo explain bossnet_t0_imagenet cat.jpg --target "tiger cat" --method grad-cam++
  visionzoo explain work_dirs/rcnet_retinanet images/ --target person --layer neck:2 --sanity all"""
_AGAIN = "`visionzoo explain {run} INPUT`"


def parser(inputs: Input | None = None) -> Parser:
    """Return the parser of the command.

    Args:
        inputs: the kind of inputs of the model's task, which adds its options. None adds those of images.
    """
    made = Parser("explain", "Draw which places of an image raise what a model finds in it (Grad-CAM).", EXAMPLES)
    made.add_argument(
        "model", metavar="NAME_OR_CONFIG", help="a model of the zoo, a config file or the folder of a run"
    )
    if inputs is None:
        add_image_options(made)
    else:
        inputs.add_options(made)
    _add_model_flags(made)
    made.add_argument(
        "--target",
        metavar="K",
        help="what is explained: the name or number of a class, the rank of a box (2), a lane slot "
        "(default: the best class, box, lane or segment; the count; the region)",
    )
    made.add_argument(
        "--layer",
        metavar="L",
        help="module by its name in model.named_modules(); neck:2 for one of several feature maps "
        "(default: the deepest feature map of the backbone on which the value depends)",
    )
    made.add_argument("--method", default="grad-cam", help="grad-cam or grad-cam++ (default: grad-cam)")
    made.add_argument(
        "--layout",
        default="channels-first",
        help="axes of the layer's output: channels-first, channels-last or tokens (default: channels-first)",
    )
    made.add_argument(
        "--sanity",
        metavar="HOW",
        help="also draw the maps with random weights, and print their rank correlation with the map: all, or cascading "
        "from the output to the input (default: no such maps)",
    )
    add_config_flags(made)
    add_output_flags(made, "explanations/NAME, or RUN/explain for the folder of a training")
    add_run_flags(made)
    return made


def _add_model_flags(made: argparse.ArgumentParser) -> None:
    made.add_argument("--task", metavar="T", help="which task of a model with several heads (default: its only one)")
    made.add_argument(
        "--weights", help="file, work dir or address; released; none for an untrained model (default: released)"
    )
    add_offline_flag(made)
    made.add_argument(
        "--trust-pickle", action="store_true", help="let the file of weights run code while it loads (default: refuse)"
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command. Return 0 on success, 1 if an input has no map, 2 for wrong use, 130 if interrupted."""
    given = list(sys.argv[1:] if argv is None else argv)
    with deferred_imports():
        return run_command(parser(_inputs_of(given)), _explain, given)


def _inputs_of(argv: Sequence[str]) -> Input | None:
    """Return the kind of inputs of the model that a command line names; None if no model can be loaded."""
    from visionzoo.tasks import task_of

    look = FirstLook("explain", "", "")
    look.add_argument("model")
    _add_model_flags(look)
    add_config_flags(look)
    try:
        args = look.seen(argv)
        return task_of(_task_of(_loaded(args), args.task)).inputs
    except ZooError:
        return None


def _loaded(args: argparse.Namespace) -> LoadedConfig:
    from visionzoo.weights.runs import load_with_weights

    options = dict(tiny=args.tiny, options=args.cfg_options, allow_new=args.allow_new)
    return load_with_weights(args.model, args.weights, again=_AGAIN, **options)


def _task_of(loaded: LoadedConfig, wanted: str | None) -> str:
    """Return the task that is explained.

    Raises:
        ConfigError, UnknownName: the model does not have this one task.
    """
    from visionzoo.inference.readers import chosen_tasks

    tasks = chosen_tasks(loaded.cfg.task, wanted, loaded.name)
    if len(tasks) > 1:
        advice = f"use --task {tasks[0]}"
        raise ConfigError(loaded.source, expected="one task to explain", found=", ".join(tasks), advice=advice)
    return tasks[0]


def _explain(args: argparse.Namespace) -> int:
    if args.max_samples is not None and args.max_samples < 1:
        found = f"{args.max_samples}"
        raise ConfigError("--max-samples", expected="a whole number above 0", found=found, advice="use 1 or more")
    say_loading(quiet=args.quiet)
    with readers_on_stderr(quiet=args.quiet):
        from visionzoo.system.locks import locked
        from visionzoo.tasks import task_of

        loaded = _loaded(args)
        task = _task_of(loaded, args.task)
        sources = islice(task_of(task).inputs.sources(args), args.max_samples)
        explainer = _explainer(args, loaded, task)
        run, name = explainer.inferencer.run, explainer.inferencer.name
        wanted = Path(args.work_dir or (run / "explain" if run else Path("explanations", name)))
        out = choose_output_dir(wanted, overwrite=args.overwrite)
        if out != wanted:
            note(other_folder_text(wanted, out), quiet=args.quiet)
        with locked(out, "an explanation"):
            done, failed = _run(args, explainer, sources, out)
    note(f"{done - failed} of {done} explained, results in {shown_path(out)}", quiet=args.quiet)
    if args.json:
        print(json.dumps({"out": as_utf8(str(out)), "inputs": done, "failed": failed}))
    return 1 if failed else 0


def _explainer(args: argparse.Namespace, loaded: LoadedConfig, task: str) -> Explainer:
    import torch

    from visionzoo.analysis.explaining import Explainer
    from visionzoo.inference.inferencer import Inferencer

    torch.manual_seed(args.seed)
    settings = dict(device=args.device, trust_pickle=args.trust_pickle, tasks=task)
    inferencer = Inferencer(loaded, args.weights, **settings)
    for line in inferencer.notes:
        note(line, quiet=args.quiet)
    if inferencer.is_untrained:
        note("weights: none (random values; a map of them means nothing)")
    elif inferencer.weights is not None:
        note(f"weights: {shown_path(inferencer.weights)}", quiet=args.quiet)
    names = ("target", "layer", "method", "layout", "sanity", "seed")
    explainer = Explainer(inferencer, **{name: getattr(args, name) for name in names})
    if args.layer is None:
        note("layer: the deepest feature map of the backbone (--layer chooses another)", quiet=args.quiet)
    return explainer


def _run(args: argparse.Namespace, explainer: Explainer, sources: Iterator[Source], out: Path) -> tuple[int, int]:
    """Explain and write all inputs. Return the number of inputs and the number of failed ones."""
    from visionzoo.analysis.explanation_files import ExplanationWriter

    with ExplanationWriter(out, explainer) as writer:
        for found in explainer(sources):
            writer.write(found)
            for line in _said(found):
                note(line, quiet=args.quiet and found.error is None)
    return writer.done, writer.failed


def _said(found: Explanation) -> Iterator[Any]:
    """Yield what is printed about an input."""
    name = on_one_line(found.source.name)
    if found.error is not None:
        text = str(found.error)
        yield f"error: {text if name in text else f'{name}: {text}'}"
        return
    yield f"{name}: {found.said}: {found.value:.4g} ({found.layer})"
    if found.is_zero:
        yield (
            f"warning: {name}: the map is 0 everywhere: no place of this layer raises the value more than another; "
            "use another --layer, such as an earlier one, or another --target"
        )
    for check in found.checks:
        reason = "" if check.error is None else f": {check.error}"
        yield f"  random weights up to {check.part}: {check.said}{reason}"
