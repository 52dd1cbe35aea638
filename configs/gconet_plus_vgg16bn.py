"""GCoNet+ with VGG-16 and batch normalisation, trained on DUTS_class and COCO-SEG.

Paper (T-PAMI 2023, arXiv 2205.15469): CoCA Emax .814, S .738, Fmax .637, MAE .081;
results here: model_cards/gconet_plus_vgg16bn.md.

    tools/train.py configs/gconet_plus_vgg16bn.py --tiny      # a minute on a CPU, on drawn groups
    tools/train.py configs/gconet_plus_vgg16bn.py             # the data sets in datasets/co_saliency/README.md
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
        type="VGG",
        variant="16_bn",
        frozen=True,
        init_cfg=dict(type="Pretrained", checkpoint="torchvision://vgg16_bn"),
    ),
    head=dict(type="GCoNetPlusHead"),
)
default_hooks = dict(checkpoint=dict(save_best="sal/Smeasure", rule="greater"))
randomness = dict(seed=7)

tiny = dict(
    model=dict(backbone=dict(variant="tiny", frozen=False, init_cfg=None), head=dict(variant="tiny")),
)
