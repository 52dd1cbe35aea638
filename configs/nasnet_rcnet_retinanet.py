"""RetinaNet with NASNet-A Mobile and the RCNet neck, 1x schedule with AdamW.

No paper trains this pair. The recipe is that of RetinaNet with AdamW;
results here: model_cards/nasnet_rcnet_retinanet.md.

    tools/train.py configs/nasnet_rcnet_retinanet.py --tiny      # a minute on a CPU, on drawn scenes
    tools/train.py configs/nasnet_rcnet_retinanet.py             # COCO 2017 in data/coco
"""

_base_ = ["_base_/retinanet.py", "_base_/coco_detection.py", "_base_/schedule_1x.py", "_base_/runtime.py"]

task = "detection"

model = dict(
    data_preprocessor=dict(mean=[127.5] * 3, std=[127.5] * 3),  # scales values to [-1, 1], as in the training of NASNet
    backbone=dict(type="NASNet", variant="mobile", frozen_stages=1, norm_eval=True),
    neck=dict(type="RCNet", out_channels=256, num_outs=5, start_level=1, norm_cfg=dict(type="BN", requires_grad=True)),
)

optim_wrapper = dict(
    optimizer=dict(type="AdamW", lr=0.0001, weight_decay=0.05),
    paramwise_cfg=dict(norm_decay_mult=0.0, bias_decay_mult=0.0),
    clip_grad=dict(max_norm=10),
)
auto_scale_lr = dict(base_batch_size=16)

tiny = dict(
    model=dict(
        backbone=dict(variant="tiny", filters=16, frozen_stages=-1, norm_eval=False), neck=dict(out_channels=32)
    ),
    optim_wrapper=dict(optimizer=dict(lr=0.006)),
)
