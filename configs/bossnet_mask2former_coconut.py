"""Mask2Former with BossNet-T0, trained on COCONut-S and validated on relabeled COCO-val.

No paper trains this pair. The schedule is that of Mask2Former with ResNet-50; results here:
model_cards/bossnet_mask2former_coconut.md.

    tools/train.py configs/bossnet_mask2former_coconut.py --tiny      # two minutes on a CPU, on drawn scenes
    tools/train.py configs/bossnet_mask2former_coconut.py             # COCONut-S in data/coconut
"""

_base_ = ["_base_/mask2former.py", "_base_/coconut.py", "_base_/schedule_mask2former.py", "_base_/runtime.py"]

task = "panoptic"

default_hooks = dict(checkpoint=dict(by_epoch=False, interval=5000))

model = dict(backbone=dict(type="BossNet", variant="T0", drop_path_rate=0.1, norm_eval=True))

tiny = dict(model=dict(backbone=dict(variant="tiny", norm_eval=False)))
