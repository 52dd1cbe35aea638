"""Membranes of cells as connectivity of eight neighbours: ConnNet's head on EfficientNet-Lite0.

No paper trains this pair; results here: model_cards/membrane_connnet_lite.md.

    tools/train.py configs/membrane_connnet_lite.py             # data/membrane, minutes on a CPU
    tools/train.py configs/membrane_connnet_lite.py --tiny      # a minute, on drawn sections
"""

_base_ = ["_base_/membrane.py", "_base_/schedule_lite.py", "_base_/runtime.py"]

task = "saliency"

model = dict(
    type="TaskModel",
    data_preprocessor=dict(type="TaskPreprocessor", mean=[127.0] * 3, std=[128.0] * 3, pad_size_divisor=32),
    backbone=dict(
        type="EfficientNetLite",
        out_indices=(0, 1, 2, 3),
        frozen_stages=5,
        norm_eval=True,
        init_cfg=dict(type="Pretrained", checkpoint="released://efficientnet_lite0_imagenet"),
    ),
    # without non-local blocks, whose memory grows with the square of the number of cells of a whole section
    head=dict(type="ConnectivityHead", width=32, non_local=[], loss=dict(type="ConnectivityLoss", mode="paper")),
)
train_cfg = dict(max_epochs=24, val_interval=24)
param_scheduler = [
    dict(type="LinearLR", start_factor=0.05, by_epoch=False, begin=0, end=10),
    dict(type="CosineAnnealingLR", by_epoch=True, begin=0, end=24, T_max=24, eta_min=1e-6, convert_to_iter_based=True),
]
default_hooks = dict(
    logger=dict(interval=5), checkpoint=dict(interval=24, save_best="sal/Fmeasure_max", rule="greater")
)

tiny = dict(
    model=dict(
        backbone=dict(variant="tiny", frozen_stages=-1, norm_eval=False, init_cfg=None),
        head=dict(variant="tiny", width=16),
    ),
)
