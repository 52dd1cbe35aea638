"""Loading pairs."""

from __future__ import annotations

from mmcv.transforms.base import BaseTransform

from toy_registration.datasets import draw_pair
from visionzoo.registry import TRANSFORMS


@TRANSFORMS.register_module()
class ReadToyPair(BaseTransform):
    """Fill ``img`` with the fixed and the moving volume of a drawn pair. The name does not begin with Load."""

    PROVIDES = ("img",)

    def transform(self, results: dict) -> dict:
        volumes = draw_pair(results["pair_seed"], int(results["gt_shift"]))
        return {**results, "img": [volume[..., None] for volume in volumes], "img_path": f"pair {results['pair_seed']}"}
