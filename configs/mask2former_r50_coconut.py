"""Mask2Former with ResNet-50, trained on COCONut-S and validated on relabeled COCO-val.

Papers: COCONut (CVPR 2024, arXiv 2404.08639), Mask2Former (CVPR 2022, arXiv 2112.01527). The schedule is that of
Mask2Former on COCO, so there is no published number. Results here: model_cards/mask2former_r50_coconut.md.

    tools/train.py configs/mask2former_r50_coconut.py --tiny      # two minutes on a CPU, on drawn scenes
    tools/train.py configs/mask2former_r50_coconut.py             # COCONut-S in data/coconut
"""

_base_ = ["_base_/mask2former.py", "_base_/coconut.py", "_base_/schedule_mask2former.py", "_base_/runtime.py"]

task = "panoptic"

default_hooks = dict(checkpoint=dict(by_epoch=False, interval=5000))

model = dict(
    backbone=dict(
        type="mmdet.ResNet",
        depth=50,
        num_stages=4,
        out_indices=(0, 1, 2, 3),
        frozen_stages=-1,
        norm_cfg=dict(type="BN", requires_grad=False),
        norm_eval=True,
        init_cfg=dict(type="Pretrained", checkpoint="torchvision://resnet50"),
    ),
)

tiny = dict(
    model=dict(
        backbone=dict(depth=18, base_channels=16, norm_cfg=dict(requires_grad=True), norm_eval=False, init_cfg=None)
    ),
)
