"""Post-processing of kMaX-DeepLab against the authors' code; a unit test compares the list of segments."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from visionzoo.heads.panoptic_fusion import PanopticFusion


def _run_kmax(case: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    options = case["constructor"]
    fusion = PanopticFusion(
        80,
        options["num_classes"] - 80,
        rule="kmax",
        class_threshold=(options["class_threshold_thing"], options["class_threshold_stuff"]),
        mask_threshold=options["object_mask_threshold"],
        overlap_threshold=options["overlap_threshold"],
        least_pixels=(options["thing_area_limit"], options["stuff_area_limit"]),
    )
    fused = fusion.fuse(*(torch.from_numpy(arrays[f"input:{name}"]) for name in ("mask_cls", "mask_pred")))
    return {"panoptic": fused.panoptic.numpy(), "semantic_argmax": fused.semantic.numpy()}


FAMILIES = {"kmax_": _run_kmax}
