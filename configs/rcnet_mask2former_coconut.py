"""Mask2Former that reads the RCNet neck, with ResNet-50, trained on COCONut-S and validated on relabeled COCO-val.

No paper trains this pair. RCNet gives four levels of equal width, and the pixel decoder of Mask2Former reads them. The
schedule is that of Mask2Former; results here: model_cards/rcnet_mask2former_coconut.md.

    tools/train.py configs/rcnet_mask2former_coconut.py --tiny      # two minutes on a CPU, on drawn scenes
    tools/train.py configs/rcnet_mask2former_coconut.py             # COCONut-S in data/coconut
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
    neck=dict(type="RCNet", out_channels=256, num_outs=4, start_level=0, norm_cfg=dict(type="BN", requires_grad=True)),
)

tiny = dict(
    model=dict(
        backbone=dict(depth=18, base_channels=16, norm_cfg=dict(requires_grad=True), norm_eval=False, init_cfg=None),
        neck=dict(out_channels=32),
    ),
)
