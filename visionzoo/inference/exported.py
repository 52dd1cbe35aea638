"""Run an exported model: an ONNX file with onnxruntime and without torch, or a file of ``torch.export`` with torch."""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache, partial
from operator import itemgetter
from pathlib import Path
from typing import Any

import numpy as np
from mmengine.logging import print_log

from visionzoo.config import LoadedConfig
from visionzoo.errors import CheckpointError, ConfigError, InputError, MissingExtra
from visionzoo.inference.backends import Backend, Check, TaskClasses, unchecked
from visionzoo.inference.exported_groups import run_groups
from visionzoo.inference.exported_phrases import phrase_sample, run_phrases, tokenizer_of
from visionzoo.inference.exported_steps import apply_steps, padded_size
from visionzoo.inference.preparing import Preparation
from visionzoo.inference.readers import chosen_tasks
from visionzoo.structures.graph_results import Frame
from visionzoo.tasks import Task, task_of
from visionzoo.tasks.inputs.base import Input

KEY = "visionzoo"  # of the metadata in the file
SCHEMA = 1
SUFFIXES = (".onnx", ".pt2")

Arrays = dict[str, np.ndarray]
Run = Callable[[Arrays], Arrays]


def exported_file(name: Any) -> Path | None:
    """Return the path if ``name`` is an exported file, or the config that :func:`exported_config` made of one.

    Example:
        >>> exported_file("models/a.onnx").name, exported_file("rcnet_retinanet")
        ('a.onnx', None)
    """
    if isinstance(name, LoadedConfig):
        return exported_file(name.cfg.get("exported") or "")
    if not isinstance(name, str | os.PathLike) or Path(name).suffix.lower() not in SUFFIXES:
        return None
    return Path(name)


def open_exported(path: Path) -> tuple[dict[str, Any], Run]:
    """Open an exported file.

    Returns:
        Its metadata, and a function from inputs to outputs by name.

    Raises:
        CheckpointError: the file is missing, damaged, or was not written by ``visionzoo export``.
        MissingExtra: onnxruntime is not installed.
    """
    if not path.is_file():
        raise CheckpointError(path, expected="an exported model", but="it does not exist", advice="check the path")
    text, run = (_open_onnx if path.suffix.lower() == ".onnx" else _open_program)(path)
    if not text:
        raise CheckpointError(
            path, expected=f"the metadata {KEY!r}", found="none", advice="write the file with `visionzoo export`"
        )
    metadata = json.loads(text)
    if metadata.get("schema") != SCHEMA:
        raise CheckpointError(
            path, expected=f"schema {SCHEMA}", found=f"{metadata.get('schema')}", advice="export the model again"
        )
    return metadata, run


def _open_onnx(path: Path) -> tuple[str, Run]:
    try:
        import onnxruntime
    except ImportError as error:
        raise MissingExtra("onnxruntime", "onnxruntime", where=str(path)) from error
    onnxruntime.set_default_logger_severity(3)
    try:
        session = onnxruntime.InferenceSession(path, providers=onnxruntime.get_available_providers())
    except Exception as error:  # the runtime has no common base class of its errors
        raise _damaged(path, error) from error
    names = [each.name for each in session.get_outputs()]
    known = {each.name for each in session.get_inputs()}

    def run(arrays: Arrays) -> Arrays:
        found = session.run(names, {name: value for name, value in arrays.items() if name in known})
        return dict(zip(names, found, strict=True))

    return session.get_modelmeta().custom_metadata_map.get(KEY, ""), run


def _open_program(path: Path) -> tuple[str, Run]:
    import torch
    import torchvision  # noqa: F401  (registers its operators)

    extra: dict[str, Any] = {KEY: ""}
    try:
        program = torch.export.load(path, extra_files=extra)
    except Exception as error:  # of zip files, JSON or torch
        raise _damaged(path, error) from error
    module = program.module()
    text = extra[KEY].decode() if isinstance(extra[KEY], bytes) else extra[KEY]
    names = [each["name"] for each in json.loads(text or '{"outputs": []}')["outputs"]]

    def run(arrays: Arrays) -> Arrays:
        with torch.no_grad():
            found = module(*map(torch.from_numpy, arrays.values()))
        return {name: value.numpy() for name, value in zip(names, found, strict=True)}

    return text, run


def _damaged(path: Path, error: Exception) -> CheckpointError:
    reason = " ".join(str(error).split())[:200]
    return CheckpointError(
        path, expected="an exported model", but=f"it cannot be read: {reason}", advice="export again"
    )


def exported_config(path: Path) -> LoadedConfig:
    """Return the config of an exported model: its task, its ``model``, and the path as ``exported``.

    Raises:
        CheckpointError: see :func:`open_exported`.
    """
    from mmengine.config import Config

    metadata, _ = open_exported(path)
    cfg = Config({"task": metadata["task"], "model": metadata["model"], "exported": str(path)})
    return LoadedConfig(cfg, metadata["name"], path)


def exported_backend(
    path: Path,
    weights: Any,
    *,
    device: str,
    options: Any = (),
    check: Check = unchecked,
    exact: bool = False,
    tasks: str | Iterable[str] | None = None,
) -> Backend:
    """Return the backend of an exported file.

    Args:
        path: the file.
        weights: must be None, because the file has its weights.
        check: function that is called with the classes by task, if the file has them.
        device: ``auto`` or ``cpu``; onnxruntime chooses among the devices that it was built for.
        options: changes of the config, which must be empty.
        exact: must be False, because the file has one form.
        tasks: names of some of its tasks; None for all.

    Raises:
        CheckpointError, MissingExtra: see :func:`open_exported`.
        ConfigError: weights, options, exact or another device are given.
    """
    given = {"weights": weights, "options": options, "exact": exact}
    wrong = {**given, "device": device if device not in ("auto", "cpu") else None}
    for name, value in wrong.items():
        if value:
            raise ConfigError(
                f"{name}={value}", expected=f"no {name} for an exported model", found=f"{path.name}",
                advice="leave it out, or use the model it was exported from",
            )  # fmt: skip
    metadata, run = open_exported(path)
    classes = {name: _classes_of(metadata, name) for name in chosen_tasks(metadata["task"], tasks, str(path))}
    if all(own.names for own in classes.values()):
        check(classes)
    prepare, run_batch = _prepared_runner(list(classes), metadata, run)
    divisor = int(metadata["preprocessing"]["pad_divisor"])
    return Backend(
        name=metadata["name"],
        classes=classes,
        config={"task": metadata["task"], "model": metadata["model"]},
        prepare=prepare,
        run=run_batch,
        fingerprint=partial(_file_hash, path),
        model=None,
        device="cpu",
        divisor=divisor,
        weights=path,
        step=metadata["weights"].get("step", ""),
        is_untrained=metadata["weights"]["sha256"] is None,
    )


def _classes_of(metadata: Mapping[str, Any], task: str) -> TaskClasses:
    """Return the classes of a task; a file of several tasks has them by task."""
    several = not isinstance(metadata["task"], str)
    found = ((metadata[key][task] if several else metadata[key]) for key in ("classes", "category_ids"))
    names, ids = (tuple(values) if values else None for values in found)
    return TaskClasses(names, ids)


def _prepared_runner(tasks: Sequence[str], metadata: Mapping[str, Any], run: Run) -> tuple[Preparation, Callable]:
    """Return what prepares the inputs of a file, and what runs a batch of them."""
    if not isinstance(metadata["task"], str):
        steps = metadata["preprocessing"]["steps"]
        return ExportedPreparation(steps, task_of(tasks[0]).inputs), partial(_run_tasks, tasks, metadata, run)
    prepare, run_batch = _prepared_for_one(task_of(tasks[0]), metadata, run)
    return prepare, lambda data: [{tasks[0]: sample} for sample in run_batch(data)]


def _prepared_for_one(task: Task, metadata: Mapping[str, Any], run: Run) -> tuple[Preparation, Callable]:
    steps = metadata["preprocessing"]["steps"]
    if metadata["inputs"][0]["name"] == "fixed":
        from visionzoo.inference.exported_pairs import run_pairs  # imports torch

        return Preparation(steps, task.inputs), partial(run_pairs, run, metadata)
    if "tokenizer" in metadata["settings"]:
        words = tokenizer_of(metadata["settings"]["tokenizer"])
        one = lambda data, run_one: _run(task, metadata, run_one, data)  # noqa: E731
        return ExportedPreparation(steps, task.inputs, phrase_sample), partial(run_phrases, one, run, words)
    run_images = partial(_run, task, metadata, run)
    grouped = partial(run_groups, run_images) if task.inputs.are_grouped else run_images
    return ExportedPreparation(steps, task.inputs), grouped


class ExportedPreparation(Preparation):
    """Reads inputs and applies the steps of an exported model.

    Args:
        steps: see :mod:`visionzoo.inference.exported_steps`.
        inputs: kind of the inputs.
        about: function from what was read to what the runner needs besides the image; by default its original size.
    """

    def __init__(
        self,
        steps: Sequence[Mapping[str, Any]],
        inputs: Input,
        about: Callable[[Mapping[str, Any]], Any] = itemgetter("ori_shape"),
    ):
        self.inputs, self.order, self.transforms = inputs, "rgb", [partial(_stepped, steps, about)]


def _stepped(
    steps: Sequence[Mapping[str, Any]], about: Callable[[Mapping[str, Any]], Any], results: dict[str, Any]
) -> dict[str, Any]:
    images = results["img"] if isinstance(results["img"], list) else [results["img"]]
    done = [np.ascontiguousarray(apply_steps(image, steps).transpose(2, 0, 1)) for image in images]
    grouped = isinstance(results["img"], list)
    return {"inputs": np.stack(done) if grouped else done[0], "data_samples": about(results)}


def _run_tasks(
    tasks: Sequence[str], metadata: Mapping[str, Any], run: Run, data: Mapping[str, list[Any]]
) -> list[dict[str, Any]]:
    """Run a batch, and return the samples of its images by task. The names of outputs begin with that of the task."""
    return [
        {task: task_of(task).of_graph(_below(outputs, f"{task}."), replace(frame, settings=frame.settings[task]))
         for task in tasks}
        for outputs, frame in _outputs(metadata, run, data)
    ]  # fmt: skip


def _below(outputs: Arrays, prefix: str) -> Arrays:
    return {name.removeprefix(prefix): value for name, value in outputs.items() if name.startswith(prefix)}


def _run(task: Task, metadata: Mapping[str, Any], run: Run, data: Mapping[str, list[Any]]) -> list[Any]:
    """Run a batch, and return the samples of its images."""
    return [task.of_graph(outputs, frame) for outputs, frame in _outputs(metadata, run, data)]


def _outputs(metadata: Mapping[str, Any], run: Run, data: Mapping[str, list[Any]]) -> Iterator[tuple[Arrays, Frame]]:
    """Run a batch, and yield outputs and frame of each image."""
    images, originals = data["inputs"], data["data_samples"]
    shapes = [image.shape[1:] for image in images]
    height, width = _batch_size(metadata, shapes)
    batch = np.zeros((len(images), 3, height, width), np.uint8)
    for index, (image, shape) in enumerate(zip(images, shapes, strict=True)):
        batch[index, :, : shape[0], : shape[1]] = image
    arrays: Arrays = {"images": batch, "sizes": np.array(shapes, np.int64)}
    outputs = run({each["name"]: arrays[each["name"]] for each in metadata["inputs"] if each["name"] in arrays})
    for index, (shape, original) in enumerate(zip(shapes, originals, strict=True)):
        frame = Frame((height, width), shape, tuple(original[:2]), metadata["settings"])
        yield {name: value[index] for name, value in outputs.items()}, frame


def _batch_size(metadata: Mapping[str, Any], shapes: Sequence[Sequence[int]]) -> tuple[int, int]:
    """Return (H, W) of the batch.

    Raises:
        InputError: the model has one size, and an image is larger.
    """
    needed = (max(shape[0] for shape in shapes), max(shape[1] for shape in shapes))
    fixed = metadata["inputs"][0]["shape"][2:]
    if any(isinstance(side, str) for side in fixed):
        return padded_size(needed, int(metadata["preprocessing"]["pad_divisor"]))
    is_exact = metadata["preprocessing"]["pad_divisor"] == 1
    if needed[0] > fixed[0] or needed[1] > fixed[1] or (is_exact and needed != tuple(fixed)):
        raise InputError(
            "image",
            expected=f"{'exactly' if is_exact else 'at most'} {fixed[1]}x{fixed[0]} pixels after resizing",
            found=f"{needed[1]}x{needed[0]}",
            advice="export the model with --size for this size",
        )
    if not is_exact and padded_size(needed, int(metadata["preprocessing"]["pad_divisor"])) != tuple(fixed):
        _warn_of_padding(metadata["name"], fixed[0], fixed[1])
    return fixed[0], fixed[1]


@lru_cache
def _warn_of_padding(name: str, height: int, width: int) -> None:
    """Print once that images are padded further than the model pads them."""
    text = f"{name}: smaller images are padded to {width}x{height}, the only size of the file, so results differ from "
    advice = "those of the model; `visionzoo export --size H W` with the padded size of the images avoids this"
    print_log(text + advice, "current", logging.WARNING)


def _file_hash(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, partial(hashlib.blake2b, digest_size=8)).hexdigest()  # type: ignore[arg-type]
