"""`visionzoo merge`: runs on one frozen trunk become one model whose results are those of the runs."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from visionzoo.cli import main
from visionzoo.config import load_config
from visionzoo.engine.merging import merge_runs
from visionzoo.errors import CheckpointError, ConfigError, InputError, OutputError
from visionzoo.weights.loading import read_weights
from visionzoo.zoo import get_model

BASE = Path(__file__).parents[2] / "configs" / "_base_"
TRUNK = """
    backbone=dict(type="mmdet.ResNet", depth=18, base_channels=4, norm_eval=False),
    neck=dict(type="mmdet.FPN", out_channels=8, num_outs=5, start_level=1, add_extra_convs="on_input"),
"""
PIXELS = """
    type="TaskModel",
    data_preprocessor=dict(
        type="TaskPreprocessor", mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375], pad_size_divisor=32
    ),
"""
CONFIGS = {
    "classification": (["imagenet_classification"], PIXELS + TRUNK + 'head=dict(type="ClassificationHead"),'),
    "detection": (["retinanet", "coco_detection"], TRUNK),
    "semantic": (
        ["ade20k"],
        PIXELS + TRUNK + 'head=dict(type="mmseg.FCNHead", channels=8, in_index=0, num_convs=1, dropout_ratio=0.0),',
    ),
}


def write_config(task: str, name: str | None = None, change: tuple[str, str] = ("", "")) -> str:
    bases, model = CONFIGS[task]
    bases = [*bases, "schedule_1x", "runtime"]
    listed = ", ".join(f'"{BASE / base}.py"' for base in bases)
    path = Path(f"{name or task}.py")
    path.write_text(f'_base_ = [{listed}]\ntask = "{task}"\nmodel = dict({model})\n'.replace(*change))
    return str(path)


def train(*words: str) -> None:
    assert main(["train", *words, "--tiny", "--max-samples", "6", "--epochs", "1", "--batch-size", "2", "-q"]) == 0


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Train three runs on one trunk, and join them."""
    torch.set_num_threads(1)
    place = tmp_path_factory.mktemp("merge")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        train(write_config("classification"), "-o", "classification")
        for task in ("detection", "semantic"):
            train(write_config(task), "--weights", "classification", "--freeze", "backbone", "neck", "-o", task)
        assert main(["merge", *CONFIGS, "--pipeline", "detection", "-o", "all"]) == 0
    return place


@pytest.fixture(autouse=True)
def _in_the_folder(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)


def test_the_result_has_the_weights_of_all_runs() -> None:
    merged = read_weights("all")
    trunk = {name: value for name, value in merged.items() if not name.startswith("heads.")}
    for task, start in (("classification", "head."), ("detection", "bbox_head."), ("semantic", "head.")):
        own = read_weights(task)
        assert all(torch.equal(own[name], value) for name, value in trunk.items())
        prefix = f"heads.{task}." + ("bbox_head." if task == "detection" else "")
        head = {name.removeprefix(start): value for name, value in own.items() if name.startswith(start)}
        assert head
        assert all(torch.equal(merged[prefix + name], value) for name, value in head.items())
    assert load_config("all").cfg.task == list(CONFIGS)


def test_predictions_are_those_of_the_runs() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (75, 101, 3), np.uint8)
    joint = get_model("all")
    for task in CONFIGS:
        alone = get_model(task)
        data = batch_of(task, pixels)
        with torch.no_grad():
            expected, found = alone.test_step(data)[0], joint.test_step(batch_of(task, pixels))[0].get(task)
        for name in ("pred_score", "pred_semantic", "pred_sem_seg", "pred_instances"):
            if name in expected:
                compare(found.get(name), expected.get(name))


def batch_of(task: str, pixels: np.ndarray) -> dict[str, Any]:
    from visionzoo.structures.task_sample import TaskSample

    shape = pixels.shape[:2]
    meta = dict(img_shape=shape, ori_shape=shape, scale_factor=(1.0, 1.0))
    if task == "detection":
        from mmdet.structures import DetDataSample as TaskSample
    return {"inputs": [torch.from_numpy(pixels).permute(2, 0, 1)], "data_samples": [TaskSample(metainfo=meta)]}


def compare(found: Any, expected: Any) -> None:
    if isinstance(expected, torch.Tensor):
        torch.testing.assert_close(found, expected)
        return
    fields = dict(expected.items())
    assert fields
    for name, value in fields.items():
        torch.testing.assert_close(found.get(name), value)


def test_the_result_is_tested_like_the_runs(capsys: pytest.CaptureFixture) -> None:
    assert main(["test", "all", "--max-samples", "6", "-q", "-o", "tested"]) == 0
    joint = json.loads(Path("tested/metrics.json").read_text())["metrics"]
    for task in CONFIGS:
        assert main(["test", task, "--max-samples", "6", "-q", "-o", f"tested_{task}"]) == 0
        alone = json.loads(Path(f"tested_{task}/metrics.json").read_text())["metrics"]
        assert alone
        for name, value in alone.items():
            assert joint[f"{task}/{name.partition('/')[2]}"] == pytest.approx(value, abs=1e-6), name


def test_one_inference_gives_the_results_of_all_runs() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (75, 101, 3), np.uint8)
    Image.fromarray(pixels).save("image.png")
    joint = inferred("all", "model.heads.detection.test_cfg.score_thr=0.0")
    assert joint.keys() == CONFIGS.keys()
    assert len(joint["detection"]["boxes"]) > 0
    assert joint["detection"] == inferred("detection", "model.test_cfg.score_thr=0.0")
    assert joint["classification"]["labels"]
    assert joint["semantic"]["classes"]


def inferred(run: str, option: str) -> dict[str, Any]:
    out = f"inferred_{run}"
    words = ["infer", run, "image.png", "--threshold", "0", "--cfg-options", option, "-o", out, "--overwrite", "-q"]
    assert main(words) == 0
    return json.loads(Path(out, "predictions.jsonl").read_text())["result"]


def twin_of_detection() -> str:
    """Return a copy of the run whose head has another name."""
    shutil.copytree("detection", "twin", dirs_exist_ok=True)
    text = Path("twin/config.py").read_text()
    Path("twin/config.py").write_text(text.replace("task = 'detection'", "task = 'instances'"))
    return "twin"


def test_the_first_run_that_crops_nothing_gives_the_pipeline_of_inference_unless_another_is_named() -> None:
    done = merge_runs(["classification", "detection"], "first")
    assert done["notes"] == [
        "infer uses the test pipeline of detection; --pipeline RUN chooses another",
        "infer_pipeline is not the test pipeline of classification, so infer and test may have other results",
    ]
    own = load_config("detection").cfg.test_dataloader.dataset.pipeline
    assert load_config("first").cfg.infer_pipeline == own
    assert "infer_pipeline" not in load_config(merge_runs(["detection", twin_of_detection()], "same")["run"]).cfg
    refused("detection", "semantic", error=InputError, match="pipeline: expected one of the runs", pipeline="all")


def test_the_run_of_the_pipeline_needs_one() -> None:
    shutil.copytree("semantic", "untested", dirs_exist_ok=True)
    config = Path("untested/config.py")
    config.write_text(
        config.read_text() + "\ntest_dataloader = val_dataloader = test_evaluator = val_evaluator = None\n"
    )
    found = "untested: expected a test pipeline for infer, found none"
    refused("detection", "untested", error=ConfigError, match=found, pipeline="untested")


def test_images_that_tasks_see_otherwise_than_in_their_runs_are_stated(capsys: pytest.CaptureFixture) -> None:
    done = merge_runs(["classification", "detection"], "cropped", pipeline="classification")
    other = "infer_pipeline is not the test pipeline of detection, so infer and test may have other results"
    place = "so results of detection are not at their place in it"
    notes = [other, f"the infer_pipeline cuts off parts of the image (ResizeCrop), {place}"]
    assert done["notes"] == ["infer uses the test pipeline of classification", *notes]
    Image.new("RGB", (64, 48)).save("black.png")
    assert main(["infer", "cropped", "black.png", "-o", "of_cropped", "--no-progress"]) == 0
    said = capsys.readouterr().err.splitlines()
    assert all(note in said for note in notes)
    assert main(["infer", "cropped", "black.png", "-o", "of_classes", "--task", "classification"]) == 0
    assert "infer_pipeline" not in capsys.readouterr().err


def test_the_summary_names_the_run_of_each_part() -> None:
    rows = Path("all/merged.md").read_text().splitlines()[4:]
    assert [row.split("|")[1].strip() for row in rows] == ["trunk", *CONFIGS]
    assert json.loads(Path("all/run.json").read_text())["merged"] == list(CONFIGS)


# --------------------------------------------------------------------------- what cannot be joined


def refused(*runs: str, error: type[Exception], match: str, out: str = "none", **options: Any) -> None:
    with pytest.raises(error, match=match):
        merge_runs(runs, out, **options)
    assert out == "all" or not Path(out).exists()


def test_one_run_or_one_twice_is_refused() -> None:
    refused("detection", error=InputError, match="expected at least two runs, found 1")
    refused("detection", "./detection", error=InputError, match="detection: expected each run once, found twice")


def test_a_folder_or_file_that_is_no_run_is_refused() -> None:
    Path("empty").mkdir(exist_ok=True)
    refused("detection", "empty", error=InputError, match="empty: expected the folder of a run")
    refused("detection", "absent", error=InputError, match="absent: expected the folder of a run.*found nothing")
    refused("detection", "semantic.py", error=InputError, match=r"semantic\.py: expected the folder .*found a file")


def test_a_run_without_a_task_is_refused() -> None:
    shutil.copytree("detection", "nameless", dirs_exist_ok=True)
    config = Path("nameless/config.py")
    config.write_text(config.read_text().replace("task = 'detection'", ""))
    found = "nameless: model: expected one task, whose name the head gets, found none; set it in the config"
    refused("semantic", "nameless", error=ConfigError, match=found)


def test_two_heads_of_one_name_are_refused() -> None:
    shutil.copytree("detection", "again", dirs_exist_ok=True)
    expected = "again: expected heads of other names .*found detection, which detection also has"
    refused("detection", "again", error=ConfigError, match=expected)
    assert main(["merge", "detection", "again", "-o", "none"]) == 2


def test_other_weights_of_the_trunk_are_refused_with_the_first_difference() -> None:
    shutil.copytree("semantic", "moved", dirs_exist_ok=True)
    (file,) = Path("moved").glob("best_*.safetensors")
    tensors = load_file(file)
    tensors["neck.fpn_convs.0.conv.weight"][0, 0, 0, 0] += 0.5
    save_file(tensors, file, metadata={"format": "pt"})
    found = r"found 1 of \d+ tensors that differ, first neck\.fpn_convs\.0\.conv\.weight \(by up to 0\.5\)"
    refused("detection", "moved", error=CheckpointError, match=f"moved: expected the trunk of detection, {found}")
    del tensors["neck.fpn_convs.0.conv.weight"]
    save_file(tensors, file, metadata={"format": "pt"})
    found = r"neck\.fpn_convs\.0\.conv\.weight only in detection"
    refused("detection", "moved", error=CheckpointError, match=found)


def test_another_config_of_the_trunk_is_refused(capsys: pytest.CaptureFixture) -> None:
    train(write_config("semantic", "wide", ("base_channels=4", "base_channels=8")), "-o", "wide")
    found = r"wide: expected the trunk of detection, found another one \(different: model\.backbone\.base_channels"
    refused("detection", "wide", error=ConfigError, match=found)
    capsys.readouterr()
    assert main(["merge", "detection", "wide", "-o", "none"]) == 2
    said = capsys.readouterr().err
    assert said.startswith("error: wide: expected the trunk of detection")
    assert "Traceback" not in said


def test_a_used_folder_is_refused_and_unchanged(capsys: pytest.CaptureFixture) -> None:
    before = {path.name: path.stat().st_mtime_ns for path in Path("all").iterdir()}
    refused("detection", "semantic", error=OutputError, match="all: expected a new or empty folder", out="all")
    assert main(["merge", "detection", "semantic", "-o", "all"]) == 2
    assert "--overwrite" in capsys.readouterr().err
    assert {path.name: path.stat().st_mtime_ns for path in Path("all").iterdir()} == before


def test_overwrite_removes_only_the_files_of_a_run() -> None:
    shutil.copytree("detection", "used", dirs_exist_ok=True)
    own = Path("used", "mine.safetensors")
    save_file({"weight": torch.ones(1)}, own)
    merge_runs(["detection", "semantic"], "used", overwrite=True)
    assert load_file(own)["weight"] == 1
    assert not list(Path("used").glob("best_*")) + list(Path("used").glob("*.pth"))
    assert read_weights("used").keys() == read_weights("all").keys() - {
        name for name in read_weights("all") if name.startswith("heads.classification.")
    }


def test_a_run_to_join_is_never_the_folder_of_the_result() -> None:
    before = {path.name: path.stat().st_mtime_ns for path in Path("semantic").iterdir()}
    with pytest.raises(OutputError, match="semantic: expected a folder for the result, found one of the runs to join"):
        merge_runs(["detection", "semantic"], "./semantic", overwrite=True)
    assert {path.name: path.stat().st_mtime_ns for path in Path("semantic").iterdir()} == before


def test_a_model_of_another_form_is_refused() -> None:
    shutil.copytree("detection", "other", dirs_exist_ok=True)
    text = (
        Path("other/config.py").read_text().replace("mmdet.RetinaNet", "mmdet.KnowledgeDistillationSingleStageDetector")
    )
    Path("other/config.py").write_text(text)
    refused("semantic", "other", error=ConfigError, match="other: model: expected a TaskModel, a plain detector")
