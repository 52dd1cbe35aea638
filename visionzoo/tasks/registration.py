"""Registration: a moving image is brought to a fixed image by a displacement field."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from visionzoo.datasets.field_files import array_bytes, field_bytes
from visionzoo.datasets.transforms.volumes import start_of_pair
from visionzoo.datasets.volume_files import has_nibabel, volume_bytes
from visionzoo.datasets.volume_pairs import Pair, read_pair
from visionzoo.errors import InputError
from visionzoo.losses.similarity import global_correlation
from visionzoo.metrics.registration import dice_of_labels, hausdorff_95, labels_of, score_pair
from visionzoo.ops.mutual_information import mutual_information
from visionzoo.ops.warp import invert, jacobian_determinant
from visionzoo.reports.registration_sheets import draw_registration
from visionzoo.structures.arrays import as_array
from visionzoo.structures.seeded import seeded_array
from visionzoo.structures.volume_grids import (
    field_on_grid,
    identity_map,
    is_identity_map,
    moved_points,
    sample,
    voxel_positions,
)
from visionzoo.tasks._base import ResultFile, Task
from visionzoo.tasks._tally import Tally
from visionzoo.tasks.inputs.volumes import VolumePair

# Measures of a result, in the order of the columns. Those without their data are empty.
MEASURES = (
    *("ncc_before", "ncc", "mi_before", "mi", "dice_before", "dice", "hd95_before", "hd95", "tre_before", "tre"),
    *("folded", "sdlogj", "sdlogj_l2r"),
)

_MI_VOXELS = 2**18


@dataclass(frozen=True)
class Registration:
    """Displacement field of one pair, and what follows from it.

    Attributes:
        pair: the images as read.
        field: (n, *S) float32 on the grid of the fixed image, in its voxels. By the affines, ``x + field(x)`` is the
            place in the fixed image's space that the moving image has at x after registration.
        field_format: format in which the field is written.

    Raises:
        InputError: a value of the field is not finite. No image should cause this.
    """

    pair: Pair
    field: np.ndarray
    field_format: str = "itk"

    def __post_init__(self) -> None:
        if not np.isfinite(self.field).all():
            raise InputError("the model returns a field that is not finite; check its weights")

    @cached_property
    def positions(self) -> np.ndarray:
        """Voxels of the moving image for each voxel of the fixed image, (n, *S)."""
        return moved_points(self.pair.by_affines, voxel_positions(self.field))

    @cached_property
    def warped(self) -> np.ndarray:
        """The moving image, sampled once, on the grid of the fixed image, (*S) float32."""
        return sample(self.pair.moving.data, self.positions)

    @cached_property
    def warped_labels(self) -> np.ndarray | None:
        """The label map of the moving image on the grid of the fixed image, by the nearest voxel."""
        return None if self.pair.labels is None else sample(self.pair.labels, self.positions, nearest=True)

    @cached_property
    def inverse(self) -> np.ndarray:
        """The field of the inverse deformation, (n, *S) float32."""
        return invert(torch.from_numpy(self.field)[None])[0].numpy()

    @cached_property
    def determinants(self) -> np.ndarray:
        """Determinants of the Jacobian of the deformation, (*S)."""
        return jacobian_determinant(torch.from_numpy(self.field)[None])[0].numpy()

    @cached_property
    def measures(self) -> dict[str, float]:
        """Measures before and after, see :func:`visionzoo.metrics.registration.score_pair`."""
        pair = self.pair
        points = None if pair.points is None or pair.fixed_points is None else (pair.fixed_points, pair.points_on_fixed)
        scores = score_pair(self.field, points=points, spacing=pair.fixed.spacing)
        scores |= _similarity(pair.fixed.data, pair.moving_on_fixed, "_before")
        scores |= _similarity(pair.fixed.data, self.warped, "")
        if pair.fixed_labels is not None and pair.labels_on_fixed is not None:
            labels = labels_of(pair.fixed_labels, pair.labels_on_fixed)
            scores |= _overlap(pair.fixed_labels, pair.labels_on_fixed, labels, pair.fixed.spacing, "_before")
            scores |= _overlap(pair.fixed_labels, self.warped_labels, labels, pair.fixed.spacing, "")
        return {name: scores[name] for name in MEASURES if name in scores}

    def above(self, threshold: float) -> Registration:
        """Return the result itself; a field has no score."""
        return self

    def to_json(self) -> dict[str, Any]:
        """Return the measures that the data allow, as plain numbers."""
        return {name: round(value, 6) for name, value in self.measures.items()}

    def to_row(self) -> dict[str, Any]:
        """Return all columns; those without a value are empty."""
        return dict.fromkeys(MEASURES, "") | self.to_json()


def _similarity(fixed: np.ndarray, moving: np.ndarray, suffix: str) -> dict[str, float]:
    """Return the correlation of all voxels, and the mutual information of a regular part of at most 262,144 voxels."""
    step = max(1, math.ceil((fixed.size / _MI_VOXELS) ** (1 / fixed.ndim)))
    part = (slice(step // 2, None, step),) * fixed.ndim
    whole, sparse = (
        [torch.from_numpy(np.array(image[chosen], np.float32))[None, None] for image in (fixed, moving)]
        for chosen in ((), part)
    )
    shared = mutual_information(sparse[0], sparse[1]).shared
    return {f"ncc{suffix}": float(global_correlation(whole[0], whole[1])), f"mi{suffix}": float(shared)}


def _overlap(
    fixed: np.ndarray, moving: np.ndarray | None, labels: Sequence[int], spacing: Sequence[float], suffix: str
) -> dict[str, float]:
    """Return the means of Dice and HD95 over the labels; a label that one map lacks has Dice 0 and no distance."""
    if not labels or moving is None:
        return {}
    distances = hausdorff_95(fixed, moving, labels, spacing)
    known = distances[~np.isnan(distances)]
    scores = {f"dice{suffix}": float(dice_of_labels(fixed, moving, labels).mean())}
    return scores | ({f"hd95{suffix}": float(known.mean())} if known.size else {})


def registration_of(pair: Pair, field: Any, grid: Any = None, field_format: str = "itk") -> Registration:
    """Return the result for a field that a model predicts on its working grid.

    Args:
        pair: the images as read.
        field: (n, *s), voxels of the working grid; it starts from the images as :attr:`Pair.to_moving` places them.
        grid: map (n, n + 1) from the working grid to that of the fixed image; None for the grid of the fixed image.
        field_format: format in which the field is written.

    Example:
        >>> pair = read_pair({"fixed": np.eye(4), "moving": np.eye(4)[::-1]})
        >>> registration_of(pair, np.zeros((2, 4, 4))).measures["folded"]
        0.0
    """
    axes, shape = pair.fixed.axes, pair.fixed.shape
    matrix = identity_map(axes) if grid is None else np.array(grid, float)
    full = field_on_grid(as_array(field, np.float32), matrix, shape)
    if not is_identity_map(pair.start, shape):  # a shift that the affines do not state becomes part of the field
        full = (moved_points(pair.start, voxel_positions(full)) - voxel_positions(np.zeros_like(full))).astype(
            np.float32
        )
    return Registration(pair, full, field_format)


def _warped_file(result: Registration, ending: str) -> bytes | None:
    own = _ending(result)
    return volume_bytes(result.warped, result.pair.fixed, own) if own == ending else None


def _labels_file(result: Registration, ending: str) -> bytes | None:
    own, labels = _ending(result), result.warped_labels
    return volume_bytes(labels, result.pair.fixed, own) if labels is not None and own == ending else None


def _ending(result: Registration) -> str:
    """Return the ending of written images: that of the fixed image, PNG for other slices."""
    ending = result.pair.fixed.ending
    return ending if ending in _WRITTEN else ".nii.gz" if ending in (".nii", ".mgh") else ".png"


def _field_file(result: Registration, ending: str, *, inverse: bool = False) -> bytes | None:
    """Return a NIfTI file; an array file where nibabel is not installed and the images need none."""
    if ending != (".nii.gz" if has_nibabel() or result.pair.fixed.header is not None else ".npz"):
        return None
    field, fixed = result.inverse if inverse else result.field, result.pair.fixed
    return array_bytes(field, fixed) if ending == ".npz" else field_bytes(field, fixed, result.field_format)


_WRITTEN = (".nii.gz", ".mgz", ".npz", ".npy", ".png")
_FIELDS = (".nii.gz", ".npz")


class RegistrationTask(Task):
    """Task of bringing a moving image to a fixed one. The result is :class:`Registration`."""

    inputs = VolumePair()
    row = staticmethod(Registration.to_row)
    files = (
        *(ResultFile("warped", "warped", ending, partial(_warped_file, ending=ending)) for ending in _WRITTEN),
        *(ResultFile("labels", "labels", ending, partial(_labels_file, ending=ending)) for ending in _WRITTEN),
        *(ResultFile("field", "fields", ending, partial(_field_file, ending=ending)) for ending in _FIELDS),
        *(
            ResultFile("inverse_field", "inverse_fields", ending, partial(_field_file, ending=ending, inverse=True))
            for ending in _FIELDS
        ),
    )
    save_best = {"reg/dice": "greater", "reg/ncc": "greater"}

    def read(self, sample: Any, size: tuple[int, ...], names: Sequence[str] | None) -> Registration:
        meta = sample.metainfo
        return registration_of(sample.gt_pair, sample.pred_field, meta.get("grid"), meta.get("field_format", "itk"))

    def draw(self, image: np.ndarray, result: Any, scale: int) -> np.ndarray:
        """Return a sheet of the registration; ``image`` is not used."""
        pair, measures = result.pair, result.measures
        shown = [
            f"{name} {measures[f'{name}_before']:.3f} to {measures[name]:.3f}"
            for name in ("ncc", "dice")
            if name in measures
        ]
        return draw_registration(
            pair.fixed.data,
            pair.moving_on_fixed,
            result.warped,
            result.field,
            result.determinants,
            affine=pair.fixed.affine,
            spacing=pair.fixed.spacing,
            title=f"{pair.name}: {', '.join(shown)}, folded {measures['folded']:.3g} %",
        )

    def tally(self, result: Registration, best: float | None) -> Tally:
        """Add the measures of a pair, and how many pairs have Dice."""
        measures = result.measures
        sums: dict[str, float] = {name: measures[name] for name in ("ncc_before", "ncc", "folded") if name in measures}
        if "dice" in measures:
            sums |= {"labelled": 1, "dice": measures["dice"], "dice_before": measures["dice_before"]}
        return Tally(sums)

    def summary(self, tally: Tally, inputs: int, threshold: str) -> str:
        """Return the means before and after."""
        sums = tally.sums
        labelled = int(sums.get("labelled", 0))
        texts = [f"NCC {sums['ncc_before'] / inputs:.3f} to {sums['ncc'] / inputs:.3f}"]
        if labelled:
            texts.append(f"Dice {sums['dice_before'] / labelled:.3f} to {sums['dice'] / labelled:.3f} (nearest voxel)")
        texts.append(f"{sums['folded'] / inputs:.3g} % of the voxels folded")
        return f"mean of {inputs} {'pair' if inputs == 1 else 'pairs'}: {', '.join(texts)}"

    def shaken(self, sample: Mapping[str, Any], index: int, seed: int, classes: int) -> dict[str, Any]:
        """Return a pair whose field is a small constant shift with noise."""
        start = start_of_pair(read_pair(sample["files"], sample["img_path"]))
        shape = start["img"][0].shape[:-1]
        field = 0.6 + 0.1 * seeded_array(seed, f"field {index}", (len(shape), *shape))
        known = {key: value for key, value in start.items() if key.startswith("gt_") or key in ("img_path", "spacing")}
        images = {"gt_fixed": start["img"][0][None, ..., 0], "gt_moving": start["img"][1][None, ..., 0]}
        return {**known, **images, "pred_field": field}

    def scores(self, samples: Sequence[Any]) -> Tensor:
        """Return the mean length of the displacements of each pair in voxels."""
        return torch.stack([sample.pred_field.square().sum(0).sqrt().mean() for sample in samples])
