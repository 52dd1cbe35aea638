"""Boundary AP: equal in both implementations, and to pycocotools with IoUs of boundaries from whole images."""

import cv2
import numpy as np
import pytest
from pycocotools import mask as rle
from pycocotools.cocoeval import COCOeval

from visionzoo.errors import ConfigError, UnknownName
from visionzoo.metrics.coco import NUMBERS, BoundaryAPMetric, CocoMetric, coco_ap, score_detections
from visionzoo.metrics.coco.average_precision import Backend
from visionzoo.metrics.coco.boundaries import boundary_rle

SIZE = (61, 90)


def encoded(mask):
    return rle.encode(np.asfortranarray(mask.astype(np.uint8)))


def disc(rng, moved=0.0):
    """Return an ellipse and another one near it."""
    centre, radii = rng.uniform((0, 0), SIZE[::-1]), rng.uniform(4, 25, 2)
    rows, columns = np.indices(SIZE)

    def drawn(x, y, a, b):
        return encoded(((columns - x) / a) ** 2 + ((rows - y) / b) ** 2 <= 1)

    return drawn(*centre, *radii), drawn(*(centre + rng.normal(0, moved, 2)), *(radii * rng.uniform(0.9, 1.1, 2)))


def data_set(seed, crowds=0.2, images=4):
    rng = np.random.default_rng(seed)
    truth = {"images": [], "annotations": [], "categories": [{"id": 1, "name": "a"}, {"id": 5, "name": "b"}]}
    found = []
    for image in range(1, images + 1):
        truth["images"].append({"id": image, "height": SIZE[0], "width": SIZE[1]})
        for _ in range(6):
            mask, near = disc(rng, 1.5)
            place = {"image_id": image, "category_id": int(rng.choice([1, 5]))}
            area = int(rle.area(mask))
            facts = {"id": len(truth["annotations"]) + 1, "area": area, "iscrowd": int(rng.random() < crowds)}
            truth["annotations"].append({**place, **facts, "segmentation": mask, "bbox": rle.toBbox(mask).tolist()})
            found.append({**place, "segmentation": near, "score": float(rng.random())})
    return truth, found


class WholeImages(COCOeval):
    """pycocotools with the smaller of both IoUs, by erosions of whole images."""

    def computeIoU(self, image, category):  # noqa: N802 (the name in pycocotools)
        ious = super().computeIoU(image, category)
        if not len(ious):
            return ious
        objects, found = self._gts[image, category], self._dts[image, category]
        order = np.argsort([-each["score"] for each in found], kind="mergesort")[: self.params.maxDets[-1]]
        crowds = [int(each["iscrowd"]) for each in objects]
        sides = [self.edge(found[each]) for each in order], [self.edge(each) for each in objects]
        edges = rle.iou(*sides, crowds)
        for column, is_crowd in enumerate(crowds):
            if not is_crowd:
                ious[:, column] = np.minimum(ious[:, column], edges[:, column])
        return ious

    @staticmethod
    def edge(each):
        mask = cv2.copyMakeBorder(rle.decode(each["segmentation"]), 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=0)
        width = max(1, round(0.02 * np.hypot(*SIZE)))
        return encoded((mask - cv2.erode(mask, np.ones((3, 3), np.uint8), iterations=width))[1:-1, 1:-1])


def by_whole_images(truth, found, capsys):
    api = Backend.choose("pycocotools")
    results = [
        {**each, "id": n, "iscrowd": 0, "area": int(rle.area(each["segmentation"]))} for n, each in enumerate(found, 1)
    ]
    sections = {"images": truth["images"], "categories": truth["categories"]}
    evaluation = WholeImages(api.index(**truth), api.index(**sections, annotations=results), "segm")
    evaluation.evaluate()
    evaluation.accumulate()
    evaluation.summarize()
    capsys.readouterr()
    return evaluation.stats.tolist()


@pytest.mark.parametrize("backend", ["faster", "pycocotools"])
@pytest.mark.parametrize("seed", range(3))
def test_equals_pycocotools_with_boundaries_of_whole_images(seed, backend, capsys):
    truth, found = data_set(seed)
    numbers = coco_ap(truth, found, "boundary", backend=backend)
    assert list(numbers.values()) == pytest.approx(by_whole_images(truth, found, capsys), abs=1e-12)
    assert 0 < numbers["mAP"] < coco_ap(truth, found, "segm", backend=backend)["mAP"]


def test_both_implementations_give_the_same_rows():
    truth, found = data_set(7)
    faster, other = (score_detections(truth, found, "boundary", backend=each) for each in ("faster", "pycocotools"))
    for one, two in zip(faster.per_class, other.per_class, strict=True):
        assert one == pytest.approx(two, abs=1e-12)


def test_a_set_against_itself_is_perfect():
    truth, _ = data_set(1, crowds=0)
    keys = ("image_id", "category_id", "segmentation")
    found = [{**{key: each[key] for key in keys}, "score": 1.0} for each in truth["annotations"]]
    assert coco_ap(truth, found, "boundary")["mAP"] == pytest.approx(1)


def test_without_detections_all_numbers_are_zero():
    numbers = coco_ap(data_set(0, crowds=0)[0], [], "boundary")
    assert {numbers["mAP"], numbers["AR_100"]} == {0.0}


def test_the_boundary_of_an_empty_mask_is_empty():
    assert int(rle.area(boundary_rle(encoded(np.zeros((7, 4)))))) == 0


def test_the_size_of_a_detection_is_that_of_its_mask_or_its_box():
    """A thin diagonal is small as a mask and medium as a box."""
    mask = np.eye(60)
    place = {"image_id": 1, "category_id": 1, "segmentation": encoded(mask)}
    truth = {"images": [{"id": 1, "height": 60, "width": 60}], "categories": [{"id": 1, "name": "a"}]}
    truth["annotations"] = [{"id": 1, **place, "area": 2000, "iscrowd": 0}]
    found = [{**place, "score": 0.9, "bbox": [0, 0, 60, 60]}]
    missed = {**place, "score": 0.95, "bbox": [0, 0, 60, 60], "segmentation": encoded(mask[::-1])}
    by_mask, by_box = (coco_ap(truth, [*found, missed], "segm", size_of=each) for each in ("mask", "box"))
    assert by_mask["mAP_m"] == pytest.approx(1)  # a small wrong detection does not count for medium objects
    assert by_box["mAP_m"] == pytest.approx(0.5)
    with pytest.raises(UnknownName, match="size_of"):
        coco_ap(truth, found, "segm", size_of="polygon")


# --- the metric of mmengine ---


def sample_of(image, found, count=None):
    mine = [each for each in found if each["image_id"] == image]
    boxes = np.array([rle.toBbox(each["segmentation"]) for each in mine])
    boxes[:, 2:] += boxes[:, :2]
    labels = np.array([[1, 5].index(each["category_id"]) for each in mine])
    scores = np.array([each["score"] for each in mine])
    masks = [each["segmentation"] for each in mine]
    return {"img_id": image, "pred_instances": dict(bboxes=boxes, labels=labels, scores=scores, masks=masks)}


@pytest.fixture
def annotations(tmp_path):
    import json

    truth, found = data_set(3)
    for each in truth["annotations"]:
        each["segmentation"]["counts"] = each["segmentation"]["counts"].decode()
    path = tmp_path / "truth.json"
    path.write_text(
        json.dumps({**truth, "images": [{**each, "file_name": f"{each['id']}"} for each in truth["images"]]})
    )
    return str(path), truth, found


def test_the_metric_gives_the_numbers_of_the_function(annotations):
    path, truth, found = annotations
    metric, several = BoundaryAPMetric(path), CocoMetric(path, ["segm", "boundary"])
    for each in (metric, several):
        each.process(None, [sample_of(image, found) for image in (1, 2, 3, 4)])
    numbers = metric.evaluate(size=4)
    assert numbers == {f"coco/boundary_{name}": value for name, value in coco_ap(truth, found, "boundary").items()}
    assert {f"coco/{name}" for name in metric.possible_names()} == set(numbers)
    assert numbers.items() < several.evaluate(size=4).items()
    assert len(numbers) == len(NUMBERS)


def test_boxes_without_masks_are_an_error(annotations):
    path, _, found = annotations
    sample = sample_of(1, found)
    del sample["pred_instances"]["masks"]
    with pytest.raises(ConfigError, match='masks for metric="boundary"'):
        BoundaryAPMetric(path).process(None, [sample])
