"""Crops of a feature map as in TensorFlow."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from mmengine.model import BaseModule
from torch import Tensor
from torchvision.ops import roi_align

from visionzoo.allowed import Count
from visionzoo.errors import ConfigError
from visionzoo.registry import MODELS


@MODELS.register_module()
class CropAndResizeExtractor(BaseModule):
    """Crop boxes like TensorFlow's ``crop_and_resize``; a replacement for mmdet's ``SingleRoIExtractor``.

    Each crop has ``output_size`` x ``output_size`` pixels; each pixel is the bilinear value at one point.

    Convention: the first point is the upper left corner of the box, the last one is the lower right corner. The corners
    of the image are the centres of the map's corner pixels. (RoIAlign's points are the centres of equal parts of the
    box.) Boxes are in pixels of the network's input, including padding. The input's size is assumed to be the map's
    size times its stride: pad to multiples of 32.

    Args:
        output_size: side S of the crops in pixels, >= 2.
        out_channels: channels C of the map.
        featmap_strides: stride of the map, a sequence of one number.
        init_cfg: initialisation config of mmengine.

    Raises:
        ConfigError: several strides (boxes are cropped from one map), or crops of fewer than 2 pixels.

    Example:
        >>> extractor = CropAndResizeExtractor(output_size=2, out_channels=1)
        >>> feat = torch.arange(9.0).view(1, 1, 3, 3)
        >>> whole = torch.tensor([[0.0, 0.0, 0.0, 48.0, 48.0]])  # index of the image, x1, y1, x2, y2
        >>> extractor([feat], whole)[0, 0].round().tolist()
        [[0.0, 2.0], [6.0, 8.0]]
    """

    def __init__(
        self,
        output_size: Count = 17,
        out_channels: Count = 4032,
        featmap_strides: Sequence[Count] = (16,),
        init_cfg: Any = None,
    ):
        super().__init__(init_cfg)
        if len(featmap_strides) != 1 or output_size < 2:
            raise ConfigError(
                "CropAndResizeExtractor",
                expected="one map (featmap_strides of one number) and crops of at least 2 pixels",
                found=f"strides {list(featmap_strides)} and {output_size} pixels",
                advice="choose one map with out_indices",
            )
        self.output_size, self.out_channels, self.featmap_strides = output_size, out_channels, tuple(featmap_strides)

    @property
    def num_inputs(self) -> int:
        """Number of maps that are read."""
        return 1

    def forward(self, feats: Sequence[Tensor], rois: Tensor, roi_scale_factor: float | None = None) -> Tensor:
        """Return the crops (R, C, S, S) of boxes (R, 5): index of the image, then x1, y1, x2, y2 in pixels.

        ``roi_scale_factor``, which mmdet's cascades pass, enlarges the boxes around their centres.
        """
        feat, stride = feats[0], self.featmap_strides[0]
        size = rois.new_tensor([feat.shape[-1], feat.shape[-2]])
        begin, end = (rois[:, 1:3], rois[:, 3:5])
        if roi_scale_factor is not None:
            middle, half = (begin + end) / 2, (end - begin) / 2 * roi_scale_factor
            begin, end = middle - half, middle + half
        scale = (size - 1) / (size * stride)
        begin, end = begin * scale, end * scale
        margin = (end - begin) / (self.output_size - 1) / 2
        # RoIAlign's points are the centres of equal parts, and with aligned=True they are shifted by -0.5 pixels.
        boxes = torch.cat([rois[:, :1], begin - margin + 0.5, end + margin + 0.5], 1).to(feat.dtype)
        return roi_align(feat, boxes, self.output_size, sampling_ratio=1, aligned=True)
