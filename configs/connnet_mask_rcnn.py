"""Mask R-CNN whose mask branch predicts connectivity: salient instances, ResNet-50 with FPN, 1x schedule.

Paper (IEEE TIP 28(5), arXiv 1804.07836); the schedule is that of Mask R-CNN, by our choice, see
model_cards/connnet_mask_rcnn.md. The binary variant: `model.roi_head.mask_head.type=mmdet.FCNMaskHead`.

    tools/train.py configs/connnet_mask_rcnn.py --tiny      # a minute on a CPU, on drawn images
    tools/train.py configs/connnet_mask_rcnn.py             # salient instances in data/sis1k
"""

_base_ = ["_base_/mask_rcnn.py", "_base_/salient_instances.py", "_base_/schedule_1x.py", "_base_/runtime.py"]

task = "instances"

model = dict(
    backbone=dict(
        type="mmdet.ResNet",
        depth=50,
        num_stages=4,
        out_indices=(0, 1, 2, 3),
        frozen_stages=1,
        norm_cfg=dict(type="BN", requires_grad=True),
        norm_eval=True,
        init_cfg=dict(type="Pretrained", checkpoint="torchvision://resnet50"),
    ),
    neck=dict(type="mmdet.FPN", out_channels=256, num_outs=5),
    roi_head=dict(mask_head=dict(_delete_=True, type="ConnectivityMaskHead", conv_out_channels=256, num_convs=4)),
)

# 500 images are 1,500 iterations in all, so the warm-up is shorter than on COCO.
param_scheduler = [
    dict(type="LinearLR", start_factor=0.001, by_epoch=False, begin=0, end=150),
    dict(type="MultiStepLR", by_epoch=True, begin=0, end=12, milestones=[8, 11], gamma=0.1),
]

tiny = dict(
    model=dict(
        backbone=dict(depth=18, base_channels=16, frozen_stages=-1, norm_eval=False, init_cfg=None),
        neck=dict(out_channels=32),
    ),
)
