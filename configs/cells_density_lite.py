"""The number of cells in a blood smear: a density head on RCNet and EfficientNet-Lite0, for the points of BCCD.

Results here: model_cards/cells_density_lite.md.

    tools/train.py configs/cells_density_lite.py             # BCCD in data/bccd, minutes on a CPU
    tools/train.py configs/cells_density_lite.py --tiny      # a minute, on drawn smears
"""

_base_ = ["_base_/bccd_points.py", "_base_/schedule_lite.py", "_base_/runtime.py"]

task = "counting"

model = dict(
    type="TaskModel",
    data_preprocessor=dict(type="TaskPreprocessor", mean=[127.0] * 3, std=[128.0] * 3, pad_size_divisor=32),
    backbone=dict(
        type="EfficientNetLite",
        out_indices=(2, 3, 4),
        frozen_stages=3,
        norm_eval=True,
        init_cfg=dict(type="Pretrained", checkpoint="released://efficientnet_lite0_imagenet"),
    ),
    neck=dict(type="RCNet", out_channels=64, num_outs=3, norm_cfg=dict(type="BN", requires_grad=True)),
    head=dict(type="DensityHead", variant="lite", log_para=300.0),  # targets of about 1, because cells are wide
)
train_cfg = dict(val_interval=2)
default_hooks = dict(logger=dict(interval=7), checkpoint=dict(interval=2, save_best="count/MAE", rule="less"))

tiny = dict(
    model=dict(
        backbone=dict(variant="tiny", frozen_stages=-1, norm_eval=False, init_cfg=None),
        neck=dict(out_channels=32),
        head=dict(variant="tiny"),
    ),
    train_dataloader=dict(batch_size=4),
)
