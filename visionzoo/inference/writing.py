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
    OUT/vis/...                drawn images with the folders and stems of the inputs; small images are enlarged
    OUT/vis/clip.mp4           videos: the drawn frames as a video without sound
    OUT/sheets/...             groups: all drawn images of a group on one sheet
    OUT/run.json               command, model, versions, seed, times, counts and class names

A byte of a file name that is not UTF-8 is written as an escape such as ``\\xff``, also in the names of the files here.
These names are cut to 200 bytes.

Files of video frames are in a folder with the name of the video: ``raw/clip/000012.npy``. Their lines have ``input``
``clip.mp4#000012``, ``frame`` and ``time`` in seconds.

Files of lines contain only complete lines: if the disk is full, an incomplete line is removed. Other files appear only
when they are complete.
"""

from __future__ import annotations

import csv
import io
import json
import os
import shutil
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import IO, Any, BinaryIO

import numpy as np
from PIL import Image

from visionzoo.errors import as_utf8
from visionzoo.inference.inferencer import Inferencer, Prediction
from visionzoo.inference.video_writing import SUFFIX, DrawnVideo
from visionzoo.reports.images import contact_sheet, enlarged, scale_to_read, side_by_side, thumbnail
from visionzoo.structures.image_names import shortened
from visionzoo.system.atomic import cannot_write, write_file, write_text
from visionzoo.system.versions import git_describe, versions
from visionzoo.tasks import task_of
from visionzoo.tasks.inputs.base import Source
from visionzoo.tasks.inputs.videos import Video

IMAGES = ("overlay", "side")


class PredictionWriter:
    """Context manager that writes the predictions of one run into the folder ``out``.

    Args:
        out: an existing folder.
        inferencer: source of the predictions.
        images: any of ``overlay`` (result drawn on the image) and ``side`` (original and drawn image side by side).
        about: further values for ``run.json``, such as command and seed.

    Attributes:
        done, failed: number of inputs so far, and of those that could not be used.
        notes: messages for the user, to be printed at the end.
    """

    def __init__(self, out: Path, inferencer: Inferencer, images: tuple[str, ...] = (), about: dict | None = None):
        self.out, self.inferencer, self.images = out, inferencer, images
        self.about, self.started = about or {}, time.time()
        self.done = self.failed = 0
        self.notes: list[str] = []
        self._task = task_of(inferencer.task)
        self._lines = _Lines(out / "predictions.jsonl")
        self._coco = _CocoResults(out / "predictions.coco.json") if self._task.coco else None
        self._rows = _Rows(out / "predictions.csv") if self._task.row else None
        self._other_lines = _Lines(out / self._task.lines.name) if self._task.lines else None
        self._names: set[Path] = set()
        self._sheets: dict[str, list[np.ndarray]] = {}
        self._seen: dict[str, int] = {}
        self._video: Video | None = None
        self._video_place = Path()
        self._drawn: dict[Path, DrawnVideo] = {}

    def __enter__(self) -> PredictionWriter:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        complete = kind is None or kind is KeyboardInterrupt
        for lines in (self._lines, self._rows, self._other_lines):
            if lines is not None:
                lines.close()
        if self._coco is not None:
            self._coco.close(complete=complete)
        self._close_videos(complete=complete)
        if complete:
            self._write_run(stopped=kind is not None)

    def write(self, prediction: Prediction) -> None:
        """Write one prediction. Drawn images need its ``image``."""
        self.done += 1
        self.failed += prediction.error is not None
        record = prediction.record()
        if prediction.result is not None:
            place = self._place_of(prediction.source)
            record["result"] |= self._write_files(place, prediction.result)
            self._add_to_tables(prediction)
            if prediction.image is not None and self.images:
                self._write_images(place, prediction, prediction.image)
        if prediction.group is not None and self.images:
            self._add_to_sheet(prediction)
        self._lines.add(record)

    def _write_files(self, place: Path, result: Any) -> dict[str, str]:
        """Write the files of a result. Return their keys in the line, and their paths relative to ``out``."""
        paths = {}
        for kind in self._task.files:
            path, content = Path(kind.folder, place).with_suffix(kind.suffix), kind.content(result)
            self._write(path, lambda file, content=content: file.write(content))  # type: ignore[misc]
            paths[kind.key] = path.as_posix()
        return paths

    def _add_to_tables(self, prediction: Prediction) -> None:
        if self._coco is not None and self._task.coco is not None:
            self._coco.add(self._task.coco(prediction.result, self.done, self.inferencer.category_ids))
        if self._rows is not None and self._task.row is not None:
            source = prediction.source
            self._rows.add({"input": source.name, **source.columns, **self._task.row(prediction.result)})
        if self._other_lines is not None and self._task.lines is not None:
            path, size = prediction.source.place.as_posix(), prediction.size or (0, 0)
            self._other_lines.add(self._task.lines.line(prediction.result, path, size, prediction.seconds or 0.0))

    def _add_to_sheet(self, prediction: Prediction) -> None:
        """Keep a thumbnail until all images of the group are complete, then write the sheet."""
        group: str = prediction.group  # type: ignore[assignment]
        if prediction.result is not None and prediction.image is not None:
            drawn = thumbnail(self._task.draw(prediction.image, prediction.result, 1))
            self._sheets.setdefault(group, []).append(drawn)
        self._seen[group] = self._seen.get(group, 0) + 1
        if self._seen[group] == prediction.group_size and group in self._sheets:
            folder = prediction.source.place.parent
            name = shortened(folder if folder != Path() else Path(Path(group).name))
            self._save(self._free_sheet(name), contact_sheet(self._sheets.pop(group)))

    def _free_sheet(self, name: Path) -> Path:
        wanted, number = Path("sheets", f"{name}.jpg"), 1
        while wanted in self._names:
            number += 1
            wanted = Path("sheets", f"{name}-{number}.jpg")
        self._names.add(wanted)
        return wanted

    def _write_images(self, place: Path, prediction: Prediction, image: np.ndarray) -> None:
        scale = scale_to_read(image)
        drawn = self._task.draw(image, prediction.result, scale)  # type: ignore[arg-type]
        if "overlay" in self.images:
            self._show(place, drawn, lambda path: path)
        if "side" in self.images:
            self._show(place, side_by_side(enlarged(image, scale), drawn), _beside)

    def _show(self, place: Path, image: np.ndarray, named: Callable[[Path], Path]) -> None:
        """Add a frame to its video, or save an image."""
        if self._video is None:
            self._save(Path("vis", named(place)), image)
            return
        path = Path("vis", named(self._video_place))
        if path not in self._drawn:
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
        wanted, number = place.with_suffix(suffix), 1
        while not self._names.isdisjoint(self._files_of(wanted)):
            number += 1
            wanted = place.with_name(f"{place.stem}-{number}{suffix}")
        self._names |= self._files_of(wanted)
        return wanted

    def _files_of(self, place: Path) -> set[Path]:
        """Return all files that may be written for an input. The suffix of result files is independent of the input."""
        own = {Path(kind.folder, place).with_suffix(kind.suffix) for kind in self._task.files}
        return {Path("vis", place), Path("vis", _beside(place))} | own

    def _save(self, place: Path, image: np.ndarray) -> None:
        kind: dict[str, Any] = {"format": "JPEG", "quality": 92} if place.suffix == ".jpg" else {"format": "PNG"}
        self._write(place, lambda file: Image.fromarray(image).save(file, **kind))

    def _write(self, place: Path, write: Callable[[BinaryIO], object]) -> None:
        path = self.out / place
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise cannot_write(path, error) from error
        write_file(path, write)

    def _write_run(self, *, stopped: bool) -> None:
        seconds = time.time() - self.started
        run = {
            **self.about,
            "model": self.inferencer.name,
            "task": self.inferencer.task,
            "weights": "none (untrained)" if self.inferencer.weights is None else as_utf8(str(self.inferencer.weights)),
            "device": str(self.inferencer.device),
            "inputs": self.done,
            "failed": self.failed,
            "complete": not stopped,
            "started": time.strftime("%Y-%m-%dT%H:%M:%S%z", time.localtime(self.started)),
            "seconds": round(seconds, 3),
            "inputs_per_second": round(self.done / seconds, 3) if seconds > 0 else None,
            "categories": self._categories(),
            "git": git_describe(),
            "versions": versions(),
        }
        write_text(self.out / "run.json", json.dumps(run, indent=2, ensure_ascii=False) + "\n")

    def _categories(self) -> list[dict[str, Any]]:
        names, ids = self.inferencer.class_names or (), self.inferencer.category_ids
        return [{"id": ids[label] if ids else label + 1, "name": name} for label, name in enumerate(names)]


def _image_suffix(place: Path) -> str:
    """Return the suffix of a drawn image: JPEG for JPEG files, PNG for all others."""
    return ".jpg" if place.suffix.lower() in (".jpg", ".jpeg") else ".png"


def _beside(place: Path) -> Path:
    """Return the path of the side-by-side image for the path of an overlay."""
    return place.with_name(f"{place.stem}_side{place.suffix}")


class _Lines:
    """A file of lines, usually JSON. Its last line is always complete."""

    def __init__(self, path: Path):
        self.path = path
        try:
            self.file: IO[bytes] = open(path, "wb", buffering=0)  # noqa: SIM115 - closed by the writer
        except OSError as error:
            raise cannot_write(path, error) from error

    def add(self, record: dict[str, Any]) -> None:
        """Write a record as a line of JSON."""
        self.add_text(json.dumps(record, ensure_ascii=False, allow_nan=False) + "\n")

    def add_text(self, line: str) -> None:
        """Write a line that ends with a line break."""
        _append_whole(self.file, line.encode(), self.path)

    def close(self) -> None:
        self.file.close()


class _Rows:
    """A CSV file whose first row names the columns. Its last row is always complete."""

    def __init__(self, path: Path):
        self._lines = _Lines(path)
        self._columns: list[str] | None = None

    def add(self, row: dict[str, Any]) -> None:
        """Write a row. The first row determines the columns."""
        if self._columns is None:
            self._columns = list(row)
            self._lines.add_text(_csv_line(self._columns))
        self._lines.add_text(_csv_line(row.values()))

    def close(self) -> None:
        self._lines.close()


def _csv_line(cells: Iterable[Any]) -> str:
    page = io.StringIO(newline="")
    csv.writer(page, lineterminator="\n").writerow(cells)
    return page.getvalue()


class _CocoResults:
    """A JSON array that is written entry by entry to a temporary file and renamed when it is complete."""

    def __init__(self, path: Path):
        self.path = path
        self.beside = path.with_name(f".{path.name}.{os.getpid()}.part")
        self.empty = True
        try:
            self.file: IO[bytes] = open(self.beside, "wb")  # noqa: SIM115 - closed by the writer
            self.file.write(b"[")
        except OSError as error:
            raise cannot_write(path, error) from error

    def add(self, results: list[dict[str, Any]]) -> None:
        """Write the entries of one image."""
        try:
            for result in results:
                self.file.write(b"\n" if self.empty else b",\n")
                self.file.write(json.dumps(result, allow_nan=False).encode())
                self.empty = False
        except OSError as error:
            raise cannot_write(self.path, error) from error

    def close(self, *, complete: bool) -> None:
        """Rename the file to its final path, or remove it if it is not ``complete``."""
        try:
            if complete:
                self.file.write(b"]\n" if self.empty else b"\n]\n")
            self.file.close()
            if complete:
                os.replace(self.beside, self.path)
        except OSError as error:
            if complete:
                raise cannot_write(self.path, error) from error
        finally:
            self.beside.unlink(missing_ok=True)


def _append_whole(file: IO[bytes], line: bytes, path: Path) -> None:
    """Write all of ``line``, or nothing of it if writing fails."""
    start = file.tell()
    try:
        written = 0
        while written < len(line):
            written += file.write(line[written:])
    except OSError as error:
        file.seek(start)
        file.truncate()
        raise cannot_write(path, error) from error


def remove_old_results(out: Path) -> None:
    """Remove only those files and folders that an earlier run of inference wrote into ``out``."""
    if not (out / "predictions.jsonl").is_file():
        return
    for name in ("predictions.jsonl", "predictions.csv", "predictions.coco.json", "tusimple.json", "run.json"):
        (out / name).unlink(missing_ok=True)
    for name in ("vis", "raw", "lines", "sheets"):
        shutil.rmtree(out / name, ignore_errors=True)
