"""Panoptic models with one interface: images in, segments, instances and classes of pixels out of one forward pass.

A record of an image has ``size`` (H, W), and run-length codes of COCO of this size:

- ``panoptic``: ``[[category id, counts], ...]``, segments that do not overlap;
- ``instances``: ``[[category id, score, counts], ...]``, or null if the model gives none;
- ``semantic``: ``[[category id, counts], ...]``, one for each class, or null.

Records hold the prediction and no comparison with a truth. A truth that arrives later needs no further prediction.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch

from visionzoo.errors import ConfigError, some_of
from visionzoo.inference.inferencer import Inferencer
from visionzoo.inference.resuming import digest_of, fingerprint
from visionzoo.structures.arrays import as_array
from visionzoo.structures.detections import decode_mask, encode_mask
from visionzoo.structures.panoptic import PanopticCategory, PanopticMap
from visionzoo.structures.task_sample import sample_of_task
from visionzoo.suites._base import Record, SuiteData, SuiteModel, SuiteSettings
from visionzoo.suites._models import shown_name

_IGNORED = 255


class PanopticModel(SuiteModel):
    """A panoptic model of the zoo.

    Args:
        inferencer: the model with its pipeline.

    Attributes:
        names: class names of the model.
    """

    def __init__(self, inferencer: Inferencer):
        self.inferencer, self.name = inferencer, shown_name(inferencer.name, inferencer.run)
        self.names = tuple(inferencer.class_names or ())
        facts = {"config": inferencer.config.model.to_dict(), "pipeline": digest_of(inferencer.config.test_dataloader)}
        self.digest = digest_of({"model": fingerprint(inferencer.model), "names": self.names, **facts})[:12]
        self.about = {"weights": "none" if inferencer.weights is None else str(inferencer.weights)}

    def predict(self, data: SuiteData, numbers: Sequence[int]) -> list[Record]:
        """Return the record of each sample. Images run one by one, so that no padding depends on other images."""
        ids = {each.name: each.id for each in data.about["categories"]}
        labels = [ids[name] for name in self.names]
        return [self._record(data.samples[number]["img_path"], labels) for number in numbers]

    def _record(self, path: str, labels: Sequence[int]) -> Record:
        (source,) = self.inferencer.prepare.inputs.sources_of([path])
        sample = self.inferencer.prepare(source, keep_image=False).sample
        with torch.no_grad():
            (tested,) = self.inferencer.model.test_step({key: [sample[key]] for key in ("inputs", "data_samples")})  # type: ignore[operator]
        found: Any = sample_of_task(tested, "panoptic")
        panoptic: PanopticMap = found.pred_panoptic
        return {
            "size": list(panoptic.size),
            "panoptic": segments_of(panoptic, labels),
            "instances": _instances(found.get("pred_instances"), labels),
            "semantic": _regions(found.get("pred_semantic"), labels),
        }


def open_panoptic_model(name: str, weights: str | None, settings: SuiteSettings) -> PanopticModel:
    """Return a panoptic model of the zoo.

    Args:
        name: a model of the zoo, a config, or the folder of a run.
        weights: a file, the folder of a run, ``none`` for an untrained model, or None for those of the run.
        settings: settings of the suite.

    Raises:
        ConfigError: the config is not that of a panoptic model, or has no class names.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(settings.seed)
        changes = dict(tiny=settings.tiny, device=settings.device, options=list(settings.options))
        inferencer = Inferencer(name, weights, **changes)  # type: ignore[arg-type]
    if "panoptic" not in inferencer.tasks:
        raise ConfigError(
            name,
            expected="a panoptic model",
            found=f"a model of {', '.join(inferencer.tasks)}",
            advice="`visionzoo list` shows tasks",
        )
    return PanopticModel(inferencer.of_task("panoptic"))


def unknown_classes(model: PanopticModel, categories: Iterable[PanopticCategory]) -> str:
    """Return why a model is not measured with these categories; an empty text if it has classes of theirs only."""
    if not model.names:
        return "its weights state no class names; train it, or give weights that state them"
    unknown = [name for name in model.names if name not in {each.name for each in categories}]
    return f"the data has no class {some_of(unknown, 4)}" if unknown else ""


# --- records ---


def segments_of(panoptic: PanopticMap, category_ids: Sequence[int] | Mapping[int, int]) -> list[list[Any]]:
    """Return the segments of a map as in a record; ``category_ids`` has the id of each of its categories."""
    return [[category_ids[each.category_id], _counts(panoptic.mask(each))] for each in panoptic.segments]


def _instances(instances: Any, labels: Sequence[int]) -> list[list[Any]] | None:
    if instances is None:
        return None
    facts = zip(instances.labels.tolist(), instances.scores.tolist(), instances.masks, strict=True)
    return [[labels[label], score, _counts(mask)] for label, score, mask in facts]


def _regions(classes: Any, labels: Sequence[int]) -> list[list[Any]] | None:
    if classes is None:
        return None
    array = as_array(classes)
    return [[labels[label], _counts(array == label)] for label in np.unique(array).tolist() if label < len(labels)]


def _counts(mask: Any) -> str:
    return encode_mask(mask)["counts"]


def panoptic_of(record: Mapping[str, Any], labels: Mapping[int, int]) -> PanopticMap:
    """Return the segments of a record with class indices.

    Args:
        record: a record.
        labels: class index of each category id.

    Example:
        >>> record = {"size": [1, 2], "panoptic": [[7, encode_mask(np.array([[1, 0]]))["counts"]]]}
        >>> panoptic_of(record, {7: 0}).ids.tolist()
        [[1, 0]]
    """
    ids = np.zeros(record["size"], np.uint32)
    categories = {}
    for number, (category, counts) in enumerate(record["panoptic"], start=1):
        ids[_mask(record, counts)] = number
        categories[number] = (labels[category], False)
    return PanopticMap.of_ids(ids, categories)


def semantic_of(record: Mapping[str, Any], labels: Mapping[int, int]) -> np.ndarray | None:
    """Return the class of each pixel of a record, (H, W) int64, 255 for none; None if the record has no classes."""
    if record["semantic"] is None:
        return None
    classes = np.full(record["size"], _IGNORED, np.int64)
    for category, counts in record["semantic"]:
        classes[_mask(record, counts)] = labels[category]
    return classes


def detections_of(record: Mapping[str, Any], image_id: str) -> Iterator[dict[str, Any]]:
    """Yield the instances of a record as entries of a COCO results file; boxes are those around the masks."""
    from pycocotools import mask as masks

    for category, score, counts in record["instances"] or ():
        code = {"size": record["size"], "counts": counts}
        place = {"image_id": image_id, "category_id": category, "score": score}
        yield {**place, "segmentation": code, "bbox": masks.toBbox(code).tolist()}


def _mask(record: Mapping[str, Any], counts: str) -> np.ndarray:
    return decode_mask({"size": record["size"], "counts": counts})
