"""RetinaNet with the RCNet neck, ResNet-50, 1x schedule.

Paper (ACM MM 2021, arXiv 2110.12130): box AP 40.2 on COCO val2017 (FPN 36.5);
results here: model_cards/rcnet_retinanet.md.

    tools/train.py configs/rcnet_retinanet.py --tiny      # a minute on a CPU, on drawn scenes
    tools/train.py configs/rcnet_retinanet.py             # COCO 2017 in data/coco
"""

_base_ = ["_base_/retinanet.py", "_base_/coco_detection.py", "_base_/schedule_1x.py", "_base_/runtime.py"]

task = "detection"

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
    neck=dict(
        type="RCNet",
        out_channels=256,
        num_outs=5,
        start_level=1,
        norm_cfg=dict(type="BN", requires_grad=True),
    ),
)

tiny = dict(
    model=dict(
        backbone=dict(
            depth=18,
            base_channels=16,
            frozen_stages=-1,
            norm_eval=False,
            init_cfg=None,
        ),
        neck=dict(out_channels=32),
    ),
)
