"""``visionzoo infer``: run a model on images and write what it finds."""

from __future__ import annotations

import argparse
import json
import os
import shlex
import sys
from collections.abc import Iterator, Sequence
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING

from visionzoo.cli.common import Parser, add_config_flags, add_output_flags, add_run_flags, note, run_command
from visionzoo.errors import InputError, nearest_name

if TYPE_CHECKING:
    from visionzoo.inference.inferencer import Inferencer, Prediction
    from visionzoo.inference.inputs import Source

_IMAGES = ("overlay", "side", "none")


def parser() -> Parser:
    parser = Parser(
        "infer",
        "Run a model on images and videos. An input that cannot be used is reported, the others go on (exit code 1).",
        "  visionzoo infer rcnet_retinanet images/ --weights work_dirs/rcnet_retinanet\n"
        '  visionzoo infer rcnet_retinanet "shots/*.png" @more.txt --tiny --weights none --vis overlay,side -o out',
    )
    parser.add_argument(
        "model", metavar="NAME_OR_CONFIG", help="a model of the zoo (`visionzoo list`) or a config file"
    )
    parser.add_argument(
        "inputs",
        nargs="+",
        metavar="INPUT",
        help="file, video, folder, quoted glob, frames/%%06d.jpg, @list.txt, or - for stdin",
    )
    parser.add_argument(
        "--weights", help="file, work dir or address; none for an untrained model (default: the card's, else an error)"
    )
    parser.add_argument(
        "--score-threshold",
        type=float,
        help="leave out results below (default: boxes 0.3, classes 0; maps, lanes: as the model decides)",
    )
    parser.add_argument(
        "--batch-size", type=int, default=1, help="images at a time; changes the speed, not the results (default: 1)"
    )
    parser.add_argument(
        "-r",
        "--recursive",
        action="store_true",
        help="look into subfolders (default: off; on for models of groups, to which every folder is one)",
    )
    parser.add_argument(
        "--vis",
        default="overlay",
        metavar="KIND,...",
        help="images, of videos a video: overlay, side, none (default: overlay)",
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
    """0 all images done, 1 some could not be used, 2 wrong use, 130 interrupted."""
    given = list(sys.argv[1:] if argv is None else argv)
    return run_command(parser(), lambda args: _infer(args, given), given)


def _infer(args: argparse.Namespace, argv: list[str]) -> int:
    from visionzoo.cli.common import choose_output_dir
    from visionzoo.inference.inputs import expand_inputs

    images = _chosen_images(args.vis)
    args.takes_groups = _takes_groups(args)
    args.recursive = args.recursive or args.takes_groups
    if args.offline:
        os.environ["VISIONZOO_OFFLINE"] = "1"
    expanded = expand_inputs(args.inputs, recursive=args.recursive, videos=not args.takes_groups)
    sources = _not_empty(expanded, args.inputs)
    inferencer = _make_inferencer(args)
    out = choose_output_dir(Path(args.work_dir or Path("predictions", inferencer.name)), overwrite=args.overwrite)
    about = {"command": shlex.join(["visionzoo", "infer", *argv]), "seed": args.seed, "out": str(out)}
    done, failed = _run(args, inferencer, sources, out, images, about)
    note(f"{done - failed} of {done} images done, results in {out}", quiet=args.quiet)
    if args.json:
        print(json.dumps({"out": str(out), "inputs": done, "failed": failed}))
    return 1 if failed else 0


def _takes_groups(args: argparse.Namespace) -> bool:
    """Whether the config's model looks at all images of a folder together."""
    from visionzoo.config import load_config
    from visionzoo.inference.preparing import takes_groups, test_pipeline_of

    loaded = load_config(Path(args.model), tiny=args.tiny, options=args.cfg_options, allow_new=args.allow_new)
    return takes_groups(test_pipeline_of(loaded.cfg, loaded.source))


def _not_empty(sources: Iterator[Source], inputs: list[str]) -> Iterator[Source]:
    """The same sources; an error before anything is built or written when there is none."""
    first = next(sources, None)
    if first is None:
        raise InputError(" ".join(inputs), expected="at least one image", found="none", advice="check the list")
    return chain([first], sources)


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
    out: Path,
    images: tuple[str, ...],
    about: dict[str, object],
) -> tuple[int, int]:
    """Predict and write all; how many inputs there were and how many failed."""
    from visionzoo.cli.progress import progress
    from visionzoo.inference.inputs import count_inputs
    from visionzoo.inference.writing import PredictionWriter, remove_old_results

    total = count_inputs(args.inputs, recursive=args.recursive, videos=not args.takes_groups)
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
