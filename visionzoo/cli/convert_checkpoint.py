"""``visionzoo convert checkpoint``: convert a released checkpoint to a safetensors file of the zoo.

The converters are in the modules of the parts that they convert for, see :mod:`visionzoo.converters`, and
:mod:`visionzoo.weights.conversion` writes the new file. Loading warns if a model normalises images differently than its
header states, and refuses another variant.
"""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from visionzoo.cli.common import Parser, add_summary_flags, note
from visionzoo.errors import OutputError
from visionzoo.plugins import packages
from visionzoo.system.atomic import require_writable

if TYPE_CHECKING:
    from visionzoo.weights.conversion import Converted

_USES = ("backbone", "classifier", "detector", "model")


def parser() -> Parser:
    """Return the parser of ``convert checkpoint``."""
    described = Parser(
        "convert checkpoint",
        "Rename the tensors of a released checkpoint and write them as safetensors: the whole model, or only the "
        "backbone, for model.backbone.init_cfg.",
        "  visionzoo convert checkpoint dinat_mini_in1k_224.pth dinat_mini.safetensors --from dinat\n"
        "  visionzoo convert checkpoint BossNet-T1-81_9.pth t1.safetensors --from bossnet --as backbone\n"
        "  visionzoo convert checkpoint rcnet_r50.pth rcnet_retinanet.safetensors --from rcnet\n"
        "  visionzoo convert checkpoint exp0_best.pth scnn.safetensors --from scnn --set input_size=288,800\n"
        "  visionzoo convert checkpoint vxm_dense_brain_T1_3D_mse.h5 vxm.safetensors --from voxelmorph",
    )
    described.add_argument(
        "source",
        metavar="IN",
        help="the released file: .pth, .pt, .safetensors, .npz with TensorFlow variables, or .h5 of Keras",
    )
    described.add_argument("target", metavar="OUT", type=Path, help="the file to write, .safetensors")
    described.add_argument(
        "--from",
        dest="system",
        required=True,
        help=f"the system whose tensor names IN has: {', '.join(_systems())}",
    )
    described.add_argument(
        "--as",
        dest="use",
        choices=_USES,
        help="the part to convert (default: the whole model, if the converter has one)",
    )
    described.add_argument(
        "--set",
        dest="options",
        nargs="+",
        action="extend",
        default=[],
        metavar="NAME=VALUE",
        help="options of the converter, e.g. variant=T0 input_size=288,800 (default: none)",
    )
    described.add_argument("--trust-pickle", action="store_true", help="let IN run code while it loads (default: off)")
    described.add_argument("--overwrite", action="store_true", help="replace OUT if it exists (default: an error)")
    add_summary_flags(described)
    return described


_REGISTERS = re.compile(r"^@CONVERTERS\.register\(((?:\"\w+\",? ?)+)", re.MULTILINE)


def _systems() -> list[str]:
    """Return the names of the converters from the source of their modules, because importing these takes seconds."""
    found = set()
    for place in ("backbones", "necks", "heads", "models"):
        for package in packages():
            for path in (package.folder / place).rglob("*.py"):
                for names in _REGISTERS.findall(path.read_text(encoding="utf-8")):
                    found.update(re.findall(r"\w+", names))
    return sorted(found)


def run(args: argparse.Namespace) -> int:
    """Convert one file."""
    from visionzoo.converters import CONVERTERS, parse_options
    from visionzoo.weights.conversion import convert_file, write_safetensors
    from visionzoo.weights.loading import find_weights

    _require_new_safetensors(args.target, args.overwrite)
    converter = CONVERTERS.get(args.system)
    use = args.use or converter.uses[0]
    options = parse_options(args.options, converter.parameters(use))
    path = find_weights(args.source)
    made = convert_file(path, converter, use, options, name=args.source, trust_pickle=args.trust_pickle)
    _tell(args, made, write_safetensors(args.target, made.tensors, made.stated))
    return 0


def _tell(args: argparse.Namespace, made: Converted, size: int) -> None:
    stated = made.stated
    if args.json:
        written = {"out": str(args.target), "tensors": len(made.tensors), "bytes": size}
        print(json.dumps({**written, "input": {}, **stated}))
    note(f"{args.target}: {len(made.tensors)} tensors, {size / 1e6:.1f} MB", quiet=args.quiet)
    if "input" in stated:
        note(f"{args.target}: for images of {_told(stated['input'])}", quiet=args.quiet)
    for part, variant in stated.get("variants", {}).items():
        note(f"{args.target}: for {part} of variant {variant}", quiet=args.quiet)


def _told(made_for: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} ({', '.join(f'{value:g}' for value in values)})" for name, values in made_for.items())


def _require_new_safetensors(target: Path, overwrite: bool) -> None:
    if target.suffix != ".safetensors":
        raise OutputError(target, expected="a name that ends with .safetensors", advice="rename it")
    require_writable(target)
    if target.is_dir():
        raise OutputError(target, expected="a file or none", found="a folder", advice="choose another name")
    if target.exists() and not overwrite:
        raise OutputError(target, expected="no such file yet", found="one", advice="choose another name or --overwrite")
