"""mmseg's preprocessor with test images of several sizes."""

import torch
from mask_transformers import upernet

from visionzoo.models.semantic_preprocessing import SemanticPreprocessor
from visionzoo.models.wiring import build_model

SIZES = [(70, 97), (65, 100), (31, 40)]


def images():
    draw = torch.Generator().manual_seed(0)
    return [torch.randint(0, 256, (3, *size), dtype=torch.uint8, generator=draw) for size in SIZES]


def samples():
    from mmseg.structures import SegDataSample

    return [SegDataSample(metainfo={"ori_shape": (2 * h, 2 * w), "img_shape": (h, w)}) for h, w in SIZES]


def test_pads_to_the_largest_image_of_the_batch():
    preprocessor = SemanticPreprocessor(mean=[10.0] * 3, std=[2.0] * 3, size=(64, 64), test_cfg={"size_divisor": 32})
    batch = preprocessor({"inputs": images(), "data_samples": samples()})
    assert batch["inputs"].shape == (3, 3, 96, 128)
    assert torch.allclose(batch["inputs"][2, :, :31, :40], (images()[2].float() - 10) / 2)
    assert (batch["inputs"][2, :, 31:] == 0).all()
    assert batch["data_samples"][1].metainfo["img_padding_size"] == (0, 28, 0, 31)
    assert preprocessor.pad_size_divisor == 32


def test_takes_images_without_samples_and_changes_the_order_of_channels():
    preprocessor = SemanticPreprocessor(size_divisor=1, bgr_to_rgb=True)
    image = torch.arange(3 * 4 * 5).view(3, 4, 5)
    batch = preprocessor({"inputs": [image]})
    assert batch["data_samples"] is None
    assert torch.equal(batch["inputs"][0], image.flip(0).float())


def test_a_batch_predicts_what_single_images_predict():
    torch.manual_seed(0)
    model = build_model(
        upernet({"type": "BossNet", "variant": "tiny"}, size=(64, 64), type="SemanticPreprocessor"), num_classes=4
    ).eval()
    with torch.no_grad():
        # The same padded size: 96 x 128.
        pair = {"inputs": images()[:2], "data_samples": samples()[:2]}
        together = model.test_step(pair)
        alone = [
            model.test_step({"inputs": [image], "data_samples": [sample]})[0]
            for image, sample in zip(images()[:2], samples())
        ]
    for one, other, (height, width) in zip(together, alone, SIZES):
        assert one.pred_sem_seg.data.shape == (1, 2 * height, 2 * width)
        assert torch.allclose(one.seg_logits.data, other.seg_logits.data, atol=1e-4)
