"""COCO ``instances`` files with boxes, and with masks that the metric reads too."""

from __future__ import annotations

import contextlib
import io
import json
import math
import re
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from pycocotools import mask as masks
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from reliability import mutations
from reliability.campaign import Format
from reliability.loading import samples_of
from visionzoo.engine.loaders import build_dataset
from visionzoo.metrics.coco import CocoMetric
from visionzoo.registry import DATASETS, TRANSFORMS

for registry in (DATASETS, TRANSFORMS):  # imports take seconds, which the time limit of a mutation does not include
    registry.import_parts()

SIZE = (20, 30)
REFUSED = "refused"


def other_ids(path: Path, random) -> str:
    """Renumber the ids of one section, also as text, and their references."""
    record = json.loads(path.read_text())
    section, field = random.choice([("images", "image_id"), ("categories", "category_id"), ("annotations", None)])
    first, as_text, refer_as_text = random.choice((0, 1, 9)), random.random() < 0.5, random.random() < 0.5
    ids = {entry["id"]: first + number for number, entry in enumerate(record[section])}
    for entry in record[section]:
        entry["id"] = str(ids[entry["id"]]) if as_text else ids[entry["id"]]
    for entry in record["annotations"] if field else ():
        entry[field] = str(ids[entry[field]]) if refer_as_text else ids[entry[field]]
    path.write_text(json.dumps(record))
    return f"{section}: ids from {first}, as text: {as_text}, references as text: {refer_as_text}"


class CocoInstances(Format):
    name = "COCO instances"
    damages = (
        *[("a.json", mutations.some_json_value)] * 8,
        ("a.json", mutations.some_bytes),
        ("a.json", mutations.some_line),
        ("a.json", other_ids),
        ("*.png", mutations.some_file),
        ("*.png", mutations.some_bytes),
    )
    with_mask = False

    def write(self, folder, random):
        images = [{"id": n, "file_name": f"{n}.png", "height": 20, "width": 30} for n in (1, 2, 3)]
        for image in images:
            Image.new("RGB", SIZE[::-1], (50 * image["id"], 9, 9)).save(folder / image["file_name"])
        annotations = [
            {"id": n, "image_id": 1 + n % 2, "category_id": 1 + n % 2, "bbox": [n, 2, 8, 9], "area": 72, "iscrowd": 0}
            for n in (1, 2, 3, 4, 5)
        ]
        annotations[4].update(iscrowd=1)
        for each in annotations if self.with_mask else ():
            x, y, width, height = each["bbox"]
            each["segmentation"] = [[x, y, x + width, y, x + width, y + height]]
        if self.with_mask:
            for each, compress in ((annotations[2], False), (annotations[4], True)):
                each["segmentation"] = run_lengths(each["bbox"], compress)
        categories = [{"id": 2, "name": "dog"}, {"id": 1, "name": "cat"}]
        record = {"images": images, "annotations": annotations, "categories": categories}
        (folder / "a.json").write_text(json.dumps(record))

    def read(self, folder, workers=0):
        steps = [{"type": "LoadImage"}, {"type": "mmdet.LoadAnnotations", "with_mask": self.with_mask}]
        cfg = {"type": "CocoDetection", "ann_file": "a.json", "data_root": str(folder), "pipeline": steps}
        data = build_dataset({**cfg, "serialize_data": False}, where="data set")
        samples = samples_of(data, workers)
        contents = {Path(sample["img_path"]).name: contents_of(sample, data.metainfo["classes"]) for sample in samples}
        return (contents, self.scores(data, samples)) if self.with_mask else contents

    def scores(self, data: Any, samples: list[dict]) -> list[float]:
        """Return the scores of the loaded boxes and masks, as detections."""
        metric = CocoMetric(metric=["bbox", "segm"], backend="pycocotools")
        metric.dataset_meta = data.metainfo
        for number, sample in enumerate(samples):
            boxes, labels = sample["gt_bboxes"].numpy(), sample["gt_bboxes_labels"]
            found = {"bboxes": boxes, "labels": labels, "scores": confidences(number, len(labels))}
            found["masks"] = bitmaps(sample)
            metric.process(None, [{"img_id": sample["img_id"], "pred_instances": found}])
        numbers = metric.evaluate(len(samples))
        return [round(numbers[f"coco/{kind}_{name}"], 9) for kind in ("bbox", "segm") for name in ("mAP", "AR_100")]

    def truth(self, folder):
        try:
            record = plain_record(json.loads((folder / "a.json").read_bytes()), self.with_mask)
            contents = {image["file_name"]: plain_contents(folder, image, record) for image in record["images"]}
            if not any(not crowd for _, rows in contents.values() for _, crowd, *_ in rows):
                return REFUSED
        except (ValueError, TypeError, LookupError, OSError, OverflowError, AttributeError, SyntaxError):
            return REFUSED
        return (contents, plain_scores(record)) if self.with_mask else contents


class CocoMasks(CocoInstances):
    name = "COCO masks"
    with_mask = True


# --- what the data set and the metric read ---


def contents_of(sample: dict, names: tuple[str, ...]) -> tuple:
    """Return the mean colour, and class, crowd flag, box and pixels of the mask for each object."""
    areas = bitmaps(sample).sum((1, 2)).tolist() if "gt_masks" in sample else [0] * len(sample["gt_bboxes"])
    rows = zip(sample["gt_bboxes_labels"], sample["gt_ignore_flags"], sample["gt_bboxes"].numpy(), areas, strict=True)
    rows = [(names[label], bool(crowd), *near(box), area) for label, crowd, box, area in rows]
    return near(sample["img"].mean((0, 1))), sorted(rows)


def bitmaps(sample: dict) -> np.ndarray:
    """Return the masks of a sample, (N, H, W) bool."""
    return sample["gt_masks"].to_ndarray().reshape(-1, *sample["img"].shape[:2]) > 0


def near(values: Any) -> tuple[float, ...]:
    return tuple(round(float(value), 3) for value in values)


def confidences(image: int, count: int) -> np.ndarray:
    return 0.9 - 0.05 * image - 0.001 * np.arange(count)


# --- the plain reader ---


def plain_record(record: dict, with_mask: bool) -> dict:
    """Return the record with usual values and ids from 1. Any value without a plain meaning raises an error."""
    images = {}
    for number, image in enumerate(in_order(record["images"]), 1):
        height, width = (whole(image[key]) for key in ("height", "width"))
        assert_that(isinstance(image["file_name"], str) and height > 0 and width > 0)
        images[key_of(image["id"])] = {"id": number, "file_name": image["file_name"], "height": height, "width": width}
    categories = {}
    for number, category in enumerate(in_order(record["categories"]), 1):
        assert_that(type(category["name"]) in (str, int, float) and str(category["name"]).strip())
        categories[key_of(category["id"])] = {"id": number, "name": str(category["name"])}
    annotations = [plain_annotation(each, images, categories, with_mask) for each in record["annotations"]]
    for entries, field in ((images, "file_name"), (categories, "name")):
        assert_that(max(Counter(each[field] for each in entries.values()).values()) == 1)
    assert_that(len(images) == len(record["images"]) and len(categories) == len(record["categories"]))
    assert_that(len({key_of(each["id"]) for each in record["annotations"]}) == len(annotations))
    for number, each in enumerate(annotations, 1):
        each["id"] = number
    return {"images": [*images.values()], "categories": [*categories.values()], "annotations": annotations}


def plain_annotation(entry: dict, images: dict, categories: dict, with_mask: bool) -> dict:
    assert_that(isinstance(entry["bbox"], list))
    x, y, width, height = (plain_number(value) for value in entry["bbox"])
    assert_that(min(width, height) >= 0 and max(abs(value) for value in (x, y, width, height)) <= 1e6)
    image, category = images[key_of(entry["image_id"])], categories[key_of(entry["category_id"])]
    area = entry.get("area")
    crowd = entry.get("iscrowd")
    read = {
        "image_id": image["id"],
        "category_id": category["id"],
        "bbox": [x, y, width, height],
        "area": width * height if area is None else plain_number(area),
        "iscrowd": 0 if crowd is None else int(crowd) if isinstance(crowd, bool) else whole(crowd),
    }
    assert_that(read["area"] >= 0 and read["iscrowd"] in (0, 1))
    if with_mask:
        read["segmentation"] = plain_mask(entry["segmentation"], image)
    return read


def plain_mask(value: Any, image: dict) -> dict:
    """Return a compressed RLE."""
    size = image["height"], image["width"]
    if isinstance(value, list) and len(value) == 1 and isinstance(value[0], dict):
        value = value[0]
    if isinstance(value, dict):
        assert_that(value["size"] == [*size] and not isinstance(value["size"][0], bool) and value["counts"])
        rle = value if isinstance(value["counts"], str) else masks.frPyObjects(value, *size)
        if isinstance(value["counts"], list):
            assert_that(
                all(type(n) is int and n >= 0 for n in value["counts"]) and sum(value["counts"]) == math.prod(size)
            )
        masks.decode(rle)
        return rle
    polygons = value if isinstance(value[0], list) else [value]
    for polygon in polygons:
        assert_that(len(polygon) >= 6 and len(polygon) % 2 == 0)
        assert_that(all(not isinstance(n, str) and abs(plain_number(n)) <= 1e6 for n in polygon))
    return masks.merge(masks.frPyObjects(polygons, *size))


def plain_contents(folder: Path, image: dict, record: dict) -> tuple:
    names = {category["id"]: category["name"] for category in record["categories"]}
    with Image.open(folder / image["file_name"]) as opened:
        pixels = np.asarray(opened.convert("RGB"))
    assert_that(pixels.shape[:2] == (image["height"], image["width"]))
    rows = []
    for each in used(record):
        if each["image_id"] == image["id"]:
            x, y, width, height = each["bbox"]
            box = np.array([x, y, x + width, y + height], np.float32)
            area = int(masks.area(each["segmentation"])) if "segmentation" in each else 0
            rows.append((names[each["category_id"]], bool(each["iscrowd"]), *near(box), area))
    return near(pixels.mean((0, 1))), sorted(rows)


def used(record: dict) -> list[dict]:
    """Return the annotations with a box of a pixel or more that is in its image."""
    sizes = {image["id"]: (image["height"], image["width"]) for image in record["images"]}

    def is_inside(each: dict) -> bool:
        (x, y, w, h), (height, width) = each["bbox"], sizes[each["image_id"]]
        return w >= 1 and h >= 1 and each["area"] > 0 and x < width and y < height and x + w > 0 and y + h > 0

    return [each for each in record["annotations"] if is_inside(each)]


def plain_scores(record: dict) -> list[float]:
    """Return the scores of the used boxes and masks by pycocotools."""
    results, numbers = [], Counter[int]()
    for each in used(record):
        image = each["image_id"]
        score = confidences(image - 1, numbers[image] + 1)[-1]
        numbers[image] += 1
        box = np.array(each["bbox"], np.float32).astype(float).tolist()
        found = {"image_id": image, "category_id": each["category_id"], "score": score}
        results.append({**found, "bbox": box, "segmentation": each["segmentation"]})
    scores = []
    with contextlib.redirect_stdout(io.StringIO()):
        index = COCO()
        index.dataset = record
        index.createIndex()
        for kind, region in (("bbox", "bbox"), ("segm", "segmentation")):
            keys = ("image_id", "category_id", "score", region)
            found = index.loadRes([{key: each[key] for key in keys} for each in results])
            evaluation = COCOeval(index, found, kind)
            evaluation.evaluate()
            evaluation.accumulate()
            evaluation.summarize()
            scores += [round(float(evaluation.stats[0]), 9), round(float(evaluation.stats[8]), 9)]
    return scores


def in_order(entries: list[dict]) -> list[dict]:
    """Return entries in the order of their ids: numbers, then other text."""
    keys = [key_of(entry["id"]) for entry in entries]
    order = sorted(range(len(keys)), key=lambda n: (isinstance(keys[n], str), keys[n]))
    return [entries[n] for n in order]


def key_of(label: Any) -> Any:
    """Return an id as a number if it is one or spells one."""
    if isinstance(label, str) and label and not re.fullmatch(r"[+-]?[0-9]{1,40}", label):
        return label
    return plain_number(label)


def plain_number(value: Any) -> float:
    if isinstance(value, str):
        value = json.loads(value.strip())
    assert_that(type(value) in (int, float) and abs(value) < math.inf)
    return value


def whole(value: Any) -> int:
    number = plain_number(value)
    assert_that(number == int(number))
    return int(number)


def assert_that(condition: bool) -> None:
    if not condition:
        raise ValueError


def run_lengths(box: list[int], compress: bool) -> dict:
    """Return a rectangle as an RLE."""
    x, y, width, height = box
    mask = np.zeros(SIZE, np.uint8, order="F")
    mask[y : y + height, x : x + width] = 1
    if compress:
        rle = masks.encode(mask)
        return {"size": [*SIZE], "counts": rle["counts"].decode()}
    flat = mask.ravel(order="F")
    edges = np.flatnonzero(np.diff(flat, prepend=0))
    return {"size": [*SIZE], "counts": np.diff([0, *edges, len(flat)]).tolist()}
