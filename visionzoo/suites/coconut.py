"""Suite coconut: panoptic, instance and semantic numbers of panoptic models, with COCO's masks and with COCONut's."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from visionzoo.datasets.tiny import resolve_data_root
from visionzoo.errors import ConfigError, require_known
from visionzoo.metrics.panoptic.quality import AREAS
from visionzoo.reports.images import class_colour, contact_sheet, side_by_side, thumbnail
from visionzoo.reports.regions import Region, draw_regions
from visionzoo.structures.panoptic import PanopticMap
from visionzoo.suites import _coconut_tables as tables
from visionzoo.suites._base import Record, Results, Suite, SuiteData, SuiteModel, SuiteReport, SuiteSettings
from visionzoo.suites._classifiers import read_image
from visionzoo.suites._coconut_truths import IMAGE_SETS, Truth, open_images
from visionzoo.suites._panoptic_models import PanopticModel, open_panoptic_model, panoptic_of, unknown_classes
from visionzoo.suites._panoptic_predictions import read_panoptic_predictions
from visionzoo.suites._store import UNSAFE

_TWIN = "tiny://coconut?train=1&val=12&seed=0"
_OF_TWIN = ("coco-val",)
_WORST = 20


class Coconut(Suite):
    """Evaluation of panoptic models on COCO-val, relabelled COCO-val and COCONut-val; see ``suites/coconut.md``.

    Args:
        settings: settings that every suite receives.
        boundary: True to measure boundary PQ, boundary AP and boundary mIoU too.
        area: ``png`` to count areas of the truth from its pixels, ``json`` for those that the file states.
        only: names of the image sets to use; default: all.
        repeats: number of resamples of the bootstrap.

    Raises:
        UnknownName: an unknown area or image set.
        ConfigError: ``repeats`` is below 1.
    """

    tasks = ("panoptic",)

    def __init__(
        self,
        settings: SuiteSettings,
        *,
        boundary: bool = True,
        area: str = "png",
        only: Sequence[str] = (),
        repeats: int = 1000,
    ):
        super().__init__(settings)
        require_known(area, AREAS, "area of panoptic quality")
        for name in only:
            require_known(name, IMAGE_SETS, "image set of coconut")
        if repeats < 1:
            raise ConfigError("--set repeats", expected="1 or more", found=f"{repeats}", advice="use 1")
        self.only = tuple(only)
        self.numbers = tables.Settings(boundary, area, repeats, settings.seed)

    def protocol(self) -> dict[str, Any]:
        """Return what decides the predictions: the data."""
        return {"data": "twins" if self.settings.tiny else "real"}

    def data_sets(self) -> dict[str, Callable[[], SuiteData]]:
        """Return the sets of images; each has one or two truths."""
        known = _OF_TWIN if self.settings.tiny else tuple(IMAGE_SETS)
        return {name: partial(self._open, name) for name in known if not self.only or name in self.only}

    def _open(self, name: str) -> SuiteData:
        root = resolve_data_root(_TWIN) if self.settings.tiny else Path(self.settings.data, "coconut").expanduser()
        return open_images(name, root)

    def open_model(self, name: str, weights: str | None) -> PanopticModel:
        """Return a panoptic model of the zoo."""
        return open_panoptic_model(name, weights, self.settings)

    def refusal(self, model: SuiteModel, data: SuiteData) -> str:
        """Return that the model has classes that the data lacks, or an empty text."""
        return unknown_classes(model, data.about["categories"]) if isinstance(model, PanopticModel) else ""

    def read_predictions(self, folder: Path, data: SuiteData) -> list[Record] | None:
        """Return the predictions in ``<image set>/panoptic.json``; see :mod:`._panoptic_predictions`."""
        return read_panoptic_predictions(folder, data)

    def report(self, data: Mapping[str, SuiteData], results: Mapping[str, Sequence[Results]]) -> SuiteReport:
        """Return all tables, and a sheet of the worst images of each model."""
        report = SuiteReport(shown=("results", "side_by_side", "worst", "paired", "classes"))
        for name, each in data.items():
            truths: Sequence[Truth] = each.about["truths"]
            judged = {truth.name: tables.judge(results[name], truth, self.numbers) for truth in truths}
            for models in judged.values():
                self._add(report, models)
            if len(truths) > 1:
                rows = tables.side_by_side_rows(*judged.values())
                report.tables.setdefault("side_by_side", []).extend(rows)
            if truths:
                self._add_worst_images(report, each, truths[-1], judged[truths[-1].name], results[name])
        report.tables = {name: rows for name, rows in report.tables.items() if rows}
        report.notes += _missing_kinds(results)
        return report

    def _add(self, report: SuiteReport, judged: Sequence[tables.Judged]) -> None:
        rules = {
            "results": tables.result_rows,
            "classes": tables.class_rows,
            "worst": tables.worst_rows,
            "paired": tables.paired_rows,
        }
        for name, rule in rules.items():
            report.tables.setdefault(name, []).extend(rule(judged))

    def _add_worst_images(
        self,
        report: SuiteReport,
        data: SuiteData,
        truth: Truth,
        judged: Sequence[tables.Judged],
        results: Sequence[Results],
    ) -> None:
        """Add rows and a sheet of the worst images of each model: the truth beside the prediction."""
        paths = {sample["id"]: sample["img_path"] for sample in data.samples}
        records = {(each.model, each.digest): {record["id"]: record for record in each.records} for each in results}
        for each in judged:
            rows = tables.image_rows(each, _WORST)
            report.tables.setdefault("worst_images", []).extend({**row, "file": paths[row["id"]]} for row in rows)
            found = records[each.measured.model, each.measured.digest]
            squares = [_pair(paths[row["id"]], truth, row["id"], found[row["id"]]) for row in rows]
            if squares:
                name = UNSAFE.sub("_", f"{each.measured.model}_{each.measured.digest}")
                report.images[f"worst_{data.name}_{name}"] = contact_sheet(squares)


def _missing_kinds(results: Mapping[str, Sequence[Results]]) -> list[str]:
    """Return a line for each model without instances or without classes of pixels."""
    lines = []
    for name, models in results.items():
        for each in models:
            for kind, numbers in (("instances", "AP"), ("semantic", "mIoU")):
                if any(record[kind] is None for record in each.records):
                    lines.append(f"{each.model} on {name}: no {numbers}: its predictions have no {kind}")
    return lines


def _pair(path: str, truth: Truth, image_id: str, record: Record) -> np.ndarray:
    """Return the truth and the prediction drawn side by side, as a square."""
    image = np.asarray(read_image(path))
    names = [each.name for each in truth.categories]
    maps = truth.map_of(image_id), panoptic_of(record, truth.labels)
    return thumbnail(side_by_side(*(_drawn(image, each, names) for each in maps)))


def _drawn(image: np.ndarray, panoptic: PanopticMap, names: Sequence[str]) -> np.ndarray:
    regions = [Region(each.id, names[each.category_id], class_colour(each.category_id)) for each in panoptic.segments]
    return draw_regions(image, panoptic.ids, regions)
