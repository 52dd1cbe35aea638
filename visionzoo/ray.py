"""Inference on a cluster with Ray Data (https://docs.ray.io/en/latest/data/data.html).

Each actor has one Inferencer, and any data set of Ray is the input::

    import ray
    from visionzoo.ray import map_batches, write_records

    images = ray.data.read_binary_files("s3://bucket/images", include_paths=True)
    found = map_batches(images, "cells_rcnet_lite", column="bytes", name="path", actors=16)
    write_records(found, "s3://bucket/predictions")

Needs the extra ``ray``.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from mmengine.logging import print_log

from visionzoo.errors import ConfigError, InputError, MissingExtra, as_utf8, require_known
from visionzoo.inference.inferencer import Inferencer
from visionzoo.inference.predictions import Prediction
from visionzoo.tasks.inputs.base import Source

if TYPE_CHECKING:
    from ray.data import Dataset

RECORD = "record"
FORMATS = ("jsonl", "parquet")


class Predictor:
    """What an actor runs: an Inferencer on batches of rows.

    Args:
        column: column of the images.
        name: column of their names.
        keep: further columns to keep.
        files: True to add a column for each kind of files of the task, with their bytes.
        model: arguments of :class:`visionzoo.inference.inferencer.Inferencer`.

    Raises:
        ConfigError: the model takes groups of images.

    Example:
        >>> options = {"name_or_config": "bossnet_t0_imagenet", "weights": "none", "tiny": True, "device": "cpu"}
        >>> predictor = Predictor("image", None, (), False, options)
        >>> rows = predictor({"image": [np.zeros((48, 64, 3), np.uint8)] * 2})
        >>> [json.loads(record)["task"] for record in rows["record"]]
        ['classification', 'classification']
    """

    def __init__(self, column: str, name: str | None, keep: tuple[str, ...], files: bool, model: Mapping[str, Any]):
        self.column, self.name, self.keep, self.files = column, name, keep, files
        self.inferencer = Inferencer(**model)
        if self.inferencer.takes_groups:
            raise ConfigError(
                f"{self.inferencer.name}",
                expected="a model that processes images separately",
                found="one that takes groups",
                advice="a batch of Ray has no groups: use `visionzoo infer`",
            )

    def __call__(self, rows: Mapping[str, Any]) -> dict[str, Any]:
        """Return the rows with the column ``record``; see :func:`map_batches`."""
        for column in filter(None, (self.column, self.name, *self.keep)):
            require_known(column, list(rows), "column of the data")
        values = list(rows[self.column])
        names = [f"row {number}" for number in range(len(values))]
        if self.name is not None or all(isinstance(value, str) for value in values):
            names = [as_utf8(str(each)) for each in rows[self.name or self.column]]
        sources = [_source(value, name) for value, name in zip(values, names)]
        found = list(self.inferencer(sources, errors="report"))
        records = [json.dumps(_record(each), ensure_ascii=False, allow_nan=False) for each in found]
        kept = {column: rows[column] for column in self.keep}
        return {**kept, **(self._files(found) if self.files else {}), RECORD: np.array(records, object)}

    def _files(self, predictions: Iterable[Prediction]) -> dict[str, np.ndarray]:
        """Return the contents of the files of each input by the keys that they have in lines; None for an error.

        Of a model with several tasks, a key begins with the task, such as ``counting/density``.
        """
        by_task = [each.results for each in predictions]
        found = {}
        for task, reader in self.inferencer.readers.items():
            for kind in reader.task.files:
                contents = [kind.content(results[task]) if task in results else None for results in by_task]
                key = kind.key if len(self.inferencer.tasks) == 1 else f"{task}/{kind.key}"
                found[key] = np.array([each if isinstance(each, bytes) else None for each in contents], object)
        return found


def _source(value: Any, name: str) -> Source:
    if isinstance(value, str):
        value = Path(value)
    elif not isinstance(value, bytes | np.ndarray):
        value = InputError(name, expected="a path, bytes or an array", found=f"{type(value).__name__}",
                           advice="choose another column")  # fmt: skip
    return Source(name, value, Path(Path(name).name))


def _record(prediction: Prediction) -> dict[str, Any]:
    record = prediction.record()
    name = prediction.source.name
    if "error" in record and name not in record["error"]:  # bytes have no name
        record["error"] = f"{name}: {record['error']}"
    return record


def map_batches(
    dataset: Dataset,
    name_or_config: str | os.PathLike[str],
    weights: str | os.PathLike[str] | None = None,
    *,
    column: str,
    name: str | None = None,
    keep: Iterable[str] = (),
    files: bool = False,
    actors: int = 1,
    cpus: float = 1.0,
    gpus: float = 0.0,
    rows: int = 32,
    worker: type[Predictor] = Predictor,
    **options: Any,
) -> Dataset:
    """Run a model on all rows of a Ray data set, lazily and in constant memory.

    An actor whose process or machine dies is started again, and its batch is repeated. A row that cannot be used has a
    record with ``error``. The order of rows is that of the input only with
    ``ray.data.DataContext.get_current().execution_options.preserve_order = True``.

    Args:
        dataset: any data set of Ray.
        name_or_config, weights: the model, see :class:`visionzoo.inference.inferencer.Inferencer`. All machines must
            have its files.
        column: column of the images: paths that all machines can read, bytes of files, or arrays (H, W, 3).
        name: column of the names of the inputs; by default the paths, else the number in the batch.
        keep: further columns to keep.
        files: True to add the results that are files, such as masks, as columns of bytes.
        actors: number of actors, >= 1.
        cpus, gpus: resources of an actor. A GPU is used if ``gpus`` is above 0. At least one CPU of the cluster must
            remain for the tasks that read; a warning states it if none does.
        rows: rows of a batch of Ray, >= 1; the batch size of the model is the option ``batch_size``.
        worker: the class of the actors.
        options: further arguments of the Inferencer, such as ``tiny``, ``batch_size`` and ``score_threshold``.

    Returns:
        Data set with the columns ``keep``, those of ``files``, and ``record``, a line of ``predictions.jsonl`` as text.

    Raises:
        MissingExtra: Ray is not installed.
        ConfigError: a number is out of range.
    """
    data = _ray_data()
    for what, number in (("actors", actors), ("rows", rows)):
        if number < 1:
            raise ConfigError(what, expected="1 or more", found=f"{number}", advice="use 1")
    _warn_of_few_cpus(actors * cpus)
    model = {"name_or_config": os.fspath(name_or_config), "weights": None if weights is None else os.fspath(weights)}
    model |= {"device": "cuda" if gpus else "cpu", **options}
    return dataset.map_batches(
        worker,
        fn_constructor_args=(column, name, tuple(keep), files, model),
        batch_size=rows,
        batch_format="numpy",
        compute=data.ActorPoolStrategy(size=actors),
        num_cpus=cpus,
        num_gpus=gpus,
    )


def _warn_of_few_cpus(wanted: float) -> None:
    """Print a warning if the actors take all CPUs, because the tasks that read then wait without an end."""
    import ray

    found = ray.cluster_resources().get("CPU", 0.0) if ray.is_initialized() else wanted + 1
    if wanted > found - 1:
        print_log(
            f"visionzoo.ray: the actors take {wanted:g} of {found:g} CPUs; reading needs one more, or the run waits "
            "until the cluster grows",
            "current",
            logging.WARNING,
        )


def write_records(dataset: Dataset, folder: str | os.PathLike[str], *, form: str = "jsonl") -> None:
    """Write the rows of :func:`map_batches`, one file for each block, by the machines that have them.

    Args:
        dataset: the data set.
        folder: a new or empty folder, or an address that pyarrow can write, such as ``s3://bucket/folder``.
        form: ``jsonl``, lines equal to those of ``predictions.jsonl``, without other columns; or ``parquet``, with all
            columns.

    Raises:
        MissingExtra: Ray is not installed.
        UnknownName: there is no such form.
        InputError: the folder has files, to which Ray would add further ones.
    """
    data = _ray_data()
    require_known(form, FORMATS, "form of records")
    _require_empty(os.fspath(folder))
    if form == "parquet":
        dataset.write_parquet(os.fspath(folder))
        return

    class Lines(data.BlockBasedFileDatasink):  # type: ignore[name-defined, misc]
        """Files with one record in each line."""

        def write_block_to_file(self, block: Any, file: Any) -> None:
            for row in block.iter_rows(public_row_format=False):
                file.write(f"{row[RECORD]}\n".encode())

    dataset.write_datasink(Lines(os.fspath(folder), file_format="jsonl"))


def _require_empty(folder: str) -> None:
    from pyarrow.fs import FileSelector, FileSystem

    system, path = FileSystem.from_uri(folder if "://" in folder else os.path.abspath(folder))
    if system.get_file_info(FileSelector(path, allow_not_found=True)):
        raise InputError(folder, expected="an empty folder", found="files in it", advice="choose another folder")


def _ray_data() -> Any:
    try:
        import ray.data
    except ImportError as error:
        raise MissingExtra("ray", "ray", where="visionzoo.ray") from error
    return ray.data
