"""Red cells, white cells and platelets in blood smears: RCNet and ATSS on EfficientNet-Lite0, trained on BCCD.

The weights are part of visionzoo: `visionzoo infer cells_rcnet_lite blood.png`. Results here:
model_cards/cells_rcnet_lite.md.

    tools/train.py configs/cells_rcnet_lite.py             # BCCD in data/bccd, minutes on a CPU
    tools/train.py configs/cells_rcnet_lite.py --tiny      # a minute, on drawn smears
"""

_base_ = ["_base_/rcnet_lite_model.py", "_base_/bccd.py", "_base_/schedule_lite.py", "_base_/runtime.py"]

task = "detection"

train_cfg = dict(max_epochs=18, val_interval=6)
param_scheduler = [
    dict(type="LinearLR", start_factor=0.05, by_epoch=False, begin=0, end=15),
    dict(type="CosineAnnealingLR", by_epoch=True, begin=0, end=18, T_max=18, eta_min=1e-6, convert_to_iter_based=True),
]
default_hooks = dict(logger=dict(interval=7), checkpoint=dict(interval=6, save_best="coco/bbox_mAP", rule="greater"))
