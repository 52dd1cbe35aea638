"""Tables of the suite geo-shift: from the records of all models to accuracies, disparities, progress and worst groups.

Every row has the label mode and k. Numbers of different label modes or of different k are never fitted together.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any

import numpy as np

from visionzoo.errors import DataError
from visionzoo.metrics.geo_shift import (
    Group,
    Interval,
    Resamples,
    best_worst,
    correct_at,
    country_gap,
    crossed,
    effective_robustness,
    europe_africa,
    fit_line,
    groups_of,
    interval_of,
    note_on_empty,
    padded_labels,
    paired_difference,
    progress_gap,
    progress_ratio,
)
from visionzoo.metrics.geo_shift.disparities import spread
from visionzoo.metrics.geo_shift.groups import QUANTILES, sides
from visionzoo.suites._base import Results, Rows, SuiteData

GEOGRAPHIC = ("dollarstreet", "geode")
KS = (1, 5)
PUBLISHED_K = {"dollarstreet": 5}  # k of the published disparities; 1 for all other data sets
_KEPT = ("overall", "region", "country")  # groupings whose resamples several tables use
NONE = Interval(float("nan"), float("nan"))


@dataclass(frozen=True)
class Settings:
    """Settings of the numbers.

    Attributes:
        label_mode: ``1k`` or ``original``.
        repeats, seed: of the bootstrap.
        least_images: a country with fewer images does not count.
        not_baseline: patterns of models that effective robustness does not use as baseline.
        against: name of the model that all others are compared with; None for the best one of each data set.
    """

    label_mode: str = "1k"
    repeats: int = 1000
    seed: int = 0
    least_images: int = 10
    not_baseline: tuple[str, ...] = ("*clip*",)
    against: str | None = None


@dataclass
class Scored:
    """One model on one data set.

    Attributes:
        model, digest: the model.
        data: the data set.
        correct: (N, 5) bool, correct@1 to correct@5; fewer columns if the model has fewer classes.
        scores: (N,) probability of the best class.
        resamples: those of the data set, the same for all models.
    """

    model: str
    digest: str
    data: SuiteData
    correct: np.ndarray
    scores: np.ndarray
    resamples: Resamples
    settings: Settings
    _drawn: dict[tuple, np.ndarray] = field(default_factory=dict, repr=False)

    @property
    def ks(self) -> tuple[int, ...]:
        """Values of k that are reported."""
        return tuple(k for k in KS if k <= self.correct.shape[1] and (k == 1 or self.data.name != "objectnet"))

    def head(self, k: int) -> dict[str, Any]:
        """Return the first columns of every row."""
        about = {"model": self.model, "digest": self.digest, "data": self.data.name}
        return {**about, "label_mode": self.settings.label_mode, "k": k}

    def at(self, k: int) -> np.ndarray:
        """Return correct@k, (N,) bool."""
        return self.correct[:, k - 1]

    def of(self, grouping: str) -> list[str]:
        """Return the group of each image: ``overall``, ``region``, ``income_group``, ``country``, ``class``, or two."""
        samples = self.data.samples
        if grouping == "overall":
            return ["all"] * len(samples)
        if grouping == "class":
            return [str(sample["classes"][0]) for sample in samples]
        if grouping == "region x income_group":
            return crossed(self.of("region"), self.of("income_group"))
        return [str(sample.get(grouping, "")) for sample in samples]

    def names(self, grouping: str) -> list[str] | None:
        """Return all groups of a grouping that has a fixed list of them."""
        key = {"region": "regions", "income_group": "income_groups"}.get(grouping, "")
        return [*self.data.about[key]] if key in self.data.about else None

    @property
    def groupings(self) -> tuple[str, ...]:
        """Groupings of the table of accuracies."""
        if self.data.name not in GEOGRAPHIC:
            return ("overall",)
        income = ("income_group", "region x income_group") if self.data.about.get("income_groups") else ()
        return ("overall", "region", *income, "country", "class")

    def groups(self, grouping: str, k: int) -> list[Group]:
        """Return the accuracies of a grouping."""
        return groups_of(self.at(k), self.of(grouping), self.names(grouping))

    def resampled(self, grouping: str, k: int, only: str | None = None) -> np.ndarray:
        """Return the accuracy of each group in each resample; of one group with ``only``."""
        key = grouping, k, only
        if key not in self._drawn:
            names = [only] if only is not None else [group.name for group in self.groups(grouping, k)]
            codes = {name: code for code, name in enumerate(names)}
            of = [codes.get(name, -1) for name in self.of(grouping)]
            drawn = self.resamples.accuracies(self.at(k), of, len(names))
            if grouping not in _KEPT:
                return drawn
            self._drawn[key] = drawn
        return self._drawn[key]

    def overall(self, k: int) -> np.ndarray:
        """Return the accuracy in each resample."""
        return self.resampled("overall", k)[:, 0]


def score(data: SuiteData, results: Sequence[Results], settings: Settings) -> list[Scored]:
    """Return the models of a data set with their correct images.

    Raises:
        DataError: an image has no label, or a record has no predictions.
    """
    ids = data.ids
    labels = padded_labels([sample["gt_labels"] for sample in data.samples], ids)
    units = [str(sample.get("household", sample["id"])) for sample in data.samples]
    resamples = Resamples(units, repeats=settings.repeats, seed=settings.seed)
    scored = []
    for each in results:
        width = min(len(record["top"]) for record in each.records)
        top = np.array([record["top"][:width] for record in each.records])
        best = np.array([(record.get("score") or [float("nan")])[0] for record in each.records])
        scored.append(Scored(each.model, each.digest, data, correct_at(top, labels), best, resamples, settings))
    return scored


def _ends(interval: Interval) -> dict[str, float]:
    return {"low": interval.low, "high": interval.high}


# --- one model and data set ---


def accuracy_rows(scored: Scored) -> Iterator[dict[str, Any]]:
    """Yield a row for each group: number of images, accuracy and its interval."""
    for k in scored.ks:
        for grouping in scored.groupings:
            groups, drawn = scored.groups(grouping, k), scored.resampled(grouping, k)
            for group, column in zip(groups, drawn.T, strict=True):
                numbers = {"images": group.images, "accuracy": group.accuracy, **_ends(interval_of(column))}
                yield {**scored.head(k), "grouping": grouping, "group": group.name, **numbers}


def disparity_rows(scored: Scored) -> Iterator[dict[str, Any]]:
    """Yield both disparities of regions, and the gap of countries at each share."""
    for k in scored.ks:
        regions, drawn = scored.groups("region", k), scored.resampled("region", k)
        extremes = best_worst(regions)
        ends = _ends(interval_of(spread(drawn)))
        about = {"best": extremes.high, "worst": extremes.low, "left_out": ""}
        yield {**scored.head(k), "definition": "best - worst region", "value": extremes.value, **ends, **about}
        pair = europe_africa(regions)
        at = {group.name.lower(): column for group, column in zip(regions, drawn.T, strict=True)}
        ends = _ends(interval_of(at["europe"] - at["africa"]))
        about = {"best": pair.high, "worst": pair.low, "left_out": ""}
        yield {**scored.head(k), "definition": "Europe - Africa", "value": pair.value, **ends, **about}
        yield from _country_rows(scored, k)


def _country_rows(scored: Scored, k: int) -> Iterator[dict[str, Any]]:
    countries, drawn = scored.groups("country", k), scored.resampled("country", k)
    least = scored.settings.least_images
    counted = [at for at, country in enumerate(countries) if country.images >= max(1, least)]
    for share in QUANTILES:
        gap = country_gap(countries, share, least)
        interval = interval_of(_resampled_gap(drawn[:, counted], share)) if counted else NONE
        text = f"{gap.left_out} countries below {least} images, {gap.countries} count"
        about = {"best": ", ".join(gap.best), "worst": ", ".join(gap.worst), "left_out": text}
        definition = f"countries, best - worst {round(100 * share)} %"
        yield {**scored.head(k), "definition": definition, "value": gap.gap, **_ends(interval), **about}


def _resampled_gap(accuracies: np.ndarray, share: float) -> np.ndarray:
    with np.errstate(invalid="ignore"):
        best, worst = sides(accuracies, share)
        return _masked_mean(accuracies, best) - _masked_mean(accuracies, worst)


def _masked_mean(values: np.ndarray, mask: np.ndarray) -> np.ndarray:
    counts = mask.sum(axis=1)
    sums = np.where(mask, values, 0.0).sum(axis=1)
    return np.where(counts > 0, sums / np.maximum(counts, 1), np.nan)


def worst_rows(scored: Scored) -> Iterator[dict[str, Any]]:
    """Yield the worst region and the worst class at each k."""
    for k in scored.ks:
        for grouping in ("region", "class") if scored.data.name in GEOGRAPHIC else ("class",):
            there = [group for group in scored.groups(grouping, k) if group.images]
            worst = min(there, key=lambda group: group.accuracy)
            interval = interval_of(scored.resampled(grouping, k, only=worst.name)[:, 0])
            numbers = {"images": worst.images, "accuracy": worst.accuracy, **_ends(interval)}
            yield {**scored.head(k), "worst": grouping, "group": worst.name, **numbers}


# --- several models on one data set ---


def paired_rows(models: Sequence[Scored]) -> Iterator[dict[str, Any]]:
    """Yield the difference of each model to the reference: the named one, else the best one of the data set."""
    for k in KS:
        able = [each for each in models if k in each.ks]
        if len(able) < 2:
            continue
        named = [each for each in able if each.model == each.settings.against]
        against = named[0] if named else max(able, key=lambda each: each.at(k).mean())
        for each in able:
            if each is not against:
                found = paired_difference(each.at(k), against.at(k), each.resamples)
                numbers = {"difference": found.difference, **_ends(found.interval), "share_above": found.share_above}
                yield {**each.head(k), "against": against.model, "images": found.images, **numbers}


# --- many models on many data sets ---


def require_one_protocol(rows: Sequence[Mapping[str, Any]]) -> None:
    """Raise an error unless all rows have one label mode and one k.

    Raises:
        DataError: top-5 of 40 classes is much easier than of 1000, so such numbers are never fitted together.

    Example:
        >>> require_one_protocol([{"label_mode": "1k", "k": 1}, {"label_mode": "1k", "k": 1}])
    """
    for name in ("label_mode", "k"):
        values = sorted({str(row[name]) for row in rows})
        if len(values) > 1:
            expected, advice = f"rows of one {name}", "choose the rows of one of them"
            raise DataError("table", expected=expected, found=", ".join(values), advice=advice)


@dataclass
class Many:
    """All models at one k.

    Attributes:
        k: of all accuracies.
        models: by data set, the models.
    """

    k: int
    models: dict[str, dict[str, Scored]] = field(default_factory=dict)

    @classmethod
    def at(cls, k: int, scored: Mapping[str, Sequence[Scored]]) -> Many:
        """Return the models that have results at k; a model with other weights is another model."""
        found = {
            name: {f"{each.model}.{each.digest}": each for each in models if k in each.ks}
            for name, models in scored.items()
        }
        require_one_protocol([each.head(k) for models in found.values() for each in models.values()])
        return cls(k, found)

    @property
    def keys(self) -> list[str]:
        """Models with an ImageNet accuracy."""
        return sorted(self.models.get("imagenet", {}))

    @property
    def others(self) -> list[str]:
        """Data sets other than ImageNet with at least one model."""
        return [name for name, models in self.models.items() if name != "imagenet" and models]

    def accuracy(self, data: str) -> np.ndarray:
        """Return the accuracy of each model of ``keys``; nan without results."""
        there = self.models[data]
        return np.array([there[key].at(self.k).mean() if key in there else np.nan for key in self.keys])

    def disparity(self, data: str, definition: str) -> np.ndarray:
        """Return a disparity of each model of ``keys``."""
        rule = best_worst if definition == "best - worst region" else europe_africa
        there = self.models[data]
        return np.array(
            [rule(there[key].groups("region", self.k)).value if key in there else np.nan for key in self.keys]
        )

    def head(self) -> dict[str, Any]:
        """Return the columns of every row."""
        first = next(each for models in self.models.values() for each in models.values())
        return {"label_mode": first.settings.label_mode, "k": self.k}


def progress_rows(many: Many, settings: Settings) -> Iterator[dict[str, Any]]:
    """Yield lines of accuracies and of disparities on the ImageNet accuracy; intervals by drawing models."""
    x = many.accuracy("imagenet")
    draws = _model_draws(len(x), settings)
    for data in many.others:
        curves = {"progress rate": many.accuracy(data)}
        if data in GEOGRAPHIC:
            for definition in ("best - worst region", "Europe - Africa"):
                curves[f"disparity trend, {definition}"] = many.disparity(data, definition)
        for kind, y in curves.items():
            line = fit_line(x, y)
            ends = _ends(interval_of(_slopes(x, y, draws)))
            numbers = {"slope": line.slope, **ends, "intercept": line.intercept, "r": line.r, "r2": line.r2}
            yield {"data": data, **many.head(), "kind": kind, "models": line.models, **numbers}


def ratio_rows(many: Many, settings: Settings) -> Iterator[dict[str, Any]]:
    """Yield progress ratio and gap of each standard data set and each geographic one."""
    x = many.accuracy("imagenet")
    draws = _model_draws(len(x), settings)
    for geographic in [name for name in many.others if name in GEOGRAPHIC]:
        low = many.accuracy(geographic)
        for standard in [name for name in many.others if name not in GEOGRAPHIC]:
            high = many.accuracy(standard)
            lines = fit_line(x, high), fit_line(x, low)
            slopes = _slopes(x, high, draws), _slopes(x, low, draws)
            with np.errstate(divide="ignore", invalid="ignore"):
                ratios = np.where(slopes[1] != 0, slopes[0] / slopes[1], np.nan)
            ratio, gap = interval_of(ratios), interval_of(slopes[0] - slopes[1])
            numbers = {"ratio": progress_ratio(*lines), "ratio_low": ratio.low, "ratio_high": ratio.high}
            numbers |= {"gap": progress_gap(*lines), "gap_low": gap.low, "gap_high": gap.high}
            yield {"standard": standard, "geographic": geographic, **many.head(), "models": lines[1].models, **numbers}


def robustness_rows(many: Many, settings: Settings) -> Iterator[dict[str, Any]]:
    """Yield the effective robustness of each model on each data set; intervals by drawing images."""
    keys = many.keys
    imagenet = [many.models["imagenet"][key] for key in keys]
    is_baseline = np.array([not any(fnmatchcase(each.model, p) for p in settings.not_baseline) for each in imagenet])
    x, drawn_x = many.accuracy("imagenet"), np.stack([each.overall(many.k) for each in imagenet])
    for data in many.others:
        there, none = many.models[data], np.full(settings.repeats, np.nan)
        found = effective_robustness(x, many.accuracy(data), is_baseline)
        drawn_y = np.stack([there[key].overall(many.k) if key in there else none for key in keys])
        drawn = np.array([effective_robustness(a, b, is_baseline) for a, b in zip(drawn_x.T, drawn_y.T, strict=True)])
        for at, each in enumerate(imagenet):
            if keys[at] in there:
                numbers = {"value": float(found[at]), **_ends(interval_of(drawn[:, at]))}
                about = {"model": each.model, "digest": each.digest, "data": data, **many.head()}
                yield {**about, "baseline": bool(is_baseline[at]), **numbers}


def point_rows(many: Many) -> Iterator[dict[str, Any]]:
    """Yield the points of the progress plot."""
    x = many.accuracy("imagenet")
    for data in many.others:
        for key, here, there in zip(many.keys, x, many.accuracy(data), strict=True):
            model = many.models["imagenet"][key]
            yield {"model": model.model, "digest": model.digest, "data": data, **many.head(), "imagenet": here} | {
                "accuracy": float(there)
            }


def _model_draws(models: int, settings: Settings) -> np.ndarray:
    return np.random.default_rng(settings.seed).integers(models, size=(settings.repeats, models))


def _slopes(x: np.ndarray, y: np.ndarray, draws: np.ndarray) -> np.ndarray:
    """Return the slope of the line in each draw of models; nan for a draw with fewer than two different models."""
    return np.array([fit_line(x[draw], y[draw]).slope for draw in draws])


def notes_of(scored: Mapping[str, Sequence[Scored]]) -> list[str]:
    """Return notes on regions and incomes without images."""
    notes = []
    for data, models in scored.items():
        for grouping in ("region", "income_group"):
            if models and models[0].names(grouping):
                notes.append(note_on_empty(models[0].groups(grouping, 1), f"{data}: {grouping}"))
    return [note for note in notes if note]


def all_rows(models: Sequence[Scored], rows: Any) -> Rows:
    """Return the rows of all models of one data set."""
    return [row for each in models for row in rows(each)]
