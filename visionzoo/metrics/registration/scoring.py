"""All measures of one registered pair."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from visionzoo.errors import require_known
from visionzoo.losses.similarity import global_correlation
from visionzoo.metrics.means import exact_mean
from visionzoo.metrics.registration.deformation import count_folds, cropped, log_spread, log_spread_l2r
from visionzoo.metrics.registration.labels import (
    INTERPOLATIONS,
    dice_of_labels,
    hausdorff_95,
    labels_of,
    require_one_shape,
    warp_labels,
    whole_labels,
)
from visionzoo.metrics.registration.points import landmark_errors
from visionzoo.metrics.registration.structure import structural_similarity
from visionzoo.ops.mutual_information import mutual_information
from visionzoo.ops.warp import jacobian_determinant, warp
from visionzoo.structures.arrays import as_array
from visionzoo.structures.volume_grids import are_inside

# Labels that count in a mean: those in either map (VoxelMorph), or those in both (Learn2Reg).
LABEL_RULES = ("either", "both")

Pair = tuple[Any, Any]


def score_pair(
    field: Any,
    *,
    images: Pair | None = None,
    warped: Any = None,
    labels: Pair | None = None,
    warped_labels: Any = None,
    points: Pair | None = None,
    spacing: Sequence[float] | None = None,
    only: Sequence[int] | None = None,
    rule: str = "either",
    interpolations: Sequence[str] = ("nearest",),
    distances: bool = True,
    per_label: bool = False,
) -> dict[str, float]:
    """Return the measures of one pair, after registration, and before it with the suffix ``_before``.

    Args:
        field: (n, *S), in voxels of the fixed image.
        images: fixed and moving image, (C, *S) or (*S) each, for ``ncc``, ``ssim``, ``mi`` (bits, 32 Parzen bins).
        warped: the warped moving image; None to warp the moving image by the field.
        labels: label maps (*S) of the fixed and moving image, for ``dice`` and ``hd95``.
        warped_labels: the label map of the moving image, warped by the nearest voxel; None to warp it by the field.
        points: landmarks (N, n) of the fixed and moving image, in voxels, for ``tre``, their mean error, and
            ``tre_outside``, the percentage of fixed ones outside the grid, where the field continues as at the border.
        spacing: length of a voxel along each axis, for ``hd95`` and ``tre``; default 1, so that they are in voxels.
        only: labels to compare; default: all labels other than 0.
        rule: ``either``: a label counts if one of both maps has it, with Dice 0 if the other one lacks it. ``both``: it
            counts only if both have it.
        interpolations: ``nearest`` for ``dice`` and ``hd95``, ``onehot`` for ``dice_onehot``.
        distances: whether to compute ``hd95``, the slowest measure.
        per_label: True to add ``dice/<label>`` for each label that counts.

    Returns:
        Always ``folded`` and ``folded_interior`` in percent, ``sdlogj`` and ``sdlogj_l2r``; then the measures of the
        given values. A measure without any label that counts is missing. ``labels`` is the number of labels that count.

    Raises:
        DataError: grids differ, labels hold fractions, or points do not form pairs.
        UnknownName: an unknown rule or interpolation.

    Example:
        >>> squares = np.kron([[1, 2], [0, 3]], np.ones((4, 4), int))
        >>> scores = score_pair(np.zeros((2, 8, 8)), labels=(squares, squares))
        >>> scores["dice"], scores["hd95"], scores["folded"], scores["labels"]
        (1.0, 0.0, 0.0, 3.0)
    """
    require_known(rule, LABEL_RULES, "rule of labels")
    for name in interpolations:
        require_known(name, INTERPOLATIONS, "interpolation of labels")
    displacements = torch.from_numpy(np.ascontiguousarray(as_array(field)))[None]
    scores = _regularity(displacements)
    if images is not None:
        scores |= _similarity(images, warped, displacements)
    if labels is not None:
        maps, how = (*labels, warped_labels), dict(distances=distances, per_label=per_label)
        scores |= _labels_scores(maps, displacements, only, rule, interpolations, spacing, **how)
    if points is not None:
        scores |= _landmark_scores(points, displacements, spacing)
    return scores


def _landmark_scores(points: Pair, displacements: Tensor, spacing: Sequence[float] | None) -> dict[str, float]:
    """Return the mean errors of landmarks, and the percentage of fixed ones outside the grid."""
    errors = landmark_errors(*points, displacements[0], spacing)
    inside = are_inside(as_array(points[0], np.float64).T, displacements.shape[2:])
    return {
        "tre": exact_mean(errors),
        "tre_before": exact_mean(landmark_errors(*points, None, spacing)),
        "tre_outside": 100 * float(np.mean(~inside)),
    }


def _labels_scores(
    maps: tuple[Any, Any, Any],
    displacements: Tensor,
    only: Sequence[int] | None,
    rule: str,
    interpolations: Sequence[str],
    spacing: Sequence[float] | None,
    *,
    distances: bool,
    per_label: bool,
) -> dict[str, float]:
    """Return the overlap of label maps before registration, and after it for each interpolation."""
    fixed, moving = (whole_labels(each) for each in maps[:2])
    require_one_shape(fixed, moving)
    chosen = labels_of(fixed, moving) if only is None else [int(label) for label in only]
    before = _overlap(fixed, moving, chosen, rule, spacing, distances=distances)
    scores = {f"{name}_before": value for name, value in before.items() if name != "labels"}
    for name in interpolations:
        nearest = name == "nearest"
        given = maps[2] if nearest else None
        after = _overlap(
            fixed,
            warp_labels(moving, displacements[0], name) if given is None else whole_labels(given),
            chosen,
            rule,
            spacing,
            distances=distances and nearest,
            per_label=per_label and nearest,
        )
        scores |= after if nearest else {"dice_onehot": after["dice"]} if "dice" in after else {}
    return scores


def _regularity(field: Tensor) -> dict[str, float]:
    determinants = jacobian_determinant(field)[0].numpy()
    inside = cropped(determinants, 1).size
    return {
        "folded": 100 * count_folds(determinants) / determinants.size,
        "folded_interior": 100 * count_folds(determinants, interior=True) / inside,
        "sdlogj": log_spread(determinants),
        "sdlogj_l2r": log_spread_l2r(determinants),
    }


def _similarity(images: Pair, warped: Any, field: Tensor) -> dict[str, float]:
    fixed, moving = (_as_image(each, field) for each in images)
    moved = warp(moving, field.to(moving.dtype)) if warped is None else _as_image(warped, field)
    scores = {}
    for suffix, image in (("", moved), ("_before", moving)):
        scores[f"ncc{suffix}"] = float(global_correlation(fixed, image))
        scores[f"mi{suffix}"] = float(mutual_information(fixed, image).shared)
        scores[f"ssim{suffix}"] = structural_similarity(fixed[0], image[0])
    return scores


def _as_image(image: Any, field: Tensor) -> Tensor:
    """Return an image (C, *S) or (*S) as (1, C, *S) in float32."""
    values = torch.from_numpy(np.ascontiguousarray(as_array(image, np.float32)))
    values = values if values.ndim == field.ndim - 1 else values[None]
    require_one_shape(as_array(field[0, 0]), as_array(values[0]), "images")
    return values[None]


def _overlap(
    fixed: np.ndarray,
    moving: np.ndarray,
    labels: Sequence[int],
    rule: str,
    spacing: Sequence[float] | None,
    *,
    distances: bool,
    per_label: bool = False,
) -> dict[str, float]:
    """Return ``labels`` and the means over the labels that count; ``hd95`` is the mean over labels in both maps."""
    present = [set(labels_of(each)) | {0} for each in (fixed, moving)]
    counted = present[0] | present[1] if rule == "either" else present[0] & present[1]
    chosen = [label for label in labels if label in counted]
    scores: dict[str, float] = {"labels": float(len(chosen))}
    if not chosen:
        return scores
    dice = dict(zip(chosen, dice_of_labels(fixed, moving, chosen).tolist()))
    scores["dice"] = exact_mean(dice.values())
    if distances:
        found = hausdorff_95(fixed, moving, chosen, spacing)
        if not np.isnan(found).all():
            scores["hd95"] = exact_mean(found[~np.isnan(found)].tolist())
    return scores | ({f"dice/{label}": value for label, value in dice.items()} if per_label else {})
