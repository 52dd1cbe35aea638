"""HMoDE with VGG-16 on JHU-CROWD++. The authors' settings are not public; crops as in the sample code of NWPU-Crowd.

Paper (TIP 2023, arXiv 2208.02894). Results here: model_cards/hmode_jhu_crowd.md.

    tools/train.py configs/hmode_jhu_crowd.py --tiny      # a minute on a CPU, on drawn crowds
    tools/train.py configs/hmode_jhu_crowd.py             # JHU-CROWD++ in data/jhu_crowd
"""

_base_ = ["_base_/hmode_model.py", "_base_/jhu_crowd.py", "_base_/schedule_hmode.py", "_base_/runtime.py"]

task = "counting"

optim_wrapper = dict(optimizer=dict(lr=5e-5))
default_hooks = dict(checkpoint=dict(save_best="count/MAE", rule="less"))
