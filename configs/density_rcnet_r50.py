"""A plain density head on the RCNet neck, ResNet-50, ShanghaiTech A: our combination, for comparison with HMoDE.

tools/train.py configs/density_rcnet_r50.py --tiny      # a minute on a CPU, on drawn crowds
tools/train.py configs/density_rcnet_r50.py             # ShanghaiTech in data/shanghaitech
"""

_base_ = ["_base_/shanghaitech_a.py", "_base_/schedule_hmode.py", "_base_/runtime.py"]

task = "counting"

model = dict(
    type="TaskModel",
    data_preprocessor=dict(
        type="TaskPreprocessor",
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        pad_size_divisor=32,
    ),
    backbone=dict(
        type="mmdet.ResNet",
        depth=50,
        num_stages=4,
        out_indices=(0, 1, 2, 3),
        norm_cfg=dict(type="BN", requires_grad=True),
        norm_eval=True,
        init_cfg=dict(type="Pretrained", checkpoint="torchvision://resnet50"),
    ),
    neck=dict(
        type="RCNet",
        out_channels=256,
        num_outs=5,
        start_level=0,
        norm_cfg=dict(type="BN", requires_grad=True),
    ),
    head=dict(type="DensityHead"),
)
default_hooks = dict(checkpoint=dict(save_best="count/MAE", rule="less"))

tiny = dict(
    model=dict(
        backbone=dict(depth=18, base_channels=16, norm_eval=False, init_cfg=None),
        neck=dict(out_channels=32),
        head=dict(variant="tiny"),
    ),
)
