"""SCNN's message passing and branches on the sum of DiNAT-Mini's levels at strides 8, 16 and 32, CULane.

A combination of two papers (arXiv 1712.06080 and 2209.15001), so there is no published number;
results here: model_cards/scnn_dinat_culane.md.

    tools/train.py configs/scnn_dinat_culane.py --tiny      # a minute on a CPU, on drawn roads
    tools/train.py configs/scnn_dinat_culane.py             # CULane in data/culane
"""

_base_ = ["_base_/culane.py", "_base_/schedule_scnn_culane.py", "_base_/runtime.py"]

task = "lanes"

model = dict(
    type="TaskModel",
    data_preprocessor=dict(
        type="TaskPreprocessor",
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
    ),
    backbone=dict(type="DiNAT", variant="dinat_mini", out_indices=(1, 2, 3)),
    head=dict(type="SCNNHead", input_size=(288, 800), reducer="1x1"),
)
optim_wrapper = dict(optimizer=dict(type="AdamW", lr=2e-4, weight_decay=0.05))
default_hooks = dict(checkpoint=dict(by_epoch=False, interval=5_000, save_best="culane/F1", rule="greater"))

tiny = dict(model=dict(backbone=dict(variant="tiny"), head=dict(variant="tiny")))
