"""The report of a test: ``report.html`` and ``report.md`` beside the folder ``report/`` of their images.

The images are files beside the page and not part of it: 20 pairs of them would make a page of many megabytes
that a browser reads as a whole, and a file can be opened and copied.
"""

from __future__ import annotations

import io
import math
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from visionzoo.reports.document import Block, Facts, Group, Heading, Picture, Quoted, Rows, Text, write_document
from visionzoo.reports.figure import Figure
from visionzoo.structures.undefined import defined
from visionzoo.system.atomic import cannot_write, write_file

IMAGES = "report"  # folder of the images


@dataclass(frozen=True)
class Shown:
    """An image of a sample: its title, the content of a JPEG file, and (width, height) in pixels."""

    title: str
    content: bytes
    size: tuple[int, int]

    @classmethod
    def of(cls, title: str, image: np.ndarray, longest: int) -> Shown:
        """Return an image, (H, W, 3) uint8 RGB, whose longer side has at most ``longest`` pixels.

        Example:
            >>> Shown.of("truth", np.zeros((600, 900, 3), np.uint8), 300).size
            (300, 200)
        """
        drawing = Image.fromarray(np.ascontiguousarray(image))
        drawing.thumbnail((longest, longest), Image.Resampling.LANCZOS)
        content = io.BytesIO()
        drawing.save(content, format="JPEG", quality=88, subsampling=0)
        return cls(title, content.getvalue(), drawing.size)


@dataclass(frozen=True)
class Example:
    """A tested sample with a large error.

    Attributes:
        error: its error, larger is worse.
        index: its number in the data set, from 0.
        name: its file, or its name if it has none.
        sample_id: its id in the annotations; the index as text if it has none.
        images: truth and prediction, or one image of both.
        remark: what is missing or particular; empty for nothing.
    """

    error: float
    index: int
    name: str
    sample_id: str
    images: Sequence[Shown] = ()
    remark: str = ""


@dataclass(frozen=True)
class Measured:
    """A metric: its name, its value, the better direction (``higher``, ``lower`` or empty) and its unit."""

    name: str
    value: float
    better: str = ""
    unit: str = ""


@dataclass(frozen=True)
class Stated:
    """A number of the model's card beside the one that was measured now.

    Attributes:
        metric, data: name of the metric; data set and split.
        value: the number with its unit.
        source: where it comes from: the paper, or the date and command of a measurement.
        link: address of the source; None for none.
        is_paper: True for a number of a paper, which is written in italics.
        now: the number that was measured now, in the unit of the card; None if it cannot be compared.
        remark: difference, or why it is missing.
    """

    metric: str
    data: str
    value: str
    source: str
    link: str | None
    is_paper: bool
    now: str | None
    remark: str


@dataclass(frozen=True)
class RunReport:
    """What a test found.

    Attributes:
        title: name of the model.
        facts: labels and values of the head.
        metrics: all metrics.
        stated: numbers of the model's card.
        stated_note: sentence about them, or why they are missing.
        tables: rows by class, by the name of the table.
        figures: figures by task; the name of the only task is empty. Each of several tasks has a section with its
            figures and samples, and with the tables and numbers whose names begin with its name and a slash.
        examples: samples with the largest errors by task, the largest first.
        errors: what the error of a sample is, by task: "1 less the IoU of the mask".
        notes: sentences about parts that are missing.
    """

    title: str
    facts: Sequence[tuple[str, str]]
    metrics: Sequence[Measured]
    stated: Sequence[Stated] = ()
    stated_note: str = ""
    tables: Mapping[str, Sequence[Mapping[str, Any]]] = field(default_factory=dict)
    figures: Mapping[str, Sequence[Figure]] = field(default_factory=dict)
    examples: Mapping[str, Sequence[Example]] = field(default_factory=dict)
    errors: Mapping[str, str] = field(default_factory=dict)
    notes: Sequence[str] = ()


def write_run_report(folder: Path, report: RunReport) -> Path:
    """Write the report and return the path of ``report.html``. Images of an earlier report are removed.

    Raises:
        OutputError: the folder cannot be written.
    """
    images = folder / IMAGES
    try:
        shutil.rmtree(images, ignore_errors=True)
        images.mkdir(parents=True)
    except OSError as error:
        raise cannot_write(images, error) from error
    blocks = [
        Facts(report.facts),
        *(Text(note, is_warning=True) for note in report.notes),
        *_metric_blocks(report),
        *_found_blocks(folder, report),
    ]
    write_document(folder, "report", f"Test of {report.title}", blocks)
    if not any(images.iterdir()):
        images.rmdir()
    return folder / "report.html"


def _found_blocks(folder: Path, report: RunReport) -> list[Block]:
    """Return the numbers of the card, those by class, figures and samples; of several tasks, a section for each."""
    tasks = [task for task in report.figures if task]
    if not tasks:
        return [
            *_stated_blocks(report),
            *_class_blocks(report),
            *_figure_blocks(folder, report),
            *_example_blocks(folder, report),
        ]
    blocks: list[Block] = []
    if report.stated_note:
        blocks += [Heading("Beside the model card"), Text(report.stated_note)]
    for task in tasks:
        own = _of_task(report, task)
        parts = [_stated_blocks(own), _class_blocks(own), _figure_blocks(folder, own), _example_blocks(folder, own)]
        blocks += [Heading(task), *(_lowered(block) for part in parts for block in part)]
    return blocks


def _of_task(report: RunReport, task: str) -> RunReport:
    """Return the part of a report that belongs to one of several tasks, whose numbers have its name before a slash."""
    start = f"{task}/"
    return replace(
        report,
        stated=[each for each in report.stated if each.metric.startswith(start)],
        stated_note="",
        tables={name: rows for name, rows in report.tables.items() if name.startswith(start)},
        figures={task: report.figures[task]},
        examples={task: report.examples.get(task, ())},
    )


def _lowered(block: Block) -> Block:
    """Return a heading one level below; every other block as it is."""
    return replace(block, level=block.level + 1) if isinstance(block, Heading) else block


def _metric_blocks(report: RunReport) -> list[Block]:
    rows = [[each.name, _of_metric(each), each.better, each.unit] for each in report.metrics]
    missing = [each.name for each in report.metrics if math.isnan(defined(each.value))]
    notes = [Text(f"A hyphen is a number without samples: {', '.join(missing)}.")] if missing else []
    return [Heading("Metrics"), Rows("All metrics", ["metric", "value", "better", "unit"], rows), *notes]


def _of_metric(metric: Measured) -> float:
    """Return the value; a count, which is neither good nor bad, as a whole number."""
    is_count = not metric.better and metric.unit and float(metric.value).is_integer()
    return int(metric.value) if is_count else defined(metric.value)


def _stated_blocks(report: RunReport) -> list[Block]:
    if not report.stated and not report.stated_note:
        return []
    blocks: list[Block] = [Heading("Beside the model card")]
    if report.stated_note:
        blocks.append(Text(report.stated_note))
    if report.stated:
        rows = [
            [each.metric, each.data, _quoted(each), each.now or "-", each.remark, Quoted(each.source, each.link)]
            if each.is_paper
            else [each.metric, each.data, each.value, each.now or "-", each.remark, each.source]
            for each in report.stated
        ]
        columns = ["metric", "data and split", "card", "measured now", "comparison", "source of the card's number"]
        blocks.append(Rows("Numbers of the card (those of papers in italics) and of this test", columns, rows))
    return blocks


def _quoted(stated: Stated) -> Quoted:
    return Quoted(stated.value)


def _class_blocks(report: RunReport) -> list[Block]:
    blocks: list[Block] = []
    for name, rows in report.tables.items():
        columns = list(rows[0])
        cells = [[defined(row[column]) for column in columns] for row in rows]
        blocks.append(Rows(f"{name} by class", columns, cells, sortable=True))
    return [Heading("By class"), *blocks] if blocks else []


def _figure_blocks(folder: Path, report: RunReport) -> list[Block]:
    blocks: list[Block] = []
    for task, figures in report.figures.items():
        for figure in figures:
            stem = f"{task}_{figure.name}" if task else figure.name
            path, size = f"{IMAGES}/{stem}.png", (figure.image.shape[1], figure.image.shape[0])
            content = io.BytesIO()
            Image.fromarray(np.ascontiguousarray(figure.image)).save(content, format="PNG", optimize=True)
            _write(folder / path, content.getvalue())
            title = f"{figure.title} ({task})" if task else figure.title
            blocks += [Heading(title, 3), Picture(path, f"figure: {figure.title}", size, figure.caption)]
            if figure.columns:
                blocks.append(Rows(figure.title, figure.columns, [_as_numbers(row) for row in figure.rows], True))
    return [Heading("Figures"), *blocks] if blocks else []


def _as_numbers(row: Sequence[str]) -> list[Any]:
    """Return whole numbers as numbers, so that they are aligned and sorted by value."""
    return [int(cell) if cell.isdecimal() else cell for cell in row]


def _example_blocks(folder: Path, report: RunReport) -> list[Block]:
    blocks: list[Block] = []
    for task, examples in report.examples.items():
        if not examples:
            continue
        several = f"The {len(examples)} samples with the largest errors"
        title = several if len(examples) > 1 else "The sample with the largest error"
        blocks.append(Heading(f"{title} ({task})" if task else title))
        if meaning := report.errors.get(task):
            blocks.append(Text(f"The error of a sample is {meaning}."))
        for rank, example in enumerate(examples, start=1):
            name = f"{rank}. error {example.error:.4g}: {example.name}, id {example.sample_id}"
            pictures = []
            for image in example.images:
                path = f"{IMAGES}/{f'{task}_' if task else ''}worst_{rank:02d}_{image.title.replace(' ', '_')}.jpg"
                _write(folder / path, image.content)
                pictures.append(Picture(path, f"{image.title} of {example.name}", image.size, image.title))
            blocks.append(Group(f"{name}. {example.remark}".removesuffix(". "), pictures))
    return blocks


def _write(path: Path, content: bytes) -> None:
    write_file(path, lambda file: file.write(content))
