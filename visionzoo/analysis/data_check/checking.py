"""The check of a config or folder: read the records, examine the images, ask the task, and report."""

from __future__ import annotations

import os
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from visionzoo.analysis.data_check import tables
from visionzoo.analysis.data_check.images import (
    ImageFacts,
    duplicates,
    equal_volumes,
    examined_images,
    images_of,
    near_duplicates,
)
from visionzoo.analysis.data_check.records import WARNINGS, Records, read_records
from visionzoo.analysis.data_check.report import Report
from visionzoo.analysis.data_check.sources import SPLITS, Source, image_files, leaves, unread_files
from visionzoo.config.data_parts import tasks_of
from visionzoo.datasets.issues import Examined, Issue, issue_of
from visionzoo.errors import ZooError, counted
from visionzoo.models.wiring import fill_model
from visionzoo.tasks import Task, task_of

Watch = Callable[[Iterable, int | None, str], Iterable]


@dataclass(frozen=True)
class Options:
    """Options of a check.

    Attributes:
        splits: the splits to read.
        max_samples: number of records of each data set; None for all.
        pixels: True to decode images and masks; False to read only annotations and headers.
        jobs: number of threads.
        watch: shows the progress of an iterable; its arguments are the iterable, its length and a title.
    """

    splits: Sequence[str] = SPLITS
    max_samples: int | None = None
    pixels: bool = True
    jobs: int = 2
    watch: Watch = lambda items, total, title: items


@dataclass
class _Split:
    """What is known about the data sets of one split."""

    parts: list[Records] = field(default_factory=list)
    labels: Counter[int] = field(default_factory=Counter)
    sides: list[np.ndarray] = field(default_factory=list)  # square roots of the areas of boxes at the model's input
    boxes: int = 0
    with_truth: int = 0
    without_truth: int = 0

    @property
    def paths(self) -> list[str]:
        return [path for part in self.parts for record in part.records for path in images_of(record)]

    @property
    def classes(self) -> tuple[str, ...] | None:
        return next((part.classes for part in self.parts if part.classes), None)


def check_data(sources: Sequence[Source], where: str, options: Options | None = None) -> Report:
    """Check data sets; nothing is written.

    Args:
        sources: the data sets, see :mod:`visionzoo.analysis.data_check.sources`. Without any, all images below the
            folder ``where`` are examined.
        where: the config or folder, for the report.
        options: options of the check.

    Example:
        >>> from visionzoo.analysis.data_check.sources import sources_of_folder
        >>> from visionzoo.datasets.tiny import resolve_data_root
        >>> folder = resolve_data_root("tiny://coco?train=3&val=2&size=64")
        >>> report = check_data(sources_of_folder(folder), "a folder")
        >>> report.has_findings, report.splits["train"].partition(",")[0]
        (False, '3 images')
    """
    options, started, report = options or Options(), time.perf_counter(), Report(where)
    for source in sources:
        if len(sources) > 1:
            report.begin_source()
        _check_source(source, report, options)
    if not sources:
        _check_images(where, report, options)
    report.seconds = time.perf_counter() - started
    return report


def _check_source(source: Source, report: Report, options: Options) -> None:
    if source.error is not None:
        _add_unread(source, report, options)
        return
    splits: dict[str, _Split] = {}
    for split, settings in leaves(source.cfg, options.splits):
        part = read_records(settings, f"{split}_dataloader.dataset")
        part.records = part.records[: options.max_samples]
        splits.setdefault(split, _Split()).parts.append(part)
    _add_loose_images(splits, options)
    for issue in source.issues:
        report.add("data", issue)
    facts = _image_facts(splits, report, options)
    for name in tasks_of(source.cfg):
        _ask_task(task_of(name), source, splits, facts, report, options)
    _add_reader_issues(splits, report)
    _add_tables(source, splits, facts, report)
    for split, one in splits.items():
        report.splits[_title(source, report, split)] = _sentence(one)


def _add_loose_images(splits: Mapping[str, _Split], options: Options) -> None:
    """Give a data set that cannot be read the images below its folder that no other one has."""
    used = {os.path.realpath(path) for one in splits.values() for path in one.paths}
    for part in (part for one in splits.values() for part in one.parts):
        if part.is_refused and not part.records and os.path.isdir(part.root):
            loose = [path for path in image_files(part.root) if os.path.realpath(path) not in used]
            part.records = [{"img_path": path, "is_loose": True} for path in loose][: options.max_samples]
            used |= set(map(os.path.realpath, loose))


def _add_reader_issues(splits: Mapping[str, _Split], report: Report) -> None:
    """Report what readers state; their warnings are notes where the task has found the places."""
    for split, one in splits.items():
        is_known = any(kind.counts[split] for kind in report.of(notes=False))
        for issue in (issue for part in one.parts for issue in part.issues):
            is_warning = issue.kind == WARNINGS and is_known
            report.add(split, replace(issue, is_note=True) if is_warning else issue)


def _title(source: Source, report: Report, split: str) -> str:
    return f"{split} ({source.name})" if split in report.splits else split


def _sentence(split: _Split) -> str:
    records = [record for part in split.parts for record in part.records]
    loose = sum("is_loose" in each for each in records)
    facts = [counted(len(set(split.paths)), "image")] if split.paths else [counted(len(records), "sample")]
    facts += [f"{split.boxes:,} boxes"] if split.boxes else []
    facts += [counted(len(split.classes), "class").replace("classs", "classes")] if split.classes else []
    facts += ["its annotations are not read, only the images below its folder"] if loose else []
    if any(part.is_refused for part in split.parts) and not loose:
        facts.append("the reader refuses it")
    kinds = dict.fromkeys(f"{part.settings['type']} {part.root}" for part in split.parts)
    return f"{', '.join(facts)}; {', '.join(kinds)}"


# --- folders that are not read ---


def _add_unread(source: Source, report: Report, options: Options) -> None:
    """Report why a folder of a layout cannot be read, and examine its images."""
    for issue in source.issues:
        report.add("data", issue)
    if source.error is not None and all(issue.is_note for issue in source.issues):
        report.add("data", issue_of(source.error, f"{source.name} that the reader refuses"))
    _check_images(f"{source.root}", report, options, unknown=False)


def _check_images(root: str, report: Report, options: Options, *, unknown: bool = True) -> None:
    """Examine the image files below a folder whose annotations are not read."""
    if unknown:
        advice = "see docs/data.md for the layouts, or name one: LAYOUT:FOLDER"
        report.add("data", Issue("folders without a known layout", root, "no annotations that are known", advice))
    for path in unread_files(root):
        advice = "convert it to JPEG or PNG"
        report.add("data", Issue("image files of a kind that is not read", path, "", advice))
    part = Records({"type": "image files", "data_root": root})
    part.records = [{"img_path": path, "is_loose": True} for path in image_files(root)][: options.max_samples]
    splits = {"data": _Split([part])}
    facts = _image_facts(splits, report, options)
    table = tables.size_table({"data": _sizes(splits["data"], facts)})
    report.tables += [table] if table else []
    report.splits["data"] = _sentence(splits["data"])


# --- images ---


def _image_facts(splits: Mapping[str, _Split], report: Report, options: Options) -> dict[str, ImageFacts]:
    uses = [(split, path) for split, one in splits.items() for path in one.paths]

    def watch(items: Iterable, total: int) -> Iterable:
        return options.watch(items, total, "images")

    facts = examined_images([path for _, path in uses], pixels=options.pixels, jobs=options.jobs, watch=watch)
    labels = defaultdict(set)
    for split, path in dict.fromkeys(uses):
        for issue in facts[path].issues:
            report.add(split, issue)
    for split, one in splits.items():
        for record in (record for part in one.parts for record in part.records):
            _compare_size(split, record, facts, report)
            if "gt_label" in record and isinstance(record.get("img_path"), str):
                labels[record["img_path"]].add(int(record["gt_label"]))
        _find_repeated(split, one, labels, report)
    volumes = equal_volumes(_volumes(splits)) if options.pixels else ()
    for split, issue in (*duplicates(uses, facts, labels), *near_duplicates(uses, facts), *volumes):
        report.add(split, issue)
    return facts


def _volumes(splits: Mapping[str, _Split]) -> Iterator[tuple[str, str]]:
    """Yield the split and the path of both volumes of each pair."""
    for split, one in splits.items():
        for record in (record for part in one.parts for record in part.records):
            files = record.get("files") or {}
            paths = [files.get(name) for name in ("fixed", "moving")]
            yield from ((split, os.fspath(path)) for path in paths if isinstance(path, str | os.PathLike))


def _compare_size(split: str, record: Mapping[str, Any], facts: Mapping[str, ImageFacts], report: Report) -> None:
    stated = record.get("width"), record.get("height")
    for path in images_of(record) if None not in stated else ():
        size = facts[path].size
        if size is not None and size != stated:
            found = f"{stated[0]}x{stated[1]} in the annotation, {size[0]}x{size[1]} in the file"
            turned = " (turned)" if size == stated[::-1] else ""
            advice = "annotate the file again, or correct the size and all coordinates"
            report.add(split, Issue("sizes that differ from the file", path, f"{found}{turned}", advice))


_MANY_PER_IMAGE = ("phrase", "phrases", "ref_id", "group")  # records of which one image has several


def _find_repeated(split: str, one: _Split, labels: Mapping[str, set[int]], report: Report) -> None:
    records = [record for part in one.parts for record in part.records]
    paths = [
        path for record in records if not any(key in record for key in _MANY_PER_IMAGE) for path in images_of(record)
    ]
    for path, times in Counter(paths).items():
        if times > 1 and len(one.parts) == 1:
            advice = "list it once"
            found = f"{times} times"
            if len(labels.get(path, ())) > 1:
                found, advice = f"{found}, classes {sorted(labels[path])}", "decide which label is right"
            report.add(split, Issue("images that are listed several times", path, found, advice))


# --- task ---


def _ask_task(
    task: Task,
    source: Source,
    splits: Mapping[str, _Split],
    facts: Mapping[str, ImageFacts],
    report: Report,
    options: Options,
) -> None:
    """Examine every record with the task."""

    def examined(record: Mapping[str, Any], classes: Sequence[str] | None) -> Examined:
        paths = images_of(record)
        size = facts[paths[0]].size if len(paths) == 1 else None
        try:
            return task.examined(record, size, classes)
        except ZooError as error:
            return Examined([issue_of(error, "records that cannot be read")])

    for split, one in splits.items():
        for part in one.parts:
            records = [record for record in part.records if "is_loose" not in record]
            if not options.pixels and any(key in record for record in records[:1] for key in _IN_FILES):
                advice = "leave out --quick to read them"
                report.add(split, Issue("truth in files that is not read", part.root, "--quick", advice, is_note=True))
                continue
            jobs = 1 if any("files" in record for record in records[:1]) else options.jobs
            with ThreadPoolExecutor(max_workers=jobs) as pool:
                results = pool.map(lambda record: examined(record, part.classes), records)  # noqa: B023
                watched = options.watch(zip(records, results, strict=True), len(records), f"truth of {split}")
                for record, result in watched:
                    _add_result(split, one, record, result, facts, source, report)


_IN_FILES = ("gt_path", "panoptic_path", "seg_map_path", "mask_path", "files", "density_path")


def _add_result(
    split: str,
    one: _Split,
    record: Mapping[str, Any],
    result: Examined,
    facts: Mapping[str, ImageFacts],
    source: Source,
    report: Report,
) -> None:
    for issue in result.issues:
        report.add(split, issue)
    one.with_truth += bool(result.has_truth)
    one.labels.update(int(label) for label in result.labels)
    if result.has_truth is False:
        one.without_truth += 1
        place = f"{record.get('img_path')}"
        advice = "they teach what background is; check that nothing was forgotten"
        report.add(split, Issue("images without an object", place, "", advice, is_note=True))
    if result.boxes is not None and len(result.boxes):
        one.boxes += len(result.boxes)
        paths = images_of(record)
        size = facts[paths[0]].size if paths else None
        if size is not None:
            pipeline = (source.cfg.get(f"{split}_dataloader") or {}).get("dataset", {}).get("pipeline") or []
            factor = tables.factor_of(size, *tables.resize_of(pipeline))
            sides = np.clip(result.boxes[:, 2:] - result.boxes[:, :2], 0, None)
            one.sides.append(factor * np.sqrt(sides.prod(axis=1)))


# --- tables ---


def _sizes(split: _Split, facts: Mapping[str, ImageFacts]) -> np.ndarray:
    sizes = [facts[path].size for path in dict.fromkeys(split.paths)]
    return np.array([size for size in sizes if size is not None], np.float64).reshape(-1, 2)


def _add_tables(source: Source, splits: Mapping[str, _Split], facts: Mapping[str, ImageFacts], report: Report) -> None:
    classes = next((one.classes for one in splits.values() if one.classes), None)
    strides = _strides(source)
    sides = {split: np.concatenate(one.sides) if one.sides else np.zeros(0) for split, one in splits.items()}
    found = [
        tables.class_table({split: one.labels for split, one in splits.items()}, classes),
        tables.size_table({split: _sizes(one, facts) for split, one in splits.items()}),
        tables.box_table(sides, strides, "after the resize of the pipeline"),
    ]
    title = f" ({source.name})" if report.splits else ""
    report.tables += [replace(table, title=f"{table.title}{title}") for table in found if table is not None]
    for split, one in splits.items():
        notes = [*tables.class_issues(split, one.labels, one.classes), *tables.box_notes(split, sides[split], strides)]
        known = [(path, size) for path in dict.fromkeys(one.paths) if (size := facts[path].size) is not None]
        notes += tables.long_images([path for path, _ in known], [size for _, size in known])
        if one.classes and len(one.classes) == 1 and sum(one.labels.values()) and not one.boxes and split == "train":
            advice = "the folders inside may be the classes"
            notes.append(Issue("a single class, nothing to distinguish", one.classes[0], f"{split}", advice))
        if one.without_truth and not one.with_truth:
            text = f"none in {one.without_truth:,} samples"
            notes.append(Issue("splits without any object", split, text, "check the annotations; nothing is learned"))
        for issue in notes:
            report.add(split, issue)
    for split, issue in tables.other_classes({split: one.classes for split, one in splits.items()}):
        report.add(split, issue)


def _strides(source: Source) -> tuple[int, ...]:
    """Return the strides of the levels on which the model finds boxes; empty if they are not known."""
    model = source.cfg.get("model")
    if source.root is not None or not model:  # a folder has no model yet
        return ()
    try:
        return tables.strides_of(fill_model(model))
    except ZooError:  # a part that only a run can complete
        return tables.strides_of(model)
