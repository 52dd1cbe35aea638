"""Every backbone of ours in RetinaNet with FPN and RCNet: training, test and inference with odd image sides."""

import json

import cv2
import numpy as np
import pytest

from visionzoo.cli import main
from visionzoo.config.signatures import arguments_of
from visionzoo.models.wiring import backbone_levels
from visionzoo.registry import own_parts

NECKS = {"fpn": "fpn_retinanet", "rcnet": "rcnet_retinanet"}
DATA = "tiny://coco?train=4&val=2"


def pyramids():
    """Return backbones that read only images and output pyramids for detectors, in their tiny variant."""
    names = sorted(name for name, cls in own_parts("backbones").items() if not arguments_of(cls).know("text_channels"))
    return [name for name in names if backbone_levels({"type": name, "variant": "tiny"}).strides == (4, 8, 16, 32)]


@pytest.mark.parametrize("neck", NECKS)
@pytest.mark.parametrize("backbone", pyramids())
def test_trains_tests_and_infers(backbone, neck, tmp_path):
    roots = [f"{split}_dataloader.dataset.data_root={DATA}" for split in ("train", "val", "test")]
    parts = [f"model.backbone.type={backbone}", "model.backbone.variant=tiny", *roots]
    parts += ["model.data_preprocessor.pad_size_divisor=1", "train_cfg.max_epochs=1", "train_cfg.val_interval=1"]
    shared = ["--tiny", "-q", "--cfg-options", *parts]
    assert main(["train", NECKS[neck], "-o", str(tmp_path / "run"), *shared]) == 0
    assert main(["test", NECKS[neck], "--weights", str(tmp_path / "run"), "-o", str(tmp_path / "test"), *shared]) == 0
    assert "coco/bbox_mAP" in json.loads((tmp_path / "test" / "metrics.json").read_text())["metrics"]
    image = np.random.RandomState(0).randint(0, 256, (75, 101, 3), dtype=np.uint8)
    cv2.imwrite(str(tmp_path / "odd.png"), image)
    given = ["infer", NECKS[neck], str(tmp_path / "odd.png"), "--weights", str(tmp_path / "run")]
    assert main([*given, "-o", str(tmp_path / "found"), "--score-threshold", "0", *shared]) == 0
    (record,) = map(json.loads, (tmp_path / "found" / "predictions.jsonl").read_text().splitlines())
    assert record["size"] == [101, 75]
    boxes = np.array(record["result"]["boxes"]).reshape(-1, 4)
    assert np.all(boxes >= 0)
    assert np.all(boxes <= [101, 75, 101, 75])


def test_a_trunk_that_reads_phrases_is_refused(tmp_path, capsys):
    options = ["model.backbone.type=LAVTSwin", "model.backbone.variant=tiny"]
    run = ["train", "fpn_retinanet", "-o", str(tmp_path / "run"), "--tiny", "-q", "--cfg-options", *options]
    assert main(run) == 2
    assert "expected encoded phrases for LAVTSwin" in capsys.readouterr().err
