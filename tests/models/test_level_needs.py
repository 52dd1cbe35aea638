"""What heads declare about the maps that they read, and what the wiring derives for other trunks."""

from __future__ import annotations

import pytest
import torch
from mmengine.config import ConfigDict

from visionzoo.backbones.timm_features import TimmFeatures
from visionzoo.errors import ConfigError
from visionzoo.models.level_needs import least_levels
from visionzoo.models.wiring import backbone_levels, build_model, pad_for_backbone, reads_one_width
from visionzoo.registry import own_parts

HEADS = {name: cls for name, cls in own_parts("heads").items() if getattr(cls, "LEAST_LEVELS", 1) > 1}


@pytest.mark.parametrize("head", HEADS)
def test_a_head_refuses_fewer_maps_than_it_declares(head: str) -> None:
    channels = [8] * (HEADS[head].LEAST_LEVELS - 1)
    cfg = {"type": head, "variant": "tiny", "in_channels": channels}
    strides = {"in_strides": [4 * 2**level for level in range(len(channels))]}
    with pytest.raises(ConfigError):
        own_parts("heads")[head](**{k: v for k, v in cfg.items() if k != "type"}, **strides_of(head, strides))
    assert least_levels(cfg) == len(channels) + 1


def strides_of(head: str, strides: dict) -> dict:
    import inspect

    return strides if "in_strides" in inspect.signature(HEADS[head]).parameters else {}


@pytest.mark.parametrize(
    ("head", "least"),
    [
        ({"type": "DensityHead"}, 1),
        ({"type": "mmseg.UPerHead", "in_index": [0, 1, 2, 3]}, 4),
        ({"type": "mmseg.FCNHead", "in_index": -2}, 2),
        ({"type": "mmdet.Mask2FormerHead", "pixel_decoder": {"type": "mmdet.MSDeformAttnPixelDecoder"}}, 3),
        (
            {
                "type": "mmdet.Mask2FormerHead",
                "num_transformer_feat_level": 1,
                "pixel_decoder": {"type": "mmdet.MSDeformAttnPixelDecoder"},
            },
            1,
        ),
    ],
)
def test_least_levels_of_configs(head: dict, least: int) -> None:
    assert least_levels(head) == least


def test_heads_of_one_width() -> None:
    assert reads_one_width({"type": "mmdet.FasterRCNN", "rpn_head": {"type": "mmdet.RPNHead"}, "roi_head": {}})
    assert not reads_one_width({"type": "TaskModel", "head": {"type": "ClassificationHead"}})
    assert not reads_one_width({"type": "TaskModel", "head": {"type": "HMoDEHead"}})


@pytest.mark.parametrize(("given", "padded"), [(16, 32), (32, 32), (24, 96), (1, 1), (None, None)])
def test_padding_is_a_multiple_of_the_largest_stride(given: int | None, padded: int | None) -> None:
    model = ConfigDict(backbone={"type": "BossNet", "variant": "tiny"}, data_preprocessor={"pad_size_divisor": given})
    pad_for_backbone(model)
    assert model.data_preprocessor.pad_size_divisor == padded


def test_the_new_backbone_of_a_model_raises_the_padding() -> None:
    old = {"type": "VGG", "variant": "tiny"}
    preprocessor = {"type": "TaskPreprocessor", "pad_size_divisor": 16}
    new = {"type": "BossNet", "variant": "tiny"}
    cfg = {"type": "TaskModel", "backbone": new, "head": {"type": "DensityHead"}, "data_preprocessor": preprocessor}
    assert build_model(cfg, replaced={"model.backbone": old}).data_preprocessor.pad_size_divisor == 32
    assert build_model(cfg).data_preprocessor.pad_size_divisor == 16


def test_levels_have_the_indices_of_their_backbone() -> None:
    assert backbone_levels({"type": "BossNet", "variant": "tiny", "out_indices": (1, 3)}).indices == (1, 3)
    assert backbone_levels({"type": "ImagePair"}).indices is None


def test_a_timm_model_that_fails_on_odd_sizes_gets_padded_images() -> None:
    """HRNet adds maps that were halved and doubled; the cells over the image stay, and so do sizes that fit."""
    backbone = TimmFeatures("hrnet_w18_small").eval()
    with torch.no_grad():
        fits = backbone(torch.ones(1, 3, 64, 96))
        odd = backbone(torch.ones(1, 3, 50, 75))
        again = backbone(torch.ones(1, 3, 64, 96))
    assert [tuple(feat.shape[2:]) for feat in odd] == [(13, 19), (7, 10), (4, 5), (2, 3)]
    assert all(torch.equal(a, b) for a, b in zip(fits, again, strict=True))


def test_other_failures_of_a_timm_model_are_raised() -> None:
    backbone = TimmFeatures("resnet10t").eval()
    with pytest.raises(RuntimeError, match="channels"):
        backbone(torch.ones(1, 4, 64, 96))
    with pytest.raises(RuntimeError, match="channels"):
        backbone(torch.ones(1, 4, 50, 75))
