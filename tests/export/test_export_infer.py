"""`visionzoo infer` writes the same files for an exported model as for the model itself, for each task and format."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from visionzoo.cards.seeding import fill_weights, settle_norms
from visionzoo.cli import main
from visionzoo.zoo import get_model

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

CLASSIFIER = "efficientnet_lite0_imagenet"
BOXES = "fpn_retinanet"
TASKS = {
    "detection": BOXES,
    "detection with RCNet": "rcnet_retinanet",
    "counting": "hmode_shanghaitech_a",
    "saliency": "connnet_binary_r50",
    "lanes": "scnn_resnet18_culane",
    "classes of pixels": "dinat_upernet_ade20k",
}
BOTH = {"program": (["--format", "torch-export"], ".pt2", 1e-4), "half": (["--half"], ".onnx", 2e-2)}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "options", "suffix", "tolerance"),
    [
        *(pytest.param(name, [], ".onnx", 1e-4, id=task) for task, name in TASKS.items()),
        *(pytest.param(CLASSIFIER, *rest, id=kind) for kind, rest in BOTH.items()),
        *(pytest.param(BOXES, *rest, id=f"boxes of {kind}") for kind, rest in BOTH.items()),
    ],
)
def test_files_equal_those_of_the_model(name, options, suffix, tolerance, tmp_path):
    weights, images, file = weights_of(name, tmp_path), images_in(tmp_path), tmp_path / f"model{suffix}"
    model = [name, "--tiny", "--weights", str(weights)]
    assert main(["export", *model, *options, "-o", str(file), "-q"]) == 0

    for source, out in ([str(file)], "file"), (model, "model"):
        assert main(["infer", source[0], str(images), *source[1:], "-o", str(tmp_path / out), "-q"]) == 0

    compare(tmp_path / "file", tmp_path / "model", tolerance)


def compare(folder: Path, other: Path, tolerance: float) -> None:
    """Require equal names of files, and results whose absolute or relative difference is small, as in the export."""
    written, expected = files_of(folder), files_of(other)
    assert list(written) == list(expected)
    found, numbers = results_of(folder), results_of(other)
    assert found.keys() == numbers.keys()
    assert sum(map(len, numbers.values())) > 2
    for key, values in numbers.items():
        largest = max(1.0, np.abs(values).max(initial=0))
        assert np.allclose(found[key], values, atol=tolerance * largest, rtol=0), key
    for path, own in expected.items():
        if own.suffix == ".png":
            first, second = (np.asarray(Image.open(each)).astype(int) for each in (written[path], own))
            assert (np.abs(first - second) > 1).mean() < 1e-3, path


def weights_of(name: str, folder: Path) -> Path:
    """Write seeded weights whose features have the spread of trained ones."""
    model = get_model(name, tiny=True)
    fill_weights(model, 0)
    settle_norms(model, torch.randn(2, 3, 96, 96, generator=torch.Generator().manual_seed(0)))
    torch.save({"state_dict": model.state_dict()}, folder / "weights.pth")
    return folder / "weights.pth"


def images_in(folder: Path) -> Path:
    place = folder / "images"
    place.mkdir()
    random = np.random.RandomState(0)
    for index, shape in enumerate([(51, 74), (90, 63)]):
        coarse = Image.fromarray(random.randint(0, 256, (9, 9, 3), np.uint8))
        coarse.resize(shape[::-1], Image.Resampling.BILINEAR).save(place / f"{index}.png")
    return place


def files_of(folder: Path) -> dict[str, Path]:
    return {str(path.relative_to(folder)): path for path in sorted(folder.rglob("*")) if path.is_file()}


def results_of(folder: Path) -> dict[str, np.ndarray]:
    """Return the numbers of all results by key, in order."""
    numbers: dict[str, list[float]] = {}
    for line in (folder / "predictions.jsonl").read_text(encoding="utf-8").splitlines():
        for key, value in json.loads(line)["result"].items():
            numbers.setdefault(key, []).extend(numbers_of(value))
    return {key: np.array(values, float) for key, values in numbers.items()}


def numbers_of(value: Any) -> list[float]:
    if isinstance(value, dict | list):
        parts = value.values() if isinstance(value, dict) else value
        return [number for part in parts for number in numbers_of(part)]
    return [] if value is None or isinstance(value, str) else [float(value)]
