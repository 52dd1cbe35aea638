"""What a panoptic model finds in one image: a map of segments with their scores."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from visionzoo.errors import InputError
from visionzoo.structures.arrays import as_array
from visionzoo.structures.class_scores import thresholds_of
from visionzoo.structures.panoptic import UNLABELLED, PanopticMap, Segment

_OBJECTS = 1000  # mmdet's maps: label + 1000 * number of the object; stuff has number 0
_DECIMALS = 6


@dataclass(frozen=True)
class PanopticResult:
    """Segments of one image; ``category_id`` of a segment is its label, the class index.

    Attributes:
        panoptic: the map, in pixels of the original image.
        scores: (N,) float32 in [0, 1], one for each segment.
        things: ids of the segments that are objects; None if this is unknown.
        names: class names by label; None if they are unknown.
        are_true: True for a ground truth, which is drawn without scores.

    Raises:
        InputError: a score is not finite, or the numbers of scores and segments differ. No image should cause this.

    Example:
        >>> panoptic = PanopticMap.of_ids([[1, 1, 2]], {1: (0, False), 2: (1, False)})
        >>> found = PanopticResult(panoptic, np.array([0.9, 0.4]), frozenset([1]), ("cat", "sky"))
        >>> len(found), found.best_score, found.above(0.5).panoptic.ids.tolist()
        (2, 0.9, [[1, 1, 0]])
        >>> found.to_row()
        {'segments': 2, 'things': 1, 'stuff': 1, 'labelled': 1.0}
    """

    panoptic: PanopticMap
    scores: np.ndarray
    things: frozenset[int] | None = None
    names: tuple[str, ...] | None = None
    are_true: bool = False

    def __post_init__(self) -> None:
        if len(self.scores) != len(self.panoptic.segments) or not np.isfinite(self.scores).all():
            raise InputError("the model returns segments without a finite score each; check its weights")

    def __len__(self) -> int:
        return len(self.panoptic.segments)

    @property
    def labels(self) -> np.ndarray:
        """(N,) int64, the class index of each segment."""
        return np.array([each.category_id for each in self.panoptic.segments], dtype=np.int64)

    @property
    def best_score(self) -> float | None:
        """The highest score; None without segments."""
        return float(self.scores.max()) if len(self) else None

    @property
    def labelled(self) -> float:
        """Fraction of the image that belongs to a segment."""
        return float((self.panoptic.ids != UNLABELLED).mean())

    def above(self, threshold: float, by_label: Mapping[int, float] | None = None) -> PanopticResult:
        """Return the segments with a score of at least ``threshold``, or of the threshold of their label."""
        return self._kept(self.scores >= thresholds_of(self.labels, threshold, by_label))

    def of_classes(self, labels: Sequence[int]) -> PanopticResult:
        """Return the segments with these labels."""
        return self._kept(np.isin(self.labels, labels))

    def _kept(self, is_kept: np.ndarray) -> PanopticResult:
        if is_kept.all():
            return self
        kept = tuple(each for each, keep in zip(self.panoptic.segments, is_kept, strict=True) if keep)
        ids = np.where(np.isin(self.panoptic.ids, [each.id for each in kept]), self.panoptic.ids, UNLABELLED)
        panoptic = PanopticMap(ids.astype(np.uint32), kept)
        return replace(self, panoptic=panoptic, scores=self.scores[is_kept])

    def name_of(self, label: int) -> str:
        """Return the name of a class, or its index if names are unknown."""
        return self.names[label] if self.names is not None and label < len(self.names) else str(label)

    def is_thing(self, segment: Segment) -> bool | None:
        """Return True for an object, False for stuff, None if this is unknown."""
        return None if self.things is None else segment.id in self.things

    def to_json(self) -> dict[str, Any]:
        """Return the segments as plain values; the writer of files adds the path of the id map."""
        return {"segments": self.segments_info(None), "labelled": round(self.labelled, _DECIMALS)}

    def segments_info(self, category_ids: Sequence[int] | None) -> list[dict[str, Any]]:
        """Return the segments as in COCO's panoptic format, with scores.

        Args:
            category_ids: id of each label in the files of the data set. None: ``label`` and ``name`` instead of
                ``category_id``.
        """
        infos = []
        for segment, score in zip(self.panoptic.segments, self.scores.tolist(), strict=True):
            label, is_thing = segment.category_id, self.is_thing(segment)
            own = (
                {"label": label, "name": self.name_of(label)}
                if category_ids is None
                else {"category_id": category_ids[label]}
            )
            kind = {} if is_thing is None else {"isthing": int(is_thing)}
            shape = {"area": segment.area, "bbox": list(segment.bbox)}
            infos.append({"id": segment.id, **own, **kind, "iscrowd": 0, "score": round(score, _DECIMALS), **shape})
        return infos

    def to_row(self) -> dict[str, Any]:
        """Return the columns of a table: numbers of segments, and the fraction of the image that they cover."""
        kinds = [self.is_thing(each) for each in self.panoptic.segments]
        known: dict[str, Any] = {"things": kinds.count(True), "stuff": kinds.count(False)}
        counts = known if self.things is not None else dict.fromkeys(known, "")
        return {"segments": len(self), **counts, "labelled": round(self.labelled, _DECIMALS)}


def panoptic_result_of(
    panoptic: PanopticMap, scores: Any = None, mmdet_map: Any = None, names: Sequence[str] | None = None
) -> PanopticResult:
    """Return the result of a prediction.

    Args:
        panoptic: the map, whose ``category_id`` is the class index.
        scores: one number for each segment; None for 1.
        mmdet_map: the same map in mmdet's numbers, (1, H, W), which show which segments are objects; None if unknown.
        names: class names by label.
    """
    given = np.ones(len(panoptic.segments)) if scores is None else as_array(scores)
    things = None if mmdet_map is None else frozenset(_objects(panoptic, as_array(mmdet_map)[0]))
    return PanopticResult(panoptic, given.astype(np.float32), things, None if names is None else tuple(names))


def _objects(panoptic: PanopticMap, numbers: np.ndarray) -> Collection[int]:
    """Return the ids of the segments that have an object's number in mmdet's map."""
    return set(np.unique(panoptic.ids[numbers >= _OBJECTS]).tolist()) - {UNLABELLED}
