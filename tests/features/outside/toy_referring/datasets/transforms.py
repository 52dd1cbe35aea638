"""Loading scenes."""

from __future__ import annotations

from mmcv.transforms.base import BaseTransform

from toy_referring.datasets import draw_scene
from visionzoo.registry import TRANSFORMS


@TRANSFORMS.register_module()
class LoadImageOfToy(BaseTransform):
    """Fill ``img``, RGB, and ``gt_map`` of a drawn scene."""

    PROVIDES = ("img", "gt_map")
    CHANNEL_ORDER = "rgb"

    def transform(self, results: dict) -> dict:
        image, mask = draw_scene(results["scene_seed"], results["phrase"])
        shape = image.shape[:2]
        name = f"scene {results['scene_seed']}"
        return {**results, "img": image, "gt_map": mask, "img_path": name, "ori_shape": shape, "img_shape": shape}


@TRANSFORMS.register_module()
class LoadNothingToy(BaseTransform):
    """Convert ``phrase`` to lower case. The name begins with Load, but inference needs this transform."""

    def transform(self, results: dict) -> dict:
        return {**results, "phrase": results["phrase"].lower()}
