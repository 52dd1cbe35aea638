"""MICDIR on IXI: T1 volumes of different subjects. Paper (arXiv 2203.04317): Dice 0.801 of tissue.

Results here: model_cards/micdir_ixi.md. model.head.compat=True computes as the released code does.

    tools/train.py configs/micdir_ixi.py --tiny      # a minute on a CPU, on drawn brains
    tools/train.py configs/micdir_ixi.py             # IXI in data/ixi
"""

_base_ = [
    "_base_/micdir_model.py",
    "_base_/ixi_pairs.py",
    "_base_/ixi.py",
    "_base_/schedule_micdir.py",
    "_base_/runtime.py",
]

task = "registration"

default_hooks = dict(checkpoint=dict(interval=5))
