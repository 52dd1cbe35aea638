"""Mask2Former with DiNAT-Large of kernel 11, on the panoptic masks of COCO 2017.

Paper (arXiv 2209.15001): PQ 58.5, mask AP 50.8 on COCO val2017, from ImageNet-22k weights; results here:
model_cards/dinat_mask2former_coco.md.

    tools/train.py configs/dinat_mask2former_coco.py --tiny      # two minutes on a CPU, on drawn scenes
    tools/train.py configs/dinat_mask2former_coco.py --amp       # COCO 2017 in data/coco
"""

_base_ = ["_base_/mask2former.py", "_base_/coco_panoptic.py", "_base_/schedule_mask2former.py", "_base_/runtime.py"]

task = "panoptic"

default_hooks = dict(checkpoint=dict(by_epoch=False, interval=5000))

model = dict(
    backbone=dict(type="DiNAT", variant="dinat_large_k11", dilations="mask2former_coco", drop_path_rate=0.3),
    panoptic_head=dict(num_queries=200),
)

# 100 epochs of COCO, twice the schedule of ResNet-50.
train_cfg = dict(max_iters=737500)
param_scheduler = [
    dict(type="MultiStepLR", begin=0, end=737500, by_epoch=False, milestones=[655556, 710184], gamma=0.1)
]
optim_wrapper = dict(paramwise_cfg=dict(custom_keys={"rpb": dict(lr_mult=0.1, decay_mult=0.0)}))
train_dataloader = dict(batch_size=1)

tiny = dict(
    model=dict(
        backbone=dict(variant="tiny", dilations=[[1, 4], [1, 2], [1, 2], [1, 1]], drop_path_rate=0.0),
        panoptic_head=dict(num_queries=20),
    ),
    optim_wrapper=dict(paramwise_cfg=dict(custom_keys={"rpb": dict(lr_mult=1.0)})),
)
