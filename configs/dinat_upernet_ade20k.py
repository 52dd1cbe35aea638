"""UPerNet with DiNAT-Mini on ADE20K, 160,000 iterations.

Paper (arXiv 2209.15001): mIoU 45.8 at one scale, 47.2 at several scales with flips; results here:
model_cards/dinat_upernet_ade20k.md.

    tools/train.py configs/dinat_upernet_ade20k.py --tiny      # a minute on a CPU, on drawn scenes
    tools/train.py configs/dinat_upernet_ade20k.py             # ADE20K in data/ade
"""

_base_ = ["_base_/upernet.py", "_base_/ade20k.py", "_base_/schedule_upernet.py", "_base_/runtime.py"]

task = "semantic"

default_hooks = dict(checkpoint=dict(by_epoch=False, interval=16000))

model = dict(backbone=dict(type="DiNAT", variant="dinat_mini", dilations="ade20k", drop_path_rate=0.2))

image_size = dict(
    paths=[
        "train_dataloader.dataset.pipeline.2.scale",
        "train_dataloader.dataset.pipeline.3.crop_size",
        "val_dataloader.dataset.pipeline.1.scale",
        "test_dataloader.dataset.pipeline.1.scale",
        "model.data_preprocessor.size",
    ]
)

optim_wrapper = dict(paramwise_cfg=dict(custom_keys={"rpb": dict(decay_mult=0.0)}))
train_dataloader = dict(batch_size=2)

tiny = dict(
    model=dict(backbone=dict(variant="tiny", dilations=[[1, 4], [1, 2], [1, 2], [1, 1]], drop_path_rate=0.0)),
)
