"""MICDIR on IXI: the T1 volume of a subject and the T2 volume of the next one. Paper (arXiv 2203.04317): Dice 0.621.

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

t2 = dict(moving="IXI-T2/*-T2.nii.gz", fixed_labels="labels/*-labels.nii.gz")
train_dataloader = dict(dataset=t2)
val_dataloader = dict(dataset=t2)
test_dataloader = val_dataloader
default_hooks = dict(checkpoint=dict(interval=5))

tiny = dict(
    model=dict(head=dict(smooth_weight=10.0, half_smooth_weight=5.0)),
    train_cfg=dict(max_epochs=3, val_interval=1),
)
