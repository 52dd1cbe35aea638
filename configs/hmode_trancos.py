"""HMoDE with VGG-16 on TRANCOS: vehicles in the region of interest. The paper has no result for it.

Paper (TIP 2023, arXiv 2208.02894). Results here: model_cards/hmode_trancos.md.

    tools/train.py configs/hmode_trancos.py --tiny      # a minute on a CPU, on drawn crowds
    tools/train.py configs/hmode_trancos.py             # TRANCOS in data/trancos
"""

_base_ = ["_base_/hmode_model.py", "_base_/trancos.py", "_base_/schedule_hmode.py", "_base_/runtime.py"]

task = "counting"

default_hooks = dict(checkpoint=dict(save_best="count/MAE", rule="less"))
