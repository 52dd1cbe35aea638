"""HMoDE with VGG-16 on ShanghaiTech A, as its authors' script trains it.

Paper (TIP 2023, arXiv 2208.02894). Results here: model_cards/hmode_shanghaitech_a.md.

    tools/train.py configs/hmode_shanghaitech_a.py --tiny      # a minute on a CPU, on drawn crowds
    tools/train.py configs/hmode_shanghaitech_a.py             # ShanghaiTech in data/shanghaitech
"""

_base_ = ["_base_/hmode_model.py", "_base_/shanghaitech_a.py", "_base_/schedule_hmode.py", "_base_/runtime.py"]

task = "counting"

default_hooks = dict(checkpoint=dict(save_best="count/MAE", rule="less"))
randomness = dict(seed=640)  # the seed of the authors
