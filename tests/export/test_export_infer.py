"""`visionzoo infer` writes the same files for an exported model as for the model itself, for each task and format."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from visionzoo.cli import main
from visionzoo.export.quantising import calibration_batches
from visionzoo.export.seeding import seed
from visionzoo.export.writing import Ready, ready
from visionzoo.inference.torch_backend import torch_backend

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

CLASSIFIER = "efficientnet_lite0_imagenet"
BOXES = "fpn_retinanet"
HALF_SCORES = 5e-3  # precision of scores between 0.3 and 1 of a file with 16-bit floats; measured: 3e-3
OVERLAP = 0.5  # above which this model suppresses boxes
TASKS = {
    "detection": BOXES,
    "detection with RCNet": "rcnet_retinanet",
    "counting": "hmode_shanghaitech_a",
    "saliency": "connnet_binary_r50",
    "lanes": "scnn_resnet18_culane",
    "classes of pixels": "dinat_upernet_ade20k",
}
# between the seeded probabilities, so that some lanes exist
CHANGES = {"scnn_resnet18_culane": ["--cfg-options", "model.head.exist_threshold=0.48"]}
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
    images, file = images_in(tmp_path), tmp_path / f"model{suffix}"
    weights = weights_of(name, images, tmp_path)
    model = [name, "--tiny", "--weights", str(weights), *CHANGES.get(name, [])]
    assert main(["export", *model, *options, "-o", str(file), "-q"]) == 0

    for source, out in ([str(file)], "file"), (model, "model"):
        assert main(["infer", source[0], str(images), *source[1:], "-o", str(tmp_path / out), "-q"]) == 0

    if "--half" in options and name == BOXES:
        compare_boxes(tmp_path / "file", tmp_path / "model", HALF_SCORES)
    else:
        compare(tmp_path / "file", tmp_path / "model", tolerance)


def compare_boxes(folder: Path, other: Path, tolerance: float) -> None:
    """Require that boxes agree within the precision of 16-bit floats.

    Scores that differ by less than the tolerance may change their order. A box may then be absent for two reasons: its
    score is the lowest within the tolerance, or a box of its label that overlaps it is as good, and suppresses it.
    """
    assert list(files_of(folder)) == list(files_of(other))
    pairs = list(zip(*(lines_of(each) for each in (folder, other)), strict=True))
    assert all(len(each["scores"]) > 20 for pair in pairs for each in pair)
    for found, expected in pairs:
        lowest = max(each["scores"].min() for each in (found, expected)) + tolerance
        for first, second in (found, expected), (expected, found):
            has_partner = np.array([has_match(box, second, tolerance) for box in boxes_of(first)])
            assert has_partner.mean() > 0.95
            for box in np.array(boxes_of(first), object)[~has_partner]:
                assert box[1] <= lowest or is_suppressed(box, second, tolerance), box


def lines_of(folder: Path) -> list[dict[str, np.ndarray]]:
    return [{key: np.array(each[key]) for key in ("boxes", "scores", "labels")} for each in records_of(folder)]


def boxes_of(result: dict[str, np.ndarray]) -> list[tuple[np.ndarray, float, int]]:
    return list(zip(result["boxes"], result["scores"], result["labels"], strict=True))


def has_match(box: tuple[np.ndarray, float, int], other: dict[str, np.ndarray], tolerance: float) -> bool:
    near = np.abs(other["boxes"] - box[0]).max(1) <= tolerance * np.abs(other["boxes"]).max()
    return bool((near & (np.abs(other["scores"] - box[1]) <= tolerance) & (other["labels"] == box[2])).any())


def is_suppressed(box: tuple[np.ndarray, float, int], other: dict[str, np.ndarray], tolerance: float) -> bool:
    low, high = np.maximum(other["boxes"][:, :2], box[0][:2]), np.minimum(other["boxes"][:, 2:], box[0][2:])
    shared = (high - low).clip(0).prod(1)
    areas = (other["boxes"][:, 2:] - other["boxes"][:, :2]).prod(1) + (box[0][2:] - box[0][:2]).prod()
    overlaps = shared / (areas - shared) > OVERLAP - tolerance
    return bool((overlaps & (other["scores"] >= box[1] - tolerance) & (other["labels"] == box[2])).any())


def compare(folder: Path, other: Path, tolerance: float) -> None:
    """Require equal names of files, and results whose absolute or relative difference is small, as in the export."""
    written, expected = files_of(folder), files_of(other)
    assert list(written) == list(expected)
    assert all(map(numbers_of, records_of(other))), "an image has no result"
    found, numbers = results_of(folder), results_of(other)
    assert found.keys() == numbers.keys()
    for key, values in numbers.items():
        largest = max(1.0, np.abs(values).max(initial=0))
        assert np.allclose(found[key], values, atol=tolerance * largest, rtol=0), key
    for path, own in expected.items():
        if own.suffix == ".png":
            first, second = (np.asarray(Image.open(each)).astype(int) for each in (written[path], own))
            assert (np.abs(first - second) > 1).mean() < 1e-3, path
        if own.suffix == ".npy":
            first, second = np.load(written[path]), np.load(own)
            assert np.allclose(first, second, atol=tolerance * max(1.0, np.abs(second).max()), rtol=0), path


def weights_of(name: str, images: Path, folder: Path, *, tiny: bool = True) -> Path:
    """Write seeded weights whose features and scores have, on these images, the spread of trained ones."""
    options = {"device": "cpu", "trust_pickle": False, "options": (), "exact": True}
    made = ready(torch_backend(name, "none", tiny=tiny, **options))
    seed(made.form, batch_of(made, images))
    torch.save({"state_dict": made.backend.model.state_dict()}, folder / "weights.pth")
    return folder / "weights.pth"


def batch_of(made: Ready, folder: Path) -> dict[str, np.ndarray]:
    """Return the inputs of all images of a folder as one batch."""
    singles = calibration_batches(made, str(folder), 9)
    batch = np.zeros((len(singles), 3, *np.max([each["images"].shape[2:] for each in singles], axis=0)), np.uint8)
    for row, each in zip(batch, singles, strict=True):
        row[:, : each["images"].shape[2], : each["images"].shape[3]] = each["images"][0]
    return {name: batch if name == "images" else np.concatenate([each[name] for each in singles])
            for name in made.form.input_names}  # fmt: skip


def images_in(folder: Path) -> Path:
    place = folder / "images"
    place.mkdir()
    random = np.random.RandomState(0)
    for index, shape in enumerate([(103, 148), (181, 125)]):
        coarse = Image.fromarray(random.randint(0, 256, (9, 9, 3), np.uint8))
        coarse.resize(shape[::-1], Image.Resampling.BILINEAR).save(place / f"{index}.png")
    return place


def files_of(folder: Path) -> dict[str, Path]:
    return {str(path.relative_to(folder)): path for path in sorted(folder.rglob("*")) if path.is_file()}


def records_of(folder: Path) -> list[dict[str, Any]]:
    lines = (folder / "predictions.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line)["result"] for line in lines]


def results_of(folder: Path) -> dict[str, np.ndarray]:
    """Return the numbers of all results by key, in order."""
    numbers: dict[str, list[float]] = {}
    for record in records_of(folder):
        for key, value in record.items():
            numbers.setdefault(key, []).extend(numbers_of(value))
    return {key: np.array(values, float) for key, values in numbers.items()}


def numbers_of(value: Any) -> list[float]:
    if isinstance(value, dict | list):
        parts = value.values() if isinstance(value, dict) else value
        return [number for part in parts for number in numbers_of(part)]
    return [] if value is None or isinstance(value, str) else [float(value)]
