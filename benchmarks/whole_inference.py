"""Whole inference of RetinaNet R50-FPN, from JPEG files to written boxes, against mmdet's ``inference_detector``.

    python benchmarks/whole_inference.py                      # 640x480 to 1067x800, two minutes
    python benchmarks/whole_inference.py --size 160 240       # smaller images

Both load one file of seeded weights. The norms are set to the statistics of an image, and the bias of the scores so
that about 300 of them pass the threshold, as with trained weights. mmdet runs its own config of this model with its
stock pipeline, built once, and writes one line of JSON for each image; ours is an ``Inferencer`` with its writer of
results. No image is drawn. The boxes, scores and labels are first checked to be equal: the same number, boxes within a
hundredth of a pixel, scores within 1e-5.

Both run in turns in one process on one thread, after one run each. Times are CPU time per image, medians of the rounds.
Memory is the increase to its peak (Linux only). The floor is the arithmetic of the model at the rate of a matrix
product.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import shutil
import tempfile
from collections.abc import Sequence
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from input_pipeline import SOURCE, write_jpegs
from timing import Row, arithmetic_seconds, mebibytes, peak_memory, record, time_in_turns
from torch import Tensor, nn

with contextlib.redirect_stdout(io.StringIO()):  # mmdet prints on import
    from mmcv.transforms import Compose
    from mmdet.apis import inference_detector, init_detector
    from mmdet.utils import get_test_pipeline_cfg

from visionzoo import Inferencer
from visionzoo.inference.writing import PredictionWriter

CONFIG, THEIR_CONFIG = "fpn_retinanet", "retinanet/retinanet_r50_fpn_1x_coco.py"
THRESHOLD, CANDIDATES = 0.05, 300
GOAL, BOX_PIXELS, SCORE = 0.75, 0.01, 1e-5

Boxes = tuple[np.ndarray, np.ndarray, np.ndarray]  # (N, 4) xyxy in pixels, scores and labels


def main(argv: Sequence[str] | None = None) -> int:
    """Print one table. Return 1 if the goal is missed, 2 if boxes differ."""
    args = parser().parse_args(argv)
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        files = write_jpegs(root, args.images)
        theirs = seeded_model(files[0], (args.size[1], args.size[0]), root / "weights.pth")
        scale = {"test_dataloader.dataset.pipeline.1.scale": (args.size[1], args.size[0])}
        ours = Inferencer(CONFIG, root / "weights.pth", device="cpu", score_threshold=THRESHOLD, options=scale)
        runs = {
            "mmdet": partial(run_theirs, theirs, pipeline_of(theirs), files, root / "theirs"),
            "ours": partial(run_ours, ours, files, root / "ours"),
        }
        for run in runs.values():
            run()
        found = read_ours(root / "ours"), read_theirs(root / "theirs")
        if not all(same_boxes(*pair) for pair in zip(*found, strict=True)):
            print("boxes differ; nothing was timed")
            return 2
        seconds = {name: each / len(files) for name, each in time_in_turns(runs, args.rounds, 3).items()}
        return report(seconds, {name: peak_memory(run) for name, run in runs.items()}, theirs, files[0], found[0])


def parser() -> argparse.ArgumentParser:
    described = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    described.add_argument("--rounds", type=int, default=5, help="rounds, at least 3; the median counts (default: 5)")
    described.add_argument("--images", type=int, default=2, help="JPEG files of 640x480 per round (default: 2)")
    described.add_argument(
        "--size", type=int, nargs=2, default=(800, 1333), metavar=("H", "W"),
        help="images fit into this size, in pixels (default: 800 1333)",
    )  # fmt: skip
    return described


def report(
    seconds: dict[str, float], memory: dict[str, int | None], model: nn.Module, file: str, found: list[Boxes]
) -> int:
    """Print the table. Return 1 if the goal is missed."""
    boxes = sum(len(each[1]) for each in found) / len(found)
    print(f"RetinaNet R50-FPN, {SOURCE[0]}x{SOURCE[1]} JPEG, {boxes:.0f} boxes per image; boxes equal")
    print(f"{'candidate':<12}{'CPU s per image':>16}{'peak MiB':>10}")
    for name, value in seconds.items():
        print(f"{name:<12}{value:>16.3f}{mebibytes(memory[name]):>10}")
    with torch.no_grad():
        sample = prepared(model, file)
        floor = arithmetic_seconds(lambda: model(sample["inputs"], None, mode="tensor"))
    height, width = sample["inputs"].shape[2:]
    what = f"RetinaNet R50-FPN from a JPEG to written boxes, network input {height}x{width}"
    equal = f"boxes {BOX_PIXELS} pixels, scores {SCORE:g}"
    return record(Row(what, "mmdet's inference_detector", seconds["ours"], seconds["mmdet"], equal, GOAL, floor))


# --- mmdet ---


def seeded_model(file: str, scale: tuple[int, int], weights: Path) -> nn.Module:
    """Return mmdet's model with seeded weights, which are also written to a file."""
    torch.manual_seed(0)
    (folder,) = find_spec("mmdet").submodule_search_locations  # type: ignore[union-attr,misc]
    config = str(Path(folder, ".mim", "configs", THEIR_CONFIG))
    options = {"model.backbone.init_cfg": None, "test_dataloader.dataset.pipeline.1.scale": scale}
    with contextlib.redirect_stdout(io.StringIO()):
        model = init_detector(config, None, palette="coco", device="cpu", cfg_options=options)
        model.init_weights()
    calibrate(model, prepared(model, file)["inputs"])
    meta = {"dataset_meta": {"classes": model.dataset_meta["classes"]}}
    torch.save({"state_dict": model.state_dict(), "meta": meta}, weights)
    return model


@torch.no_grad()
def calibrate(model: nn.Module, image: Tensor) -> None:
    """Give the norms the statistics of an image, and the scores a spread and a bias as trained ones have."""
    for norm in (module for module in model.modules() if isinstance(module, nn.BatchNorm2d)):
        norm.momentum = 1.0
        norm.train()
    model(image, None, mode="tensor")
    model.eval()
    last = model.bbox_head.retina_cls
    logits = torch.cat([level.flatten() for level in model(image, None, mode="tensor")[0]])
    last.weight /= logits.std()
    logits = torch.cat([level.flatten() for level in model(image, None, mode="tensor")[0]])
    last.bias += float(np.log(THRESHOLD / (1 - THRESHOLD))) - logits.topk(CANDIDATES).values[-1]


def pipeline_of(model: Any) -> Compose:
    """Return the test pipeline of the config, which ``inference_detector`` would otherwise build in each call."""
    return Compose(get_test_pipeline_cfg(model.cfg.copy()))


def prepared(model: Any, file: str) -> dict[str, Any]:
    """Return the batch of one image, normalised and padded."""
    data = pipeline_of(model)({"img_path": file, "img_id": 0})
    return model.data_preprocessor({key: [value] for key, value in data.items()}, False)


def run_theirs(model: nn.Module, pipeline: Compose, files: list[str], out: Path) -> None:
    """Write one line of JSON for each image."""
    out.mkdir(exist_ok=True)
    with (out / "predictions.jsonl").open("w") as lines:
        for file in files:
            found = inference_detector(model, file, pipeline).pred_instances
            result = {name: found[name].tolist() for name in ("bboxes", "scores", "labels")}
            lines.write(json.dumps({"input": file, **result}) + "\n")


def read_theirs(out: Path) -> list[Boxes]:
    records = map(json.loads, (out / "predictions.jsonl").read_text().splitlines())
    return [tuple(np.array(each[name]) for name in ("bboxes", "scores", "labels")) for each in records]  # type: ignore[misc]


# --- ours ---


def run_ours(inferencer: Inferencer, files: list[str], out: Path) -> None:
    """Write the files of ``visionzoo infer --vis none``."""
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir()
    with PredictionWriter(out, inferencer, images=()) as writer:
        for prediction in inferencer(files):
            writer.write(prediction)


def read_ours(out: Path) -> list[Boxes]:
    records = map(json.loads, (out / "predictions.jsonl").read_text().splitlines())
    return [tuple(np.array(each["result"][name]) for name in ("boxes", "scores", "labels")) for each in records]  # type: ignore[misc]


def same_boxes(ours: Boxes, theirs: Boxes) -> bool:
    """Return True if both have the same boxes, in any order of equal scores."""
    if len(ours[1]) != len(theirs[1]) or not len(ours[1]):
        return False
    left, right = (np.column_stack([labels, boxes, scores]) for boxes, scores, labels in (ours, theirs))
    allowed = np.array([0, *[BOX_PIXELS] * 4, SCORE])
    match = (np.abs(left[:, None] - right) <= allowed).all(-1)
    return bool(match.any(0).all() and match.any(1).all())


if __name__ == "__main__":
    raise SystemExit(main())
