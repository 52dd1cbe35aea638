"""mmdet's own configs, with the scope in their types, pass the check: nothing correct is refused."""

from __future__ import annotations

from importlib.resources import files
from typing import Any

import pytest
from mmengine.config import Config
from mmengine.registry import Registry

from visionzoo.config import check_config
from visionzoo.config.resolving import find_anywhere

NAMES = [
    "retinanet/retinanet_r50_fpn_1x_coco",
    "faster_rcnn/faster-rcnn_r50_fpn_ohem_1x_coco",
    "mask_rcnn/mask-rcnn_r50_fpn_1x_coco",
    "cascade_rcnn/cascade-mask-rcnn_x101-64x4d_fpn_1x_coco",
    "htc/htc_r50_fpn_1x_coco",
    "gfl/gfl_x101-32x4d-dconv-c4-c5_fpn_ms-2x_coco",
    "vfnet/vfnet_x101-64x4d_fpn_ms-2x_coco",
    "libra_rcnn/libra-faster-rcnn_r101_fpn_1x_coco",
    "fpg/faster-rcnn_r50_fpg_crop640-50e_coco",
    "solov2/solov2_r50_fpn_1x_coco",
    "queryinst/queryinst_r101_fpn_300-proposals_crop-ms-480-800-3x_coco",
    "detr/detr_r18_8xb2-500e_coco",
    "dino/dino-4scale_r50_8xb2-12e_coco",
    "mask2former/mask2former_r50_8xb2-lsj-50e_coco-panoptic",
    "yolox/yolox_tiny_8xb8-300e_coco",
    "rtmdet/rtmdet_tiny_8xb32-300e_coco",
    "gn+ws/faster-rcnn_r101_fpn_gn-ws-all_1x_coco",
    "albu_example/mask-rcnn_r50_fpn_albu-1x_coco",
    "strong_baselines/mask-rcnn_r50-caffe_fpn_rpn-2conv_4conv1fc_syncbn-all_amp-lsj-100e_coco",
]


@pytest.fixture(scope="module")
def own_names() -> set[str]:
    """Return names that only mmdet has."""
    find_anywhere("mmdet.RetinaNet")
    import mmdet.registry

    names: set[str] = set()
    for registry in vars(mmdet.registry).values():
        if isinstance(registry, Registry):
            registry.import_from_location()
            names |= set(registry.module_dict)
    return names


def with_scope(node: Any, names: set[str], key: str = "") -> Any:
    """Return a config whose mmdet types have their scope."""
    if isinstance(node, dict):
        node = {name: with_scope(value, names, name) for name, value in node.items()}
        if node.get("type") in names and key not in ("nms", "roi_layer"):
            node["type"] = f"mmdet.{node['type']}"
        return node
    if isinstance(node, (list, tuple)):
        return type(node)(with_scope(item, names, key) for item in node)
    return node


@pytest.mark.parametrize("name", NAMES)
def test_config_of_mmdet_passes(name, own_names):
    cfg = Config.fromfile(str(files("mmdet") / ".mim" / "configs" / f"{name}.py"))
    problems = check_config({**with_scope(cfg.to_dict(), own_names), "task": "detection"})  # the one line that we add
    # mmengine keeps helper variables of a file as keys of its config; we drop them while loading
    assert [line for line in problems if "a config has no key" not in line] == []
