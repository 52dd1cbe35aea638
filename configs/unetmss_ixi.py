"""UNetMSS on IXI: MICDIR without the graph, from the authors' notebook. Paper: arXiv 2203.04317.

Results here: model_cards/unetmss_ixi.md.

    tools/train.py configs/unetmss_ixi.py --tiny      # a minute on a CPU, on drawn brains
    tools/train.py configs/unetmss_ixi.py             # IXI in data/ixi
"""

_base_ = [
    "_base_/micdir_model.py",
    "_base_/ixi_pairs.py",
    "_base_/ixi.py",
    "_base_/schedule_micdir.py",
    "_base_/runtime.py",
]

task = "registration"

model = dict(backbone=dict(variant="unetmss"), head=dict(variant="unetmss"))
default_hooks = dict(checkpoint=dict(interval=5))

tiny = dict(model=dict(head=dict(variant="unetmss", width=8)))
