"""Writing of predictions to files, one at a time. Memory does not grow, and an interruption loses no finished result.

::

    OUT/predictions.jsonl      one line per input, in order
    OUT/predictions.csv        classification: input, and label, name and score of the best class; saliency: area and
                               score; lanes: their number, slots and scores; counting: the count
    OUT/predictions.coco.json  detection: COCO's format; image_id is the line number, category_id that of the data set
    OUT/tusimple.json          lanes: TuSimple's format, one line for each usable input; ``raw_file`` is its path
                               relative to the given folder, ``run_time`` the model's time in milliseconds (the
                               benchmark ignores the lanes of an image with more than 200), ``h_samples`` is
                               160, 170, ..., 710 for images with 720 rows, else the rows that have points
    OUT/lines/...              lanes: CULane's ``NAME.lines.txt``; ``result.lines`` of the line is its path
    OUT/raw/...                saliency: 8-bit PNG in the size of the input, 255 is 1.0; ``result.map`` is its path;
                               counting: ``NAME.npy``, float32 (h, w), people per cell of a grid that covers the
                               image evenly; its sum is the count; ``result.density`` is its path
    OUT/panoptic.json          panoptic: COCO's format; ``image_id`` is the number that the input's name is, or its name
    OUT/panoptic/...           panoptic: id maps, id = R + 256 G + 65536 B, 0 without a segment; ``result.panoptic`` of
                               the line is the path
    OUT/semantic/...           semantic: 8-bit PNG, the class index of each pixel, 255 without a class;
                               ``classes.txt`` has the names; ``result.semantic`` of the line is the path
    OUT/warped/...             registration: the warped moving image; ``labels`` its label map, ``fields`` and
                               ``inverse_fields`` the displacements, ``affines`` the affine map as ``.tfm`` and
                               ``.txt``, ``also/NAME`` further files; ``result.warped`` and so on are their paths
    OUT/vis/...                drawn images with the folders and stems of the inputs; small images are enlarged
    OUT/vis/clip.mp4           videos: the drawn frames as a video without sound
    OUT/sheets/...             groups: all drawn images of a group on one sheet
    OUT/crops/CLASS/...        boxes and masks, with --save-crops: ``NAME_3.jpg`` is the third result of the input
    OUT/labels/...             boxes and masks, with --save txt: YOLO lines, and ``classes.txt`` with the class names
    OUT/gallery/...            with --gallery: a page of all inputs, see :mod:`visionzoo.inference.gallery`
    OUT/run.json               command, settings, model, versions, times, counts and class names; ``complete`` is false
                               until the end
    OUT/.infer.jsonl           the files of the run and its progress, for --resume and --overwrite

The folder of a model with several tasks has only ``predictions.jsonl``, with the results by task, ``vis``, images with
the results of all tasks, ``gallery`` and ``run.json``. Its subfolder ``OUT/TASK`` has the files of each task.

A byte of a file name that is not UTF-8 is written as an escape such as ``\\xff``, also in the names of the files here.
These names are cut to 200 bytes.

Files of video frames are in a folder with the name of the video: ``raw/clip/000012.npy``. Their lines have ``input``
``clip.mp4#000012``, ``frame`` and ``time`` in seconds.

Files of lines contain only complete lines: if the disk is full, an incomplete line is removed. Other files appear only
when they are complete.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, Self

import numpy as np
from PIL import Image

from visionzoo.errors import as_utf8
from visionzoo.inference.gallery import ENTRIES, INDEX, Entries, Gallery, is_listed
from visionzoo.inference.inferencer import Inferencer
from visionzoo.inference.parts import Part
from visionzoo.inference.predictions import Prediction
from visionzoo.inference.readers import Reader
from visionzoo.inference.result_files import CocoResults, Lines, Rows
from visionzoo.inference.resuming import JOURNAL, Earlier, remove_unfinished
from visionzoo.inference.sheets import Sheets
from visionzoo.inference.taken_names import TakenNames
from visionzoo.inference.video_writing import SUFFIX, DrawnVideo
from visionzoo.reports.images import enlarged, scale_to_read, side_by_side, thumbnail
from visionzoo.structures.image_names import shortened
from visionzoo.structures.task_meta import meta_of_task
from visionzoo.system.atomic import cannot_write, write_file, write_text
from visionzoo.system.paths import shared_path
from visionzoo.system.versions import git_describe, versions
from visionzoo.tasks import Tally
from visionzoo.tasks.inputs.base import Source
from visionzoo.tasks.inputs.videos import Video

_LINES, _ROWS, _COCO = "predictions.jsonl", "predictions.csv", "predictions.coco.json"


class PredictionWriter:
    """Context manager that writes the predictions of one run into the folder ``out``.

    Args:
        out: an existing folder.
        inferencer: source of the predictions.
        images: any of ``overlay`` (result drawn on the image) and ``side`` (original and drawn image side by side).
        about: further values for ``run.json``, such as command and settings.
        saves: names of further files to write, keys of :attr:`visionzoo.tasks.Task.saves`.
        crops: True to write each box as an image.
        gallery: True to write a page of all inputs.
        earlier: the run to continue. Its kept inputs are taken from its ``sources``.
        part: the part of the run that this process does, see :mod:`visionzoo.inference.parts`; None for all of it.
        reader: reader of the task whose results are written; None for that of the only task.

    Attributes:
        done, failed: number of inputs so far, and of those that could not be used.
        tally: numbers of all results so far, see :meth:`visionzoo.tasks.Task.tally`.
        notes: messages for the user, to be printed at the end.
        written: paths of the files of the last prediction, relative to ``out``.
        files: paths of its result files by :attr:`visionzoo.tasks.ResultFile.key`, relative to ``out``.
        stopped: set it to True if further inputs exist; ``complete`` in ``run.json`` is then false.
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
        gallery: bool = False,
        earlier: Earlier | None = None,
        part: Part | None = None,
        reader: Reader | None = None,
    ):
        self.reader = next(iter(inferencer.readers.values())) if reader is None else reader
        self._earlier, self._part, self._folder = earlier, part, out if part is None else part.folder_of(out)
        self.out, self.inferencer, self.images, self.crops = out, inferencer, images, crops
        self.about, self.started, self._skipped = dict(about or {}), time.time(), 0
        self.done = self.failed = 0
        self.tally = self._unnoted = Tally()
        self.stopped = False
        self.notes: list[str] = []
        self.written: list[str] = []
        self.files: dict[str, str | list[str]] = {}
        self._task = self.reader.task
        self._gallery = Gallery(self._task, self._about_model()) if gallery else None
        self._files = (*self._task.files, *(self._task.saves[name] for name in saves))
        self._names = TakenNames(self._folder)
        self._names.add(Path(kind.folder, "classes.txt") for kind in self._files if kind.with_names)
        self._sheets = Sheets(self._names, self._save)
        self._video: Video | None = None
        self._video_place = Path()
        self._drawn: dict[Path, DrawnVideo] = {}

    def __enter__(self) -> Self:
        """Give the kept inputs of the run to continue their names, then open the files.

        Raises:
            InputError: the inputs differ from those of the run to continue, which is left as it is.
        """
        for source in () if self._earlier is None else self._earlier.skip():
            self._next_number(source)
            self._name(source)
        self._open()
        return self

    def _open(self) -> None:
        """Open the files, those of a run to continue where it can continue."""
        earlier, place = self._earlier, {} if self._earlier is None else self._earlier.place
        if earlier is not None:
            remove_unfinished(self.out, earlier)
            self.about |= {key: earlier.run[key] for key in (*self.about, "started") if key in earlier.run}
            self.done = self._skipped = place.get("done", 0)
            self.failed, self.tally = place.get("failed", 0), earlier.tally
        self._journal = Lines(self._folder / JOURNAL, None if earlier is None else earlier.size)
        self._write_run(complete=False)
        self._tables = self._opened(place.get("sizes", {}))
        if not self._journal.size:  # a run that continues has them
            self._write_names()
            self._note_end(0, is_usable=True)

    def _opened(self, sizes: Mapping[str, int]) -> dict[str, Lines]:
        """Open the files that grow, cut to the sizes to keep."""
        kinds: dict[str, Callable[..., Lines]] = {_LINES: Lines}
        if self._task.coco is not None:
            kinds[_COCO] = CocoResults
        if self._task.document is not None:
            meta = meta_of_task(getattr(self.inferencer.model, "dataset_meta", None), self.reader.name)
            values = self._task.document.values(self.reader.names, self.reader.classes.category_ids, meta.get("things"))
            kinds[self._task.document.name] = partial(CocoResults, values=values, key=self._task.document.key)
        if self._task.row is not None:
            kinds[_ROWS] = Rows
        if self._task.lines is not None:
            kinds[self._task.lines.name] = Lines
        if self._gallery is not None:
            kinds[ENTRIES] = Entries
            self._make_folder(self._folder / ENTRIES)
        return {name: kind(self._folder / name, sizes.get(name)) for name, kind in kinds.items()}

    def _write_names(self) -> None:
        """Write the page of all inputs, and the class names beside files that have class numbers."""
        if self._gallery is not None:
            self._write_bytes(Path(INDEX), self._gallery.page())
        for kind in self._files:
            if kind.with_names and self.reader.names:
                text = "".join(f"{name}\n" for name in self.reader.names)
                self._write_bytes(Path(kind.folder, "classes.txt"), text.encode())

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        complete = kind is None or kind is KeyboardInterrupt
        self._journal.close()
        for table in self._tables.values():
            table.close(complete=complete)
        self._close_videos(complete=complete)
        self._names.close()
        if complete:
            self._write_run(complete=kind is None and not self.stopped)

    def write(self, prediction: Prediction) -> None:
        """Write one prediction. Drawn images and crops need its ``image``."""
        self._write_one(prediction, self._next_number(prediction.source))

    def _write_one(self, prediction: Prediction, number: int) -> None:
        """Write the prediction for the input with this number in the whole run."""
        self.done += 1
        self.failed += prediction.error is not None
        self.written, self.files = [], {}
        record, place = prediction.record(), self._named(prediction.source)
        thumbnails: list[np.ndarray] = []
        if prediction.result is not None:
            new = self._task.tally(prediction.result, prediction.best_score)
            self.tally, self._unnoted = self.tally + new, self._unnoted + new
            self.files = self._write_files(place, prediction.result)
            record["result"] |= self.files
            self._add_to_tables(prediction, self.files, number)
            if prediction.image is not None:
                thumbnails = self._write_images(place, prediction, prediction.image)
        if prediction.group is not None:
            self._sheets.add(prediction.group, prediction.group_size, thumbnails)
        self._tables[_LINES].add(record)
        if self._gallery is not None and (prediction.error is not None or is_listed(prediction.source)):
            paths = [*self.written, *(path.as_posix() for path in self._drawn)]
            self._tables[ENTRIES].add(self._gallery.entry(prediction, place, paths))
        self._note_end(number, is_usable=prediction.error is None)
        if not self._drawn and not self._sheets.are_open:
            self._note_progress()

    def count_in(self, parts: Iterable[Earlier]) -> None:
        """Take over the time that the parts of the run took, and the numbers of their results."""
        runs = list(parts)
        self.started -= max(run.run.get("seconds", 0.0) for run in runs)
        self.tally = self._unnoted = sum((run.tally for run in runs), start=Tally())

    def take(self, files: Sequence[str], entries: Mapping[str, tuple[bytes, bool]], *, is_usable: bool) -> None:
        """Write the results of an input that a part of the run has.

        Args:
            files: paths of the files of the input, which exist.
            entries: its entries in the files that grow, by their names, see :meth:`Lines.take`.
            is_usable: False if the input could not be used.
        """
        for name in files:
            self._journal.add({"file": name})
        for name, (data, is_start) in entries.items():
            self._tables[name].take(data, is_start=is_start)
        self.done += 1
        self.failed += not is_usable
        self._note_progress()

    def _next_number(self, source: Source) -> int:
        """Return the number of an input in the whole run, and give the inputs of other processes before it names.

        Names depend only on the inputs and their order, so that all processes give the same ones.
        """
        if self._part is None:
            return self.done + 1
        number, passed = self._part.next_own()
        for other in passed:
            self._name(other)
        return number

    def _name(self, source: Source) -> None:
        """Give an input that is not written now the paths of its files."""
        self._named(source)

    def _named(self, source: Source) -> Path:
        """Give an input the paths of its files and its sheet. Return that of :meth:`_place_of`."""
        place = self._place_of(source)
        if self._task.inputs.are_grouped:
            self._sheets.name(self._task.inputs.group_of(source), source)
        return place

    def _note_end(self, number: int, *, is_usable: bool) -> None:
        """Add a line to the journal of a part: here the entries of an input end. Number 0 is before the first input."""
        if self._part is not None:
            sizes = {name: table.size for name, table in self._tables.items()}
            self._journal.add({"end": {"number": number, "usable": is_usable, "sizes": sizes}})

    def _note_progress(self) -> None:
        """Add a line to the journal: a run can continue here."""
        sizes = {name: table.size for name, table in self._tables.items()}
        counts = {"done": self.done, "failed": self.failed, "tally": self._unnoted.to_json()}
        self._journal.add({**counts, "sizes": sizes})
        self._unnoted = Tally()

    def _write_files(self, place: Path, result: Any) -> dict[str, str | list[str]]:
        """Write the files of a result. Return their keys in the line, and their paths relative to ``out``."""
        paths: dict[str, str | list[str]] = {}
        for kind in self._files:
            path, content = Path(kind.folder, place).with_suffix(kind.suffix), kind.content(result)
            if isinstance(content, bytes):
                self._write_bytes(path, content)
                paths[kind.key] = path.as_posix()
            elif content:
                for name, part in content.items():
                    self._write_bytes(path / name, part)
                paths[kind.key] = [(path / name).as_posix() for name in content]
        return paths

    def _write_bytes(self, path: Path, content: bytes) -> None:
        self._write(path, lambda file: file.write(content))

    def _add_to_tables(self, prediction: Prediction, files: Mapping[str, Any], number: int) -> None:
        task, source, coco = self._task, prediction.source, self._tables.get(_COCO)
        if task.document is not None:
            path, ids = source.place.as_posix(), self.reader.classes.category_ids
            document: Any = self._tables[task.document.name]
            document.add_all([task.document.entry(prediction.result, path, files, ids)])
        if isinstance(coco, CocoResults):
            coco.add_all(task.coco(prediction.result, number, self.reader.classes.category_ids))
        if task.row is not None:
            self._tables[_ROWS].add({"input": source.name, **source.columns, **task.row(prediction.result)})
        if task.lines is not None:
            path, size = source.place.as_posix(), prediction.size or (0, 0)
            line = task.lines.line(prediction.result, path, size, prediction.seconds or 0.0)
            self._tables[task.lines.name].add(line)

    def _write_images(self, place: Path, prediction: Prediction, image: np.ndarray) -> list[np.ndarray]:
        """Write drawn images and crops. Return the thumbnail for the sheet of a group."""
        result: Any = prediction.result
        if self.crops:
            for number, (name, crop) in enumerate(self._task.crops(image, result), start=1):
                self._save(Path("crops", _folder_name(name), place.with_name(f"{place.stem}_{number}.jpg")), crop)
        listed = self._gallery is not None and is_listed(prediction.source)
        if not self.images and not listed:
            return []
        scale = scale_to_read(image)
        drawn = self._task.draw(image, result, scale)
        if "overlay" in self.images:
            self._show(place, drawn, lambda path: path)
        if "side" in self.images:
            self._show(place, side_by_side(enlarged(image, scale), drawn), _beside)
        if self._gallery is not None and listed:
            for path, each in self._gallery.images(place, image, drawn).items():
                self._save(path, each)
        return [] if prediction.group is None or not self.images else [thumbnail(self._task.draw(image, result, 1))]

    def _show(self, place: Path, image: np.ndarray, named: Callable[[Path], Path]) -> None:
        """Add a frame to its video, or save an image."""
        if self._video is None:
            self._save(Path("vis", named(place)), image)
            return
        path = Path("vis", named(self._video_place))
        if path not in self._drawn:
            self._journal.add({"file": path.as_posix()})
            self._drawn[path] = DrawnVideo(self.out / path, image, self._video.fps)
            if not self._drawn[path].works:
                self.notes.append(
                    f"{self.out / path}: this OpenCV cannot write MP4 videos of {image.shape[1]}x{image.shape[0]} "
                    f"pixels, so the frames are images in {self.out / 'vis' / place.parent}"
                )
        if self._drawn[path].works:
            self._drawn[path].add(image)
        else:
            self._save(Path("vis", named(place)), image)

    def _close_videos(self, *, complete: bool) -> None:
        drawn, self._drawn = self._drawn, {}
        for video in drawn.values():
            if video.works:
                video.close(complete=complete)

    def _place_of(self, source: Source) -> Path:
        """Return the path of the input's files, relative to their folders. Start and close drawn videos."""
        video = None if source.frame is None else source.frame.video
        if video is not self._video:
            self._close_videos(complete=True)
            self._video = video
            self._video_place = Path() if video is None else self._free_place(shortened(video.place), SUFFIX)
        if source.frame is None:
            return self._free_place(shortened(source.place), _image_suffix(source.place))
        place = self._video_place.with_suffix("") / source.frame.place.name
        return self._free_place(place, place.suffix)

    def _free_place(self, place: Path, suffix: str) -> Path:
        """Return the input's name with ``suffix``, and with a number if another input has this name."""

        def numbered(number: int) -> Path:
            return place.with_suffix(suffix) if number == 1 else place.with_name(f"{place.stem}-{number}{suffix}")

        return numbered(self._names.first_free(lambda number: self._files_of(numbered(number))))

    def _files_of(self, place: Path) -> set[Path]:
        """Return all files that may be written for an input. The suffix of result files is independent of the input."""
        own = {Path(kind.folder, place).with_suffix(kind.suffix) for kind in self._files}
        own |= {Path("crops", place).with_suffix("")} if self.crops else set()
        own |= {self._gallery.files_of(place)} if self._gallery is not None else set()
        return {Path("vis", place), Path("vis", _beside(place))} | own

    def _save(self, place: Path, image: np.ndarray) -> None:
        kind: dict[str, Any] = {"format": "JPEG", "quality": 92} if place.suffix == ".jpg" else {"format": "PNG"}
        self._write(place, lambda file: Image.fromarray(image).save(file, **kind))

    def _write(self, place: Path, write: Callable[[BinaryIO], object]) -> None:
        self._make_folder(self.out / place)
        self._journal.add({"file": place.as_posix()})
        write_file(self.out / place, write)
        self.written.append(place.as_posix())

    def _make_folder(self, path: Path) -> None:
        """Create the folder of a file."""
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise cannot_write(path, error) from error

    def _about_model(self) -> list[tuple[str, str]]:
        """Return what the page of all inputs states at its top."""
        about = [
            ("model", self.inferencer.name),
            ("task", self.reader.name),
            ("weights", shared_path(self._source_of_weights())),
        ]
        return [*about, ("step", self.inferencer.step)] if self.inferencer.step else about

    def _source_of_weights(self) -> str:
        if self.inferencer.weights is not None:
            return as_utf8(str(self.inferencer.weights))
        return "none (untrained)" if self.inferencer.is_untrained else "none (the model has no parameters)"

    def _write_run(self, *, complete: bool) -> None:
        seconds = time.time() - self.started
        run = {
            "model": self.inferencer.name,
            "task": self._stated_task(),
            "weights": self._source_of_weights(),
            "step": self.inferencer.step or None,
            "device": str(self.inferencer.device),
            "form": self.inferencer.form,
            "inputs": self.done,
            "failed": self.failed,
            "complete": complete,
            "started": time.strftime("%Y-%m-%dT%H:%M:%S%z", time.localtime(self.started)),
            "seconds": round(seconds, 3),
            "inputs_per_second": round((self.done - self._skipped) / seconds, 3) if seconds > 0 else None,
            "categories": self._categories(),
            "git": git_describe(),
            "versions": versions(),
            **self.about,
        }
        write_text(self._folder / "run.json", json.dumps(run, indent=2, ensure_ascii=False) + "\n")

    def _stated_task(self) -> str | list[str]:
        return self.reader.name

    def _categories(self) -> Any:
        return self.reader.categories()

    @property
    def parts(self) -> Mapping[str, PredictionWriter]:
        """The writer of each task."""
        return {self.reader.name: self}


def _folder_name(name: str) -> str:
    """Return a class name without the characters that no folder may have.

    Example:
        >>> _folder_name("traffic light"), _folder_name("cup/mug"), _folder_name("..")
        ('traffic light', 'cup_mug', 'class')
    """
    return re.sub(r'[\x00-\x1f/\\:*?"<>|]', "_", name).strip(" .") or "class"


def _image_suffix(place: Path) -> str:
    """Return the suffix of a drawn image: JPEG for JPEG files, PNG for all others."""
    return ".jpg" if place.suffix.lower() in (".jpg", ".jpeg") else ".png"


def _beside(place: Path) -> Path:
    """Return the path of the side-by-side image for the path of an overlay."""
    return place.with_name(f"{place.stem}_side{place.suffix}")
