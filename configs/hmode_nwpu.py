"""HMoDE with VGG-16 on NWPU-Crowd. The authors' settings are not public; crops as in its sample code.

Paper (TIP 2023, arXiv 2208.02894). Results here: model_cards/hmode_nwpu.md.

    tools/train.py configs/hmode_nwpu.py --tiny      # a minute on a CPU, on drawn crowds
    tools/train.py configs/hmode_nwpu.py             # NWPU-Crowd in data/nwpu
"""

_base_ = ["_base_/hmode_model.py", "_base_/nwpu.py", "_base_/schedule_hmode.py", "_base_/runtime.py"]

task = "counting"

optim_wrapper = dict(optimizer=dict(lr=5e-5))
default_hooks = dict(checkpoint=dict(save_best="count/MAE", rule="less"))
