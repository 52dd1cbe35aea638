"""Figures of a report on registration: overlap of labels, folds and distances of landmarks, before and after."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from visionzoo.errors import counted
from visionzoo.metrics.means import exact_mean
from visionzoo.metrics.registration import dice_of_labels, labels_of, score_pair
from visionzoo.reports.class_bars import draw_class_bars, said_rows, shown_rows
from visionzoo.reports.figure import Draft, Figure
from visionzoo.reports.plots import draw_histogram, round_edges
from visionzoo.structures.arrays import as_array


class PairEvidence(NamedTuple):
    """One tested pair.

    Attributes:
        labels: labels of both maps; empty without label maps.
        before, after: Dice of each label, warped by the nearest voxel.
        folded: percentage of folded voxels.
        errors: mean error at the landmarks before and after; None without landmarks.
        unit: unit of the errors.
        ncc: correlation of the images after registration; None if it was not needed, or without images.
    """

    labels: tuple[int, ...]
    before: tuple[float, ...]
    after: tuple[float, ...]
    folded: float
    errors: tuple[float, float] | None
    unit: str
    ncc: float | None


def evidence_of(sample: Any) -> PairEvidence:
    """Return the measures of a pair. The similarity is measured only without labels, because it takes longest."""
    maps, points, images = (
        None
        if sample.get(f"gt_fixed{kind}") is None
        else (sample.get(f"gt_fixed{kind}"), sample.get(f"gt_moving{kind}"))
        for kind in ("_labels", "_points", "")
    )
    spacing, labels, before = sample.get("spacing"), [], np.zeros(0)
    if maps is not None:
        fixed, moving = (as_array(each) for each in maps)
        labels = labels_of(fixed, moving)
        before = dice_of_labels(fixed, moving, labels)
    scores = score_pair(
        sample.get("pred_field"),
        images=None if labels else images,
        warped=sample.get("pred_warped"),
        labels=maps,
        points=points,
        spacing=spacing,
        distances=False,
        per_label=True,
    )
    after = tuple(scores[f"dice/{label}"] for label in labels)
    errors = (scores["tre_before"], scores["tre"]) if points is not None else None
    unit = "voxels" if spacing is None else "mm"
    return PairEvidence(tuple(labels), tuple(before.tolist()), after, scores["folded"], errors, unit, scores.get("ncc"))


def pair_figures(records: Sequence[PairEvidence], names: Sequence[str] | None) -> list[Draft]:
    """Return the figures of all pairs, those of labels and of landmarks if any pair has them."""
    marked = [each for each in records if each.errors is not None]
    dice = Draft("Dice of the labels before and after registration", lambda: _dice_figure(records, names))
    folds = Draft("Folded voxels of the pairs", lambda: _fold_figure(records))
    landmarks = Draft("Error at the landmarks", lambda: _landmark_figure(marked))
    return [*([dice] if any(each.labels for each in records) else []), folds, *([landmarks] if marked else [])]


def _dice_figure(records: Sequence[PairEvidence], names: Sequence[str] | None) -> Figure:
    """Return the mean Dice of each label over the pairs that have it."""
    found: dict[int, list[tuple[float, float]]] = {}
    for each in records:
        for label, *pair in zip(each.labels, each.before, each.after, strict=True):
            found.setdefault(label, []).append((pair[0], pair[1]))
    labels = sorted(found)
    means = np.array([[exact_mean(column) for column in zip(*found[label], strict=True)] for label in labels])
    texts = [names[label] if names and label < len(names) else f"label {label}" for label in labels]
    shown = shown_rows(means[:, 1])
    title = "Dice of the labels before and after registration"
    bars = {"before": means[shown, 0], "after": means[shown, 1]}
    image = draw_class_bars(title, [texts[int(row)] for row in shown], bars)
    pairs = [each for each in records if each.labels]
    overall = [
        exact_mean(exact_mean(values) for values in column) for column in zip(*((p.before, p.after) for p in pairs))
    ]
    caption = (
        f"Labels of {counted(len(pairs), 'pair')}, warped by the nearest voxel. The mean over the pairs is "
        f"{overall[0]:.4f} before and {overall[1]:.4f} after.{said_rows(len(shown), len(labels))}"
    )
    rows = [
        (text, str(len(found[label])), f"{old:.4f}", f"{new:.4f}", f"{new - old:+.4f}")
        for text, label, (old, new) in zip(texts, labels, means.tolist(), strict=True)
    ]
    return Figure("dice", title, image, caption, ("label", "pairs", "before", "after", "change"), rows)


def _fold_figure(records: Sequence[PairEvidence]) -> Figure:
    title, values = "Folded voxels of the pairs", np.array([each.folded for each in records])
    image = draw_histogram(title, "folded voxels in percent", values, round_edges(values), "pairs")
    without = int((values == 0).sum())
    caption = (
        f"Voxels with a Jacobian determinant of at most 0, of {counted(len(values), 'pair')}. The mean is "
        f"{exact_mean(values):.4g} %, the highest {values.max():.4g} %; {without} of them have none."
    )
    return Figure("folds", title, image, caption)


def _landmark_figure(records: Sequence[PairEvidence]) -> Figure:
    """Return the mean error at the landmarks of each pair, all of which have landmarks."""
    errors, unit = np.array([each.errors for each in records]), records[0].unit
    order = np.argsort(-errors[:, 1], kind="stable")[:30]
    title = f"Error at the landmarks in {unit}"
    bars = {"before": errors[order, 0], "after": errors[order, 1]}
    names = [f"pair {int(row) + 1}" for row in order]
    image = draw_class_bars(title, names, bars, high=float(errors[order].max()) * 1.05 or 1.0)
    part = f" The {len(order)} pairs with the highest errors are drawn." if len(order) < len(errors) else ""
    means = [exact_mean(column) for column in errors.T]
    caption = (
        f"Mean distance of the landmarks of {counted(len(errors), 'pair')} before and after registration. The mean is "
        f"{means[0]:.3f} before and {means[1]:.3f} {unit} after.{part}"
    )
    return Figure("landmarks", title, image, caption)
