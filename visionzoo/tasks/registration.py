"""Registration: a moving image is brought to a fixed image by a displacement field."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from visionzoo.datasets.affine_files import matrix_text, tfm_text
from visionzoo.datasets.field_files import array_bytes, field_bytes
from visionzoo.datasets.issues import Examined
from visionzoo.datasets.transforms.volumes import start_of_pair
from visionzoo.datasets.volume_files import WRITTEN, ending_of, has_nibabel, volume_bytes, written_ending
from visionzoo.datasets.volume_pairs import KeptVolumes, Pair, examined_pair, read_pair
from visionzoo.errors import InputError, ZooError
from visionzoo.metrics.means import exact_mean
from visionzoo.metrics.registration import score_pair
from visionzoo.ops.warp import invert, jacobian_determinant
from visionzoo.reports.figure import Draft, Figure
from visionzoo.reports.plots import empty_figure
from visionzoo.reports.registration_sheets import draw_registration
from visionzoo.reports.volume_slices import draw_slices
from visionzoo.structures.arrays import as_array
from visionzoo.structures.point_maps import FieldMap, positions_in
from visionzoo.structures.seeded import seeded_array
from visionzoo.structures.volume_grids import (
    chained,
    field_on_grid,
    identity_map,
    inverted,
    is_identity_map,
    moved_points,
    sample,
    voxel_positions,
)
from visionzoo.structures.volume_warping import interpolation_for, require_inside, values_at
from visionzoo.structures.volumes import Volume, plane_affine
from visionzoo.tasks._base import ResultFile, Task
from visionzoo.tasks._overview import Overview
from visionzoo.tasks._registration_figures import PairEvidence, evidence_of, pair_figures
from visionzoo.tasks._tally import Tally
from visionzoo.tasks.inputs.volumes import VolumePair

# Measures of a result, in the order of the columns. Those without their data are empty.
MEASURES = (
    *(f"{name}{suffix}" for name in ("ncc", "mi", "ssim", "dice", "hd95", "tre") for suffix in ("_before", "")),
    *("folded", "sdlogj", "sdlogj_l2r"),
)


@dataclass(frozen=True)
class Registration:
    """Displacement field of one pair, and what follows from it.

    Attributes:
        pair: the images as read.
        field: (n, *S) float32 on the grid of the fixed image, in its voxels. By the affines, ``x + field(x)`` is the
            place in the fixed image's space that the moving image has at x after registration.
        field_format: format in which the field is written.
        affine: (n, n + 1), the affine part in millimetres RAS, from the space of the fixed to that of the moving image;
            None for a model without one. ``field`` includes it.
        known_inverse: (n, *S), the field of the inverse map, if the model computes it; None to invert ``field``.

    Raises:
        InputError: a value of the field is not finite. No image should cause this.
    """

    pair: Pair
    field: np.ndarray
    field_format: str = "itk"
    affine: np.ndarray | None = None
    known_inverse: np.ndarray | None = None

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
        if self.known_inverse is not None:
            return self.known_inverse
        return invert(torch.from_numpy(self.field)[None])[0].numpy()

    @cached_property
    def also(self) -> dict[str, tuple[np.ndarray, Volume]]:
        """Further images on the grid of the fixed image by the name of their file, each with its volume."""
        found = {}
        for name, volume, interp in self.pair.also:
            try:
                found[name] = (self._warped(volume, interp), volume)
            except ZooError as error:
                raise error.at(f"--also {name}", InputError) from error
        return found

    def _warped(self, volume: Volume, interp: str) -> np.ndarray:
        if self.pair.moving.affine is None:  # the moving image is placed voxel by voxel, and so are its companions
            volume = replace(volume, affine=None)
        positions = positions_in(volume, [FieldMap(self.field, self.pair.fixed)], self.pair.fixed, lambda text: None)
        require_inside(positions, volume.shape)
        return values_at(volume.data, positions, interpolation_for(volume.data, interp))

    @cached_property
    def determinants(self) -> np.ndarray:
        """Determinants of the Jacobian of the deformation, (*S)."""
        return jacobian_determinant(torch.from_numpy(self.field)[None])[0].numpy()

    @cached_property
    def measures(self) -> dict[str, float]:
        """Measures before and after, see :func:`visionzoo.metrics.registration.score_pair`."""
        pair = self.pair
        labels, points = (
            None if fixed is None or moving is None else (fixed, moving)
            for fixed, moving in ((pair.fixed_labels, pair.labels_on_fixed), (pair.fixed_points, pair.points_on_fixed))
        )
        scores = score_pair(
            self.field,
            images=(pair.fixed.data, pair.moving_on_fixed),
            warped=self.warped,
            labels=labels,
            warped_labels=self.warped_labels,
            points=points,
            spacing=pair.fixed.spacing,
        )
        return {name: scores[name] for name in MEASURES if name in scores}

    def above(self, threshold: float) -> Registration:
        """Return the result itself; a field has no score."""
        return self

    def to_json(self) -> dict[str, Any]:
        """Return the measures that the data allow, as plain numbers, and the notes about the images."""
        return self._rounded() | ({"notes": list(self.pair.notes)} if self.pair.notes else {})

    def to_row(self) -> dict[str, Any]:
        """Return all columns; those without a value are empty."""
        return dict.fromkeys(MEASURES, "") | self._rounded()

    def _rounded(self) -> dict[str, float]:
        return {name: round(value, 6) for name, value in self.measures.items()}


def registration_of(
    pair: Pair, field: Any, grid: Any = None, field_format: str = "itk", *, affine: Any = None, inverse: Any = None
) -> Registration:
    """Return the result for what a model predicts on its working grid.

    Args:
        pair: the images as read.
        field: (n, *s), voxels of the working grid; it starts from the images as :attr:`Pair.to_moving` places them.
        grid: map (n, n + 1) from the working grid to that of the fixed image; None for the grid of the fixed image.
        field_format: format in which the field is written.
        affine: (n, n + 1), the affine part of the field in voxels of the working grid; None for a model without one.
        inverse: (n, *s), the field of the inverse map; None to invert ``field``.

    Example:
        >>> pair = read_pair({"fixed": np.eye(4), "moving": np.eye(4)[::-1]})
        >>> registration_of(pair, np.zeros((2, 4, 4))).measures["folded"]
        0.0
    """
    axes, shape = pair.fixed.axes, pair.fixed.shape
    matrix = identity_map(axes) if grid is None else np.array(grid, float)
    full = field_on_grid(as_array(field, np.float32), matrix, shape)
    back = None if inverse is None else field_on_grid(as_array(inverse, np.float32), matrix, shape)
    if not is_identity_map(pair.start, shape):  # a shift that the affines do not state becomes part of the field
        full = _displacements(moved_points(pair.start, voxel_positions(full)))
        back = None if back is None else _before_shift(back, pair)
    return Registration(pair, full, field_format, _in_space(affine, matrix, pair), back)


def _displacements(positions: np.ndarray) -> np.ndarray:
    return (positions - voxel_positions(np.zeros_like(positions))).astype(np.float32)


def _before_shift(inverse: np.ndarray, pair: Pair) -> np.ndarray:
    """Return the inverse of the map that applies the start of the pair last."""
    grid = Volume(pair.fixed.data)
    return _displacements(
        FieldMap(inverse, grid)(moved_points(inverted(pair.start), voxel_positions(np.zeros_like(inverse))))
    )


def _in_space(affine: Any, grid: np.ndarray, pair: Pair) -> np.ndarray | None:
    """Return an affine map of the voxels of a working grid as a map of millimetres RAS."""
    if affine is None:
        return None
    axes = pair.fixed.axes
    to_space = plane_affine(pair.fixed.affine, axes)[:axes]
    in_voxels = chained(pair.start, chained(chained(grid, as_array(affine, np.float64)), inverted(grid)))
    return chained(chained(to_space, in_voxels), inverted(to_space))


def _warped_file(result: Registration, ending: str) -> bytes | None:
    own = _ending(result)
    return volume_bytes(result.warped, result.pair.fixed, own) if own == ending else None


def _labels_file(result: Registration, ending: str) -> bytes | None:
    own, labels = _ending(result), result.warped_labels
    return volume_bytes(labels, result.pair.fixed, own) if labels is not None and own == ending else None


def _ending(result: Registration) -> str:
    """Return the ending of written images: that of the fixed image, PNG for other slices."""
    return written_ending(result.pair.fixed.ending)


def _also_files(result: Registration) -> dict[str, bytes]:
    """Return the further images, each in the kind of its file, with the header of the fixed image if it fits."""
    fixed = result.pair.fixed
    return {
        name: volume_bytes(values, replace(volume, affine=fixed.affine, header=fixed.header), ending_of(name))
        for name, (values, volume) in result.also.items()
    }


def _affine_file(result: Registration, text: Callable[[np.ndarray], str]) -> bytes | None:
    return None if result.affine is None else text(result.affine).encode()


def _field_file(result: Registration, ending: str, *, inverse: bool = False) -> bytes | None:
    """Return a NIfTI file; an array file where nibabel is not installed and the images need none."""
    if ending != (".nii.gz" if has_nibabel() or result.pair.fixed.header is not None else ".npz"):
        return None
    field, fixed = result.inverse if inverse else result.field, result.pair.fixed
    return array_bytes(field, fixed) if ending == ".npz" else field_bytes(field, fixed, result.field_format)


_VOLUMES = KeptVolumes(256 * 10**6)  # volumes that several pairs of a checked data set share
_FIELDS = (".nii.gz", ".npz")


class RegistrationTask(Task):
    """Task of bringing a moving image to a fixed one. The result is :class:`Registration`."""

    inputs = VolumePair()
    images = ("overlay",)  # the sheet shows the inputs too
    row = staticmethod(Registration.to_row)
    files = (
        *(ResultFile("warped", "warped", ending, partial(_warped_file, ending=ending)) for ending in WRITTEN),
        *(ResultFile("labels", "labels", ending, partial(_labels_file, ending=ending)) for ending in WRITTEN),
        *(ResultFile("field", "fields", ending, partial(_field_file, ending=ending)) for ending in _FIELDS),
        *(
            ResultFile("inverse_field", "inverse_fields", ending, partial(_field_file, ending=ending, inverse=True))
            for ending in _FIELDS
        ),
        ResultFile("affine", "affines", ".tfm", partial(_affine_file, text=tfm_text)),
        ResultFile("affine_matrix", "affines", ".txt", partial(_affine_file, text=matrix_text)),
        ResultFile("also", "also", "", _also_files),
    )
    save_best = {"reg/dice": "greater", "reg/ncc": "greater"}
    lower_is_better = ("hd95*", "tre*", "folded*", "sdlogj*")
    unranked = ("*_before", "labels", "pairs", "tre_outside")
    error_text = "1 less the mean Dice of the labels, without labels 1 less the correlation of the images"

    def read(self, sample: Any, size: tuple[int, ...], names: Sequence[str] | None) -> Registration:
        """Return the result. The inverse field of the model is used if the model states its affine part exactly."""
        meta, affine = sample.metainfo, sample.get("pred_affine")
        result = registration_of(
            sample.gt_pair,
            sample.pred_field,
            meta.get("grid"),
            meta.get("field_format", "itk"),
            affine=affine,
            inverse=None if affine is None else sample.pred_inverse_field,
        )
        _ = result.also  # a file of another space is an error of this pair, before anything is written
        return result

    def graph(self, model: nn.Module) -> Any:
        from visionzoo.graphs.registration_pairs import pair_form

        return pair_form(model)

    def truth(self, sample: Any, size: tuple[int, ...], names: Sequence[str] | None) -> Registration | None:
        """Return None: no true field is known. A result is compared to the fixed image and its labels."""
        return None

    def fed(self, images: np.ndarray, sample: Any) -> np.ndarray:
        """Return slices of the fixed and the moving image with the outlines of their labels."""
        shape = images.shape[2:]
        pair = images.reshape(-1, *shape)[:2]  # the images, whether they are two inputs or channels of one
        labels = [sample.get(f"gt_{name}_labels") for name in ("fixed", "moving")]
        drawn = [None if each is None or tuple(each.shape) != shape else as_array(each) for each in labels]
        return draw_slices(list(pair), drawn, ("fixed", "moving"), sample.metainfo.get("spacing") or ())

    def examined(
        self, record: Mapping[str, Any], size: tuple[int, int] | None, names: Sequence[str] | None
    ) -> Examined:
        return examined_pair(record, _VOLUMES)

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

    def said(self, result: Registration) -> str:
        """Return the measures before and after, and how labels were warped."""
        measures = result.measures
        texts = [f"{name.upper()} {measures[f'{name}_before']:.3f} to {measures[name]:.3f}" for name in ("ncc", "mi")]
        if "dice" in measures:
            before, after = measures["dice_before"], measures["dice"]
            texts.append(f"Dice {before:.3f} to {after:.3f} (labels by the nearest voxel)")
            if after < before:
                texts.append(
                    "labels overlap less than before: look at the sheet; other contrasts need mutual_information"
                )
        if "tre" in measures:
            texts.append(f"error at the landmarks {measures['tre_before']:.2f} to {measures['tre']:.2f} mm")
        texts.append(f"{measures['folded']:.3g} % of the voxels folded")
        for name, volume, interp in result.pair.also:
            texts.append(f"{name} {interpolation_for(volume.data, interp)}")
        return ", ".join(texts)

    def overview(self, result: Registration) -> Overview:
        """Return the measures after registration, those that are stated first in front."""
        after = {name: value for name, value in result.measures.items() if not name.endswith("_before")}
        first = [name for name in ("dice", "ncc", "folded") if name in after]
        return Overview({name: after[name] for name in [*first, *after]}, text=self.said(result))

    def tally(self, result: Registration, best: float | None) -> Tally:
        """Add the measures of a pair, and how many pairs have Dice."""
        measures = result.measures
        sums: dict[str, float] = {name: measures[name] for name in ("ncc_before", "ncc", "folded") if name in measures}
        if "dice" in measures:
            sums |= {"labelled": 1, "dice": measures["dice"], "dice_before": measures["dice_before"]}
        return Tally(sums)

    def summary(self, tally: Tally, inputs: int, threshold: str) -> str:
        """Return the means before and after; nothing for one pair, whose measures are printed already."""
        if inputs == 1:
            return ""
        sums = tally.sums
        labelled = int(sums.get("labelled", 0))
        texts = [f"NCC {sums['ncc_before'] / inputs:.3f} to {sums['ncc'] / inputs:.3f}"]
        if labelled:
            texts.append(f"Dice {sums['dice_before'] / labelled:.3f} to {sums['dice'] / labelled:.3f} (nearest voxel)")
        texts.append(f"{sums['folded'] / inputs:.3g} % of the voxels folded")
        return f"mean of {inputs} pairs: {', '.join(texts)}"

    def evidence(self, sample: Any, names: Sequence[str] | None) -> PairEvidence:
        """Return folds of the pair, overlaps if it has labels, and errors if it has landmarks."""
        return evidence_of(sample)

    def figures(self, records: Sequence[PairEvidence], names: Sequence[str] | None) -> Sequence[Figure | Draft]:
        """Return Dice by label before and after, folds, and errors at landmarks."""
        if not records:
            return [empty_figure("folds", "Folded voxels", "No pair was tested.")]
        return pair_figures(records, names)

    def error(self, sample: Any, names: Sequence[str] | None) -> float | None:
        """Return 1 less the mean Dice of the labels; without labels 1 less the correlation of the images."""
        found = self.evidence(sample, names)
        if found.labels:
            return 1 - exact_mean(found.after)
        return None if found.ncc is None else 1 - found.ncc

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
