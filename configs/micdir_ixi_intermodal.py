"""MICDIR on IXI: the T1 and the T2 volume of each subject. Paper (arXiv 2203.04317): Dice 0.621 of tissue.

Results here: model_cards/micdir_ixi_intermodal.md. The code does not state which mutual information the paper used.

    tools/train.py configs/micdir_ixi_intermodal.py --tiny      # a minute on a CPU, on drawn brains
    tools/train.py configs/micdir_ixi_intermodal.py             # IXI in data/ixi
"""

_base_ = [
    "_base_/micdir_model.py",
    "_base_/ixi_pairs.py",
    "_base_/ixi.py",
    "_base_/schedule_micdir.py",
    "_base_/runtime.py",
]

task = "registration"

model = dict(head=dict(similarity=dict(type="MutualInformation")))
default_hooks = dict(checkpoint=dict(interval=5))
