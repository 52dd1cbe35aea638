"""Write a model as an ONNX file or as a program of ``torch.export``, and compare it with PyTorch.

Both formats come from one program that ``torch.export`` records, because the newer exporter of ONNX needs it, it keeps
sizes as symbols through the post-processing, and a model that it records has no Python control flow left.
"""

from __future__ import annotations

import io
import json
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch

from visionzoo.errors import ConfigError, MissingExtra, RunFailed, require_known
from visionzoo.export.parity import Difference, differences, eager_outputs, merged
from visionzoo.graphs.form import ImageForm
from visionzoo.graphs.pairing import NEAR
from visionzoo.inference.exported import KEY, open_exported
from visionzoo.inference.exported_steps import padded_size
from visionzoo.system.atomic import write_file

FORMATS = {"onnx": ".onnx", "torch-export": ".pt2"}
_MOST_CELLS = 512  # largest height or width in multiples
_LEAST_UNPADDED = 32  # smallest side of images that are not padded, so that a stride of 16 leaves two cells
_LEAST = 320  # a recorded side is at least this long, so that no level of a pyramid has a side of 1


@dataclass(frozen=True)
class Shape:
    """Sizes that an exported model takes.

    Attributes:
        size: (H, W) of the recorded images, or the sides of volumes.
        is_fixed: True if no other size is possible.
        reason: why it is fixed; empty if it is not.
    """

    size: tuple[int, ...]
    is_fixed: bool
    reason: str


def chosen_shape(form: ImageForm, largest: Sequence[int], equal: bool, given: Sequence[int] | None) -> Shape:
    """Choose the sizes of an exported model.

    Args:
        form: the form of the model.
        largest: (H, W) that holds every image of the pipeline.
        equal: True if all images of the pipeline have this size.
        given: (H, W) that the user gives; None for the choice of this function.

    Raises:
        ConfigError: ``given`` is not a multiple of the padding divisor, or not the size of all images.
    """
    if given is not None:
        if min(given) < 1 or len(given) != 2:
            found = " ".join(map(str, given))
            raise ConfigError("--size", expected="two positive numbers", found=found, advice="use --size H W in pixels")
        if equal and tuple(given) != tuple(largest):
            raise ConfigError(
                "--size",
                expected=f"{largest[0]} {largest[1]}, to which the pipeline resizes all images",
                found=f"{given[0]} {given[1]}",
                advice="leave it out",
            )
        if padded_size(given, form.multiple) != tuple(given):
            raise ConfigError(
                "--size",
                expected=f"multiples of {form.multiple}",
                found=f"{given[0]} {given[1]}",
                advice=f"use {' '.join(map(str, padded_size(given, form.multiple)))}",
            )
        return Shape((given[0], given[1]), True, "--size")
    if equal:
        return Shape((largest[0], largest[1]), True, "the pipeline resizes all images to it")
    if form.fixed:
        return Shape((largest[0], largest[1]), True, form.fixed)
    height, width = padded_size((_LEAST, _LEAST + 3 * form.multiple), form.multiple)
    return Shape((height, width + form.multiple), False, "")


def export_form(
    form: ImageForm, shape: Shape, kind: str, path: Path, metadata: dict[str, Any], program: Any = None
) -> None:
    """Record a form and write the file.

    Args:
        form: the form of a model, in eval mode.
        shape: sizes to take.
        kind: a key of :data:`FORMATS`.
        path: the file.
        metadata: values that the file keeps as JSON.
        program: what :func:`recorded` returned before; None records the form.

    Raises:
        UnknownName: an unknown format.
        MissingExtra: onnx or onnxscript is not installed.
        RunFailed: PyTorch cannot record the model, or translate it.
    """
    require_known(kind, FORMATS, "format of an exported model")
    program = recorded(form, shape) if program is None else program
    text = json.dumps(metadata, ensure_ascii=False)
    content = io.BytesIO()
    if kind == "torch-export":
        torch.export.save(program, content, extra_files={KEY: text})
    else:
        content.write(_onnx_bytes(form, program, text))
    write_file(path, lambda file: file.write(content.getbuffer()))


def recorded(form: ImageForm, shape: Shape) -> Any:
    """Return the program of ``torch.export``; its batch is of any size, and its images if the shape is not fixed.

    Raises:
        RunFailed: PyTorch cannot record the model.
    """
    inputs = [torch.from_numpy(value) for value in form.seeded(shape.size).values()]
    batch = torch.export.Dim("batch", min=1, max=4096)
    axes: dict[int, Any] = {0: batch}
    if not shape.is_fixed:
        axes |= {2: _side("height", form), 3: _side("width", form)}
    shapes = (axes, {0: batch})[: len(inputs)] if form.is_dynamic else None
    try:
        with _quiet(), torch.no_grad():
            return torch.export.export(form, tuple(inputs), dynamic_shapes=shapes, strict=False)
    except Exception as error:  # the exporter has many kinds of errors
        text = _first_line(error)
        if "(batch)" in text:
            text = "a part, such as a deformable convolution of mmcv, computes with the number of images"
        elif not shape.is_fixed:
            text += "; --size H W exports it for one size"
        raise RunFailed(f"torch.export cannot record the model: {text}") from error


def _side(name: str, form: ImageForm) -> Any:
    """Return a side of any size: at least one multiple of the padding, or ``_LEAST_UNPADDED`` without padding."""
    if form.multiple == 1:
        return torch.export.Dim(name, min=_LEAST_UNPADDED, max=_MOST_CELLS * 32)
    least = 1 if form.divisor > 1 else -(-_LEAST_UNPADDED // form.multiple)
    return form.multiple * torch.export.Dim(name, min=least, max=_MOST_CELLS)


def require_packages(kind: str) -> None:
    """Check that the packages of a format are installed, before the work begins.

    Raises:
        MissingExtra: onnx, onnxscript or onnxruntime is not installed.
    """
    for name in ("onnx", "onnxscript", "onnxruntime") if kind == "onnx" else ():
        if find_spec(name) is None:
            raise MissingExtra(name, "export", where="visionzoo export")


def _onnx_bytes(form: ImageForm, program: Any, text: str) -> bytes:
    require_packages("onnx")
    try:
        with _quiet(), torch.no_grad():
            made: Any = torch.onnx.export(
                program,
                dynamo=True,
                input_names=list(form.input_names),
                output_names=list(form.names),
                verbose=False,
            )
    except Exception as error:
        raise RunFailed(f"torch.onnx cannot translate the model: {_first_line(error)}") from error
    made.model.metadata_props[KEY] = text
    return made.model_proto.SerializeToString()


def parity_of(form: ImageForm, shape: Shape, path: Path, near: float = NEAR) -> list[Difference]:
    """Compare a file with PyTorch on seeded batches of two images: of one size, or of two if the size is free.

    Args:
        form: the form of the model.
        shape: the sizes that the file takes.
        path: the file.
        near: precision of the scores that order results, see :func:`visionzoo.graphs.pairing.paired_boxes`.
    """
    _, run = open_exported(path)
    sizes = [shape.size]
    if not shape.is_fixed:
        sizes.append((shape.size[0] + 2 * form.multiple, shape.size[1] - form.multiple))
    rows = []
    for seed, size in enumerate(sizes):
        inputs = form.seeded(size, seed)
        pair = None if form.pair is None else partial(form.pair, near=near)
        rows.append(differences(eager_outputs(form, inputs), run(inputs), pair))
    return merged(rows)


@contextmanager
def _quiet() -> Iterator[None]:
    """Hide what the exporters print and warn of; an error is raised all the same."""
    with warnings.catch_warnings(), redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
        warnings.simplefilter("ignore")
        yield


def _first_line(error: Exception) -> str:
    cause: BaseException = error
    while cause.__cause__ is not None:
        cause = cause.__cause__
    lines = [line.strip() for line in str(cause).splitlines() if line.strip()]
    return (lines[0] if lines else type(cause).__name__)[:300]
