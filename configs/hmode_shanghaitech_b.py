"""HMoDE with VGG-16 on ShanghaiTech B. The authors' settings are not public; settings of part A.

Paper (TIP 2023, arXiv 2208.02894). Results here: model_cards/hmode_shanghaitech_b.md.

    tools/train.py configs/hmode_shanghaitech_b.py --tiny      # a minute on a CPU, on drawn crowds
    tools/train.py configs/hmode_shanghaitech_b.py             # ShanghaiTech in data/shanghaitech
"""

_base_ = ["_base_/hmode_model.py", "_base_/shanghaitech_b.py", "_base_/schedule_hmode.py", "_base_/runtime.py"]

task = "counting"

default_hooks = dict(checkpoint=dict(save_best="count/MAE", rule="less"))
