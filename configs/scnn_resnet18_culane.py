"""SCNN's message passing and branches on ResNet-18 at stride 8, CULane. pytorch-auto-drive reports F1 72.19.

Paper: AAAI 2018, arXiv 1712.06080. Results here: model_cards/scnn_resnet18_culane.md.

    tools/train.py configs/scnn_resnet18_culane.py --tiny      # a minute on a CPU, on drawn roads
    tools/train.py configs/scnn_resnet18_culane.py             # CULane in data/culane
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
    backbone=dict(
        type="mmdet.ResNet",
        depth=18,
        num_stages=4,
        strides=(1, 2, 1, 1),
        dilations=(1, 1, 2, 4),
        out_indices=(3,),
        norm_cfg=dict(type="BN", requires_grad=True),
        norm_eval=False,
        init_cfg=dict(type="Pretrained", checkpoint="torchvision://resnet18"),
    ),
    head=dict(type="SCNNHead", input_size=(288, 800), reducer="1x1"),
)
default_hooks = dict(checkpoint=dict(by_epoch=False, interval=5_000, save_best="culane/F1", rule="greater"))

tiny = dict(model=dict(backbone=dict(base_channels=16, init_cfg=None), head=dict(variant="tiny")))
