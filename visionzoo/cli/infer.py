"""``visionzoo infer``: run a model on images and write its predictions."""

from __future__ import annotations

import argparse
import json
import os
import shlex
import sys
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from visionzoo.cli.common import Parser, add_config_flags, add_output_flags, add_run_flags, note, run_command
from visionzoo.errors import ConfigError, InputError, ZooError, nearest_name
from visionzoo.tasks.inputs.options import add_image_options

if TYPE_CHECKING:
    from visionzoo.inference.inferencer import Inferencer, Prediction
    from visionzoo.tasks.inputs.base import Input, Source

_IMAGES = ("overlay", "side", "none")


def parser(inputs: Input | None = None) -> Parser:
    """Return the parser of the command.

    Args:
        inputs: the kind of inputs of the model's task, which adds its options. None adds those of images.
    """
    parser = Parser(
        "infer",
        "Run a model on images and videos. An unusable input is reported and skipped; the exit code is then 1.",
        "  visionzoo infer rcnet_retinanet images/ --weights work_dirs/rcnet_retinanet\n"
        '  visionzoo infer rcnet_retinanet "shots/*.png" @more.txt --tiny --weights none --vis overlay,side -o out',
    )
    parser.add_argument(
        "model", metavar="NAME_OR_CONFIG", help="a model of the zoo (`visionzoo list`) or a config file"
    )
    if inputs is None:
        add_image_options(parser)
    else:
        inputs.add_options(parser)
    parser.add_argument(
        "--weights", help="file, work dir or address; none for an untrained model (default: the card's, else an error)"
    )
    parser.add_argument(
        "--score-threshold",
        type=float,
        help="leave out results with a lower score (default: boxes 0.3, classes 0; maps, lanes: set by the model)",
    )
    parser.add_argument(
        "--batch-size", type=int, default=1, help="images per batch; changes the speed, not the results (default: 1)"
    )
    parser.add_argument(
        "--vis",
        default="overlay",
        metavar="KIND,...",
        help="images to write, or a video for a video: overlay, side, none (default: overlay)",
    )
    parser.add_argument("--strict", action="store_true", help="stop at the first image that cannot be used")
    parser.add_argument("--offline", action="store_true", help="never use the network (default: off)")
    parser.add_argument(
        "--trust-pickle", action="store_true", help="let the file of weights run code while it loads (default: refuse)"
    )
    add_config_flags(parser)
    add_output_flags(parser, "predictions/NAME")
    add_run_flags(parser)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command. Return 0 on success, 1 if an input is unusable, 2 for wrong use, 130 if interrupted."""
    given = list(sys.argv[1:] if argv is None else argv)
    return run_command(parser(_inputs_named_in(given)), lambda args: _infer(args, given), given)


class _FirstLook(Parser):
    """A parser that only reads the config flags. The parser of the command reports mistakes."""

    def error(self, message: str) -> None:  # type: ignore[override]
        raise InputError(message)


def _inputs_named_in(argv: list[str]) -> Input | None:
    """Return the kind of inputs of the model that a command line names; None if no such model exists."""
    look = _FirstLook("infer", "", "")
    look.add_argument("model")
    add_config_flags(look)
    try:
        args, _ = look.parse_known_args([word for word in argv if word not in ("-h", "--help")])
        return _inputs_of(args)
    except ZooError:
        return None


def _inputs_of(args: argparse.Namespace) -> Input:
    """Return the kind of inputs of the config's task.

    Raises:
        ConfigError, UnknownName: the config cannot be loaded, or its task does not exist.
    """
    from visionzoo.config import load_config
    from visionzoo.tasks import task_of

    loaded = load_config(Path(args.model), tiny=args.tiny, options=args.cfg_options, allow_new=args.allow_new)
    return task_of(loaded.cfg.get("task")).inputs


def _infer(args: argparse.Namespace, argv: list[str]) -> int:
    from visionzoo.cli.common import choose_output_dir

    images = _chosen_images(args.vis)
    if args.max_samples is not None and args.max_samples < 1:
        found = f"{args.max_samples}"
        raise ConfigError("--max-samples", expected="a whole number above 0", found=found, advice="use 1 or more")
    inputs = _inputs_of(args)
    if args.offline:
        os.environ["VISIONZOO_OFFLINE"] = "1"
    sources, left_out = inputs.sources(args), inputs.left_out(args)
    if left_out:
        note(f"warning: {left_out} left out", quiet=args.quiet)
    inferencer = _make_inferencer(args)
    out = choose_output_dir(Path(args.work_dir or Path("predictions", inferencer.name)), overwrite=args.overwrite)
    about = {"command": shlex.join(["visionzoo", "infer", *argv]), "seed": args.seed, "out": str(out)}
    about |= {"left_out": left_out} if left_out else {}
    done, failed = _run(args, inferencer, sources, inputs.count(args), out, images, about)
    also = f"; {left_out} left out" if left_out else ""
    note(f"{done - failed} of {done} images done{also}, results in {out}", quiet=args.quiet)
    if args.json:
        counts = {"out": str(out), "inputs": done, "failed": failed}
        print(json.dumps(counts | ({"left_out": left_out} if left_out else {})))
    return 1 if failed else 0


def _chosen_images(given: str) -> tuple[str, ...]:
    kinds = tuple(filter(None, given.split(",")))
    for kind in kinds:
        if kind not in _IMAGES:
            nearest = nearest_name(kind, _IMAGES)
            answer = f"did you mean {nearest}?" if nearest else "use one or more of them"
            raise InputError(f"--vis {given}", expected=f"{', '.join(_IMAGES)}", found=f"{kind!r}", advice=f"{answer}")
    return tuple(kind for kind in kinds if kind != "none")


def _make_inferencer(args: argparse.Namespace) -> Inferencer:
    import torch

    from visionzoo.inference.inferencer import Inferencer

    torch.manual_seed(args.seed)
    inferencer = Inferencer(
        args.model,
        args.weights,
        tiny=args.tiny,
        device=args.device,
        batch_size=args.batch_size,
        score_threshold=args.score_threshold,
        options=args.cfg_options,
        allow_new=args.allow_new,
        trust_pickle=args.trust_pickle,
    )
    for line in inferencer.notes:
        note(line, quiet=args.quiet)
    if inferencer.weights is None:
        note("warning: --weights none: the model is untrained and its results mean nothing")
    return inferencer


def _run(
    args: argparse.Namespace,
    inferencer: Inferencer,
    sources: Iterator[Source],
    total: int | None,
    out: Path,
    images: tuple[str, ...],
    about: dict[str, object],
) -> tuple[int, int]:
    """Predict and write all inputs. Return the number of inputs and the number of failed ones."""
    from visionzoo.cli.progress import progress
    from visionzoo.inference.writing import PredictionWriter, remove_old_results

    if args.max_samples is not None:
        sources = islice(sources, args.max_samples)
        total = args.max_samples if total is None else min(total, args.max_samples)
    predictions = inferencer(sources, keep_images=bool(images), errors="report")
    remove_old_results(out)
    with PredictionWriter(out, inferencer, images, about) as writer:
        for prediction in progress(predictions, total, "infer", quiet=args.quiet, plain=args.no_progress):
            writer.write(prediction)
            if prediction.error is not None:
                _say_failed(prediction)
                if args.strict:
                    break
    for line in writer.notes:
        note(f"warning: {line}", quiet=args.quiet)
    return writer.done, writer.failed


def _say_failed(prediction: Prediction) -> None:
    text = str(prediction.error)
    name = prediction.source.name
    note(f"error: {text if name in text else f'{name}: {text}'}")
