"""``visionzoo convert checkpoint``: weights of a paper's authors to ours.

A converter is a module with some of these functions, each from the file's tensors by name to ours::

    convert_detector    a whole detector, names as mmdet's models have them
    convert_model       a whole TaskModel, backbone and head
    convert             a backbone alone
    convert_classifier  weight and bias of the linear layer behind it
    convert_aux         an auxiliary classifier

What else one of them takes (the variant, a kernel size) is an option of the command. ``input_of`` says what images
the file was made for, ``{"mean": ..., "std": ..., "size": ...}``, as far as it can be told; that goes into the new
file's header, and loading warns of a model that normalises otherwise.
"""

from __future__ import annotations

import argparse
import inspect
import json
from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, BinaryIO

from visionzoo.cli.common import Parser, note
from visionzoo.errors import CheckpointError, ConfigError, OutputError, require_known

if TYPE_CHECKING:
    from torch import Tensor

# slug of a paper -> module
_CONVERTERS = {
    "biconnets": "visionzoo.heads.connnet.convert",
    "bossnet": "visionzoo.backbones.bossnet",
    "connnet": "visionzoo.heads.connnet",
    "dinat": "visionzoo.backbones.dinat",
    "gconet_plus": "visionzoo.heads.gconet_plus",
    "hmode": "visionzoo.heads.hmode",
    "nasnet": "visionzoo.backbones.nasnet",
    "rcnet": "visionzoo.necks.rcnet",
    "scnn": "visionzoo.heads.scnn",
    "vgg": "visionzoo.backbones.vgg",
}
_FUNCTIONS = {
    "backbone": "convert",
    "classifier": "convert_classifier",
    "detector": "convert_detector",
    "model": "convert_model",
}
_USES = tuple(_FUNCTIONS)
_WHOLE_FIRST = ("classifier", "model", "detector", "backbone")


def parser() -> Parser:
    described = Parser(
        "convert checkpoint",
        "Rename the tensors of a released checkpoint to ours and write them as safetensors: the whole model, or the "
        "backbone alone for model.backbone.init_cfg.",
        "  visionzoo convert checkpoint dinat_mini_in1k_224.pth dinat_mini.safetensors --from dinat\n"
        "  visionzoo convert checkpoint BossNet-T1-81_9.pth t1.safetensors --from bossnet --as backbone\n"
        "  visionzoo convert checkpoint rcnet_r50.pth rcnet_retinanet.safetensors --from rcnet",
    )
    described.add_argument("source", metavar="IN", help="the released file: .pth, .safetensors, or .npz of variables")
    described.add_argument("target", metavar="OUT", type=Path, help="the file to write, .safetensors")
    described.add_argument("--from", dest="system", required=True, help=f"whose names: {', '.join(_CONVERTERS)}")
    described.add_argument(
        "--as", dest="use", choices=_USES, help="what for (default: the whole model, where the converter has one)"
    )
    described.add_argument("--variant", help="which one, where files do not say (default: as the file's name says)")
    described.add_argument("--kernel-size", type=int, help="dinat: resize position biases to it (default: keep)")
    described.add_argument(
        "--fresh-norm", action="store_true", help="dinat: leave out the last map's norm (default: keep it)"
    )
    described.add_argument(
        "--drop-background", action="store_true", help="nasnet: 1000 of TensorFlow's 1001 classes (default: all)"
    )
    described.add_argument(
        "--inference-only", action="store_true", help="gconet_plus: leave out what only training needs (default: keep)"
    )
    described.add_argument(
        "--input-size", type=int, nargs=2, metavar=("H", "W"), help="scnn: refuse files for another (default: take any)"
    )
    described.add_argument("--trust-pickle", action="store_true", help="let IN run code while it loads (default: off)")
    described.add_argument("--overwrite", action="store_true", help="replace OUT (default: an error)")
    described.add_argument("-q", "--quiet", action="store_true", help="no notes (default: off)")
    described.add_argument("--json", action="store_true", help="machine-readable summary on stdout (default: off)")
    return described


def run(args: argparse.Namespace) -> int:
    """Convert one file."""
    require_known(args.system, _CONVERTERS, "converter")
    _require_new_safetensors(args.target, args.overwrite)
    module = import_module(_CONVERTERS[args.system])
    use = args.use or next(each for each in _WHOLE_FIRST if hasattr(module, _FUNCTIONS[each]))
    try:
        read = _read(args)
        tensors = _CONVERSIONS[use](module, read, _options(args))
        made_for = module.input_of(read) if hasattr(module, "input_of") else {}
    except CheckpointError as error:
        raise error.at(args.source) from error
    _write(args, tensors, made_for)
    return 0


def _options(args: argparse.Namespace) -> dict[str, Any]:
    """What the user said, by the name that converters give it."""
    said = {
        "variant": args.variant,
        "kernel_size": args.kernel_size,
        "keep_norm": False if args.fresh_norm else None,
        "drop_background": args.drop_background or None,
        "inference_only": args.inference_only or None,
        "input_size": args.input_size,
    }
    return {"file_name": args.source, **{name: value for name, value in said.items() if value is not None}}


def _read(args: argparse.Namespace) -> Mapping[str, Any]:
    if args.source.endswith(".npz"):
        return _read_variables(Path(args.source))
    from visionzoo.weights.loading import read_weights

    return read_weights(args.source, trust_pickle=args.trust_pickle)


def _read_variables(path: Path) -> dict[str, Any]:
    """TensorFlow's variables by name, as ``numpy.savez`` writes them."""
    import zipfile

    import numpy as np

    try:
        with np.load(path, allow_pickle=False) as stored:
            return {name: stored[name] for name in stored.files}
    except OSError as error:
        reason = error.strerror or error
        raise CheckpointError(f"{path}: expected a readable file of variables, but {reason}; check the path") from error
    except (ValueError, zipfile.BadZipFile, EOFError) as error:
        raise CheckpointError(f"{path}: expected arrays by name as numpy.savez writes them, found {error}") from error


# --------------------------------------------------------------------------- uses


def _backbone(module: ModuleType, tensors: Mapping[str, Any], options: Mapping[str, Any]) -> dict[str, Tensor]:
    return _call(_function(module, "convert", "backbone"), tensors, options)


def _classifier(module: ModuleType, tensors: Mapping[str, Any], options: Mapping[str, Any]) -> dict[str, Tensor]:
    """Names as TaskModel with a ClassificationHead has them; the auxiliary classifier too, if the file has one."""
    _function(module, "convert_classifier", "classifier")
    _refuse_unknown(options, module, ("convert", "convert_classifier"))
    found = _prefixed("backbone.", _call(_function(module, "convert", "backbone"), tensors, options, lenient=True))
    layer = _call(module.convert_classifier, tensors, options, lenient=True)
    found |= _prefixed("head.fc.", layer)
    try:
        aux = _call(module.convert_aux, tensors, options, lenient=True) if hasattr(module, "convert_aux") else {}
    except CheckpointError:  # most released files hold none
        aux = {}
    return found | _prefixed("auxiliary_head.0.classifier.", aux)


def _detector(module: ModuleType, tensors: Mapping[str, Any], options: Mapping[str, Any]) -> dict[str, Tensor]:
    return _call(_function(module, "convert_detector", "detector"), tensors, options)


def _model(module: ModuleType, tensors: Mapping[str, Any], options: Mapping[str, Any]) -> dict[str, Tensor]:
    return _call(_function(module, "convert_model", "model"), tensors, options)


_CONVERSIONS: dict[str, Callable[[ModuleType, Mapping[str, Any], Mapping[str, Any]], dict[str, Tensor]]] = {
    "backbone": _backbone,
    "classifier": _classifier,
    "detector": _detector,
    "model": _model,
}


def _function(module: ModuleType, name: str, use: str) -> Callable[..., dict[str, Tensor]]:
    if not hasattr(module, name):
        usable = [each for each, function in _FUNCTIONS.items() if hasattr(module, function)]
        raise ConfigError(
            f"--as {use}: expected one of {', '.join(usable)} for this converter, found {use}; choose one"
        )
    return getattr(module, name)


def _call(
    function: Callable[..., dict[str, Tensor]],
    tensors: Mapping[str, Any],
    options: Mapping[str, Any],
    *,
    lenient: bool = False,
) -> dict[str, Tensor]:
    """The function with those options that it takes; one that it does not take is an error unless ``lenient``."""
    known = inspect.signature(function).parameters
    taken = {name: value for name, value in options.items() if name in known}
    if not lenient:
        _refuse(set(options) - set(taken))
    return function(tensors, **taken)


def _refuse_unknown(options: Mapping[str, Any], module: ModuleType, functions: tuple[str, ...]) -> None:
    known: set[str] = set()
    for name in functions:
        known |= set(inspect.signature(getattr(module, name)).parameters) if hasattr(module, name) else set()
    _refuse(set(options) - known)


def _refuse(names: set[str]) -> None:
    flags = {
        "keep_norm": "--fresh-norm",
        "kernel_size": "--kernel-size",
        "drop_background": "--drop-background",
        "inference_only": "--inference-only",
        "input_size": "--input-size",
    }
    wrong = sorted(flags.get(name, f"--{name}") for name in names - {"file_name"})
    if wrong:
        raise ConfigError(f"{wrong[0]}: expected a converter that takes it, found one that does not; leave it out")


def _prefixed(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {prefix + name: value for name, value in tensors.items()}


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
        raise OutputError(f"{target}: expected a name that ends with .safetensors; rename it")
    if target.exists() and not overwrite:
        raise OutputError(f"{target}: expected no such file yet, found one; choose another name or --overwrite")
