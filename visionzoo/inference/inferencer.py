"""Inferencer: runs a model over a stream of images in batches. The batch size does not affect the results."""

from __future__ import annotations

import os
import time
from collections.abc import Hashable, Iterable, Iterator, Mapping
from copy import copy
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from visionzoo.config import LoadedConfig
from visionzoo.errors import ConfigError, DataError, InputError, RunFailed, ZooError, require_known
from visionzoo.inference.backends import BACKENDS, Backend, Check, only_one
from visionzoo.inference.exported import exported_backend, exported_file
from visionzoo.inference.predictions import Prediction, joint_prediction
from visionzoo.inference.preparing import Prepared
from visionzoo.inference.readers import Reader, readers_of
from visionzoo.inference.selecting import Selection, require_option
from visionzoo.option_names import option
from visionzoo.system.deferred_imports import deferred_imports
from visionzoo.system.library_warnings import without_library_warnings
from visionzoo.tasks import JointResult, JointTask
from visionzoo.tasks.inputs.base import Input, Source

__all__ = ["Inferencer", "Prediction"]

Readers = Mapping[str, Reader]
_LEAST_WINDOW = 8
_MOST_SHARED = 16  # inputs of a batch that share something, such as an image, for each of its batch size


class Inferencer:
    """A model that takes inputs of any kind and returns predictions in their order.

    A model with several tasks runs its trunk once for each input, and returns a
    :class:`visionzoo.inference.predictions.JointPrediction` with the results by task.

    Group models (co-saliency) process all images of one folder together, even if the inputs mix the folders. Images in
    memory are one group. With ``errors="report"``, a group is processed without its unreadable images.

    Args:
        name_or_config: name of a model of the zoo, path of a config file, folder of a run or ``hf://ORG/REPO``; a file
            that ``visionzoo export`` wrote, of which an ONNX file runs without torch and takes no ``weights``, ``tiny``
            or ``options``; or a config that :func:`visionzoo.weights.runs.load_with_weights` returned, which is used as
            it is.
        weights: file, folder of a run or address; ``"released"`` or ``"released:ID"`` for those that the card lists.
            None uses the weights of the run, else the released ones; ``"none"`` leaves the model untrained. A model
            without parameters needs none. If config and weights belong to different runs, see
            :mod:`visionzoo.weights.runs`.
        tiny: True to use the tiny variant of the config.
        device: ``auto``, ``cpu``, ``cuda``, ``cuda:1`` or ``mps``.
        batch_size: number of images per batch, >= 1. Up to 16 phrases of an image count as one image. Only images of
            equal padded size share a batch, so the batch size does not affect the results.
        score_threshold: results with a lower score, in [0, 1], are dropped. None uses the default of the task: 0.3
            for boxes, 0 for all others. For a saliency map, it is the threshold of the mask; 0 keeps the mask of the
            model. Counts have no score. The model may drop further results, according to its ``test_cfg``.
        class_thresholds: by class name, thresholds that replace ``score_threshold``; by task for a model with several
            tasks.
        classes: names of the classes to keep, in a list or separated by commas; None for all. Of several tasks, it
            changes those that have one of these classes.
        limit: largest number of results of an input, the best ones; None for all, and for 5 classes of an image.
        options: changes to the config, as for ``--cfg-options``.
        allow_new: True if options may add keys.
        trust_pickle: True to allow pickle files, which can run arbitrary code while they load.
        exact: True to run the model as it is built. By default, a model on a CPU runs in its fast form, whose outputs
            are equal up to rounding, see :mod:`visionzoo.models.fast_form`. ``model`` is always the plain form.
        backend: ``torch``, or ``onnxruntime``: the model is exported once into the cache, compared with PyTorch, and
            run on the CPU without PyTorch from then on.
        tasks: names of some tasks of a model with several, in a list or separated by commas; only their heads run. None
            for all.

    Raises:
        CheckpointError: no weights are given or released, or they do not fit the model.
        UnknownName: no model has this name, or the config names an unknown part.
        ConfigError: the config cannot be loaded or built; its tasks have different kinds of inputs; or no task has such
            a selection of results.

    Attributes:
        readers: by task, what makes results of the model's samples.
        weights: the file of the weights; None for an untrained model, and for one without parameters.
        is_untrained: True if the model has parameters, but no weights were loaded.
        step: step of the training at which the weights were saved, such as ``epoch 3``; empty if unknown.

    Example:
        >>> inferencer = Inferencer("bossnet_t0_imagenet", "none", tiny=True, device="cpu")
        >>> for prediction in inferencer([np.zeros((48, 64, 3), np.uint8)]):
        ...     print(prediction.source.name, prediction.task, prediction.size)
        input 0 classification (64, 48)
    """

    @deferred_imports()
    @without_library_warnings()
    def __init__(
        self,
        name_or_config: str | os.PathLike | LoadedConfig,
        weights: str | os.PathLike | None = None,
        *,
        tiny: bool = False,
        device: str = "auto",
        batch_size: int = 1,
        score_threshold: float | None = None,
        class_thresholds: Mapping[str, float] | None = None,
        classes: str | Iterable[str] | None = None,
        limit: int | None = None,
        options: Iterable[str] | Mapping[str, Any] = (),
        allow_new: bool = False,
        trust_pickle: bool = False,
        exact: bool = False,
        backend: str = "torch",
        tasks: str | Iterable[str] | None = None,
    ):
        self.batch_size = _positive(batch_size)
        names = classes if classes is None or isinstance(classes, str) else list(classes)
        chosen = dict(threshold=score_threshold, thresholds=class_thresholds, names=names, limit=limit)
        read: Any = partial(readers_of, **chosen)  # type: ignore[arg-type]
        loaded = _backend(
            backend,
            name_or_config,
            weights,
            read,
            device,
            dict(tiny=tiny, options=options, allow_new=allow_new),
            trust_pickle,
            exact,
            tasks,
        )
        self._run_model, self.fingerprint = loaded.run, loaded.fingerprint
        self.name, self.notes, self.run, self.config = loaded.name, loaded.notes, loaded.folder, loaded.config
        self.prepare, self.model, self.device = loaded.prepare, loaded.model, loaded.device
        self.weights, self.step, self.is_untrained = loaded.weights, loaded.step, loaded.is_untrained
        self.readers: dict[str, Reader] = read(loaded.classes)
        self._divisor, self._form = loaded.divisor, loaded.form

    @property
    def tasks(self) -> tuple[str, ...]:
        """Names of the tasks, in the order of the config."""
        return tuple(self.readers)

    @property
    def task(self) -> str:
        """Name of the only task; a :class:`ConfigError` if the model has several, like the three attributes below."""
        return self._reader("task").name

    @property
    def class_names(self) -> tuple[str, ...] | None:
        """Class names by label; None if they are unknown."""
        return self._reader("class_names").names

    @property
    def category_ids(self) -> tuple[int, ...] | None:
        """Category id of each label; None if it is the label plus one."""
        return self._reader("category_ids").classes.category_ids

    @property
    def selection(self) -> Selection:
        """The results that are kept."""
        return self._reader("selection").selection

    def _reader(self, what: str) -> Reader:
        return only_one(self.readers, f"Inferencer.{what}")

    def of_task(self, name: str) -> Inferencer:
        """Return an Inferencer that reads only the results of one task; the model is the same."""
        require_known(name, self.readers, f"task of {self.name}")
        one = copy(self)
        one.readers = {name: self.readers[name]}
        return one

    def __call__(
        self,
        inputs: Any,
        *,
        recursive: bool = False,
        batch_size: int | None = None,
        score_threshold: float | None = None,
        keep_images: bool = False,
        errors: str = "raise",
        **reading: Any,
    ) -> Iterator[Prediction]:
        """Yield one prediction for each input, in the order of the inputs, as soon as it is ready.

        Args:
            inputs: a path, folder, glob, ``frames/%06d.jpg`` or ``@list.txt``; a video, each frame of which is an
                input; an array (H, W, 3) RGB (also grey, RGBA, float in [0, 1]); a tensor (C, H, W); a PIL image; or an
                iterable of these. The iterable is read lazily, except by group models.
            recursive: True to search subfolders too. Group models always do.
            batch_size, score_threshold: values for this call; None uses those of the Inferencer. A group is always one
                batch.
            keep_images: True to store the image in ``Prediction.image``.
            errors: ``"raise"`` raises the error of the first unusable input. ``"report"`` yields a prediction with
                ``error`` instead and continues.
            reading: options of the model's kind of inputs. For images: ``max_pixels``, the largest number of pixels of
                an image or frame (default: 200 million, or ``$VISIONZOO_MAX_PIXELS``). A file with more is an unusable
                input.

        Raises:
            InputError, DataError: with ``errors="raise"``, an input cannot be used.
            UnknownName: the kind of inputs has no such option.
            RunFailed: the device is out of memory.
        """
        if errors not in ("raise", "report"):
            raise InputError(f"errors={errors!r}", expected="'raise' or 'report'", advice="use one of them")
        size = self.batch_size if batch_size is None else _positive(batch_size)
        select = self.readers if score_threshold is None else self._above(score_threshold)
        sources = self.inputs.sources_of(inputs, recursive=recursive, **reading)
        if self.takes_groups:
            yield from self._of_groups(sources, select, keep_images, errors)
            return
        queue = _Window(size, self.inputs, self._divisor)
        for number, source in enumerate(sources):
            queue.enter(number, self._prepared(source, keep_images, errors))
            yield from self._ready(queue, select, keep_images, errors)
        queue.closed = True
        yield from self._ready(queue, select, keep_images, errors)

    @property
    def inputs(self) -> Input:
        """The kind of inputs of all tasks."""
        return next(iter(self.readers.values())).task.inputs

    @property
    def takes_groups(self) -> bool:
        """True if the model processes all inputs of a group together."""
        return self.inputs.are_grouped

    @property
    def form(self) -> dict[str, Any]:
        """Form in which the model runs: its ``name``, ``fast``, ``exact`` or ``exported``, and what is replaced."""
        return self._form()

    def one(self, image: Any, **options: Any) -> Prediction:
        """Return the prediction for one image. ``options`` are the keyword arguments of ``__call__``."""
        return next(iter(self([image], **options)))

    def draw(self, image: np.ndarray, result: Any) -> np.ndarray:
        """Return a copy of the image, (H, W, 3) uint8 RGB, with the result drawn on it.

        That of several tasks has a legend below the image.
        """
        if isinstance(result, JointResult):
            return JointTask({name: reader.task for name, reader in self.readers.items()}).draw(image, result, 1)
        return self._reader("draw").task.draw(image, result, 1)

    def _above(self, threshold: float) -> dict[str, Reader]:
        """Return the readers with another threshold."""
        if not any("threshold" in reader.task.selections for reader in self.readers.values()):
            require_option(next(iter(self.readers.values())).task, "threshold", option("threshold"))
        return {name: reader.above(threshold) for name, reader in self.readers.items()}

    def _prepared(self, source: Source, keep_image: bool, errors: str) -> Prepared | Prediction:
        try:
            return self.prepare(source, keep_image)
        except (DataError, InputError) as error:
            if errors == "raise":
                raise
            return self._failed(source, error)

    def _ready(self, queue: _Window, select: Readers, keep_images: bool, errors: str) -> Iterator[Prediction]:
        yield from queue.finished()
        while batch := queue.next_batch():
            items = [queue.taken(number) for number in batch]
            for number, prediction in zip(batch, self._run(items, select)):
                if prediction.error is not None and errors == "raise":
                    raise prediction.error
                queue.finish(number, prediction)
            yield from queue.finished()

    def _run(self, batch: list[Prepared], select: Readers) -> list[Prediction]:
        name = batch[0].source.name
        try:
            samples, seconds = self._tested([item.sample for item in batch], name, len(batch))
        except (DataError, InputError) as error:  # the model rejects an image, for example because it is too small
            if len(batch) > 1:
                return [prediction for item in batch for prediction in self._run([item], select)]
            return [self._failed(batch[0].source, error.at(name, InputError))]
        return [self._result(item, sample, select, seconds) for item, sample in zip(batch, samples, strict=True)]

    def _tested(self, packed: list[dict[str, Any]], name: str, images: int) -> tuple[list[Mapping[str, Any]], float]:
        """Run the model on packed samples. Return the predicted samples by task and the seconds per image."""
        data = {key: [each[key] for each in packed] for key in ("inputs", "data_samples")}
        started = time.perf_counter()
        try:
            samples = self._run_model(data)
        except MemoryError as error:
            raise RunFailed(
                f"{name}: out of memory on {self.device} with {images} images in a batch; use a smaller "
                "batch size (--batch-size; groups are never divided) or the device cpu (--device)"
            ) from error
        return samples, (time.perf_counter() - started) / images

    def _result(self, item: Prepared, samples: Mapping[str, Any], select: Readers, seconds: float) -> Prediction:
        """Return the prediction for one input from its samples by task."""
        return joint_prediction(
            {name: self._read_as(reader, item, samples[name], seconds) for name, reader in select.items()}
        )

    def _read_as(self, reader: Reader, item: Prepared, sample: Any, seconds: float) -> Prediction:
        try:
            result, best = reader.read(sample, item.size)
        except InputError as error:
            return Prediction(item.source, reader.name, self.name, error=error.at(item.source.name, InputError))
        return Prediction(
            item.source, reader.name, self.name, item.size, result, image=item.image, seconds=seconds, best_score=best
        )

    # ----------------------------------------------------------------------- groups

    def _of_groups(
        self, sources: Iterable[Source], select: Readers, keep_images: bool, errors: str
    ) -> Iterator[Prediction]:
        """Process group by group, in the order of their first images. Yield predictions in the order of the inputs."""
        numbered = list(enumerate(sources))
        groups: dict[str, list[tuple[int, Source]]] = {}
        for number, source in numbered:
            groups.setdefault(self.inputs.group_of(source), []).append((number, source))
        queue = _Window(1, self.inputs, self._divisor)
        for name, members in groups.items():
            predictions = self._of_group([source for _, source in members], select, errors)
            for (number, _), prediction in zip(members, predictions, strict=True):
                complete = prediction.in_group(name, len(members))
                queue.finish(number, complete if keep_images else replace(complete, image=None))
            yield from queue.finished()

    def _of_group(self, sources: list[Source], select: Readers, errors: str) -> list[Prediction]:
        """Return the predictions for the images of one group, in their order."""
        values = [self._read(source, errors) for source in sources]
        readable = [i for i, value in enumerate(values) if not isinstance(value, Prediction)]
        predictions: list[Any] = list(values)
        if readable:
            try:
                packed = self.prepare.group([sources[i] for i in readable], [values[i] for i in readable])
                (sample,), seconds = self._tested([packed], sources[readable[0]].name, len(readable))
            except (DataError, InputError) as error:
                if errors == "raise":
                    raise
                failed = {i: self._failed(sources[i], error) for i in readable}
                return [failed.get(i, value) for i, value in enumerate(values)]
            members = {name: reader.task.members(sample[name]) for name, reader in select.items()}
            for place, i in enumerate(readable):
                item = self.prepare.item(sources[i], values[i])
                own = {name: each[place] for name, each in members.items()}
                predictions[i] = self._result(item, own, select, seconds)
                if predictions[i].error is not None and errors == "raise":
                    raise predictions[i].error
        return predictions

    def _read(self, source: Source, errors: str) -> Any:
        """Return the input in memory, or a prediction with the error."""
        try:
            return self.prepare.read(source)
        except (DataError, InputError) as error:
            if errors == "raise":
                raise
            return self._failed(source, error)

    def _failed(self, source: Source, error: ZooError) -> Prediction:
        source = source.without_pixels()
        return joint_prediction({name: Prediction(source, name, self.name, error=error) for name in self.readers})


class _Window:
    """Buffer of inputs. It collects inputs of equal padded size in buckets and restores the order of the inputs.

    Its capacity is 1 for batch size 1, and ``max(8, 4 * batch_size)`` otherwise. Memory therefore does not grow with
    the number of inputs. Inputs that share an image count once in batch size and capacity, up to 16 of them. Their
    batch is complete when the next image, or the end, is known.
    """

    def __init__(self, batch_size: int, inputs: Input, divisor: int):
        self.batch_size, self.inputs, self.divisor = batch_size, inputs, divisor
        self.limit = batch_size if batch_size == 1 else max(_LEAST_WINDOW, 4 * batch_size)
        self.buckets: dict[Hashable, list[int]] = {}
        self.waiting: dict[int, Prepared] = {}
        self.shared: dict[int, Hashable | None] = {}  # of the inputs that wait
        self.done: dict[int, Prediction] = {}
        self.next_number = 0
        self.closed = False

    def enter(self, number: int, item: Prepared | Prediction) -> None:
        """Add a prepared input, or the prediction of an unusable one."""
        if isinstance(item, Prediction):
            self.done[number] = item
            return
        self.waiting[number] = item
        self.shared[number] = self.inputs.shared_key(item.sample)
        self.buckets.setdefault(self.inputs.batch_key(item.sample, self.divisor), []).append(number)

    def next_batch(self) -> list[int]:
        """Return the numbers of the inputs of the next batch; an empty list if no batch is ready.

        A batch comes from a full bucket. If the window is full or closed, it comes from the bucket of the oldest input.
        """
        for key, numbers in self.buckets.items():
            if self._fills(numbers, self.batch_size):
                return self._take(key)
        if self.waiting and (self.closed or self._fills([*self.waiting], self.limit - len(self.done))):
            oldest = min(self.waiting)
            return self._take(next(key for key, numbers in self.buckets.items() if oldest in numbers))
        return []

    def _fills(self, numbers: list[int], limit: int) -> bool:
        """Return True if no input after ``numbers`` belongs to the first ``limit`` ones."""
        groups = len({self._group(number) for number in numbers})
        is_open = self.shared[numbers[-1]] is not None and len(numbers) < _MOST_SHARED * limit
        return groups > limit or (groups == limit and not is_open)

    def _group(self, number: int) -> Hashable:
        key = self.shared[number]
        return (number,) if key is None else key

    def _take(self, key: Hashable) -> list[int]:
        numbers = self.buckets[key]
        groups = list(dict.fromkeys(map(self._group, numbers)))[: self.batch_size]
        batch = [number for number in numbers if self._group(number) in groups][: _MOST_SHARED * self.batch_size]
        rest = [number for number in numbers if number not in batch]
        if rest:
            self.buckets[key] = rest
        else:
            del self.buckets[key]
        return batch

    def taken(self, number: int) -> Prepared:
        """Remove a waiting input and return it."""
        del self.shared[number]
        return self.waiting.pop(number)

    def finish(self, number: int, prediction: Prediction) -> None:
        """Store the prediction until all earlier inputs are finished."""
        self.done[number] = prediction

    def finished(self) -> Iterator[Prediction]:
        """Yield the finished predictions in the order of the inputs, up to the first unfinished input."""
        while self.next_number in self.done:
            self.next_number += 1
            yield self.done.pop(self.next_number - 1)


def _backend(
    kind: str,
    model: Any,
    weights: Any,
    check: Check,
    device: str,
    changes: dict[str, Any],
    trust_pickle: bool,
    exact: bool,
    tasks: str | Iterable[str] | None,
) -> Backend:
    """Return what runs the model. An exported ONNX file needs no torch."""
    require_known(kind, BACKENDS, "backend")
    file = exported_file(model)
    if kind == "onnxruntime" and (file is None or file.suffix.lower() != ".onnx"):
        from visionzoo.inference.onnx_backend import onnx_backend

        given: dict[str, Any] = dict(check=check, device=device, trust_pickle=trust_pickle, tasks=tasks)
        return onnx_backend(model, weights, **given, **changes)
    if file is None:
        from visionzoo.inference.torch_backend import torch_backend

        chosen: dict[str, Any] = dict(device=device, trust_pickle=trust_pickle, exact=exact, tasks=tasks)
        return torch_backend(model, weights, check=check, **chosen, **changes)
    options = changes["options"] or changes["tiny"]
    return exported_backend(file, weights, check=check, device=device, options=options, exact=exact, tasks=tasks)


def _positive(batch_size: int) -> int:
    if batch_size < 1:
        raise ConfigError(f"batch size {batch_size}", expected="1 or more", advice="use 1")
    return batch_size
