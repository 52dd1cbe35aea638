"""GCoNet+ with DiNAT-Mini instead of VGG-16, trained on DUTS_class and COCO-SEG.

A combination of two papers (arXiv 2205.15469 and 2209.15001), so there is no published number;
results here: model_cards/gconet_plus_dinat.md.

    tools/train.py configs/gconet_plus_dinat.py --tiny      # a minute on a CPU, on drawn groups
    tools/train.py configs/gconet_plus_dinat.py             # the data sets in datasets/co_saliency/README.md
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
    backbone=dict(type="DiNAT", variant="dinat_mini"),
    head=dict(type="GCoNetPlusHead"),
)
optim_wrapper = dict(paramwise_cfg=dict(custom_keys={"backbone": dict(lr_mult=0.1)}))
default_hooks = dict(checkpoint=dict(save_best="sal/Smeasure", rule="greater"))
randomness = dict(seed=7)

tiny = dict(
    model=dict(backbone=dict(variant="tiny"), head=dict(variant="tiny")),
    optim_wrapper=dict(
        paramwise_cfg=dict(custom_keys={"backbone": dict(lr_mult=1.0)})
    ),  # no pretrained weights to preserve
)
