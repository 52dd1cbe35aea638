"""The suite coconut: twelve images counted by hand, one forward pass, predictions of any origin, mistakes."""

import csv
import json
import shutil

import numpy as np
import pytest
from PIL import Image

from visionzoo.cli.test import main as run_test
from visionzoo.cli.train import main as run_train
from visionzoo.datasets.panoptic.id_png import write_id_png
from visionzoo.structures.detections import encode_mask
from visionzoo.suites import _panoptic_models

# Twelve images of 8 x 10 pixels: a disc at the left of the sky. The disc has 5 columns in relabelled COCO-val and
# 4 columns in COCO-val. Nine predictions equal relabelled COCO-val; in three, the disc is part of the sky.
#
#   relabelled COCO-val   disc: 9 matches of IoU 1, 3 missed: PQ = 9 / (9 + 3 / 2) = 6 / 7
#                         sky: 9 matches of IoU 1, and 3 of IoU 5 / 10, which is not above 0.5: 3 missed, 3 extra;
#                         PQ = 9 / (9 + 3 / 2 + 3 / 2) = 3 / 4
#   COCO-val              disc: 9 matches of IoU 4 / 5: PQ = 7.2 / 10.5
#                         sky: 9 matches of IoU 5 / 6, and 3 of IoU 6 / 10: PQ = (7.5 + 1.8) / 12
#   instances             nine discs of twelve, all right: precision 1 up to recall 0.75, 76 of 101 points
COUNT, HEIGHT, WIDTH, MISSED = 12, 8, 10, (2, 5, 11)
CATEGORIES = [
    {"id": 3, "name": "disc", "supercategory": "shape", "isthing": 1},
    {"id": 187, "name": "sky", "supercategory": "ground", "isthing": 0},
]
TRUTHS = {"panoptic_val2017": 4, "relabeled_coco_val": 5}
DISC, SKY = 3, 187


def scene(columns):
    ids = np.full((HEIGHT, WIDTH), 2, np.uint32)
    ids[:, :columns] = 1
    return ids


def write_panoptic(path, masks, maps):
    """Write COCO's panoptic format; id 1 is the disc and id 2 the sky."""
    masks.mkdir(parents=True)
    record = {"images": [], "annotations": [], "categories": CATEGORIES}
    for number, ids in enumerate(maps, start=1):
        write_id_png(masks / f"{number:012d}.png", ids)
        segments = [
            {"id": each, "category_id": DISC if each == 1 else SKY, "iscrowd": 0, "area": int((ids == each).sum())}
            for each in np.unique(ids).tolist()
        ]
        record["annotations"].append({"image_id": number, "file_name": f"{number:012d}.png", "segments_info": segments})
        size = {"height": HEIGHT, "width": WIDTH}
        record["images"].append({"id": number, "file_name": f"{number:012d}.jpg", **size})
    path.write_text(json.dumps(record))


def write_images(folder):
    folder.mkdir(parents=True)
    for number in range(1, COUNT + 1):
        Image.new("RGB", (WIDTH, HEIGHT), (9 * number, 90, 200)).save(folder / f"{number:012d}.jpg")


@pytest.fixture
def data(tmp_path):
    root = tmp_path / "data" / "coconut"
    write_images(root / "val2017")
    for name, columns in TRUTHS.items():
        write_panoptic(root / f"{name}.json", root / name, [scene(columns)] * COUNT)
    return root.parent


def write_predictions(folder):
    maps = [scene(0 if number in MISSED else 5) for number in range(COUNT)]
    place = folder / "coco-val"
    place.mkdir(parents=True)
    write_panoptic(place / "panoptic.json", place / "panoptic", maps)
    found = [
        {"image_id": number + 1, "category_id": DISC, "score": 0.9, "segmentation": encode_mask(ids == 1)}
        for number, ids in enumerate(maps)
        if number not in MISSED
    ]
    (place / "instances.json").write_text(json.dumps(found))
    return folder


@pytest.fixture
def predictions(tmp_path):
    return write_predictions(tmp_path / "ours")


def suite(*words, data=None, code=0):
    place = [] if data is None else ["--data", str(data)]
    assert run_test(["--suite", "coconut", "-q", *place, *map(str, words)]) == code


def rows(out, name):
    with (out / f"{name}.csv").open() as file:
        return list(csv.DictReader(file))


def test_twelve_images_counted_by_hand(data, predictions, tmp_path):
    out = tmp_path / "out"
    suite("--from-predictions", predictions, "-o", out, "--set", "repeats=50", data=data)
    old, new = rows(out, "results")
    assert [(row["truth"], row["images"]) for row in (old, new)] == [("COCO-val", "12"), ("relabelled COCO-val", "12")]
    discs, skies = (7.2 / 10.5, 6 / 7), (9.3 / 12, 3 / 4)
    for row, disc, sky in zip((old, new), discs, skies, strict=True):
        assert float(row["PQ_things"]) == pytest.approx(disc)
        assert float(row["PQ_stuff"]) == pytest.approx(sky)
        assert float(row["PQ"]) == pytest.approx((disc + sky) / 2)
        assert float(row["PQ_low"]) < float(row["PQ"]) < float(row["PQ_high"])
        assert float(row["AP75"]) == pytest.approx(76 / 101, abs=1e-6)
        assert "mIoU" not in row
    assert float(new["AP"]) == pytest.approx(76 / 101, abs=1e-6)
    change = {row["number"]: row for row in rows(out, "side_by_side")}["PQ_things"]
    assert float(change["change"]) == pytest.approx(discs[1] - discs[0])
    assert 0 < float(change["change_low"]) <= float(change["change_high"])


def test_worst_class_worst_images_and_notes(data, predictions, tmp_path):
    out = tmp_path / "out"
    suite("--from-predictions", predictions, "-o", out, "--set", "repeats=20", "boundary=false", data=data)
    worst = rows(out, "worst")
    assert [(row["class"], row["objects"]) for row in worst] == [("disc", "12"), ("sky", "12")]
    images = rows(out, "worst_images")
    assert sorted(row["id"] for row in images[:3]) == sorted(str(number + 1) for number in MISSED)
    (sheet,) = out.glob("worst_coco-val_*.png")
    assert np.asarray(Image.open(sheet)).std() > 10
    notes = json.loads((out / "report.json").read_text())["notes"]
    assert any(note.startswith("coconut-val: not measured: ") and "coconut_val.json" in note for note in notes)
    assert "ours on coco-val: no mIoU: its predictions have no semantic" in notes
    assert "boundary_PQ" not in rows(out, "results")[0]


def test_two_models_are_compared_on_the_same_images(data, predictions, tmp_path):
    other, out = tmp_path / "perfect", tmp_path / "out"
    (other / "coco-val").mkdir(parents=True)
    folder = data / "coconut"
    shutil.copy(folder / "relabeled_coco_val.json", other / "coco-val" / "panoptic.json")
    shutil.copytree(folder / "relabeled_coco_val", other / "coco-val" / "panoptic")
    suite("--from-predictions", predictions, other, "-o", out, "--set", "repeats=40", data=data)
    new = [row for row in rows(out, "results") if row["truth"] == "relabelled COCO-val"]
    assert {row["model"]: float(row["PQ"]) for row in new}["perfect"] == 1.0
    assert [row["AP"] for row in new if row["model"] == "perfect"] == [""]
    pair = next(row for row in rows(out, "paired") if row["number"] == "PQ" and row["truth"] == "relabelled COCO-val")
    ours, perfect = (6 / 7 + 3 / 4) / 2, 1.0
    assert abs(float(pair["difference"])) == pytest.approx(perfect - ours)
    assert {pair["model"], pair["other"]} == {"ours", "perfect"}


def test_a_truth_that_is_missing_is_one_line(data, predictions, tmp_path):
    (data / "coconut" / "panoptic_val2017.json").unlink()
    out = tmp_path / "out"
    suite("--from-predictions", predictions, "-o", out, "--set", "repeats=5", data=data)
    assert [row["truth"] for row in rows(out, "results")] == ["relabelled COCO-val"]
    assert not (out / "side_by_side.csv").exists()
    notes = json.loads((out / "report.json").read_text())["notes"]
    assert any(note.startswith("COCO-val: not measured: no file panoptic_val2017.json") for note in notes)


def test_an_image_that_one_truth_lacks(data, predictions, tmp_path):
    path = data / "coconut" / "panoptic_val2017.json"
    record = json.loads(path.read_text())
    record["annotations"] = record["annotations"][1:]
    path.write_text(json.dumps(record))
    out = tmp_path / "out"
    suite("--from-predictions", predictions, "-o", out, "--set", "repeats=5", data=data)
    assert [row["images"] for row in rows(out, "results")] == ["11", "12"]
    assert rows(out, "side_by_side")[0].get("change_low", "") == ""  # not the same images
    notes = json.loads((out / "report.json").read_text())["notes"]
    assert "COCO-val: 1 of 12 images of coco-val have no annotation" in notes


def test_a_folder_without_results_takes_another_protocol(data, predictions, tmp_path, capsys):
    out = tmp_path / "out"
    suite("dinat_mini_imagenet", "--tiny", "--weights", "none", "-o", out, code=2)  # it leaves suite.json
    suite("--from-predictions", predictions, "-o", out, "--set", "repeats=5", data=data)
    suite("dinat_mini_imagenet", "--tiny", "--weights", "none", "-o", out, code=2)
    assert "results of different protocols are never mixed" in capsys.readouterr().err


def test_mistakes_are_one_sentence(data, predictions, tmp_path, capsys):
    def said(*words, code=2):
        suite(*words, "-o", tmp_path / f"out {len(list(tmp_path.iterdir()))}", data=data, code=code)
        return capsys.readouterr().err

    path = predictions / "coco-val" / "panoptic.json"
    record = json.loads(path.read_text())
    path.write_text(json.dumps({**record, "annotations": record["annotations"][:-2]}))
    assert "expected a prediction for each of 12 images, found none for 2 of them: 11, 12" in said(
        "--from-predictions", predictions
    )
    record["annotations"][3]["segments_info"][0]["category_id"] = 44
    path.write_text(json.dumps(record))
    assert "category_id" in said("--from-predictions", predictions)
    assert "area of panoptic quality" in said("--from-predictions", predictions, "--set", "area=jpg")
    assert "expected 1 or more, found 0" in said("--from-predictions", predictions, "--set", "repeats=0")
    assert "expected a panoptic model, found a model of classification" in said(
        "dinat_mini_imagenet", "--tiny", "--weights", "none"
    )
    (data / "coconut" / "val2017" / "000000000007.jpg").unlink()
    assert "1 of 12 images missing, the first one is 000000000007.jpg" in said("--from-predictions", predictions)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Train a tiny model for two iterations."""
    folder = tmp_path_factory.mktemp("runs") / "run"
    steps = ["train_cfg.max_iters=2", "train_cfg.val_interval=2"]
    words = ["mask2former_r50_coconut", "--tiny", "-q", "--device", "cpu", "-o", str(folder)]
    assert run_train([*words, "--cfg-options", *steps]) == 0
    return folder


def test_one_forward_pass_gives_all_numbers_and_those_of_test(run, tmp_path, monkeypatch):
    calls = []
    record = _panoptic_models.PanopticModel._record
    monkeypatch.setattr(
        _panoptic_models.PanopticModel,
        "_record",
        lambda self, path, labels: calls.append(path) or record(self, path, labels),
    )
    out = tmp_path / "out"
    suite(run, "--tiny", "--limit", 8, "-o", out, "--set", "repeats=5", "--device", "cpu")
    assert len(calls) == len(set(calls)) == 8
    old, new = rows(out, "results")
    assert old["model"] == new["model"] == "mask2former_r50_coconut (run)"
    assert all(old[name] and new[name] for name in ("PQ", "AP", "box_AP", "boundary_AP", "mIoU", "boundary_mIoU"))
    assert run_test([str(run), "-q", "--device", "cpu", "-o", str(tmp_path / "test")]) == 0
    tested = json.loads((tmp_path / "test" / "metrics.json").read_text())["metrics"]
    for name in ("PQ", "SQ", "RQ", "PQ_things", "PQ_stuff"):
        assert float(new[name]) == pytest.approx(tested[f"pq/{name}"], abs=1e-12)
    assert float(new["fwIoU"]) > 0
    suite(run, "--tiny", "--limit", 8, "-o", out, "--set", "repeats=5", "--device", "cpu")
    assert len(calls) == 8  # the same command reads the stored results


def test_an_interrupted_run_continues_with_equal_numbers(run, tmp_path, monkeypatch):
    words = [run, "--tiny", "--limit", 5, "--batch-size", 2, "--set", "repeats=5", "--device", "cpu"]
    suite(*words, "-o", tmp_path / "whole")
    predict = _panoptic_models.PanopticModel.predict
    seen = []

    def interrupted(self, data, numbers):
        seen.append(list(numbers))
        if len(seen) == 2:
            raise KeyboardInterrupt
        return predict(self, data, numbers)

    with monkeypatch.context() as patch:
        patch.setattr(_panoptic_models.PanopticModel, "predict", interrupted)
        suite(*words, "-o", tmp_path / "out", code=130)
    suite(*words, "-o", tmp_path / "out")
    whole, again = (json.loads((tmp_path / name / "report.json").read_text())["tables"] for name in ("whole", "out"))
    assert whole == again


def test_classes_that_the_data_lacks_are_refused(tmp_path, capsys):
    suite("mask2former_r50_coconut", "--tiny", "--weights", "none", "--device", "cpu", "-o", tmp_path / "out", code=1)
    assert "not measured: the data has no class person, bicycle" in capsys.readouterr().err
