"""RetinaNet with DiNAT-Mini and the RCNet neck, 1x schedule with AdamW.

No paper trains this pair. Dilations, drop path and optimizer are those of DiNAT's detectors;
results here: model_cards/dinat_rcnet_retinanet.md.

    tools/train.py configs/dinat_rcnet_retinanet.py --tiny      # a minute on a CPU, on drawn scenes
    tools/train.py configs/dinat_rcnet_retinanet.py             # COCO 2017 in data/coco
"""

_base_ = ["_base_/retinanet.py", "_base_/coco_detection.py", "_base_/schedule_1x.py", "_base_/runtime.py"]

task = "detection"

model = dict(
    backbone=dict(type="DiNAT", variant="dinat_mini", dilations="coco", drop_path_rate=0.2),
    neck=dict(type="RCNet", out_channels=256, num_outs=5, start_level=1, norm_cfg=dict(type="BN", requires_grad=True)),
)

optim_wrapper = dict(
    optimizer=dict(type="AdamW", lr=0.0001, weight_decay=0.05),
    paramwise_cfg=dict(norm_decay_mult=0.0, custom_keys={"rpb": dict(decay_mult=0.0)}),
    clip_grad=dict(max_norm=10),
)
auto_scale_lr = dict(base_batch_size=16)

tiny = dict(
    model=dict(
        backbone=dict(variant="tiny", dilations=[[1, 5], [1, 3], [1, 2], [1, 2]], drop_path_rate=0.0),
        neck=dict(out_channels=32),
    ),
)
