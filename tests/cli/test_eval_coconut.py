"""`visionzoo eval instances`, `detection` and `semantic` on panoptic annotations: the numbers of the authors."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from visionzoo.cli import main
from visionzoo.datasets.panoptic.id_png import write_id_png
from visionzoo.metrics.coco import NUMBERS

GOLDEN = Path(__file__).parents[1] / "golden" / "coconut"


def case_of(name):
    return json.loads((GOLDEN / f"{name}.json").read_text()), np.load(GOLDEN / f"{name}.npz")


def write_truth(folder, case, arrays):
    """Write the panoptic truth of a case."""
    (folder / "truth").mkdir()
    for number, annotation in enumerate(case["gt_json"]):
        write_id_png(folder / "truth" / annotation["file_name"], arrays[f"input:gt{number}"])
    images = case.get("images") or [
        {"id": each["image_id"], "file_name": each["file_name"].replace(".png", ".jpg")} for each in case["gt_json"]
    ]
    path = folder / "truth.json"
    path.write_text(json.dumps({"images": images, "annotations": case["gt_json"]}))
    return path


def numbers_of(capsys, kind, truth, found, *options):
    assert main(["eval", kind, "--gt", str(truth), "--pred", str(found), "--json", "-q", *options]) == 0
    return json.loads(capsys.readouterr().out)["metrics"]


@pytest.mark.parametrize("name", ["instances_synthetic_60x80", "instances_real_panopticapi_sample"])
def test_instances_of_panoptic_annotations(tmp_path, capsys, name):
    case, arrays = case_of(name)
    truth, found = write_truth(tmp_path, case, arrays), tmp_path / "found.json"
    found.write_text(json.dumps(case["detections"]))
    numbers = numbers_of(capsys, "instances", truth, found, "--boundary", "--size-of", "box")
    numbers |= numbers_of(capsys, "detection", truth, found)
    for iou_type in ("segm", "boundary", "bbox"):
        measured = [numbers[f"coco/{iou_type}_{each}"] for each in NUMBERS]
        assert measured == pytest.approx(arrays[f"{iou_type}_stats"].tolist(), abs=1e-9)


def test_semantic_maps_of_panoptic_annotations(tmp_path, capsys):
    case, arrays = case_of("semantic_synthetic_60x80")
    truth, found = write_truth(tmp_path, case, arrays), tmp_path / "found"
    found.mkdir()
    for number, annotation in enumerate(case["gt_json"]):
        Image.fromarray(arrays[f"input:pred_semantic{number}"]).save(found / annotation["file_name"])
    numbers = numbers_of(capsys, "semantic", truth, found)
    measured = [100 * numbers[f"sem/{each}"] for each in ("mIoU", "fwIoU", "mACC", "pACC")]
    assert measured == pytest.approx(arrays["summary"].tolist(), abs=1e-9)
    next(found.glob("*.png")).unlink()
    assert main(["eval", "semantic", "--gt", str(truth), "--pred", str(found)]) == 2
    assert "expected all 6 maps of" in capsys.readouterr().err
