"""Proposals of samples: annotated objects, results files, and what is wrong with them."""

import json
import re

import pytest
import torch
from refer_files import OVER, SQUARE, instances, ref, write_refer

from visionzoo.datasets.coco_ids import COCO_IDS
from visionzoo.datasets.transforms.proposals import LoadProposals
from visionzoo.engine.loaders import build_dataset
from visionzoo.errors import DataError

STEPS = [
    {"type": "LoadImage"},
    {"type": "Resize", "scale": (46, 51), "keep_ratio": False},
    {"type": "LoadReferredMask"},
    {"type": "ChoosePhrase"},
    {"type": "PackTaskInputs"},
]


def packed(root, load=None, **options):
    load = {"type": "LoadProposals", **(load or {})}
    pipeline = [*STEPS[:2], load, *STEPS[2:]]
    cfg = dict(type="ReferDataset", data_root=root, serialize_data=False, pipeline=pipeline, **options)
    return build_dataset(cfg, where="data set")[0]["data_samples"]


def results(tmp_path, *entries):
    path = tmp_path / "results.json"
    path.write_text(json.dumps(list(entries)))
    return str(path)


def entry(score=0.9, image=1, category=1, **more):
    return {"image_id": image, "category_id": category, "score": score, "segmentation": [SQUARE], **more}


def test_annotated_objects_without_crowds_and_broken_masks(tmp_path):
    record = instances(of_2=[OVER], of_3=[[90, 90, 95, 90, 95, 95]])
    record["annotations"][3]["iscrowd"] = 1
    root = write_refer(tmp_path, [ref(1, ann=2)], record)
    found = packed(root, objects=True).proposals
    assert found.masks.shape == (2, 17, 23)
    assert found.labels.tolist() == [0, 0]
    assert found.boxes[0].tolist() == [
        4.0,
        3.0,
        28.0,
        27.0,
    ]  # in an image of twice and three times the size
    assert found.masks[1].sum() == 64
    assert "proposals" not in packed(root)  # without objects, nothing is set


def test_a_results_file(tmp_path):
    root = write_refer(tmp_path, [ref(1)])
    code = {"size": [17, 23], "counts": [17, 34, 340]}
    entries = [entry(0.3, category=12), entry(0.04), entry(0.8, segmentation=code, bbox=[1, 0, 2, 17]), entry(image=2)]
    found = packed(root, dict(file=results(tmp_path, *entries))).proposals
    assert found.scores.tolist() == pytest.approx([0.8, 0.3])
    assert found.labels.tolist() == [0, -1]  # 12 is not an id of COCO's classes
    assert found.boxes.tolist() == [[2.0, 0.0, 6.0, 51.0], [4.0, 3.0, 20.0, 27.0]]
    assert found.masks[0].sum() == 34
    best = packed(root, dict(file=results(tmp_path, *entries), most=1, category_ids=[12, 1])).proposals
    assert best.labels.tolist() == [1]
    none = packed(root, dict(file=results(tmp_path, entry(image=2)))).proposals
    assert (none.boxes.shape, none.masks.shape) == ((0, 4), (0, 17, 23))
    assert none.masks.dtype == torch.bool


def test_an_image_of_inference_stays_as_it_is(tmp_path):
    sample = {"ori_shape": (4, 6), "img_shape": (4, 6), "img_path": "a.jpg"}
    assert LoadProposals(results(tmp_path, entry()))(dict(sample)) == sample
    assert LoadProposals()(dict(sample)) == sample


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (dict(score=1.5), r"entry 0: score: expected a number from 0 to 1, found 1\.5"),
        (dict(image_id=None), "image_id: expected a number or a name"),
        (dict(bbox=[1, 2, 3]), "bbox: expected x, y, width and height"),
        (dict(segmentation=[[0, 0, 4, 0]]), "a polygon of 4 numbers"),
    ],
)
def test_wrong_entries(tmp_path, changes, message):
    with pytest.raises(DataError) as error:
        LoadProposals(results(tmp_path, {**entry(), **changes}))
    assert re.search(message, f"{error.value}\n{error.value.problems}")


def test_wrong_files(tmp_path):
    with pytest.raises(DataError, match="results in COCO's format"):
        LoadProposals(str(tmp_path / "none.json"))
    path = tmp_path / "instances.json"
    path.write_text(json.dumps(instances()))
    with pytest.raises(DataError, match="found an annotation file; set objects=True of ReferDataset"):
        LoadProposals(str(path))
    path.write_text("[{")
    with pytest.raises(DataError, match="broken JSON"):
        LoadProposals(str(path))
    root = write_refer(tmp_path / "data", [ref(1)])
    other = entry(segmentation={"size": [5, 5], "counts": [0, 25]})
    with pytest.raises(DataError, match=r"proposals in the image, found an RLE of size \[5, 5\]"):
        packed(root, dict(file=results(tmp_path, other)), test_mode=True)


def test_ids_of_coco():
    assert (len(COCO_IDS), COCO_IDS[:12], COCO_IDS[-1]) == (80, (1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 13), 90)
