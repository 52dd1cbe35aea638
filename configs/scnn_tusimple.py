"""SCNN with VGG-16 on TuSimple, as trained by its PyTorch port, which reports accuracy 94.16, FP 0.0735, FN 0.0825.

Paper: AAAI 2018, arXiv 1712.06080. Results here: model_cards/scnn_tusimple.md.

    tools/train.py configs/scnn_tusimple.py --tiny      # a minute on a CPU, on drawn roads
    tools/train.py configs/scnn_tusimple.py             # TuSimple in data/tusimple
"""

_base_ = ["_base_/tusimple.py", "_base_/schedule_scnn_tusimple.py", "_base_/runtime.py"]

task = "lanes"

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
        large_field=True,
        out_indices=(4,),
        init_cfg=dict(type="Pretrained", checkpoint="torchvision://vgg16_bn"),
    ),
    head=dict(type="SCNNHead", input_size=(288, 512), rows=dict(kind="tusimple")),
)
default_hooks = dict(checkpoint=dict(by_epoch=False, interval=100, save_best="tusimple/accuracy", rule="greater"))

tiny = dict(model=dict(backbone=dict(variant="tiny", init_cfg=None), head=dict(variant="tiny")))
