"""GCoNet+ with ResNet-50, trained on DUTS_class and COCO-SEG.

The authors' code has this encoder; their paper (arXiv 2205.15469) has no numbers for it;
results here: model_cards/gconet_plus_resnet50.md.

    tools/train.py configs/gconet_plus_resnet50.py --tiny      # a minute on a CPU, on drawn groups
    tools/train.py configs/gconet_plus_resnet50.py             # the data sets in datasets/co_saliency/README.md
"""

_base_ = ["_base_/co_saliency.py", "_base_/runtime.py"]

task = "co_saliency"

model = dict(
    type="TaskModel",
    data_preprocessor=dict(
        type="TaskPreprocessor",
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
    ),
    backbone=dict(
        type="UnpooledResNet",
        variant="50",
        frozen=True,
        init_cfg=dict(type="Pretrained", checkpoint="torchvision://resnet50"),
    ),
    head=dict(type="GCoNetPlusHead"),
)
default_hooks = dict(checkpoint=dict(save_best="sal/Smeasure", rule="greater"))
randomness = dict(seed=7)

tiny = dict(
    model=dict(backbone=dict(variant="tiny", frozen=False, init_cfg=None), head=dict(variant="tiny")),
    train_cfg=dict(max_epochs=30, val_interval=15),  # the duration of the other encoders, because its maps are wider
)
