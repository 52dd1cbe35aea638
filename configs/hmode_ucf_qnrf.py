"""HMoDE with VGG-16 on UCF-QNRF. The authors' settings for it are not public; crops as the C-3 framework has them.

Paper (TIP 2023, arXiv 2208.02894). Ours: see model_cards/hmode_ucf_qnrf.md.

    tools/train.py configs/hmode_ucf_qnrf.py --tiny      # a minute on a CPU, on drawn crowds
    tools/train.py configs/hmode_ucf_qnrf.py             # UCF-QNRF in data/ucf_qnrf
"""

_base_ = ["_base_/ucf_qnrf.py", "_base_/schedule_hmode.py", "_base_/runtime.py"]

task = "counting"

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
        out_indices=(2, 3, 4),
        init_cfg=dict(type="Pretrained", checkpoint="torchvision://vgg16_bn"),
    ),
    head=dict(type="HMoDEHead"),
)
optim_wrapper = dict(optimizer=dict(lr=5e-5))
default_hooks = dict(checkpoint=dict(save_best="count/MAE", rule="less"))

tiny = dict(model=dict(backbone=dict(variant="tiny", init_cfg=None), head=dict(variant="tiny")))
