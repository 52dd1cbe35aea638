"""HMoDE with VGG-16 on UCF-QNRF. The authors' settings are not public; crops as in C-3-Framework.

Paper (TIP 2023, arXiv 2208.02894). Results here: model_cards/hmode_ucf_qnrf.md.

    tools/train.py configs/hmode_ucf_qnrf.py --tiny      # a minute on a CPU, on drawn crowds
    tools/train.py configs/hmode_ucf_qnrf.py             # UCF-QNRF in data/ucf_qnrf
"""

_base_ = ["_base_/hmode_model.py", "_base_/ucf_qnrf.py", "_base_/schedule_hmode.py", "_base_/runtime.py"]

task = "counting"

optim_wrapper = dict(optimizer=dict(lr=5e-5))
default_hooks = dict(checkpoint=dict(save_best="count/MAE", rule="less"))
