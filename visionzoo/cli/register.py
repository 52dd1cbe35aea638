"""``visionzoo register``: bring a moving image to a fixed one, by ``visionzoo infer`` with a registration model."""

from __future__ import annotations

import argparse
import json
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from visionzoo.cli.common import Parser, add_config_flags, add_output_flags, add_run_flags, note, run_command
from visionzoo.cli.infer import add_model_flags, run_inference
from visionzoo.errors import InputError
from visionzoo.tasks.inputs.pair_options import add_pair_options

# Models of the direct methods, which need no weights and no training.
METHODS = {"direct": "direct_registration", "affine": "direct_affine"}
SIMILARITIES = ("correlation", "mutual_information")


def parser() -> Parser:
    """Return the parser of the command."""
    parser = Parser(
        "register",
        "Bring a moving image to a fixed one. Written: the warped image and label map, the displacement field and its\n"
        "inverse, the affine map, measures before and after, and a sheet to look at. A pair that cannot be used is\n"
        "reported and skipped; the exit code is then 1.",
        "  visionzoo register --fixed fixed.nii.gz --moving moving.nii.gz --labels moving_seg.nii.gz -o registered\n"
        "  visionzoo register --fixed t1.nii.gz --moving t2.nii.gz --method affine --similarity mutual_information\n"
        "  visionzoo register --pairs pairs.csv --field-format l2r --submission submission.zip -o learn2reg",
    )
    add_pair_options(parser)
    parser.add_argument(
        "--method",
        choices=tuple(METHODS),
        help="direct: affine and deformable; affine: affine only; both without training (default: direct)",
    )
    parser.add_argument("--model", metavar="NAME|RUN", help="a registration model of the zoo, a config or a training")
    parser.add_argument(
        "--similarity",
        choices=SIMILARITIES,
        help="what is compared: correlation within one contrast, mutual_information across contrasts such as T1 and T2 "
        "(default: correlation)",
    )
    parser.add_argument(
        "--instance-steps",
        type=int,
        metavar="N",
        help="improve the field of each pair by N steps, also that of a network (default: 0)",
    )
    parser.add_argument(
        "--submission",
        metavar="FILE.zip",
        help="also write the fields of all pairs as a submission of Learn2Reg; needs --field-format l2r",
    )
    add_model_flags(parser, images="overlay (the sheet), none")
    add_config_flags(parser)
    add_output_flags(parser, "predictions/NAME, or RUN/infer for the folder of a training")
    add_run_flags(parser)
    parser.set_defaults(threshold=[], classes=None, limit=None, save=[], save_crops=False, batch_size=1)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command. Return 0 on success, 1 if a pair is unusable, 2 for wrong use, 130 if interrupted."""
    given = list(sys.argv[1:] if argv is None else argv)
    return run_command(parser(), lambda args: _register(args, shlex.join(["visionzoo", "register", *given])), given)


def _register(args: argparse.Namespace, command: str) -> int:
    _choose_model(args)
    if args.submission is not None:
        _require_submission(args)
    ran = run_inference(args, command, only="registration")
    summary = ran.to_json()
    if args.submission is not None:
        summary["submission"] = _write_submission(args, ran.out)
    if args.json:
        print(json.dumps(summary))
    return 1 if ran.failed else 0


def _choose_model(args: argparse.Namespace) -> None:
    """Set the model and the options of its config in ``args``."""
    if args.model is not None and args.method is not None:
        raise InputError("--model and --method", expected="one of them", found="both", advice="leave one out")
    if args.instance_steps is not None and args.instance_steps < 0:
        raise InputError("--instance-steps", expected="0 or more", found=f"{args.instance_steps}", advice="use 40")
    args.model = args.model or METHODS[args.method or "direct"]
    options = {}
    if args.instance_steps is not None:
        options["model.head.instance_steps"] = args.instance_steps
    if args.similarity is not None:
        if args.model in METHODS.values():
            options["model.head.similarity"] = args.similarity
        elif not args.instance_steps:
            raise InputError("--similarity", expected="--method, or --instance-steps", found="neither",
                             advice="a network compares as in its training; add --instance-steps 40")  # fmt: skip
        if args.instance_steps:
            options["model.head.instance_similarity"] = args.similarity
    args.cfg_options = [*(f"{path}={value}" for path, value in options.items()), *args.cfg_options]


def _require_submission(args: argparse.Namespace) -> None:
    if args.field_format != "l2r":
        raise InputError(
            "--submission", expected="--field-format l2r", found=args.field_format, advice="add --field-format l2r"
        )
    if Path(args.submission).suffix.lower() != ".zip":
        raise InputError("--submission", expected="a .zip file", found=args.submission, advice="use submission.zip")
    if Path(args.submission).exists() and not args.overwrite:
        raise InputError("--submission", expected="a new file", found=f"{args.submission} exists",
                         advice="choose another name, or add --overwrite")  # fmt: skip

    from visionzoo.cli.learn2reg import require_names
    from visionzoo.datasets.volume_files import import_nibabel

    import_nibabel("--submission")
    require_names(args.submission, _pairs(args))


def _pairs(args: argparse.Namespace) -> list[dict[str, Any]]:
    """Return the files of each pair by column."""
    from visionzoo.tasks.inputs.volumes import VolumePair

    return [source.value for source in VolumePair().sources(args)]


def _write_submission(args: argparse.Namespace, out: Path) -> dict[str, object]:
    from visionzoo.cli.learn2reg import score_submission, write_submission

    names = write_submission(out, args.submission)
    scores = score_submission(args.submission, _pairs(args), lambda text: note(f"warning: {text}", quiet=args.quiet))
    shown = ", ".join(f"{name} {value:.4g}" for name, value in scores.items())
    note(f"{args.submission}: {len(names)} fields for Learn2Reg, by its rules {shown}", quiet=args.quiet)
    return {"file": args.submission, "fields": len(names), **scores}
