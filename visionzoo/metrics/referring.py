"""IoU of masks that phrases mean: the numbers of RefCOCO, and those of gRefCOCO with phrases that mean nothing.

Papers report either oIoU or mIoU as "IoU". Both are always measured.

The numbers of gRefCOCO are defined as in its authors' code, github.com/henghuiding/ReLA at commit 884ef17,
gres_model/evaluation/refer_evaluation.py. Earlier commits of that file, and numbers measured with them, have another
T-acc. It compares masks of 480 x 480 pixels (``eval_size="input"`` here) and has a separate output for "nothing". The
least number of pixels replaces this output for other models; it is not in that code.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from mmengine.evaluator import BaseMetric
from PIL import Image

from visionzoo.allowed import Index
from visionzoo.errors import DataError, require_known
from visionzoo.metrics.meaning import ERROR_SHARE, SHARE, Meaning
from visionzoo.metrics.means import exact_mean
from visionzoo.metrics.required import required, sample_name
from visionzoo.registry import METRICS
from visionzoo.structures.arrays import as_array

PROTOCOLS = ("refcoco", "grefcoco")
EVAL_SIZES = ("original", "input")
PRECISIONS = {"refcoco": (0.5, 0.6, 0.7, 0.8, 0.9), "grefcoco": (0.7, 0.8, 0.9)}

# Thresholds of the two kinds of errors: below the first, a prediction is of something else (PN, our threshold); from
# the second to the third, parts are missing (IP).
_OTHER, _PARTS = 0.1, (0.5, 0.8)


@dataclass(frozen=True)
class Overlap:
    """Pixels of one predicted and one true mask.

    Attributes:
        both: number of pixels in both masks.
        either: number of pixels in one of the masks, or in both.
        target: number of pixels of the true mask.
        found: number of pixels of the predicted mask.

    Example:
        >>> overlap_of([[1, 1, 0]], [[0, 1, 1]]).iou
        0.3333333333333333
    """

    both: int
    either: int
    target: int
    found: int

    @property
    def iou(self) -> float:
        """Intersection over union; 0 if both masks are empty."""
        return self.both / self.either if self.either else 0.0


def overlap_of(prediction: Any, truth: Any, *, least_pixels: int = 0, where: str = "pair") -> Overlap:
    """Compare two masks.

    Args:
        prediction, truth: (H, W); nonzero pixels are in the mask.
        least_pixels: a prediction with fewer pixels counts as empty.
        where: name of the pair in errors.

    Raises:
        DataError: the masks differ in size.
    """
    found, target = as_array(prediction) != 0, as_array(truth) != 0
    if found.shape != target.shape:
        raise DataError(
            where,
            expected=f"a predicted mask of {target.shape} (height, width), as the true one",
            found=f"{found.shape}",
            advice="load the truth after all changes of geometry, so that both have the pixels of the original image",
        )
    if found.sum() < least_pixels:
        found = np.zeros_like(found)
    counts = (np.count_nonzero(each) for each in (found & target, found | target, target, found))
    return Overlap(*map(int, counts))


def scores_of(overlaps: Iterable[Overlap], protocol: str = "refcoco") -> dict[str, float]:
    """Return the numbers of a data set, from 0 to 1. They do not depend on the order of the overlaps.

    Args:
        overlaps: one overlap for each phrase, at least one.
        protocol: ``refcoco``: ``oIoU``, the sum of all intersections over the sum of all unions; ``mIoU``, the mean;
            ``P@0.5`` to ``P@0.9``, the share of phrases with at least this IoU; ``PN`` and ``IP``, the shares with an
            IoU below 0.1, and from 0.5 to 0.8. ``grefcoco``: ``gIoU``, a mean in which a phrase that means nothing has
            IoU 1 if nothing is found, else 0; ``cIoU``, as ``oIoU``, so that a mask for such a phrase adds to the
            unions; ``P@0.7`` to ``P@0.9`` and ``T-acc``, the share with a mask, of phrases that mean something;
            ``N-acc``, the share without a mask, of all others. Numbers without such phrases are left out.

    Raises:
        UnknownName: no such protocol.

    Example:
        >>> scores_of([Overlap(8, 10, 9, 9), Overlap(0, 30, 20, 10)])["mIoU"]
        0.4
    """
    require_known(protocol, PROTOCOLS, "protocol of referring segmentation")
    listed = list(overlaps)
    return _of_refcoco(listed) if protocol == "refcoco" else _of_grefcoco(listed)


def _of_refcoco(overlaps: Sequence[Overlap]) -> dict[str, float]:
    ious = [each.iou for each in overlaps]
    scores = {"oIoU": _pooled(overlaps), "mIoU": exact_mean(ious)}
    scores |= _precisions(ious, "refcoco")
    scores["PN"] = _share(iou < _OTHER for iou in ious)
    scores["IP"] = _share(_PARTS[0] <= iou <= _PARTS[1] for iou in ious)
    return scores | {"phrases": float(len(ious))}


def _of_grefcoco(overlaps: Sequence[Overlap]) -> dict[str, float]:
    meant = [each for each in overlaps if each.target]
    empty = [each for each in overlaps if not each.target]
    ious = [each.iou for each in meant]
    scores = {
        "gIoU": exact_mean([*ious, *(float(not each.found) for each in empty)]),
        "cIoU": _pooled(overlaps),
    }
    if meant:
        scores |= _precisions(ious, "grefcoco")
        scores["T-acc"] = _share(each.found > 0 for each in meant)
    if empty:
        scores["N-acc"] = _share(each.found == 0 for each in empty)
    return scores | {"phrases": float(len(overlaps)), "phrases_without_target": float(len(empty))}


def _pooled(overlaps: Sequence[Overlap]) -> float:
    total = sum(each.either for each in overlaps)
    return sum(each.both for each in overlaps) / total if total else 0.0


def _precisions(ious: Sequence[float], protocol: str) -> dict[str, float]:
    return {f"P@{least}": _share(iou >= least for iou in ious) for least in PRECISIONS[protocol]}


def _share(flags: Iterable[bool]) -> float:
    listed = list(flags)
    return sum(listed) / len(listed)


@METRICS.register_module()
class ReferMetric(BaseMetric):
    """Numbers of :func:`scores_of`, from 0 to 1, with the prefix ``ref``: ``ref/oIoU``, ``ref/mIoU`` and so on.

    A sample is one image with one phrase. It has ``gt_map``, (H, W) of the original image, nonzero for the pixels that
    the phrase means, and ``pred_mask``, bool of the same size. Only numbers of pixels are stored until the evaluation
    ends.

    Args:
        protocol: ``refcoco``, or ``grefcoco`` for data with phrases that mean several objects or none.
        eval_size: ``original``: masks are compared in the pixels of the original image. ``input``: in those of the
            network's input without padding, as LAVT does, so that ``oIoU`` weights all images equally. The prediction
            is ``pred_input_mask``, (h, w) bool, which the head decides at this size; the truth is resized to it by the
            nearest pixel.
        least_pixels: a prediction with fewer pixels counts as empty, also if the phrase means something; for models
            without an output for "nothing".
        per_phrase: True to store one row for each phrase in the attribute ``per_phrase`` after an evaluation.
        collect_device: device on which results of several processes are collected, ``cpu`` or ``gpu``.
        prefix: replaces ``ref`` in the names.

    Attributes:
        protocol_text: what the numbers depend on; written with them.

    Raises:
        UnknownName: no such protocol or size.

    Example:
        >>> import torch
        >>> metric = ReferMetric()
        >>> metric.process(None, [{"gt_map": torch.eye(2), "pred_mask": torch.ones(2, 2, dtype=torch.bool)}])
        >>> metric.evaluate(size=1)["ref/mIoU"]
        0.5
    """

    default_prefix = "ref"
    MEANINGS: ClassVar[Mapping[str, Meaning]] = {
        "phrases*": Meaning(unit="phrases"),
        "PN": ERROR_SHARE,
        "IP": ERROR_SHARE,
        "*": SHARE,
    }

    def __init__(
        self,
        protocol: str = "refcoco",
        eval_size: str = "original",
        least_pixels: Index = 0,
        per_phrase: bool = False,
        collect_device: str = "cpu",
        prefix: str | None = None,
    ):
        super().__init__(collect_device=collect_device, prefix=prefix)
        require_known(protocol, PROTOCOLS, "protocol of ReferMetric")
        require_known(eval_size, EVAL_SIZES, "eval_size of ReferMetric")
        self.protocol, self.eval_size, self.least_pixels = protocol, eval_size, least_pixels
        self.wants_rows = per_phrase
        self.per_phrase: list[dict[str, Any]] = []
        least = f", masks below {least_pixels} pixels count as empty" if least_pixels else ""
        self.protocol_text = f"{protocol}, masks compared at the {eval_size} size{least}"

    def process(self, data_batch: Any, data_samples: Sequence[Mapping[str, Any]]) -> None:
        """Add a batch: one dict for each image with a phrase.

        Raises:
            DataError: a mask is missing, or sizes differ.
        """
        for sample in data_samples:
            name = sample_name(sample, len(self.results))
            prediction, truth = self._masks(sample, name)
            overlap = overlap_of(prediction, truth, least_pixels=self.least_pixels, where=name)
            self.results.append((name, str(sample.get("phrase", "")), overlap))

    def _masks(self, sample: Mapping[str, Any], name: str) -> tuple[Any, Any]:
        truth = required(sample, "gt_map", "ReferMetric", name)
        if self.eval_size == "original":
            return required(sample, "pred_mask", "ReferMetric", name), truth
        prediction = required(sample, "pred_input_mask", "ReferMetric", name)
        return prediction, mask_at_size(truth, prediction.shape)

    def possible_names(self) -> list[str]:
        """Return the names that an evaluation can measure, without the prefix."""
        return list(scores_of([Overlap(1, 1, 1, 1), Overlap(0, 0, 0, 0)], self.protocol))

    def compute_metrics(self, results: list[tuple[str, str, Overlap]]) -> dict[str, float]:
        """Compute the numbers from the results of all processes."""
        if self.wants_rows:
            self.per_phrase = [
                {"image": name, "phrase": phrase, "iou": overlap.iou} for name, phrase, overlap in results
            ]
        return scores_of([overlap for _, _, overlap in results], self.protocol)


def mask_at_size(mask: Any, size: Sequence[int]) -> np.ndarray:
    """Return a mask in an image of another size, by the nearest pixel.

    Args:
        mask: (H, W); nonzero pixels are in the mask.
        size: (h, w) of the result.

    Returns:
        (h, w) bool.

    Example:
        >>> mask_at_size([[1, 1, 0, 0], [0, 1, 1, 1]], (1, 2)).tolist()
        [[True, True]]
    """
    height, width = size
    near = Image.fromarray(as_array(mask) != 0).resize((width, height), Image.Resampling.NEAREST)
    return np.asarray(near)
