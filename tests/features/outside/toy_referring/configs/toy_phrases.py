"""The part of an image that a phrase names, on scenes that are drawn on demand."""

_base_ = ["_base_/runtime.py"]

task = "toy_referring"

model = dict(
    type="TaskModel",
    data_preprocessor=dict(type="TaskPreprocessor", mean=[127.5] * 3, std=[127.5] * 3),
    backbone=dict(type="ToyPixels"),
    text_encoder=dict(type="ToyWords"),
    head=dict(type="ToyPhraseHead"),
)
pipeline = [dict(type="LoadImageOfToy"), dict(type="LoadNothingToy"), dict(type="PackTaskInputs")]
train_dataloader = dict(
    batch_size=2,
    num_workers=0,
    sampler=dict(type="DefaultSampler", shuffle=True),
    dataset=dict(type="ToyPhrases", count=9, pipeline=pipeline),
)
val_dataloader = dict(
    batch_size=2,
    num_workers=0,
    sampler=dict(type="DefaultSampler", shuffle=False),
    dataset=dict(type="ToyPhrases", count=4, pipeline=pipeline, test_mode=True),
)
test_dataloader = val_dataloader
val_evaluator = dict(type="ToyOverlapMetric")
test_evaluator = val_evaluator
train_cfg = dict(type="EpochBasedTrainLoop", max_epochs=4)
val_cfg = dict(type="ValLoop")
test_cfg = dict(type="TestLoop")
optim_wrapper = dict(type="OptimWrapper", optimizer=dict(type="SGD", lr=0.05))
tiny = dict(train_cfg=dict(max_epochs=2))
