"""TensorFlow's way to cut boxes out of a feature map."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from mmengine.model import BaseModule
from torch import Tensor
from torchvision.ops import roi_align

from visionzoo.errors import ConfigError
from visionzoo.registry import MODELS


@MODELS.register_module()
class CropAndResizeExtractor(BaseModule):
    """Crops as TensorFlow's ``crop_and_resize`` cuts them, in the place of mmdet's ``SingleRoIExtractor``.

    Every crop has ``output_size`` x ``output_size`` pixels, each the bilinear value at one point: the first at the
    upper left corner of the box, the last at the lower right one, the corners of the image being the middles of the
    map's corner pixels. (RoIAlign's points are the middles of equal parts of the box instead.) Boxes count in pixels
    of the image as the network got it, padding included, which is taken to be the map's size times its stride: pad to
    multiples of 32.

    Args:
        output_size: S.
        out_channels: C of the map.
        featmap_strides: of the map that is read, one number.
        init_cfg: mmengine's.

    Raises:
        ConfigError: several strides: proposals are cut from one map.
    """

    def __init__(
        self,
        output_size: int = 17,
        out_channels: int = 4032,
        featmap_strides: Sequence[int] = (16,),
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
        """How many maps are read."""
        return 1

    def forward(self, feats: Sequence[Tensor], rois: Tensor, roi_scale_factor: float | None = None) -> Tensor:
        """Boxes (R, 5), each with the number of its image and x1, y1, x2, y2 in pixels, to crops (R, C, S, S).

        ``roi_scale_factor``, mmdet's argument for its cascades, enlarges the boxes about their middles.
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
        # RoIAlign's points are the middles of equal parts, half a pixel before where it is told to look.
        boxes = torch.cat([rois[:, :1], begin - margin + 0.5, end + margin + 0.5], 1).to(feat.dtype)
        return roi_align(feat, boxes, self.output_size, sampling_ratio=1, aligned=True)
