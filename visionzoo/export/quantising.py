"""Files with fewer bits: 16-bit floats, and 8-bit integers by static quantisation with calibration images."""

from __future__ import annotations

import ast
import json
import tempfile
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from visionzoo.errors import ConfigError, DataError, InputError, MissingExtra
from visionzoo.export.exporting import parity_of
from visionzoo.export.parity import Arrays
from visionzoo.export.writing import Exported, Ready, metadata_of, write
from visionzoo.graphs.pairing import NEAR
from visionzoo.inference.exported import KEY
from visionzoo.inference.exported_steps import apply_steps, padded_size
from visionzoo.system.atomic import write_file

_HALF = 5e-3  # precision of the scores of a file with 16-bit floats
_FLOAT = 1  # onnx.TensorProto.FLOAT
_EXACT = ["Sub", "Div", "Gather", "GatherElements", "ScatterElements", "Exp"]  # operators that stay in 32-bit floats
_SCOPES = "pkg.torch.onnx.name_scopes"
_QUANTISED = ["Conv", "MatMul", "Gemm"]  # the others, such as the decoding of boxes, stay in 32-bit floats


def write_half(made: Ready, path: Path) -> Exported:
    """Write an ONNX file whose weights and features are 16-bit floats; inputs and outputs keep their types.

    Raises:
        MissingExtra: onnx or onnxruntime is not installed.
        RunFailed: PyTorch cannot record the model, or translate it.
    """
    onnx = _imported()
    from onnxruntime.transformers.float16 import DEFAULT_OP_BLOCK_LIST, convert_float_to_float16

    with tempfile.TemporaryDirectory() as folder:
        plain = Path(folder, "plain.onnx")
        write(made, "onnx", plain)
        model = onnx.load(plain)
        model = convert_float_to_float16(
            model,
            keep_io_types=True,
            op_block_list=[*DEFAULT_OP_BLOCK_LIST, *_EXACT],
            node_block_list=_outside_layers(model),
        )
    _remove_round_trips(model.graph)
    return _finished(made, path, model, "float16", near=_HALF)


def _outside_layers(model: Any) -> list[str]:
    """Return the names of the nodes that are in no layer: normalisation, decoding and suppression.

    A coordinate of 1,000 pixels has a precision of half a pixel in 16 bits, and suppression adds an offset to it.
    """
    names = []
    for node in model.graph.node:
        about = {each.key: each.value for each in node.metadata_props}
        scopes = ast.literal_eval(about.get(_SCOPES, "[]"))  # form, layers, operator
        if len(scopes) == 2:
            names.append(node.name)
    return names


def _remove_round_trips(graph: Any) -> None:
    """Remove the conversions to 16 bits and back that stand between two 32-bit values, because they round."""
    source = {node.output[0]: node.input[0] for node in graph.node if node.name.endswith("_cast_to_fp16_node")}
    outputs = {each.name for each in graph.output}
    exact = {}
    for node in graph.node:
        if node.op_type != "Cast" or node.input[0] not in source or node.attribute[0].i != _FLOAT:
            continue
        if node.output[0] in outputs:
            node.op_type, node.input[0] = "Identity", source[node.input[0]]
            del node.attribute[:]
        else:
            exact[node.output[0]] = source[node.input[0]]
    for node in graph.node:
        for index, name in enumerate(node.input):
            node.input[index] = exact.get(name, name)
    used = outputs.union(*(node.input for node in graph.node))
    for node in [each for each in graph.node if each.op_type == "Cast" and each.output[0] not in used]:
        graph.node.remove(node)


def write_int8(made: Ready, path: Path, calibration: Sequence[Arrays], plain: Path) -> Exported:
    """Write an ONNX file whose convolutions and matrix products use 8-bit integers.

    The ranges of the features are those of calibration images.

    Args:
        made: what :func:`visionzoo.export.writing.ready` returned.
        path: the file.
        calibration: what :func:`calibration_batches` returned.
        plain: the ONNX file in 32-bit floats.

    Raises:
        MissingExtra: onnx or onnxruntime is not installed.
    """
    onnx = _imported()
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

    batches = iter(calibration)

    class Reader(CalibrationDataReader):
        """Gives the calibration images one by one."""

        def get_next(self) -> dict[str, np.ndarray] | None:
            return next(batches, None)

    with tempfile.TemporaryDirectory() as place:
        small = Path(place, "small.onnx")
        quantize_static(
            plain,
            small,
            Reader(),
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=_QUANTISED,
            per_channel=True,
            weight_type=QuantType.QInt8,
        )
        model = onnx.load(small)
    return _finished(made, path, model, "int8")


def _imported() -> Any:
    try:
        import onnx
        import onnxruntime  # noqa: F401
    except ImportError as error:
        raise MissingExtra(error.name or "onnx", "export") from error
    return onnx


def _finished(made: Ready, path: Path, model: Any, precision: str, near: float = NEAR) -> Exported:
    text = json.dumps(metadata_of(made, precision), ensure_ascii=False)
    others = [each for each in model.metadata_props if each.key != KEY]
    del model.metadata_props[:]
    model.metadata_props.extend(others)
    model.metadata_props.add(key=KEY, value=text)
    write_file(path, lambda file: file.write(model.SerializeToString()))
    return Exported(path, made.shape, parity_of(made.form, made.shape, path, near))


def calibration_batches(made: Ready, folder: str | None, count: int) -> list[Arrays]:
    """Return the inputs of a graph for each calibration image that fits the model.

    Args:
        made: what :func:`visionzoo.export.writing.ready` returned.
        folder: folder of images; None for the training data of the config.
        count: largest number of images.

    Raises:
        InputError, DataError: an image cannot be read, or none fits.
        ConfigError: the config has no training data.
    """
    found = []
    for image in islice(_images(made, folder), count):
        resized = apply_steps(image, made.steps)
        height, width = made.shape.size if made.shape.is_fixed else padded_size(resized.shape[:2], made.form.divisor)
        if resized.shape[0] > height or resized.shape[1] > width:
            continue
        batch = np.zeros((1, 3, height, width), np.uint8)
        batch[0, :, : resized.shape[0], : resized.shape[1]] = resized.transpose(2, 0, 1)
        arrays: Arrays = {"images": batch, "sizes": np.array([resized.shape[:2]], np.int64)}
        found.append({name: arrays[name] for name in made.form.input_names})
    if not found:
        raise InputError("calibration", expected="at least one image that fits the model", found="none",
                         advice="give a folder of images with --calibrate")  # fmt: skip
    return found


def _images(made: Ready, folder: str | None) -> Iterator[np.ndarray]:
    """Yield calibration images, (H, W, 3) uint8 RGB."""
    from visionzoo.datasets.image_reading import read_image

    prepare = made.backend.prepare
    if folder is not None:
        for source in prepare.inputs.sources_of(folder, recursive=True):
            yield prepare.read(source)
        return
    from visionzoo.engine.loaders import build_dataset

    cfg = made.backend.config.get("train_dataloader")
    if cfg is None:
        raise ConfigError("--int8", expected="train_dataloader in the config", found="none", advice="use --calibrate")
    dataset = build_dataset(cfg["dataset"], where="train_dataloader.dataset")
    for index in range(len(dataset)):
        path = dataset.get_data_info(index).get("img_path")
        if path is None:
            raise DataError("train_dataloader", expected="images in files", found="none", advice="use --calibrate")
        yield read_image(path)
