"""Writing of the predictions of a model with several tasks.

::

    OUT/predictions.jsonl   one line per input; ``task`` is a list, ``result`` has the results by task, and the
                            errors of tasks
    OUT/vis/...             images with the results of all tasks and a legend
    OUT/gallery/...         with --gallery: a page of all inputs
    OUT/run.json            as for one task; ``task`` is a list, ``categories`` are by task
    OUT/TASK/...            for each task the files that a model of this task writes, see
                            :mod:`visionzoo.inference.writing`

Paths of files in ``OUT/predictions.jsonl`` are relative to OUT, those in ``OUT/TASK/predictions.jsonl`` to OUT/TASK.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

from visionzoo.errors import as_utf8
from visionzoo.inference.backends import TaskClasses
from visionzoo.inference.inferencer import Inferencer
from visionzoo.inference.predictions import Prediction
from visionzoo.inference.readers import Reader
from visionzoo.inference.resuming import Earlier
from visionzoo.inference.selecting import Selection
from visionzoo.inference.writing import PredictionWriter
from visionzoo.system.atomic import cannot_write
from visionzoo.tasks import JointResult, JointTask
from visionzoo.tasks.inputs.base import Source

Paths = str | list[str]


def prediction_writer(out: Path, inferencer: Inferencer, *settings: Any, **options: Any) -> PredictionWriter:
    """Return the writer for a model of one or of several tasks; see :class:`PredictionWriter` for the arguments."""
    kind = PredictionWriter if len(inferencer.tasks) == 1 else JointWriter
    return kind(out, inferencer, *settings, **options)


class JointWriter(PredictionWriter):
    """Context manager that writes the predictions of all tasks: one folder for each task, and what all have in common.

    The arguments are those of :class:`PredictionWriter`. Formats of ``saves`` and crops are written for the tasks that
    have them.
    """

    def __init__(
        self,
        out: Path,
        inferencer: Inferencer,
        images: tuple[str, ...] = (),
        about: dict | None = None,
        *,
        saves: Sequence[str] = (),
        crops: bool = False,
        earlier: Earlier | None = None,
        **options: Any,
    ):
        readers = inferencer.readers
        self._parts = {
            name: PredictionWriter(
                _made(out / name),
                inferencer,
                tuple(kind for kind in images if kind in reader.task.images),
                {**(about or {}), "out": as_utf8(str(out / name))},
                saves=[each for each in saves if each in reader.task.saves],
                crops=crops and reader.task.crops is not None,
                earlier=None if earlier is None else earlier.parts[name],
                reader=reader,
                **options,
            )
            for name, reader in readers.items()
        }
        self._opened_parts = ExitStack()
        whole = JointTask({name: reader.task for name, reader in readers.items()})
        reader = Reader(", ".join(readers), whole, TaskClasses(), Selection(0.0, {}))
        super().__init__(out, inferencer, images, about, earlier=earlier, reader=reader, **options)

    @property
    def parts(self) -> Mapping[str, PredictionWriter]:
        return self._parts

    def _open(self) -> None:
        super()._open()  # first, because its run.json names the folders of the tasks
        with ExitStack() as opened:
            for part in self._parts.values():
                part._open()
                opened.push(part)
            self._opened_parts = opened.pop_all()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: Any) -> None:
        for part in self._parts.values():
            part.stopped = self.stopped
        self._opened_parts.__exit__(kind, error, trace)
        self.notes += [note for part in self._parts.values() for note in part.notes]
        super().__exit__(kind, error, trace)

    def _name(self, source: Source) -> None:
        for part in self._parts.values():
            part._name(source)
        super()._name(source)

    def _write_one(self, prediction: Prediction, number: int) -> None:
        """Write one prediction, the files of each task first."""
        for name, own in prediction.by_task().items():
            self._parts[name]._write_one(own, number)
        files = {name: _below(name, part) for name, part in self._parts.items()}
        super()._write_one(_with_files(prediction, files), number)
        self.written += [f"{name}/{path}" for name, part in self._parts.items() for path in part.written]

    def _stated_task(self) -> list[str]:
        return list(self._parts)

    def _categories(self) -> dict[str, Any]:
        return {name: part.reader.categories() for name, part in self._parts.items()}


def _with_files(prediction: Prediction, files: Mapping[str, Mapping[str, Paths]]) -> Prediction:
    """Return the prediction with the paths of the files of its results, by task."""
    if not isinstance(prediction.result, JointResult):
        return prediction
    return replace(prediction, result=replace(prediction.result, files=files))


def _below(name: str, part: PredictionWriter) -> dict[str, Paths]:
    """Return the paths of the last files of a task, relative to the folder of all tasks."""
    return {
        key: f"{name}/{paths}" if isinstance(paths, str) else [f"{name}/{path}" for path in paths]
        for key, paths in part.files.items()
    }


def _made(folder: Path) -> Path:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise cannot_write(folder, error) from error
    return folder
