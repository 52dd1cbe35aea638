"""ICNet on IXI: T1 volumes of different subjects. Paper: arXiv 1809.03443, on other brains.

Results here: model_cards/icnet_ixi.md.

    tools/train.py configs/icnet_ixi.py --tiny      # a minute on a CPU, on drawn brains
    tools/train.py configs/icnet_ixi.py             # IXI in data/ixi
"""

_base_ = ["_base_/ixi_pairs.py", "_base_/ixi.py", "_base_/schedule_icnet.py", "_base_/runtime.py"]

task = "registration"

model = dict(
    type="TaskModel",
    data_preprocessor=dict(type="TaskPreprocessor", pad_size_divisor=16),
    backbone=dict(type="ICNetEncoder", dims=3, both_directions=True),
    head=dict(type="ICNetHead", dims=3),
)

train_pipeline = [
    dict(type="LoadVolumePair"),
    dict(type="CropOrPadVolumes", size=(128, 128, 128)),
    dict(type="MatchHistograms"),
    dict(type="NormalizeVolumes", standardise=True),
    dict(type="PackTaskInputs"),
]
test_pipeline = [
    dict(type="LoadVolumePair"),
    dict(type="MatchHistograms"),
    dict(type="NormalizeVolumes", standardise=True, keep=True),
    dict(type="PackTaskInputs"),
]
train_dataloader = dict(batch_size=1, dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader
default_hooks = dict(checkpoint=dict(by_epoch=False, interval=1_000))

tiny_train_pipeline = [
    dict(type="LoadVolumePair"),
    dict(type="MatchHistograms"),
    dict(type="NormalizeVolumes", standardise=True),
    dict(type="PackTaskInputs"),
]
tiny = dict(
    model=dict(
        data_preprocessor=dict(pad_size_divisor=4),
        backbone=dict(variant="tiny"),
        head=dict(variant="tiny", antifold_weight=100),
    ),
    train_dataloader=dict(dataset=dict(pipeline=tiny_train_pipeline)),
)
