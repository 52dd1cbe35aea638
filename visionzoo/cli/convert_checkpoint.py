"""``visionzoo convert checkpoint``: convert a released checkpoint to a safetensors file of the zoo.

The converters are in the modules of the parts that they convert for, see :mod:`visionzoo.converters`. The header of the
new file stores the normalisation and size of the images that the weights expect. Loading warns if a model normalises
images differently.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from visionzoo.cli.common import Parser, add_summary_flags, note
from visionzoo.errors import CheckpointError, OutputError

if TYPE_CHECKING:
    from torch import Tensor

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
        "  visionzoo convert checkpoint exp0_best.pth scnn.safetensors --from scnn --set input_size=288,800",
    )
    described.add_argument(
        "source", metavar="IN", help="the released file: .pth, .safetensors, or .npz with TensorFlow variables"
    )
    described.add_argument("target", metavar="OUT", type=Path, help="the file to write, .safetensors")
    described.add_argument(
        "--from", dest="system", required=True, help="the system whose tensor names IN has, e.g. scnn"
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


def run(args: argparse.Namespace) -> int:
    """Convert one file."""
    from visionzoo.converters import CONVERTERS, parse_options

    _require_new_safetensors(args.target, args.overwrite)
    converter = CONVERTERS.get(args.system)
    use = args.use or converter.uses[0]
    options = parse_options(args.options, converter.parameters(use))
    try:
        read = _read(args)
        tensors = converter.convert(use, read, {"file_name": args.source, **options})
        made_for = converter.made_for(read)
    except CheckpointError as error:
        raise error.at(args.source) from error
    _write(args, tensors, made_for)
    return 0


def _read(args: argparse.Namespace) -> Mapping[str, Any]:
    if args.source.endswith(".npz"):
        return _read_variables(Path(args.source))
    from visionzoo.weights.loading import read_weights

    return read_weights(args.source, trust_pickle=args.trust_pickle)


def _read_variables(path: Path) -> dict[str, Any]:
    """Read TensorFlow variables by name from a file of ``numpy.savez``."""
    import zipfile

    import numpy as np

    try:
        with np.load(path, allow_pickle=False) as stored:
            return {name: stored[name] for name in stored.files}
    except OSError as error:
        reason = error.strerror or error
        raise CheckpointError(
            path, expected="a readable file of variables", but=f"{reason}", advice="check the path"
        ) from error
    except (ValueError, zipfile.BadZipFile, EOFError) as error:
        raise CheckpointError(path, expected="arrays by name as numpy.savez writes them", found=f"{error}") from error


# --------------------------------------------------------------------------- writing


def _write(args: argparse.Namespace, tensors: Mapping[str, Tensor], made_for: Mapping[str, Any]) -> None:
    from safetensors.torch import save

    from visionzoo.system.atomic import write_file

    header = {"format": "pt"} | ({"meta": json.dumps({"input": made_for})} if made_for else {})
    data = save({name: tensor.contiguous() for name, tensor in tensors.items()}, metadata=header)
    args.target.parent.mkdir(parents=True, exist_ok=True)
    write_file(args.target, lambda file: _write_all(file, data))
    if args.json:
        print(json.dumps({"out": str(args.target), "tensors": len(tensors), "bytes": len(data), "input": made_for}))
    note(f"{args.target}: {len(tensors)} tensors, {len(data) / 1e6:.1f} MB", quiet=args.quiet)
    if made_for:
        note(f"{args.target}: for images of {_told(made_for)}", quiet=args.quiet)


def _told(made_for: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} ({', '.join(f'{value:g}' for value in values)})" for name, values in made_for.items())


def _write_all(file: BinaryIO, data: bytes) -> None:
    file.write(data)


def _require_new_safetensors(target: Path, overwrite: bool) -> None:
    if target.suffix != ".safetensors":
        raise OutputError(target, expected="a name that ends with .safetensors", advice="rename it")
    if target.exists() and not overwrite:
        raise OutputError(target, expected="no such file yet", found="one", advice="choose another name or --overwrite")
