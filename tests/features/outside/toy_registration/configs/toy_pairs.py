"""The shift of two small volumes, on pairs that are drawn on demand."""

_base_ = ["_base_/runtime.py"]

task = "toy_registration"

model = dict(
    type="TaskModel",
    data_preprocessor=dict(type="TaskPreprocessor"),
    backbone=dict(type="ToyVolumes"),
    head=dict(type="ToyShiftHead"),
)
pipeline = [dict(type="ReadToyPair"), dict(type="PackTaskInputs")]
train_dataloader = dict(
    batch_size=2,
    num_workers=0,
    sampler=dict(type="DefaultSampler", shuffle=True),
    dataset=dict(type="ToyPairs", count=8, pipeline=pipeline),
)
val_dataloader = dict(
    batch_size=2,
    num_workers=0,
    sampler=dict(type="DefaultSampler", shuffle=False),
    dataset=dict(type="ToyPairs", count=4, pipeline=pipeline, test_mode=True),
)
test_dataloader = val_dataloader
val_evaluator = dict(type="ToyShiftMetric")
test_evaluator = val_evaluator
train_cfg = dict(type="EpochBasedTrainLoop", max_epochs=4)
val_cfg = dict(type="ValLoop")
test_cfg = dict(type="TestLoop")
optim_wrapper = dict(type="OptimWrapper", optimizer=dict(type="SGD", lr=0.05))
tiny = dict(train_cfg=dict(max_epochs=2))
