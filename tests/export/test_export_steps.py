"""The resizing of exported models equals the test pipelines' transforms."""

from __future__ import annotations

import numpy as np
import pytest

from visionzoo.export.preprocessing import largest_size, steps_of
from visionzoo.graphs.form import NotExportable
from visionzoo.inference.exported_steps import apply_steps, padded_size
from visionzoo.inference.preparing import Preparation
from visionzoo.tasks.inputs.base import Source

PACK = dict(type="PackTaskInputs")
PIPELINES = [
    [dict(type="Resize", scale=(133, 80), keep_ratio=True)],
    [dict(type="mmdet.Resize", scale=(61, 45), keep_ratio=False)],
    [dict(type="Resize", scale=(80, 29), keep_ratio=False, interpolation="bicubic")],
    [dict(type="Resize", scale=(48, 48), keep_ratio=False, backend="pillow")],
    [dict(type="ResizeCrop", size=32, crop_pct=0.875)],
    [dict(type="ResizeCrop", size=33, edge=35, interpolation="bilinear")],
    [dict(type="ResizeToFit", size=(60, 70), at_least=(40, 50), multiple=16, truth=False)],
    [dict(type="ResizeToFit", multiple=16, truth=False)],
    [dict(type="RandomGrayscale", prob=1.0, keep_channels=True, channel_weights=(0.299, 0.587, 0.114))],
    [],
]


@pytest.mark.parametrize("pipeline", PIPELINES, ids=str)
@pytest.mark.parametrize("shape", [(50, 71), (97, 64), (40, 40)], ids=str)
def test_steps_give_the_pixels_of_the_pipeline(pipeline, shape):
    prepare = Preparation([dict(type="LoadImage"), *pipeline, PACK])
    image = np.random.RandomState(0).randint(0, 256, (*shape, 3), np.uint8)

    expected = prepare(Source("a", image, None)).sample["inputs"].numpy()
    found = apply_steps(image, steps_of(prepare)).transpose(2, 0, 1)

    assert np.array_equal(found, expected)


def test_a_transform_without_exported_form_is_named():
    prepare = Preparation([dict(type="LoadImage"), dict(type="HorizontalFlip", prob=1.0), PACK])
    with pytest.raises(NotExportable, match="HorizontalFlip"):
        steps_of(prepare)


def test_largest_size_holds_every_image():
    crop = [dict(op="resize_crop", size=32, edge=36, interpolation="bicubic")]
    free = [dict(op="resize", scale=[133, 80], keep_ratio=True, interpolation="bilinear", backend="cv2")]
    assert largest_size(crop, 1) == ((32, 32), True)
    assert largest_size(free, 32) == ((160, 160), False)
    assert padded_size((33, 64), 32) == (64, 64)
