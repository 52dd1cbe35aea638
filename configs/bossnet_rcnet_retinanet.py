"""RetinaNet with BossNet-T0 and the RCNet neck, 1x schedule with AdamW.

No paper trains this pair. The recipe is that of RetinaNet with AdamW, as usual for hybrid backbones;
results here: model_cards/bossnet_rcnet_retinanet.md.

    tools/train.py configs/bossnet_rcnet_retinanet.py --tiny      # a minute on a CPU, on drawn scenes
    tools/train.py configs/bossnet_rcnet_retinanet.py             # COCO 2017 in data/coco
"""

_base_ = ["_base_/retinanet.py", "_base_/coco_detection.py", "_base_/schedule_1x.py", "_base_/runtime.py"]

task = "detection"

model = dict(
    backbone=dict(type="BossNet", variant="T0", drop_path_rate=0.1, frozen_stages=1, norm_eval=True),
    neck=dict(type="RCNet", out_channels=256, num_outs=5, start_level=1, norm_cfg=dict(type="BN", requires_grad=True)),
)

optim_wrapper = dict(
    optimizer=dict(type="AdamW", lr=0.0001, weight_decay=0.05),
    paramwise_cfg=dict(norm_decay_mult=0.0, bias_decay_mult=0.0),
    clip_grad=dict(max_norm=10),
)
auto_scale_lr = dict(base_batch_size=16)

tiny = dict(
    model=dict(backbone=dict(variant="tiny", frozen_stages=-1, norm_eval=False), neck=dict(out_channels=32)),
)
