"""Inferencer in Python: any image as input, the same results in any batch, in order, within bounded memory."""

import weakref

import numpy as np
import pytest
import torch
from closeness import assert_same_objects
from inference_scenes import CLASSES, scene
from mmcv.transforms import LoadImageFromFile
from mmcv.transforms.base import BaseTransform
from numpy.testing import assert_array_equal
from PIL import Image

from visionzoo import Inferencer
from visionzoo.errors import CheckpointError, ConfigError, DataError, InputError, UnknownName
from visionzoo.inference.preparing import Preparation
from visionzoo.registry import TRANSFORMS
from visionzoo.structures.detections import decode_mask
from visionzoo.tasks.inputs.base import Source
from visionzoo.tasks.inputs.images import read_source

SIZES = [(60, 90), (90, 60), (60, 90), (33, 47), (61, 90), (1, 1), (60, 90), (45, 100), (90, 61), (60, 89), (2, 3)]


def test_batch_size_changes_nothing(detector):
    images = [scene(*size, seed) for seed, size in enumerate(SIZES)]
    single = list(detector(images))
    together = list(detector(images, batch_size=4))
    assert [item.source.name for item in together] == [f"input {number}" for number in range(len(images))]
    assert sum(len(item.result) for item in single) > 100
    for one, other in zip(single, together):
        assert one.size == other.size
        assert_same_objects(one.result, other.result)


def test_batch_size_changes_no_masks(masks_weights):
    options = {"model.test_cfg.rcnn.score_thr": 0.0, "model.test_cfg.rcnn.max_per_img": 5}
    inferencer = Inferencer(
        "rcnet_mask_rcnn", masks_weights, tiny=True, device="cpu", score_threshold=0.0, options=options
    )
    images = [scene(*size, seed) for seed, size in enumerate([(60, 90), (61, 89), (90, 60), (60, 90)])]
    for image, one, other in zip(images, inferencer(images), inferencer(images, batch_size=4)):
        assert_same_objects(one.result, other.result)
        assert len(one.result) == 5
        assert decode_mask(one.result.masks[0]).shape == image.shape[:2]
        differing = [(decode_mask(a) != decode_mask(b)).mean() for a, b in zip(one.result.masks, other.result.masks)]
        assert max(differing) < 1e-3


def test_only_equal_padded_sizes_share_a_batch(detector, monkeypatch):
    shapes = []
    step = detector.model.test_step

    def recorded(data):
        shapes.append([tuple(image.shape[1:]) for image in data["inputs"]])
        return step(data)

    monkeypatch.setattr(detector.model, "test_step", recorded)
    list(detector([scene(*size) for size in SIZES], batch_size=4))
    for batch in shapes:
        assert len({(-(-height // 32), -(-width // 32)) for height, width in batch}) == 1
    assert max(map(len, shapes)) > 1
    assert len(shapes) < len(SIZES)


def test_inputs_are_read_no_further_than_the_window(detector):
    read = []

    def stream():
        for number in range(1000):
            read.append(number)
            yield scene(*SIZES[number % len(SIZES)], number)

    predictions = detector(stream(), batch_size=4, keep_images=True)
    for position in range(40):
        prediction = next(predictions)
        assert prediction.source.name == f"input {position}"
        assert len(read) <= position + 1 + 16
    predictions.close()


def test_images_are_let_go(detector):
    alive = []

    def stream():
        for number in range(60):
            image = scene(*SIZES[number % len(SIZES)], number)
            alive.append(weakref.ref(image))
            yield image

    most = 0
    for prediction in detector(stream(), batch_size=4, keep_images=True):
        assert prediction.image is not None
        most = max(most, sum(ref() is not None for ref in alive))
    assert len(alive) == 60
    assert most <= 18  # the window of four batches, one image read ahead and the one being processed


def test_boxes_are_in_original_pixels(detector):
    result = detector.one(scene(120, 300)).result
    assert result.size == (300, 120)
    assert result.boxes[:, [0, 2]].max() > 160  # beyond the width of the network's input
    assert result.boxes.min() >= 0
    assert (result.boxes[:, [0, 2]].max(), result.boxes[:, [1, 3]].max()) <= (300.01, 120.01)
    written = result.to_json()["scores"]
    assert written == sorted(written, reverse=True)


def test_every_form_of_one_image_has_one_result(detector):
    image = scene(60, 90)
    forms = [
        image,
        image.astype(np.float32) / 255,
        image.astype(np.uint16) * 257,
        np.dstack([image, np.zeros((60, 90), np.uint8)]),
        Image.fromarray(image),
        Image.fromarray(image).convert("RGBA"),
        torch.from_numpy(image).permute(2, 0, 1),
        torch.from_numpy(image).permute(2, 0, 1).float() / 255,
    ]
    expected = detector.one(image).result
    for prediction in detector(forms):
        assert_same_objects(prediction.result, expected)


def test_grey_and_palette_images():
    grey = scene(20, 30)[..., 0]
    expected = np.repeat(grey[..., None], 3, axis=2)
    for value in (grey, grey[..., None], Image.fromarray(grey), torch.from_numpy(grey), torch.from_numpy(grey)[None]):
        assert_array_equal(read_source(value), expected)
    palette = Image.fromarray(scene(20, 30)).quantize(8)
    assert_array_equal(read_source(palette), np.array(palette.convert("RGB")))
    deep = Image.fromarray(grey.astype(np.uint16) * 257)
    assert_array_equal(read_source(deep), expected)


def test_exif_orientation_is_applied(detector, images):
    upright = np.rot90(np.array(Image.open(images / "turned.jpg")), -1)
    prediction = detector.one(images / "turned.jpg")
    assert prediction.size == (40, 80)
    assert_same_objects(prediction.result, detector.one(np.ascontiguousarray(upright)).result)
    assert read_source(Image.open(images / "turned.jpg")).shape == (80, 40, 3)


def test_the_model_sees_rgb_and_opencv_pipelines_bgr():
    red = np.zeros((4, 6, 3), np.uint8)
    red[..., 0] = 255
    pack = dict(type="mmdet.PackDetInputs", meta_keys=("ori_shape",))
    ours = Preparation([dict(type="LoadImage"), dict(type="mmdet.LoadAnnotations", with_bbox=True), pack])
    theirs = Preparation([dict(type="LoadImageFromFile"), pack])
    source = Source("red", red, None)
    assert ours(source).sample["inputs"][:, 0, 0].tolist() == [255, 0, 0]
    assert theirs(source).sample["inputs"][:, 0, 0].tolist() == [0, 0, 255]
    assert_array_equal(theirs(source).image, red)


def test_broken_images_are_raised_or_reported(detector, images):
    broken = [images / "x_corrupt.jpg", images / "a.jpg", images / "x_empty.png", scene(1, 700)]
    with pytest.raises(DataError, match=r"x_corrupt\.jpg: expected an image"):
        list(detector(broken))
    predictions = list(detector(broken, errors="report", batch_size=2))
    assert [item.error is None for item in predictions] == [False, True, False, False]
    assert "1x700" not in str(predictions[3].error)
    assert "700x1 pixels" in str(predictions[3].error)
    assert predictions[0].record() == {"input": str(broken[0]), "error": str(predictions[0].error)}
    with pytest.raises(InputError, match="expected 'raise' or 'report'"):
        list(detector(broken, errors="ignore"))
    with pytest.raises(InputError, match="found a value of type dict"):
        list(detector([{}]))


def test_weights_with_nan_outputs_are_reported(detector, monkeypatch):
    def nan(data):
        samples = type(detector.model).test_step(detector.model, data)
        for sample in samples:
            sample.pred_instances.scores[:] = float("nan")
        return samples

    monkeypatch.setattr(detector.model, "test_step", nan)
    (prediction,) = detector([scene(60, 90)], errors="report")
    assert "not finite" in str(prediction.error)


def test_threshold_and_names(detector):
    every = detector.one(scene(60, 90)).result
    assert detector.class_names == CLASSES
    threshold = float(np.median(every.scores))
    some = detector.one(scene(60, 90), score_threshold=threshold).result
    assert len(some) == (every.scores >= threshold).sum()
    assert set(some.to_json()["names"]) <= set(CLASSES)


def test_images_are_kept_only_on_request(detector):
    assert detector.one(scene(60, 90)).image is None
    prediction = detector.one(scene(60, 90), keep_images=True)
    assert_array_equal(prediction.image, scene(60, 90))
    assert (detector.draw(prediction.image, prediction.result) != prediction.image).any()


def test_the_callers_image_is_unchanged_and_files_are_not_copied(tmp_path):
    prepare = Preparation([dict(type="LoadImage"), dict(type="PackTaskInputs")])
    image = scene(60, 90)
    tensor = torch.from_numpy(image.copy()).permute(2, 0, 1)
    for value in (image, tensor):
        prepared = prepare(Source("mine", value, None), keep_image=False)
        prepared.sample["inputs"].zero_()
        assert (prepared.image, prepared.size) == (None, (90, 60))
        assert image.any()
        assert tensor.any()
    Image.fromarray(image).save(tmp_path / "a.png")
    kept = prepare(Source("a", tmp_path / "a.png", None))
    kept.sample["inputs"].zero_()
    assert_array_equal(kept.image, image)


def test_what_else_is_loaded_belongs_to_data_sets():
    steps = ["LoadImage", "LoadRoi", "LoadDensity", "LoadLaneMask", "LoadMaskAnnotation", "PackTaskInputs"]
    assert [type(step).__name__ for step in Preparation([dict(type=step) for step in steps]).transforms] == [
        "PackTaskInputs"
    ]


def test_weights_are_never_untrained_by_accident():
    with pytest.raises(
        CheckpointError, match=r'fpn_retinanet: expected weights.*--weights none .*weights="none" in Python'
    ):
        Inferencer("fpn_retinanet", tiny=True)
    untrained = Inferencer("fpn_retinanet", "none", tiny=True, device="cpu")
    assert untrained.weights is None
    ids = dict(zip(untrained.class_names, untrained.category_ids))
    assert (ids["person"], ids["stop sign"], ids["parking meter"], ids["toothbrush"]) == (1, 13, 14, 90)
    assert len(ids) == 80


def test_wrong_use():
    with pytest.raises(UnknownName, match="fpn_retinanet"):
        Inferencer("fpn_retinnet", "none")
    with pytest.raises(ConfigError, match="batch size 0"):
        Inferencer("fpn_retinanet", "none", tiny=True, batch_size=0)
    with pytest.raises(ConfigError, match="test_dataloader"):
        Inferencer("fpn_retinanet", "none", tiny=True, options={"test_dataloader": None, "val_dataloader": None})


@TRANSFORMS.register_module()
class LoadImageOfMine(BaseTransform):
    """A loader of RGB images, which must stay RGB."""

    PROVIDES = ("img",)
    CHANNEL_ORDER = "rgb"

    def transform(self, results):
        raise AssertionError("inference reads images itself")


@TRANSFORMS.register_module()
class LoadingBar(BaseTransform):
    """A transform that loads nothing, although its name begins with Load."""

    def transform(self, results):
        return {**results, "level": 7}


@TRANSFORMS.register_module()
class LoadLikeOpenCV(LoadImageFromFile):
    """A loader that inherits from mmcv's."""


def test_transforms_are_left_out_for_what_they_provide_and_not_for_their_names():
    red = np.zeros((4, 6, 3), np.uint8)
    red[..., 0] = 255
    rest = [dict(type="LoadingBar"), dict(type="PackTaskInputs")]
    mine, opencv = (Preparation([dict(type=name), *rest]) for name in ("LoadImageOfMine", "LoadLikeOpenCV"))
    assert [type(step).__name__ for step in mine.transforms] == ["LoadingBar", "PackTaskInputs"]
    assert (mine.order, opencv.order) == ("rgb", "bgr")
    sample = mine(Source("red", red, None)).sample
    assert sample["inputs"][:, 0, 0].tolist() == [255, 0, 0]
    assert sample["data_samples"].level == 7
    assert opencv(Source("red", red, None)).sample["inputs"][:, 0, 0].tolist() == [0, 0, 255]
