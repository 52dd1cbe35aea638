"""COCO AP equals pycocotools in all twelve numbers, with every edge case of a real evaluation."""

import contextlib
import copy
import io
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from pycocotools import mask as masks
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from visionzoo.errors import ConfigError, DataError, UnknownName
from visionzoo.metrics.coco import NUMBERS, CocoMetric, class_table, coco_ap, score_detections
from visionzoo.registry import METRICS

CATEGORIES = [{"id": 3, "name": "cat"}, {"id": 7, "name": "dog"}, {"id": 90, "name": "never seen"}]


def ellipse(box, height, width):
    x, y, w, h = box
    rows, columns = np.mgrid[:height, :width]
    return ((columns + 0.5 - x - w / 2) / (w / 2)) ** 2 + ((rows + 0.5 - y - h / 2) / (h / 2)) ** 2 <= 1


def encoded(mask):
    rle = masks.encode(np.asfortranarray(mask.astype(np.uint8)))
    return {"size": rle["size"], "counts": rle["counts"].decode()}


def random_box(rng, height, width):
    w, h = np.exp(rng.uniform(np.log(6), np.log([width, height]) - 0.1))
    return [float(rng.uniform(0, width - w)), float(rng.uniform(0, height - h)), float(w), float(h)]


def annotation(number, image_id, category_id, box, mask, crowd):
    return {
        "id": number,
        "image_id": image_id,
        "category_id": category_id,
        "bbox": box,
        "area": float(mask.sum()),
        "iscrowd": int(crowd),
        "segmentation": encoded(mask),
    }


@pytest.fixture(scope="module")
def scene():
    """Return truth with crowds, an empty image and all sizes; detections are near, far, duplicated, or of one score."""
    rng = np.random.default_rng(0)
    images = [
        {"id": i, "height": int(rng.integers(120, 200)), "width": int(rng.integers(200, 320)), "file_name": f"{i}.jpg"}
        for i in range(11, 31)
    ]
    truth, detections = [], []
    for image in images[1:]:
        for _ in range(int(rng.integers(1, 8))):
            box = random_box(rng, image["height"], image["width"])
            mask = ellipse(box, image["height"], image["width"])
            category = int(rng.choice([3, 7]))
            truth.append(annotation(len(truth) + 1, image["id"], category, box, mask, rng.random() < 0.1))
            for _ in range(int(rng.integers(0, 3))):
                near = (np.array(box) + rng.normal(0, 0.08, 4) * np.array(box)[[2, 3, 2, 3]]).clip(1).tolist()
                detections.append(detection(rng, image, category, near))
        for _ in range(3):
            detections.append(
                detection(rng, image, int(rng.choice([3, 7, 90])), random_box(rng, image["height"], image["width"]))
            )
    return {"images": images, "annotations": truth, "categories": CATEGORIES}, detections


def detection(rng, image, category, box):
    return {
        "image_id": image["id"],
        "category_id": category,
        "score": round(float(rng.random()), 1),
        "bbox": box,
        "segmentation": encoded(ellipse(box, image["height"], image["width"])),
    }


def by_pycocotools(truth, detections, iou_type, image_ids=None, iou_thrs=None):
    """Make the official calls, as in the demo notebook."""
    region = "bbox" if iou_type == "bbox" else "segmentation"
    results = [{key: d[key] for key in ("image_id", "category_id", "score", region)} for d in copy.deepcopy(detections)]
    with contextlib.redirect_stdout(io.StringIO()):
        index = COCO()
        index.dataset = copy.deepcopy(truth)
        index.createIndex()
        evaluation = COCOeval(index, index.loadRes(results), iou_type)
        if image_ids is not None:
            evaluation.params.imgIds = image_ids
        if iou_thrs is not None:
            evaluation.params.iouThrs = np.array(iou_thrs)
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return evaluation.stats


@pytest.mark.parametrize("backend", ["auto", "faster", "pycocotools"])
@pytest.mark.parametrize("iou_type", ["bbox", "segm"])
def test_all_twelve_numbers_equal_pycocotools(scene, iou_type, backend):
    numbers = coco_ap(*scene, iou_type, backend=backend)
    assert tuple(numbers) == NUMBERS
    expected = by_pycocotools(*scene, iou_type)
    np.testing.assert_allclose(list(numbers.values()), expected, rtol=0, atol=1e-12)
    assert 0.1 < numbers["mAP"] < 0.9
    assert min(numbers.values()) > 0  # every number is informative here


@pytest.mark.parametrize("backend", ["faster", "pycocotools"])
@pytest.mark.parametrize("iou_type", ["bbox", "segm"])
def test_further_ious_equal_pycocotools_one_at_a_time(scene, iou_type, backend):
    further = {"mAP_50": 0.5, "mAP_70": 0.7, "mAP_62.5": 0.625, "mAP_98": 0.98, "mAP_30": 0.3}
    scores = score_detections(*scene, iou_type, backend=backend, iou_thrs=list(further.values()))
    for name, iou in further.items():
        expected = by_pycocotools(*scene, iou_type, iou_thrs=[iou])[0]
        assert scores.numbers[name] == pytest.approx(expected, abs=1e-12)
    assert scores.numbers["mAP_30"] > scores.numbers["mAP_70"] > scores.numbers["mAP_98"]
    plain = score_detections(*scene, iou_type, backend=backend)
    assert {name: scores.numbers[name] for name in NUMBERS} == plain.numbers
    assert scores.per_class == plain.per_class


@pytest.mark.parametrize("backend", ["faster", "pycocotools"])
def test_a_part_of_the_images(scene, backend):
    image_ids = [12, 15, 20, 30]
    numbers = coco_ap(*scene, image_ids=image_ids[::-1], backend=backend)
    np.testing.assert_allclose(list(numbers.values()), by_pycocotools(*scene, "bbox", image_ids), rtol=0, atol=1e-12)


def test_inputs_are_unchanged(scene):
    before = json.dumps(scene)
    for iou_type in ("bbox", "segm"):
        for backend in ("faster", "pycocotools"):
            coco_ap(*scene, iou_type, backend=backend)
    assert json.dumps(scene) == before


def renamed(scene, image_ids, category_ids, annotation_ids):
    """Return the scene with other ids, which keep the order of images and categories."""
    truth, detections = copy.deepcopy(scene)
    images = {image["id"]: image_ids(n) for n, image in enumerate(truth["images"])}
    categories = {category["id"]: category_ids(n) for n, category in enumerate(truth["categories"])}
    for number, entry in enumerate(truth["annotations"]):
        entry["id"] = annotation_ids(number)
    for entry in [*truth["annotations"], *detections]:
        entry.update(image_id=images[entry["image_id"]], category_id=categories[entry["category_id"]])
    for section, ids in (("images", images), ("categories", categories)):
        truth[section] = [{**entry, "id": ids[entry["id"]]} for entry in truth[section]]
    return truth, detections


@pytest.mark.parametrize("backend", ["faster", "pycocotools"])
@pytest.mark.parametrize("iou_type", ["bbox", "segm"])
@pytest.mark.parametrize(
    "ids",
    [
        (lambda n: n, lambda n: n, lambda n: n),  # all from 0: annotation 0 means "no match" to the evaluators
        (lambda n: f"img_{n:06}", lambda n: "abc"[n], lambda n: f"{n}"),
        (lambda n: 5 + 3 * n, lambda n: n - 2, lambda n: 10**7 - n),
    ],
)
def test_ids_are_only_labels(scene, iou_type, backend, ids):
    scores = score_detections(*scene, iou_type, backend=backend)
    assert score_detections(*renamed(scene, *ids), iou_type, backend=backend) == scores
    assert scores.numbers["mAP"] > 0.1


def test_a_single_object_with_id_zero_is_found():
    box = {"image_id": 0, "category_id": 0, "bbox": [2, 2, 40, 30]}
    truth = {"images": [{"id": 0, "height": 64, "width": 64}], "categories": [{"id": 0, "name": "cat"}]}
    truth["annotations"] = [{**box, "id": 0}]
    assert coco_ap(truth, [{**box, "score": 0.5}])["mAP"] == pytest.approx(1.0)


@pytest.mark.parametrize("backend", ["faster", "pycocotools"])
def test_a_null_area_or_iscrowd_is_filled_in(scene, backend):
    truth, detections = copy.deepcopy(scene)
    for entry in truth["annotations"]:
        entry.update(area=entry["bbox"][2] * entry["bbox"][3], iscrowd=0)
    expected = score_detections(truth, detections, backend=backend)
    for number, entry in enumerate(truth["annotations"]):
        if number % 2:
            entry.update(area=None, iscrowd=None)
        else:
            del entry["area"], entry["iscrowd"]
    assert score_detections(truth, detections, backend=backend) == expected


def test_detections_of_an_unknown_category(scene):
    with pytest.raises(DataError, match="expected each category to be in the annotation file, found category 4"):
        coco_ap(scene[0], [{"image_id": 12, "category_id": 4, "score": 1.0, "bbox": [1, 1, 2, 2]}])


@pytest.mark.parametrize("backend", ["faster", "pycocotools"])
@pytest.mark.parametrize("iou_type", ["bbox", "segm"])
def test_no_detection_at_all_is_zero(scene, iou_type, backend):
    numbers = coco_ap(scene[0], [], iou_type, backend=backend)
    assert set(numbers.values()) == {0.0}


@pytest.mark.parametrize("backend", ["faster", "pycocotools"])
def test_no_object_at_all_is_minus_one(scene, backend):
    truth = {**scene[0], "annotations": []}
    assert set(coco_ap(truth, scene[1], backend=backend).values()) == {-1.0}


@pytest.mark.parametrize("backend", ["faster", "pycocotools"])
@pytest.mark.parametrize("iou_type", ["bbox", "segm"])
def test_the_truth_as_detections_is_perfect(scene, iou_type, backend):
    truth = scene[0]
    detections = [{**a, "score": 1.0} for a in truth["annotations"] if not a["iscrowd"]]
    numbers = coco_ap(truth, detections, iou_type, backend=backend)
    assert numbers["mAP"] == pytest.approx(1.0)
    assert numbers["AR_100"] == pytest.approx(1.0)


def test_more_than_255_masks(scene):
    truth, detections = scene
    assert len(detections * 3) > 255
    numbers = coco_ap(truth, detections * 3, "segm")
    np.testing.assert_allclose(
        list(numbers.values()), by_pycocotools(truth, detections * 3, "segm"), rtol=0, atol=1e-12
    )


@pytest.mark.parametrize("backend", ["faster", "pycocotools"])
def test_per_class_rows(scene, backend):
    scores = score_detections(*scene, backend=backend)
    rows = {row["class"]: row for row in scores.per_class}
    assert list(rows) == ["cat", "dog", "never seen"]
    counted = [row["AP"] for row in rows.values() if row["AP"] >= 0]
    assert np.mean(counted) == pytest.approx(scores.numbers["mAP"])
    assert rows["never seen"]["AP"] == rows["never seen"]["AR"] == -1
    assert rows["cat"]["objects"] == sum(a["category_id"] == 3 and not a["iscrowd"] for a in scene[0]["annotations"])
    single = score_detections(*scene, category_ids=[7], backend=backend)
    assert single.numbers["mAP"] == pytest.approx(rows["dog"]["AP"])
    assert single.numbers["mAP_50"] == pytest.approx(rows["dog"]["AP50"])
    assert single.numbers["mAP_75"] == pytest.approx(rows["dog"]["AP75"])
    table = class_table(scores.per_class, "by class")
    assert f"{100 * rows['cat']['AP']:.1f}" in table
    assert "never seen" in table


def test_wrong_use(scene):
    truth, detections = scene
    with pytest.raises(UnknownName, match="'box'"):
        coco_ap(truth, detections, "box")
    with pytest.raises(UnknownName, match="did you mean 'faster'"):
        coco_ap(truth, detections, backend="fastest")
    for wrong in (0.7, (0.5, 70), (0.0,), ("0.7",)):
        with pytest.raises(ConfigError, match="expected iou_thrs, a list of numbers in"):
            coco_ap(truth, detections, iou_thrs=wrong)
    with pytest.raises(DataError, match="found image 999"):
        coco_ap(truth, [{**detections[0], "image_id": 999}])
    with pytest.raises(DataError, match="expected segmentation in each"):
        coco_ap(truth, [{"image_id": 12, "category_id": 3, "score": 1.0, "bbox": [1, 1, 2, 2]}], "segm")


def test_faster_is_named_when_it_is_not_installed(scene, monkeypatch):
    monkeypatch.setattr("visionzoo.metrics.coco.average_precision.find_spec", lambda name: None)
    with pytest.raises(ConfigError, match="pip install faster-coco-eval"):
        coco_ap(*scene, backend="faster")
    assert coco_ap(*scene) == coco_ap(*scene, backend="pycocotools")


# --- adapter --- ---


@pytest.fixture
def ann_file(scene, tmp_path):
    path = tmp_path / "truth.json"
    path.write_text(json.dumps(scene[0]))
    return str(path)


def samples(scene, classes, *, as_tensor_masks=False):
    """Return data samples as a detector outputs them: one per image, boxes xyxy."""
    ids = {category["name"]: category["id"] for category in CATEGORIES}
    labels = {ids[name]: label for label, name in enumerate(classes)}
    for image in scene[0]["images"]:
        detections = [d for d in scene[1] if d["image_id"] == image["id"] and d["category_id"] in labels]
        boxes = torch.tensor([d["bbox"] for d in detections], dtype=torch.float64).reshape(-1, 4)
        boxes[:, 2:] += boxes[:, :2]
        rles = [d["segmentation"] for d in detections]
        dense = np.array([masks.decode(rle) for rle in rles]).reshape(-1, image["height"], image["width"])
        yield {
            "img_id": image["id"],
            "ori_shape": (image["height"], image["width"]),
            "pred_instances": {
                "bboxes": boxes,
                "scores": torch.tensor([d["score"] for d in detections]).double(),
                "labels": torch.tensor([labels[d["category_id"]] for d in detections], dtype=torch.int64),
                "masks": torch.from_numpy(dense).bool() if as_tensor_masks else rles,
            },
        }


def evaluate(metric, batch):
    batch = list(batch)
    metric.process({}, batch[:7])
    metric.process({}, batch[7:])
    return metric.evaluate(len(batch))


def evaluate_with(meta, batch):
    metric = CocoMetric()
    metric.dataset_meta = meta
    return evaluate(metric, batch)


@pytest.mark.parametrize("as_tensor_masks", [False, True])
def test_the_adapter_returns_the_same_numbers(scene, ann_file, as_tensor_masks):
    classes = ("dog", "cat", "never seen")  # not in the file's order
    metric = METRICS.build({"type": "CocoMetric", "metric": ["bbox", "segm"]})
    metric.dataset_meta = {"classes": classes, "ann_file": ann_file}
    numbers = evaluate(metric, samples(scene, classes, as_tensor_masks=as_tensor_masks))
    for iou_type in ("bbox", "segm"):
        got = [numbers[f"coco/{iou_type}_{name}"] for name in NUMBERS]
        np.testing.assert_allclose(got, by_pycocotools(*scene, iou_type), rtol=0, atol=1e-9)
    assert len(numbers) == 24
    assert [row["class"] for row in metric.per_class["segm"]] == list(classes)


def test_the_adapter_reports_further_ious(scene, ann_file):
    metric = METRICS.build({"type": "CocoMetric", "metric": ["bbox", "segm"], "iou_thrs": [0.5, 0.7]})
    metric.dataset_meta = {"classes": ("cat", "dog", "never seen"), "ann_file": ann_file}
    numbers = evaluate(metric, samples(scene, metric.dataset_meta["classes"]))
    assert len(numbers) == 26
    for iou_type in ("bbox", "segm"):
        expected = by_pycocotools(*scene, iou_type, iou_thrs=[0.7])[0]
        assert numbers[f"coco/{iou_type}_mAP_70"] == pytest.approx(expected, abs=1e-9)
    with pytest.raises(ConfigError, match=r"CocoMetric\.iou_thrs: expected a list .*, found 0\.7"):
        CocoMetric(iou_thrs=0.7)


def test_only_processed_images_count_and_repeated_ones_once(scene, ann_file):
    metric = CocoMetric(ann_file=ann_file)
    metric.dataset_meta = {"classes": ("cat", "dog", "never seen")}
    some = list(samples(scene, metric.dataset_meta["classes"]))[:6]
    numbers = evaluate(metric, [*some, some[0], some[3]])
    expected = by_pycocotools(*scene, "bbox", [sample["img_id"] for sample in some])
    np.testing.assert_allclose([numbers[f"coco/bbox_{name}"] for name in NUMBERS], expected, rtol=0, atol=1e-9)


def test_a_part_of_the_classes(scene, ann_file):
    metric = CocoMetric(classwise=True)
    metric.dataset_meta = {"classes": ("dog",), "ann_file": ann_file}
    numbers = evaluate(metric, samples(scene, ("dog",)))
    assert numbers["coco/bbox_mAP"] == pytest.approx(coco_ap(*scene, category_ids=[7])["mAP"])
    assert numbers["coco/bbox_AP/dog"] == pytest.approx(numbers["coco/bbox_mAP"])


def test_a_model_that_finds_nothing_has_ap_zero(scene, ann_file):
    nothing = list(samples((scene[0], []), ("cat", "dog"), as_tensor_masks=True))
    metric = CocoMetric(metric=("bbox", "segm"))
    metric.dataset_meta = {"classes": ("cat", "dog"), "ann_file": ann_file}
    assert set(evaluate(metric, nothing).values()) == {0.0}


def test_mask_scores_rank_masks_only(scene, ann_file):
    classes = ("cat", "dog", "never seen")
    batch = list(samples(scene, classes))
    for sample in batch:
        sample["pred_instances"]["mask_scores"] = 1 - sample["pred_instances"]["scores"]
    metric = CocoMetric(metric=["bbox", "segm"])
    metric.dataset_meta = {"classes": classes, "ann_file": ann_file}
    numbers = evaluate(metric, batch)
    turned = [{**d, "score": 1 - d["score"]} for d in scene[1]]
    assert numbers["coco/bbox_mAP"] == pytest.approx(coco_ap(*scene)["mAP"])
    assert numbers["coco/segm_mAP"] == pytest.approx(by_pycocotools(scene[0], turned, "segm")[0])
    assert numbers["coco/segm_mAP"] != pytest.approx(coco_ap(*scene, "segm")["mAP"])


def test_errors_of_the_adapter(scene, ann_file, tmp_path):
    with pytest.raises(UnknownName, match="did you mean 'bbox'"):
        CocoMetric(metric="box")
    metric = CocoMetric(metric="segm")
    boxes_only = [
        {**s, "pred_instances": {k: v for k, v in s["pred_instances"].items() if k != "masks"}}
        for s in samples(scene, ("cat",))
    ]
    with pytest.raises(ConfigError, match="predicts only boxes"):
        metric.process({}, boxes_only)
    for meta, error, what in [
        ({"classes": ("cat",)}, ConfigError, "expected an annotation file"),
        ({"classes": ("Cat",), "ann_file": ann_file}, UnknownName, "did you mean 'cat'"),
        (
            {"classes": ("cat",), "ann_file": str(tmp_path / "none.json")},
            DataError,
            r"none\.json: expected COCO annotations, found no such file",
        ),
    ]:
        with pytest.raises(error, match=what):
            evaluate_with(meta, samples(scene, ("cat",)))
    (tmp_path / "cut.json").write_text('{"images": [')
    metric = CocoMetric(ann_file=str(tmp_path / "cut.json"))
    with pytest.raises(DataError, match="expected json, found a file that is cut off"):
        metric.dataset_meta = {}


def test_nothing_is_printed(scene, capfd):
    coco_ap(*scene, "segm", backend="pycocotools")
    coco_ap(*scene, "bbox", backend="faster")
    assert capfd.readouterr().out == ""


def test_missing_masks_are_reported_before_the_first_batch(scene, ann_file):
    truth = copy.deepcopy(scene[0])
    truth["annotations"][2]["segmentation"] = [[]]
    Path(ann_file).write_text(json.dumps(truth))
    metric = CocoMetric(ann_file, metric=["bbox", "segm"])
    with pytest.raises(DataError, match=r'metric="segm", found 1 annotations without: a polygon of 0 numbers'):
        metric.dataset_meta = {"classes": ("cat", "dog")}
    CocoMetric(ann_file).dataset_meta = {"classes": ("cat", "dog")}  # boxes need no masks


def test_masks_of_another_form_are_read_with_a_note(scene, ann_file, monkeypatch):
    truth = copy.deepcopy(scene[0])
    truth["annotations"][2]["segmentation"] = [truth["annotations"][2]["segmentation"]]
    Path(ann_file).write_text(json.dumps(truth))
    notes = []
    monkeypatch.setattr("visionzoo.datasets.coco_annotations.print_log", lambda text, *_: notes.append(text))
    CocoMetric(metric="segm").dataset_meta = {"classes": ("cat", "dog"), "ann_file": ann_file}
    assert [": 1 segmentations are" in note for note in notes] == [True]
