"""Numbers do not depend on ids, on the order of entries, on names of files, or on the numbers of classes.

Every case writes the same objects twice, the second time renamed, renumbered and shuffled. Each image has another
colour, by which the test finds its predictions. All numbers must be equal to the last bit.
"""

import json

import numpy as np
import pytest
from mmengine.registry import DefaultScope
from PIL import Image
from pycocotools import mask as rle

from visionzoo.datasets.panoptic.id_png import write_id_png
from visionzoo.engine.loaders import build_dataset
from visionzoo.metrics.coco import score_detections
from visionzoo.registry import METRICS
from visionzoo.structures.panoptic import PanopticMap

COUNT, HEIGHT, WIDTH = 9, 60, 90
CLASSES = ("ant", "bee", "cat", "dog")
LOAD = [{"type": "LoadImage"}]


class Case:
    """One data set with its metrics. ``order`` is None for the first files, else a generator that changes them."""

    def __init__(self):
        self.rng = np.random.default_rng(3)
        self.scenes = [self.scene(number) for number in range(COUNT)]

    def names(self, order):
        """Return the name of each scene, and the scenes in the order of entries."""
        names = [f"{number:03d}" for number in range(COUNT)]
        return (names, range(COUNT)) if order is None else (order.permutation(names).tolist(), order.permutation(COUNT))

    def numbers(self, folder, order):
        folder.mkdir()
        metrics = [build(METRICS, metric) for metric in self.metrics]
        dataset = build_dataset({**self.write(folder, order), "serialize_data": False}, where="data set")
        samples = [self.predicted(dataset[number], dataset.metainfo) for number in range(len(dataset))]
        for metric in metrics:
            metric.dataset_meta = dataset.metainfo
            metric.process(None, samples)
        return [metric.evaluate(len(samples)) for metric in metrics]


def build(registry, cfg):
    with DefaultScope.overwrite_default_scope("visionzoo"):
        return registry.build(dict(cfg))


def write_image(path, number):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (WIDTH, HEIGHT), (10 * number + 5, 7, 7)).save(path)


def number_of(image):
    return int(image[0, 0, 0]) // 10


# --- boxes and masks ---


class Coco(Case):
    metrics = (
        {"type": "CocoMetric", "metric": ["bbox", "segm"], "iou_thrs": [0.55], "classwise": True},
        {"type": "BoundaryAPMetric", "classwise": True},
    )
    ids = "numbers"

    def scene(self, number):
        low, high = (2, 2, 10, 10), (40, 20, 45, 38)
        boxes = self.rng.uniform(low, high, (1 + number % 4, 4)).round(2)
        found = (boxes + self.rng.normal(0, 2, boxes.shape)).clip(1)
        labels = self.rng.integers(len(CLASSES), size=len(boxes))
        return {"boxes": boxes, "found": found, "labels": labels, "scores": self.rng.random(len(boxes))}

    def labels(self, count, order, kind):
        """Return ids: 1, 2, ..., or in another order from 0, as text or spread."""
        if order is None:
            return list(range(1, count + 1))
        numbers = order.permutation(count).tolist()
        return {"numbers": numbers, "text": [f"id {n}" for n in numbers], "digits": [str(n) for n in numbers]}[kind]

    def write(self, folder, order):
        names, entries = self.names(order)
        ids, categories = (self.labels(count, order, self.ids) for count in (COUNT, len(CLASSES)))
        images, annotations = [], []
        for number in entries:
            write_image(folder / f"{names[number]}.png", number)
            images.append(dict(id=ids[number], file_name=f"{names[number]}.png", height=HEIGHT, width=WIDTH))
            for box, label in zip(self.scenes[number]["boxes"].tolist(), self.scenes[number]["labels"], strict=True):
                each = {"image_id": ids[number], "category_id": categories[label], "bbox": box, "iscrowd": 0}
                annotations.append({**each, "segmentation": [triangle(box)]})
        for label, each in zip(self.labels(len(annotations), order, self.ids), annotations, strict=True):
            each["id"] = label
        if order is not None:
            order.shuffle(annotations)
        listed = [{"id": each, "name": name} for each, name in zip(categories, CLASSES, strict=True)]
        record = {"images": images, "annotations": annotations, "categories": listed[:: 1 if order is None else -1]}
        (folder / "a.json").write_text(json.dumps(record))
        return dict(type="CocoDetection", ann_file="a.json", data_root=str(folder), test_mode=True, pipeline=LOAD)

    def predicted(self, sample, metainfo):
        scene = self.scenes[number_of(sample["img"])]
        boxes = scene["found"].copy()
        masks = [rle.merge(rle.frPyObjects([triangle(box)], HEIGHT, WIDTH)) for box in boxes.tolist()]
        boxes[:, 2:] += boxes[:, :2]
        labels = np.array([metainfo["classes"].index(CLASSES[label]) for label in scene["labels"]])
        found = dict(bboxes=boxes, scores=scene["scores"], labels=labels, masks=masks)
        return {"img_id": sample["img_id"], "pred_instances": found}


def triangle(box):
    x, y, width, height = box
    return [x, y, x + width, y + 1, x + width / 3, y + height]


class CocoText(Coco):
    ids = "text"


class CocoDigits(Coco):
    ids = "digits"


# --- classes ---


class Classified(Case):
    metrics = ({"type": "ClassificationMetric", "topk": (1, 2), "classwise": True},)

    def scene(self, number):
        return {"label": number % len(CLASSES), "scores": self.rng.random(len(CLASSES))}

    def predicted(self, sample, metainfo):
        scores = self.scenes[number_of(sample["img"])]["scores"]
        order = [CLASSES.index(name) for name in metainfo["classes"]]
        return {"gt_label": sample["gt_label"], "pred_score": scores[order]}


class Listed(Classified):
    def write(self, folder, order):
        names, entries = self.names(order)
        for number, name in enumerate(names):
            write_image(folder / f"{name}.png", number)
        rows = [f"{names[number]}.png,{CLASSES[self.scenes[number]['label']]}" for number in entries]
        (folder / "a.csv").write_text("\n".join(["path,label", *rows]))
        classes = CLASSES if order is None else order.permutation(CLASSES).tolist()
        return dict(type="ImageList", ann_file="a.csv", data_root=str(folder), classes=classes, pipeline=LOAD)


class InFolders(Classified):
    def write(self, folder, order):
        names, _ = self.names(order)
        for number, name in enumerate(names):
            write_image(folder / CLASSES[self.scenes[number]["label"]] / f"{name}.png", number)
        classes = CLASSES if order is None else order.permutation(CLASSES).tolist()
        return dict(type="ImageFolder", data_root=str(folder), split="", classes=classes, pipeline=LOAD)


class Geographic(Listed):
    """Images of four regions; a region and two labels belong to each image."""

    metrics = ({"type": "GeoShiftMetric", "topk": (1, 2)},)

    def scene(self, number):
        return {**super().scene(number), "other": (number * number) % 4, "region": ("af", "am", "as", "eu")[number % 4]}

    def predicted(self, sample, metainfo):
        scene = self.scenes[number_of(sample["img"])]
        order = [CLASSES.index(name) for name in metainfo["classes"]]
        labels = {order.index(scene["label"]), order.index(scene["other"])}
        known = {"gt_labels": sorted(labels), "region": scene["region"]}
        return {**known, "pred_score": scene["scores"][order]}


class Cropped(Classified):
    def write(self, folder, order):
        names, entries = self.names(order)
        ids = Coco.labels(self, COUNT, order, "numbers")
        images, annotations = [], []
        for number in entries:
            write_image(folder / f"{names[number]}.png", number)
            images.append(dict(id=ids[number], file_name=f"{names[number]}.png", height=HEIGHT, width=WIDTH))
            each = {"id": ids[number], "image_id": ids[number], "category_id": self.scenes[number]["label"]}
            annotations.append({**each, "bbox": [5, 5, 20, 20]})
        categories = [{"id": label, "name": name} for label, name in enumerate(CLASSES)]
        record = {"images": images, "annotations": annotations, "categories": categories}
        (folder / "a.json").write_text(json.dumps(record))
        return dict(type="CocoCrops", ann_file="a.json", data_root=str(folder), pipeline=[])


# --- saliency ---


class Saliency(Case):
    metrics = (
        {"type": "SaliencyMetric", "metrics": ["Smeasure", "MAE", "Emeasure", "Fmeasure", "PR"]},
        {"type": "SaliencyMetric", "protocol": "gconet"},
    )

    def scene(self, number):
        mask = np.zeros((HEIGHT, WIDTH), np.uint8)
        mask[5 : 20 + 3 * number, 9 : 70 - 5 * number] = 255
        return {"mask": mask, "map": (mask / 255 * 0.6 + self.rng.random(mask.shape) * 0.4).round(4)}

    def write_pair(self, image, mask, number):
        write_image(image, number)
        mask.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(self.scenes[number]["mask"]).save(mask)


class OneByOne(Saliency):
    def write(self, folder, order):
        names, entries = self.names(order)
        for number, name in enumerate(names):
            self.write_pair(folder / f"imgs/{name}.png", folder / f"gt/{name}.png", number)
        (folder / "all.txt").write_text("\n".join(names[number] for number in entries))
        return dict(type="SaliencyDataset", data_root=str(folder), split="all", pipeline=LOAD)

    def predicted(self, sample, metainfo):
        mask = np.array(Image.open(sample["gt_path"]))
        return {"pred_map": self.scenes[number_of(sample["img"])]["map"], "gt_map": mask}


class InGroups(Saliency):
    def write(self, folder, order):
        names, _ = self.names(order)
        groups = ["x", "y", "z"] if order is None else ["y", "z", "x"]
        for number, name in enumerate(names):
            place = f"set/{groups[number % 3]}/{name}.png"
            self.write_pair(folder / "images" / place, folder / "gts" / place, number)
        return dict(type="CoSaliencyFolder", data_root=str(folder), name="set")

    def predicted(self, sample, metainfo):
        images = [np.array(Image.open(path)) for path in sample["img_path"]]
        maps = [self.scenes[number_of(image)]["map"] for image in images]
        return {"pred_map": maps, "gt_map": [np.array(Image.open(path)) for path in sample["gt_path"]]}


class Pairs(OneByOne):
    metrics = ({"type": "PairMetric"},)

    def predicted(self, sample, metainfo):
        mean = float(self.scenes[number_of(sample["img"])]["map"].mean())
        return {"pred_pair_agreement": mean, "pred_pair_accuracy": mean / 3}


# --- lanes ---


class Lanes(Case):
    rows = list(range(10, 60, 10))

    def scene(self, number):
        starts = 8 + 20 * np.arange(1 + number % 4)
        lanes = [[round(float(x + self.rng.normal(0, 1)), 1) for _ in self.rows] for x in starts]
        found = [[x + float(self.rng.normal(0, 3)) for x in lane] for lane in lanes[: 1 + number % 3]]
        return {"lanes": lanes, "found": found}

    def predicted(self, sample, metainfo):
        found = self.scenes[number_of(sample["img"])]["found"]
        points = [np.column_stack([lane, self.rows]).astype(float) for lane in found]
        truth = {key: sample[key] for key in ("gt_lanes", "gt_x", "h_samples", "scenario") if key in sample}
        return {"pred_lanes": points, **truth}


class CULane(Lanes):
    metrics = ({"type": "CULaneMetric", "image_size": (WIDTH, HEIGHT), "lane_width": 5},)

    def write(self, folder, order):
        names, entries = self.names(order)
        for number, name in enumerate(names):
            write_image(folder / f"clip/{name}.jpg", number)
            lanes = self.scenes[number]["lanes"][:: 1 if order is None else -1]
            lines = [" ".join(f"{x} {y}" for x, y in zip(lane, self.rows, strict=True)) for lane in lanes]
            (folder / f"clip/{name}.lines.txt").write_text("\n".join(lines))
        (folder / "list").mkdir()
        (folder / "list/test.txt").write_text("\n".join(f"/clip/{names[number]}.jpg" for number in entries))
        return dict(type="CULaneDataset", data_root=str(folder), split="test", pipeline=LOAD)


class TuSimple(Lanes):
    metrics = ({"type": "TuSimpleMetric", "pixels": 4},)

    def write(self, folder, order):
        names, entries = self.names(order)
        lines = []
        for number in entries:
            write_image(folder / f"clips/{names[number]}.jpg", number)
            lanes = self.scenes[number]["lanes"][:: 1 if order is None else -1]
            lines.append(json.dumps(dict(raw_file=f"clips/{names[number]}.jpg", lanes=lanes, h_samples=self.rows)))
        (folder / "a.json").write_text("\n".join(lines))
        return dict(type="TuSimpleDataset", data_root=str(folder), label_files="a.json", pipeline=LOAD)


# --- counts ---


class Counts(Case):
    metrics = ({"type": "CountMetric", "game_levels": (0, 1, 2)}, {"type": "CountMetric", "categories": ("scene",)})

    def scene(self, number):
        points = (self.rng.random((3 + 2 * number, 2)) * (WIDTH, HEIGHT)).round(1)
        return {"points": points, "density": self.rng.random((HEIGHT, WIDTH)) / 300}

    def write(self, folder, order):
        names, entries = self.names(order)
        lines = []
        for number in entries:
            write_image(folder / f"{names[number]}.png", number)
            points = self.scenes[number]["points"].tolist()[:: 1 if order is None else -1]
            lines.append(json.dumps({"image": f"{names[number]}.png", "points": points, "scene": "ab"[number % 2]}))
        (folder / "points.jsonl").write_text("\n".join(lines))
        return dict(type="PointsDataset", data_root=str(folder), pipeline=LOAD)

    def predicted(self, sample, metainfo):
        density = self.scenes[number_of(sample["img"])]["density"]
        truth = {key: sample[key] for key in ("gt_points", "scene")}
        return {"pred_density": density, "pred_count": density.sum(), "ori_shape": (HEIGHT, WIDTH), **truth}


class Registered(Case):
    metrics = ({"type": "RegistrationMetric", "interpolations": ("nearest", "onehot"), "per_label": True},)

    def scene(self, number):
        labels = np.kron(self.rng.integers(0, 4, (2, 3, 4)), np.ones((8, 7), int))
        return {"labels": labels, "field": self.rng.normal(0, 1.5, (2, *labels.shape[1:]))}

    def write(self, folder, order):
        names, entries = self.names(order)
        lines = ["fixed,moving"]
        for number in entries:
            lines.append(f"{names[number]}f.npz,{names[number]}m.npz")
            for role, labels in zip("fm", self.scenes[number]["labels"], strict=True):
                np.savez(folder / f"{names[number]}{role}.npz", vol=number + 0.2 * labels, seg=labels)
        (folder / "pairs.csv").write_text("\n".join(lines))
        return dict(
            type="RegistrationPairs", data_root=str(folder), pairs="pairs.csv", pipeline=[{"type": "LoadVolumePair"}]
        )

    def predicted(self, sample, metainfo):
        fixed, moving = (image[None, ..., 0] for image in sample["img"])
        field = self.scenes[int(fixed.min())]["field"]
        return {**sample, "gt_fixed": fixed, "gt_moving": moving, "pred_field": field}


class Referred(Case):
    metrics = (
        {"type": "ReferMetric"},
        {"type": "ReferMetric", "eval_size": "input"},
        {"type": "ReferMetric", "protocol": "grefcoco", "least_pixels": 2},
    )

    def scene(self, number):
        boxes = self.rng.integers(0, 40, (2, 2))
        count = 0 if number == 4 else 1 + number % 2
        return {"boxes": boxes[:count].tolist(), "map": np.kron(self.rng.random((6, 9)), np.ones((10, 10)))}

    def write(self, folder, order):
        names, entries = self.names(order)
        record = {"images": [], "annotations": [], "categories": [{"id": 1, "name": "box"}]}
        refs, ids = [], iter(range(1, 100) if order is None else order.permutation(100).tolist())
        for number in entries:
            image, ref, anns = next(ids), next(ids), []
            write_image(folder / f"{names[number]}.png", number)
            record["images"].append(
                {"id": image, "file_name": f"{names[number]}.png", "height": HEIGHT, "width": WIDTH}
            )
            for x, y in self.scenes[number]["boxes"]:
                anns.append(next(ids))
                box = {"segmentation": [[x, y, x + 20, y, x + 20, y + 15, x, y + 15]], "bbox": [x, y, 20, 15]}
                record["annotations"].append({"id": anns[-1], "image_id": image, "category_id": 1, **box})
            sentences = [{"raw": "the box"}]
            refs.append({"ref_id": ref, "image_id": image, "ann_id": anns, "split": "val", "sentences": sentences})
        (folder / "refs(unc).json").write_text(json.dumps(refs))
        (folder / "instances.json").write_text(json.dumps(record))
        settings = dict(data_root=str(folder), name="", split="val", img_folder="", test_mode=True)
        return dict(type="ReferDataset", pipeline=[*LOAD, {"type": "LoadReferredMask"}], **settings)

    def predicted(self, sample, metainfo):
        values = self.scenes[number_of(sample["img"])]["map"]
        mask = values >= 0.5
        return {"pred_mask": mask, "pred_input_mask": mask[::2, ::3], "gt_map": sample["gt_seg_map"]}


# --- panoptic and semantic maps ---


class Panoptic(Case):
    """Things are classes 0 and 1, stuff 2 and 3. Ids of images, categories and segments change."""

    metrics = ({"type": "PanopticQualityMetric", "boundary": True},)

    def scene(self, number):
        blocks = np.kron(self.rng.integers(0, 6, (6, 9)), np.ones((10, 10), int))
        found = np.roll(blocks, self.rng.integers(0, 4, 2), (0, 1))
        return {"truth": blocks, "found": found, "crowd": number % 3 == 1}

    def segments(self, values):
        """Return the class of each number of a map; 5 has none."""
        return {value: value % len(CLASSES) for value in np.unique(values).tolist() if value < 5}

    def write(self, folder, order):
        names, entries = self.names(order)
        ids, categories = (Coco.labels(self, count, order, "numbers") for count in (COUNT, len(CLASSES)))
        record = {"images": [], "annotations": []}
        for number in entries:
            scene, name = self.scenes[number], names[number]
            write_image(folder / f"img/{name}.png", number)
            numbers = range(1, 6) if order is None else order.choice(256**3 - 1, 5, replace=False) + 1
            code = np.array([*numbers, 0], np.int64)
            (folder / "seg").mkdir(exist_ok=True)
            write_id_png(folder / f"seg/{name}.png", code[scene["truth"]])
            listed = [
                {
                    "id": int(code[value]),
                    "category_id": categories[label],
                    "iscrowd": int(scene["crowd"] and value == 1),
                }
                for value, label in self.segments(scene["truth"]).items()
            ]
            if order is not None:
                order.shuffle(listed)
            record["images"].append(dict(id=ids[number], file_name=f"{name}.png", height=HEIGHT, width=WIDTH))
            record["annotations"].append(dict(image_id=ids[number], file_name=f"{name}.png", segments_info=listed))
        named = [
            {"id": each, "name": name, "isthing": int(label < 2)}
            for label, (each, name) in enumerate(zip(categories, CLASSES, strict=True))
        ]
        record["categories"] = named if order is None else named[::-1]
        (folder / "a.json").write_text(json.dumps(record))
        places = dict(ann_file="a.json", data_root=str(folder), data_prefix=dict(img="img", seg="seg"))
        return dict(type="PanopticDataset", pipeline=[*LOAD, {"type": "LoadPanoptic"}], test_mode=True, **places)

    def predicted(self, sample, metainfo):
        found = self.scenes[number_of(sample["img"])]["found"]
        classes = [metainfo["classes"].index(name) for name in CLASSES]
        segments = {value + 1: (classes[label], False) for value, label in self.segments(found).items()}
        prediction = PanopticMap.of_ids(np.where(found < 5, found + 1, 0), segments)
        return {"gt_panoptic": sample["gt_panoptic"], "pred_panoptic": prediction}


class Semantic(Case):
    metrics = (
        {"type": "SemanticMetric", "boundary": True},
        {"type": "SemanticMetric", "definition": "mmseg"},
    )

    def scene(self, number):
        blocks = np.kron(self.rng.integers(0, 3, (6, 9)), np.ones((10, 10), int))
        return {"truth": blocks, "found": np.where(self.rng.random(blocks.shape) < 0.1, 3, np.roll(blocks, 3, 1))}

    def write(self, folder, order):
        names, _ = self.names(order)
        code = np.arange(len(CLASSES)) if order is None else order.permutation(len(CLASSES))
        for number, name in enumerate(names):
            write_image(folder / f"images/{name}.png", number)
            truth = code[self.scenes[number]["truth"]]
            truth[:4] = 255
            (folder / "annotations").mkdir(exist_ok=True)
            Image.fromarray(truth.astype(np.uint8)).save(folder / f"annotations/{name}.png")
        (folder / "classes.txt").write_text("\n".join(CLASSES[label] for label in np.argsort(code)))
        return dict(type="SemanticFolders", data_root=str(folder), pipeline=[*LOAD, {"type": "LoadSemanticMap"}])

    def predicted(self, sample, metainfo):
        code = np.array([metainfo["classes"].index(name) for name in CLASSES])
        found = code[self.scenes[number_of(sample["img"])]["found"]]
        return {"gt_semantic": sample["gt_semantic"], "pred_semantic": found}


CASES = (
    *(Coco, CocoText, CocoDigits, Cropped, Listed, InFolders, OneByOne, InGroups, Pairs, CULane, TuSimple, Counts),
    Registered,
    Referred,
    *(Panoptic, Semantic),
    Geographic,
)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
def test_numbers_depend_only_on_the_objects(case, tmp_path):
    expected = case().numbers(tmp_path / "first", None)
    for seed in range(4):
        assert case().numbers(tmp_path / f"{seed}", np.random.default_rng(seed)) == expected
    values = [value for numbers in expected for value in numbers.values()]
    assert any(0 < value < 1 for value in values)  # neither perfect nor without any match


def test_every_metric_has_a_case():
    METRICS.import_parts()
    ours = {name for name, cls in METRICS.module_dict.items() if cls.__module__.startswith("visionzoo.")}
    assert ours == {metric["type"] for case in CASES for metric in case.metrics}


@pytest.mark.parametrize("backend", ["faster", "pycocotools"])
@pytest.mark.parametrize("iou_type", ["bbox", "segm"])
def test_ap_is_the_same_to_the_last_bit_for_classes_in_another_order(iou_type, backend):
    """Means over classes are exact, because sums of 80 classes in another order differ."""
    rng = np.random.default_rng(5)
    truth, found = {"images": [{"id": 1, "height": 500, "width": 500}], "annotations": []}, []
    for number in range(240):
        box = rng.uniform((0, 0, 10, 10), (300, 300, 90, 90)).tolist()
        region = {"bbox": box, "segmentation": rle.merge(rle.frPyObjects([triangle(box)], 500, 500))}
        each = {"image_id": 1, "category_id": number % 23, "area": box[2] * box[3], "iscrowd": 0}
        truth["annotations"].append({"id": number, **each, **region})
        near = (np.array(box) + rng.normal(0, 3, 4)).clip(1).tolist()
        region = {"bbox": near, "segmentation": rle.merge(rle.frPyObjects([triangle(near)], 500, 500))}
        found.append({"image_id": 1, "category_id": number % 23, "score": rng.random(), **region})
    numbers = []
    for order in (np.arange(23), rng.permutation(23)):
        moved = [[{**each, "category_id": int(order[each["category_id"]])} for each in entries]
                 for entries in (truth["annotations"], found)]  # fmt: skip
        categories = [{"id": int(order[label]), "name": f"{label}"} for label in range(23)]
        record = {**truth, "annotations": moved[0], "categories": categories}
        scores = score_detections(record, moved[1], iou_type, backend=backend)
        numbers.append((scores.numbers, sorted(scores.per_class, key=lambda row: row["class"])))
    assert numbers[0] == numbers[1]
