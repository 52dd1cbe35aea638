"""Suite geo-shift: accuracy of ImageNet classifiers on household photos of the world, by region, income and country."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from visionzoo.datasets.geo_shift import DollarStreet, GeoDE, ImageNetKind
from visionzoo.datasets.geo_shift.imagenet_kinds import KINDS
from visionzoo.datasets.geo_shift.labels import INCOME_GROUPS, LABEL_MODES, classes_of
from visionzoo.errors import ConfigError, require_known
from visionzoo.reports.images import contact_sheet, thumbnail
from visionzoo.reports.scatter import Series, scatter_plot
from visionzoo.suites import _geo_shift_retraining as retraining
from visionzoo.suites import _geo_shift_tables as tables
from visionzoo.suites._base import Record, Results, Suite, SuiteData, SuiteModel, SuiteReport, SuiteSettings
from visionzoo.suites._classifiers import TRANSFORMS, Classifier, open_classifier, read_image
from visionzoo.suites._predictions import read_class_predictions
from visionzoo.suites._worst import captioned, hardest

_SIZE, _TINY_SIZE = 224, 64
_WORST = 20
_SHOWN = (
    *("overall", "regions", "disparity", "region_income", "worst", "progress"),
    *("ratio", "robustness", "paired", "retraining"),
)


class GeoShift(Suite):
    """Evaluation of classifiers under geographic shift; see ``suites/geo_shift.md``.

    Args:
        settings: settings that every suite receives.
        label_mode: ``1k`` (classes of ImageNet) or ``original`` (40 objects of GeoDE, 96 topics of DollarStreet).
        transform: ``reference`` (256, then 224 pixels) for all models, or ``model`` for that of each model.
        size: side of the crop of the reference in pixels; default: 224, and 64 for twins.
        only: names of the data sets to use; default: all.
        table: table of DollarStreet; default: its test table.
        repeats: number of resamples of the bootstrap.
        least_images: a country with fewer images does not count in the gap of countries.
        not_baseline: patterns of models that effective robustness leaves out of its baseline.
        against: name of the model that all others are compared with; default: the best one.
        workers: number of threads that read images.
        retrain_shares: shares of DollarStreet's training images for last-layer retraining; empty for none.
        retrain_seeds: seeds of the retraining.
        retrain_epochs, retrain_lr: passes over the images, and learning rate of Adam.

    Raises:
        UnknownName: an unknown label mode, transform or data set.
        ConfigError: a number out of its range.
    """

    tasks = ("classification",)
    libraries = ("timm",)

    def __init__(
        self,
        settings: SuiteSettings,
        *,
        label_mode: str = "1k",
        transform: str = "reference",
        size: int | None = None,
        only: Sequence[str] = (),
        table: str = "images_v2_imagenet_test.csv",
        repeats: int = 1000,
        least_images: int = 10,
        not_baseline: Sequence[str] = ("*clip*",),
        against: str | None = None,
        workers: int = 4,
        retrain_shares: Sequence[float] = (),
        retrain_seeds: Sequence[int] = (0, 1, 2),
        retrain_epochs: int = 30,
        retrain_lr: float = 1e-3,
    ):
        super().__init__(settings)
        require_known(label_mode, LABEL_MODES, "label mode")
        require_known(transform, TRANSFORMS, "transform")
        for name in only:
            require_known(name, (*KINDS, *tables.GEOGRAPHIC), "data set of geo-shift")
        for name, value in dict(size=size or 1, repeats=repeats, least_images=least_images, workers=workers).items():
            _require_positive(name, value)
        self.label_mode, self.transform, self.only, self.table = label_mode, transform, tuple(only), table
        self.size, self.workers = size or (_TINY_SIZE if settings.tiny else _SIZE), workers
        kept = dict(least_images=least_images, not_baseline=tuple(not_baseline), against=against)
        self.numbers = tables.Settings(label_mode, repeats=repeats, seed=settings.seed, **kept)  # type: ignore[arg-type]
        self.recipe = retraining.Recipe(
            tuple(retrain_shares), tuple(retrain_seeds), epochs=retrain_epochs, lr=retrain_lr
        )

    def protocol(self) -> dict[str, Any]:
        """Return label mode, transform, size and data."""
        chosen = {"label_mode": self.label_mode, "transform": self.transform, "size": self.size, "table": self.table}
        return {**chosen, "data": "twins" if self.settings.tiny else "real"}

    # --- data ---

    def data_sets(self) -> dict[str, Callable[[], SuiteData]]:
        """Return the geographic data sets, and with labels of ImageNet also its test sets."""
        found: dict[str, Callable[[], SuiteData]] = {}
        if self.label_mode == "1k":
            found = {kind: partial(self._kind, kind) for kind in KINDS}
        found |= {"dollarstreet": self._street, "geode": self._geode}
        return {name: open_data for name, open_data in found.items() if not self.only or name in self.only}

    def _root(self, name: str) -> str:
        return f"tiny://{name}" if self.settings.tiny else str(Path(self.settings.data, name))

    def _kind(self, kind: str) -> SuiteData:
        return _opened(ImageNetKind(self._root(kind), kind, test_mode=True, serialize_data=False))

    def _street(self, table: str | None = None) -> SuiteData:
        options = dict(ann_file=table or self.table, label_mode=self.label_mode)
        dataset = DollarStreet(self._root("dollarstreet"), test_mode=True, serialize_data=False, **options)  # type: ignore[arg-type]
        return _opened(dataset, income_groups=INCOME_GROUPS)

    def _geode(self) -> SuiteData:
        dataset = GeoDE(self._root("geode"), label_mode=self.label_mode, test_mode=True, serialize_data=False)
        return _opened(dataset)

    # --- models ---

    def open_model(self, name: str, weights: str | None) -> Classifier:
        """Return a classifier of the zoo or of timm."""
        options = dict(transform=self.transform, size=self.size, workers=self.workers)
        return open_classifier(name, weights, self.settings, **options)  # type: ignore[arg-type]

    def refusal(self, model: SuiteModel, data: SuiteData) -> str:
        """Return that the classes of the model are not those of the labels, or an empty text."""
        needed, found = classes_of(data.name, self.label_mode), getattr(model, "classes", 0)
        return "" if needed == found else f"it has {found} classes, and labels of mode {self.label_mode} have {needed}"

    def read_predictions(self, folder: Path, data: SuiteData) -> list[Record] | None:
        """Return the best classes in ``<data set>.jsonl`` or ``<data set>.npz``; see :mod:`._predictions`."""
        return read_class_predictions(folder, data, classes_of(data.name, self.label_mode))

    def extras(self, model: SuiteModel, data: Mapping[str, SuiteData]) -> None:
        """Retrain the last layer, if shares are given."""
        if not self.recipe.shares or not isinstance(model, Classifier):
            return
        targets = {name: data[name] for name in tables.GEOGRAPHIC if name in data}
        if not targets or any(self.refusal(model, each) for each in targets.values()):
            return
        train = self._street("images_v2_imagenet_train.csv").first(self.settings.limit)
        retraining.retrain(model, train, targets, self.recipe, self.numbers, self.settings.out)

    # --- report ---

    def report(self, data: Mapping[str, SuiteData], results: Mapping[str, Sequence[Results]]) -> SuiteReport:
        """Return all tables, the progress plot, and a sheet of the worst images of each geographic data set."""
        scored = {name: tables.score(each, results[name], self.numbers) for name, each in data.items()}
        report = SuiteReport(notes=tables.notes_of(scored), shown=_SHOWN)
        for models in scored.values():
            for table, rule in (("accuracy", tables.accuracy_rows), ("worst", tables.worst_rows)):
                report.tables.setdefault(table, []).extend(tables.all_rows(models, rule))
            report.tables.setdefault("paired", []).extend(tables.paired_rows(models))
        for name in tables.GEOGRAPHIC:
            rows = tables.all_rows(scored.get(name, ()), tables.disparity_rows)
            report.tables.setdefault("disparity", []).extend(rows)
        report.tables["overall"] = _wide(report.tables["accuracy"], "overall")
        report.tables["regions"] = _wide(report.tables["accuracy"], "region")
        report.tables["region_income"] = _by_income(report.tables["accuracy"])
        self._add_progress(report, scored)
        self._add_worst(report, scored)
        report.tables["retraining"] = retraining.rows_in(self.settings.out)
        report.tables = {name: rows for name, rows in report.tables.items() if rows}
        return report

    def _add_progress(self, report: SuiteReport, scored: Mapping[str, Sequence[tables.Scored]]) -> None:
        """Add what many models give together: lines, ratios, effective robustness, and the plot."""
        if self.label_mode != "1k" or not scored.get("imagenet"):
            report.notes.append("no progress rates: they need the accuracy on ImageNet in label mode 1k")
            return
        for k in tables.KS:
            many = tables.Many.at(k, scored)
            if not many.keys:
                continue
            made = {
                "progress": tables.progress_rows(many, self.numbers),
                "ratio": tables.ratio_rows(many, self.numbers),
                "robustness": tables.robustness_rows(many, self.numbers),
                "progress_points": tables.point_rows(many),
            }
            for name, rows in made.items():
                report.tables.setdefault(name, []).extend(rows)
        report.images["progress"] = _plot(report.tables["progress_points"], report.tables["progress"])

    def _add_worst(self, report: SuiteReport, scored: Mapping[str, Sequence[tables.Scored]]) -> None:
        for name in tables.GEOGRAPHIC:
            models = scored.get(name, ())
            if not models:
                continue
            k = min(tables.PUBLISHED_K.get(name, 1), *(max(each.ks) for each in models))
            rows = hardest(models, k, _WORST)
            report.tables.setdefault("worst_images", []).extend(rows)
            if rows:
                squares = [captioned(thumbnail(np.asarray(read_image(row["file"]))), row) for row in rows]
                report.images[f"worst_{name}"] = contact_sheet(squares)


def _require_positive(name: str, value: int) -> None:
    if value < 1:
        raise ConfigError(f"--set {name}", expected="1 or more", found=f"{value}", advice="use 1")


def _opened(dataset: Any, **about: Any) -> SuiteData:
    """Return a data set of the registry as data of a suite."""
    meta = dataset.metainfo
    samples = [dataset.get_data_info(number) for number in range(len(dataset))]
    without = meta.get("without_file", 0)
    notes = (f"{meta['data_set']}: {without} rows without an image file, left out",) if without else ()
    facts = {key: meta[key] for key in ("regions", "competing", "border", "label_mode") if meta.get(key) is not None}
    return SuiteData(meta["data_set"], samples, {**facts, **about}, notes)


def _wide(rows: Sequence[Mapping[str, Any]], grouping: str) -> list[dict[str, Any]]:
    """Return a row for each model, with a column for each region of a data set, or for each data set."""
    wide: dict[tuple, dict[str, Any]] = {}
    for row in rows:
        is_region = grouping == "region" and row["data"] in tables.GEOGRAPHIC
        if row["grouping"] == grouping and (is_region or grouping == "overall"):
            names = ("model", "data", "label_mode", "k") if is_region else ("model", "label_mode", "k")
            head = {name: row[name] for name in names}
            each = wide.setdefault((*head.values(), row["digest"]), head)
            each[row["group"] if is_region else row["data"]] = row["accuracy"]
    return list(wide.values())


def _by_income(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return a row for each model, k and region, with accuracy and number of images of each income group."""
    wide: dict[tuple, dict[str, Any]] = {}
    for row in rows:
        if row["grouping"] == "region x income_group":
            region, _, income = row["group"].partition(" | ")
            head = {name: row[name] for name in ("model", "data", "label_mode", "k")} | {"region": region}
            empty = {name: value for each in INCOME_GROUPS for name, value in ((each, ""), (f"images {each}", 0))}
            each = wide.setdefault((*head.values(), row["digest"]), {**head, **empty})
            each |= {income: row["accuracy"], f"images {income}": row["images"]}
    return list(wide.values())


def _plot(points: Sequence[Mapping[str, Any]], lines: Sequence[Mapping[str, Any]]) -> np.ndarray:
    """Draw the accuracies at k = 1 over the ImageNet accuracy."""
    series = []
    for line in lines:
        if line["kind"] == "progress rate" and line["k"] == 1:
            own = [point for point in points if point["data"] == line["data"] and point["k"] == 1]
            x, y = ([point[name] for point in own] for name in ("imagenet", "accuracy"))
            series.append(Series(line["data"], x, y, line["slope"], line["intercept"]))
    return scatter_plot(series, x_label="ImageNet accuracy, k = 1", y_label="accuracy, k = 1")
