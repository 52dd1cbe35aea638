"""``visionzoo export``: write a model as a file that runs without the project's configs."""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from visionzoo.cli.common import (
    Parser,
    add_config_flags,
    add_offline_flag,
    add_summary_flags,
    note,
    readers_on_stderr,
    run_command,
    say_loading,
)
from visionzoo.errors import ConfigError
from visionzoo.system.paths import shown_path

if TYPE_CHECKING:
    from visionzoo.export.writing import Exported, Ready

_TOLERANCES = {"float32": 1e-4, "float16": 2e-2}


def parser() -> Parser:
    """Return the parser of the command."""
    made = Parser(
        "export",
        "Write a model as ONNX or as a program of torch.export, with normalisation and suppression of boxes inside, "
        "and compare it with PyTorch.",
        "  visionzoo export work_dirs/rcnet_lite\n"
        "  visionzoo export cells_rcnet_lite --int8 --calibrate images/ -o cells.onnx",
    )
    made.add_argument(
        "model", metavar="NAME_OR_RUN", nargs="*", help="a model of the zoo, a config file or the folder of a run"
    )
    made.add_argument(
        "--all", action="store_true",
        help="measure the tiny variants of the named models, or of all, with seeded weights, in both formats; write "
        "model_cards/exports.json and the table of docs/export.md (default: off)",
    )  # fmt: skip
    made.add_argument(
        "--cpu-limit", type=float, metavar="SECONDS",
        help="with --all: CPU time of each step of a model, after which the limit is its reason (default: no limit)",
    )  # fmt: skip
    made.add_argument(
        "--format", default="onnx", choices=("onnx", "torch-export"), help="format of the file (default: onnx)"
    )
    made.add_argument("--weights", help="as for `visionzoo infer` (default: those of the run, else the released ones)")
    made.add_argument(
        "-o", "--out", metavar="FILE", help="default: RUN/export/NAME.onnx for a run, else exports/NAME.onnx"
    )
    made.add_argument("--overwrite", action="store_true", help="replace a file that exists (default: an error)")
    made.add_argument(
        "--size", type=int, nargs="+", metavar="SIDE",
        help="H W, the only size of images after resizing and padding (default: any size where the model allows it); "
        "D H W of volumes",
    )  # fmt: skip
    made.add_argument(
        "--tolerance", type=float,
        help="largest absolute or relative difference from PyTorch (default: 1e-4, with --half 0.02)",
    )  # fmt: skip
    made.add_argument("--half", action="store_true", help="16-bit floats inside the file; onnx only (default: off)")
    made.add_argument(
        "--int8", action="store_true", help="8-bit integers by static quantisation; onnx only (default: off)"
    )
    made.add_argument("--calibrate", metavar="DIR", help="images for --int8 (default: the config's training data)")
    made.add_argument("--calibration-images", type=int, default=32, help="number of them (default: 32)")
    made.add_argument(
        "--measure", action="store_true",
        help="print the metric of the file on the config's validation data; with --int8 also before (default: off)",
    )  # fmt: skip
    add_offline_flag(made)
    add_config_flags(made)
    add_summary_flags(made)
    return made


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command. Return 0 on success, 1 if outputs differ or recording fails, 2 for wrong use."""
    return run_command(parser(), _export, argv)


def _export(args: argparse.Namespace) -> int:
    _check(args)
    _require_packages(args)
    say_loading(quiet=args.quiet)
    if args.all:
        return _measure_all(args)
    with readers_on_stderr(quiet=args.quiet):
        made = _ready(args)
        path = _path(args, made)
        done, kind = _write(args, made, path)
        _say_metrics(args, made, path, kind)
    shape = made.shape
    size = "x".join(map(str, shape.size[::-1]))
    sizes = f"only {size} ({shape.reason})" if shape.is_fixed else "any size"
    for line in parity_lines(done):
        note(line, quiet=args.quiet)
    tolerance = _TOLERANCES.get(kind) if args.tolerance is None else args.tolerance
    if tolerance is not None:
        done.require_parity(tolerance)
    if done.is_empty:
        note("warning: the seeded images have no result, so boxes are not compared", quiet=args.quiet)
    note(f"written to {shown_path(path)}: any batch size, images of {sizes}", quiet=args.quiet)
    if shape.is_fixed and made.form.divisor > 1:
        text = "smaller images are padded to this size, which changes results; --size H W sets that of your images"
        note(text, quiet=args.quiet)
    if args.json:
        print(json.dumps(_summary(done, kind)))
    return 0


def _check(args: argparse.Namespace) -> None:
    """Raise an error for options that exclude each other."""
    from visionzoo.inference.exported import exported_file

    if not args.all and len(args.model) != 1:
        found = " ".join(args.model) or "none"
        raise ConfigError("visionzoo export", expected="one model", found=found, advice="name one, or use --all")
    for name in args.model:
        if exported_file(name) is not None:
            advice = "name the model or the run that it was exported from"
            raise ConfigError(name, expected="a model of PyTorch", found="an exported file", advice=advice)
    if args.half and args.int8:
        raise ConfigError("--half and --int8", expected="one of them", found="both", advice="leave one out")
    if (args.half or args.int8) and args.format != "onnx":
        name = "--half" if args.half else "--int8"
        raise ConfigError(f"{name}", expected="--format onnx", found=args.format, advice="leave it out")
    if args.calibrate and not args.int8:
        raise ConfigError("--calibrate", expected="--int8", found="none", advice="add --int8, or leave it out")
    if args.calibration_images < 1:
        found = f"{args.calibration_images}"
        raise ConfigError("--calibration-images", expected="1 or more", found=found, advice="use 32")
    if args.tolerance is not None and not args.tolerance >= 0:
        raise ConfigError("--tolerance", expected="0 or more", found=f"{args.tolerance}", advice="use 1e-4")
    if args.cpu_limit is not None and not (args.all and args.cpu_limit > 0):
        found = f"{args.cpu_limit:g}" if args.all else f"{args.cpu_limit:g} without --all"
        raise ConfigError("--cpu-limit", expected="a positive number, with --all", found=found, advice="leave it out")
    if args.all:
        _check_all(args)


def _check_all(args: argparse.Namespace) -> None:
    """Raise an error for an option that has no effect with ``--all``."""
    for name in ("weights", "out", "overwrite", "size", "tolerance", "half", "int8", "measure", "tiny", "cfg_options"):
        if getattr(args, name):
            shown = f"--{name.replace('_', '-')}"
            raise ConfigError(shown, expected="one model", found="--all", advice=f"leave {shown} or --all out")


def _require_packages(args: argparse.Namespace) -> None:
    from visionzoo.export.exporting import FORMATS, require_packages

    for kind in FORMATS if args.all else (args.format,):
        require_packages(kind)


def _measure_all(args: argparse.Namespace) -> int:
    """Measure cards and write the table. Return 0."""
    from visionzoo.cards import card_names
    from visionzoo.export.table import page_path, record, with_table
    from visionzoo.system.atomic import write_text

    with readers_on_stderr(quiet=args.quiet):
        for name, rows in record(args.model or card_names(), args.cpu_limit):
            for kind, row in rows.items():
                said = f"{row['absolute']:g} ({row['fixed'] or 'any size'})" if row["works"] else f"no: {row['reason']}"
                print(f"{name}: {kind}: {said}", flush=True)
    page = page_path()
    if page.is_file():
        write_text(page, with_table(page.read_text(encoding="utf-8")))
        note(f"written to {shown_path(page)}", quiet=args.quiet)
    return 0


def _ready(args: argparse.Namespace) -> Ready:
    from visionzoo.export.writing import ready
    from visionzoo.inference.torch_backend import torch_backend

    changes: dict[str, Any] = dict(tiny=args.tiny, options=args.cfg_options, allow_new=args.allow_new)
    backend = torch_backend(args.model[0], args.weights, device="cpu", trust_pickle=False, **changes)
    for line in backend.notes:
        note(line, quiet=args.quiet)
    if backend.is_untrained:
        note("weights: none (random values; results mean nothing)", quiet=args.quiet)
    return ready(backend, args.size)


def _path(args: argparse.Namespace, made: Ready) -> Path:
    from visionzoo.export.exporting import FORMATS
    from visionzoo.system.atomic import require_writable

    folder = Path("exports") if made.backend.folder is None else made.backend.folder / "export"
    path = Path(args.out) if args.out else folder / f"{made.backend.name}{FORMATS[args.format]}"
    if path.suffix != FORMATS[args.format]:
        found, advice = path.suffix or "no suffix", "rename it, or choose another --format"
        raise ConfigError(f"--out {path}", expected=f"the suffix {FORMATS[args.format]}", found=found, advice=advice)
    if path.is_dir():
        raise ConfigError(f"{shown_path(path)}", expected="a file", found="a folder", advice="use another -o")
    if path.exists() and not args.overwrite:
        raise ConfigError(
            f"{shown_path(path)}", expected="a new file", found="an existing one", advice="use --overwrite or -o"
        )
    require_writable(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def _write(args: argparse.Namespace, made: Ready, path: Path) -> tuple[Exported, str]:
    """Write the file in the precision that the user chose.

    Raises:
        ConfigError: the model is of groups, pairs or phrases, and another precision than 32-bit floats is chosen.
    """
    from visionzoo.export.writing import write
    from visionzoo.tasks.inputs.images import ImageInput

    kind, name = type(made.backend.prepare.inputs), "--int8" if args.int8 else "--half"
    if (args.int8 or args.half) and kind is not ImageInput:
        raise ConfigError(
            name, expected="a model of images", found=", ".join(made.backend.tasks), advice="leave it out"
        )
    if args.int8:
        from visionzoo.export.quantising import calibration_batches, write_int8

        calibration = calibration_batches(made, args.calibrate, args.calibration_images)
        with tempfile.TemporaryDirectory() as folder:
            plain = write(made, "onnx", Path(folder, "plain.onnx")).path
            _say_metrics(args, made, plain, "before")
            done = write_int8(made, path, calibration, plain)
        return done, "int8"
    if args.half:
        from visionzoo.export.quantising import write_half

        return write_half(made, path), "float16"
    return write(made, args.format, path), "float32"


def _say_metrics(args: argparse.Namespace, made: Ready, path: Path, when: str) -> None:
    """Print the metrics of a file if the user asks for them."""
    if not args.measure:
        return
    from visionzoo.export.measuring import measured

    metrics = measured(made.backend.config, path)
    shown = ", ".join(f"{name} {value:.4g}" for name, value in metrics.items() if value >= 0)
    note(f"{when}: {shown}", quiet=args.quiet)


def parity_lines(done: Exported) -> list[str]:
    """Return one line for each output of a file, with its differences from PyTorch."""
    return [
        f"{row.name}: largest difference {row.absolute:.2e}, relative {row.relative:.2e}, of {row.values} values"
        for row in done.rows
    ]


def _summary(done: Exported, precision: str) -> dict[str, Any]:
    rows = {row.name: {"absolute": row.absolute, "relative": row.relative, "values": row.values} for row in done.rows}
    size = list(done.shape.size) if done.shape.is_fixed else None
    return {"file": str(done.path), "precision": precision, "size": size, "parity": rows}
