"""SCNN with VGG-16 on CULane. Paper (AAAI 2018, arXiv 1712.06080): F1 71.6 at IoU 0.5.

Results here: model_cards/scnn_culane.md.

    tools/train.py configs/scnn_culane.py --tiny      # a minute on a CPU, on drawn roads
    tools/train.py configs/scnn_culane.py             # CULane in data/culane
"""

_base_ = ["_base_/culane.py", "_base_/schedule_scnn_culane.py", "_base_/runtime.py"]

task = "lanes"

model = dict(
    type="TaskModel",
    data_preprocessor=dict(
        type="TaskPreprocessor",
        # Mean and deviation of CULane, as in the authors' code. Other weights may need those of ImageNet.
        mean=[91.749, 93.1515, 93.381],
        std=[65.6115, 67.9065, 70.278],
    ),
    backbone=dict(
        type="VGG",
        variant="16_bn",
        large_field=True,
        out_indices=(4,),
        init_cfg=dict(type="Pretrained", checkpoint="torchvision://vgg16_bn"),
    ),
    head=dict(type="SCNNHead", input_size=(288, 800)),
)
default_hooks = dict(checkpoint=dict(by_epoch=False, interval=5_000, save_best="culane/F1", rule="greater"))

tiny = dict(model=dict(backbone=dict(variant="tiny", init_cfg=None), head=dict(variant="tiny")))
