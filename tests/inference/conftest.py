"""A small detector with weights whose scores differ, and a folder with every kind of image."""

import cv2
import numpy as np
import pytest
import torch
from inference_scenes import save_weights, scene
from PIL import Image

from visionzoo.cli import infer, infer_parts


@pytest.fixture(scope="session")
def detector_weights(tmp_path_factory):
    torch.set_num_threads(1)
    return save_weights("rcnet_retinanet", tmp_path_factory.mktemp("weights") / "detector.pth")


@pytest.fixture(scope="session")
def masks_weights(tmp_path_factory):
    torch.set_num_threads(1)
    return save_weights("rcnet_mask_rcnn", tmp_path_factory.mktemp("weights") / "masks.pth")


@pytest.fixture(scope="session")
def detector(detector_weights):
    from visionzoo import Inferencer

    options = {"model.test_cfg.score_thr": 0.0, "model.test_cfg.max_per_img": 20}
    return Inferencer(
        "rcnet_retinanet", detector_weights, tiny=True, device="cpu", score_threshold=0.0, options=options
    )


@pytest.fixture
def images(tmp_path):
    """Return a folder of good and bad files, in which ``a.jpg``, ``sub/a.jpg`` and ``b.png``, ``b.bmp`` share stems."""
    folder = tmp_path / "images"
    (folder / "sub").mkdir(parents=True)
    Image.fromarray(scene(60, 90)).save(folder / "a.jpg", quality=95)
    Image.fromarray(scene(61, 45, 1)).save(folder / "b.png")
    Image.fromarray(scene(50, 70, 2)).save(folder / "b.bmp")
    Image.fromarray(scene(60, 90, 3)[..., 0]).save(folder / "grey.png")
    Image.fromarray(np.dstack([scene(40, 90, 4), np.full((40, 90), 128, np.uint8)])).save(folder / "rgba.png")
    cv2.imwrite(str(folder / "sixteen.png"), scene(60, 90, 5).astype(np.uint16) * 257)
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by 90 degrees to the right
    Image.fromarray(scene(40, 80, 6)).save(folder / "turned.jpg", exif=exif)
    Image.fromarray(scene(1, 1)).save(folder / "one_pixel.png")
    Image.fromarray(scene(60, 90, 7)).save(folder / "sub" / "a.jpg")
    (folder / "x_corrupt.jpg").write_bytes(b"not an image")
    (folder / "x_empty.png").write_bytes(b"")
    (folder / "x_cut.jpg").write_bytes((folder / "a.jpg").read_bytes()[:800])
    (folder / "notes.txt").write_text("no image, and not named as one")
    return folder


@pytest.fixture
def in_parts(monkeypatch):
    """Return a function that lets the next new runs have several parts, which this process does one by one."""

    def divide(count):
        start = infer_parts._count_of_parts
        monkeypatch.setattr(infer, "is_shared", lambda out, processes: True)
        monkeypatch.setattr(infer_parts, "_count_of_parts", lambda run, processes: start(run, count))

    return divide
