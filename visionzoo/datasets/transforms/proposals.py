"""Proposals of a sample from its annotated objects or from a results file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from mmcv.transforms.base import BaseTransform

from visionzoo.allowed import Count, Index, Share
from visionzoo.datasets.coco_ids import COCO_IDS
from visionzoo.datasets.findings import say_notes
from visionzoo.datasets.referring.objects import LEAST_SCORE, MOST_OBJECTS, proposals_of_objects, read_results
from visionzoo.registry import TRANSFORMS


@TRANSFORMS.register_module()
class LoadProposals(BaseTransform):
    """Set ``proposals``, the objects of the image, for heads that choose one of them.

    Without ``file``, they are the ``objects`` of the sample: annotated ones, an oracle; see ``objects`` of
    ``ReferDataset``. With ``file``, they are those that a detector found, by the ``img_id`` of the sample; an image
    that the file does not list has none. A sample without ``objects`` or ``img_id``, such as an image in inference,
    stays as it is.

    Place it after resizing. Other changes of geometry must not be in the pipeline, because masks and boxes do not
    follow them.

    Args:
        file: results in COCO's format: ``image_id``, ``category_id``, ``score``, ``segmentation`` (RLE or polygons) and
            optional ``bbox``. None: the objects of the sample.
        category_ids: category id of each label in the file; by default those of COCO's 80 classes.
        score_threshold: least score of an object in the file.
        most: largest number of objects of an image in the file; the best ones are kept.

    Raises:
        DataError: the file is missing or broken; at a call: a mask does not fit the image.

    Example:
        >>> square = {"segmentation": [[0, 0, 2, 0, 2, 2, 0, 2]], "box": [0, 0, 2, 2], "label": 0, "score": 1.0}
        >>> sample = {"objects": [square], "ori_shape": (4, 6), "img_shape": (8, 12), "img_path": "a.jpg"}
        >>> LoadProposals()(sample)["proposals"].boxes.tolist()
        [[0.0, 0.0, 4.0, 4.0]]
    """

    PROVIDES = ("proposals",)

    def __init__(
        self,
        file: str | None = None,
        *,
        category_ids: Sequence[Index] = COCO_IDS,
        score_threshold: Share = LEAST_SCORE,
        most: Count = MOST_OBJECTS,
    ):
        self.file, self.score_threshold, self.most = file, score_threshold, most
        self._by_image = None
        if file is not None:
            path = Path(file).expanduser()
            self._by_image = read_results(path, category_ids, score_threshold=score_threshold, most=most)

    def graph_step(self) -> None:
        """Return None: an exported model needs no step for it."""

    def transform(self, results: dict) -> dict:
        objects = results.pop("objects", None)
        if self._by_image is not None and "img_id" in results:
            objects = self._objects_of(results["img_id"], self._by_image)
        if objects is not None:
            sizes = results["ori_shape"][:2], results["img_shape"][:2]
            results["proposals"] = proposals_of_objects(objects, *sizes, results.get("img_path"))
        return results

    def _objects_of(self, img_id: object, by_image: dict) -> list:
        if img_id not in by_image:
            say_notes(self.file, {"images without an object in this file have no proposals": 0})
        return by_image.get(img_id, [])

    def __repr__(self) -> str:
        return f"LoadProposals(file={self.file!r}, score_threshold={self.score_threshold}, most={self.most})"
