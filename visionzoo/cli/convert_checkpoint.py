"""``visionzoo convert checkpoint``: convert a released checkpoint to a safetensors file of the zoo.

The converters are in the modules of the parts that they convert for, see :mod:`visionzoo.converters`. The header of the
new file stores the normalisation and size of the images that the weights expect, and the variant of a part if the
tensors do not determine it. Loading warns if a model normalises images differently, and refuses another variant.
"""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from visionzoo.cli.common import Parser, add_summary_flags, note
from visionzoo.errors import CheckpointError, OutputError
from visionzoo.plugins import packages
from visionzoo.system.atomic import require_writable, write_file

if TYPE_CHECKING:
    from torch import Tensor

    from visionzoo.converters import Converter

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
    from visionzoo.weights.tensors import warn_of_nonfinite

    _require_new_safetensors(args.target, args.overwrite)
    converter = CONVERTERS.get(args.system)
    use = args.use or converter.uses[0]
    options = parse_options(args.options, converter.parameters(use))
    try:
        read = _read(args, converter)
        given = {"file_name": args.source, **options}
        tensors = converter.convert(use, read, given)
        stated = {"input": converter.made_for(read), "variants": converter.variants_of(read, given)}
        _require_writable(tensors, args.source)
    except CheckpointError as error:
        raise error.at(args.source) from error
    warn_of_nonfinite(tensors, args.source)
    _write(args, tensors, {name: facts for name, facts in stated.items() if facts})
    return 0


def _read(args: argparse.Namespace, converter: Converter) -> Mapping[str, Any]:
    from visionzoo.weights.array_files import read_array_file
    from visionzoo.weights.loading import find_weights, weights_of
    from visionzoo.weights.safe_load import holds_arrays, read_checkpoint

    path = find_weights(args.source)
    if holds_arrays(path):
        return read_array_file(path)
    checkpoint = read_checkpoint(path, trust_pickle=args.trust_pickle)
    return weights_of(converter.states_of(checkpoint), str(path))


def _require_writable(tensors: Mapping[str, Tensor], source: str) -> None:
    """Raise an error if safetensors cannot store a tensor."""
    from safetensors.torch import _TYPES

    for name, tensor in tensors.items():
        if tensor.dtype not in _TYPES.values():
            raise CheckpointError(
                f"{source}: {name}",
                expected="a tensor that safetensors can store",
                found=f"{tensor.dtype}",
                advice="save the weights as float32",
            )


# --------------------------------------------------------------------------- writing


def _write(args: argparse.Namespace, tensors: Mapping[str, Tensor], stated: Mapping[str, Any]) -> None:
    from safetensors.torch import save

    header = {"format": "pt"} | ({"meta": json.dumps(stated)} if stated else {})
    data = save(_without_shared(tensors), metadata=header)
    args.target.parent.mkdir(parents=True, exist_ok=True)
    write_file(args.target, lambda file: _write_all(file, data))
    if args.json:
        written = {"out": str(args.target), "tensors": len(tensors), "bytes": len(data)}
        print(json.dumps({**written, "input": {}, **stated}))
    note(f"{args.target}: {len(tensors)} tensors, {len(data) / 1e6:.1f} MB", quiet=args.quiet)
    if "input" in stated:
        note(f"{args.target}: for images of {_told(stated['input'])}", quiet=args.quiet)
    for part, variant in stated.get("variants", {}).items():
        note(f"{args.target}: for {part} of variant {variant}", quiet=args.quiet)


def _without_shared(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors with own memory for each, because safetensors refuses tensors that share it."""
    seen: set[int] = set()
    separate = {}
    for name, tensor in tensors.items():
        tensor = tensor.contiguous()
        storage = tensor.untyped_storage().data_ptr()
        separate[name] = tensor.clone() if storage in seen else tensor
        seen.add(storage)
    return separate


def _told(made_for: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} ({', '.join(f'{value:g}' for value in values)})" for name, values in made_for.items())


def _write_all(file: BinaryIO, data: bytes) -> None:
    file.write(data)


def _require_new_safetensors(target: Path, overwrite: bool) -> None:
    if target.suffix != ".safetensors":
        raise OutputError(target, expected="a name that ends with .safetensors", advice="rename it")
    require_writable(target)
    if target.is_dir():
        raise OutputError(target, expected="a file or none", found="a folder", advice="choose another name")
    if target.exists() and not overwrite:
        raise OutputError(target, expected="no such file yet", found="one", advice="choose another name or --overwrite")
