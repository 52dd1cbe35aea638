"""HMoDE with VGG-16 on UCF_CC_50, one fold of five. The authors' settings are not public; settings of ShanghaiTech A.

Paper (TIP 2023, arXiv 2208.02894). Results here: model_cards/hmode_ucf_cc_50.md.

    tools/train.py configs/hmode_ucf_cc_50.py --tiny      # a minute on a CPU, on drawn crowds
    tools/train.py configs/hmode_ucf_cc_50.py             # UCF_CC_50 in data/ucf_cc_50
"""

_base_ = ["_base_/hmode_model.py", "_base_/ucf_cc_50.py", "_base_/schedule_hmode.py", "_base_/runtime.py"]

task = "counting"

default_hooks = dict(checkpoint=dict(save_best="count/MAE", rule="less"))
