"""gRefCOCO (UNC): phrases that mean one object, several, or none.

The data are in data/refer, see datasets/grefcoco/README.md. Pipelines are those of refcoco.py. The numbers are defined
as in the authors' code. Masks of fewer than 50 pixels count as "nothing". `test_evaluator.eval_size=input` compares
masks of 480 x 480 pixels, as the authors do.
"""

data_root = "data/refer"
size = (480, 480)

train_pipeline = [
    dict(type="LoadImage"),
    dict(type="LoadReferredMask"),
    dict(type="Resize", scale=size, keep_ratio=False, backend="pillow"),
    dict(type="ChoosePhrase"),
    dict(type="PackTaskInputs"),
]
test_pipeline = [
    dict(type="LoadImage"),
    dict(type="Resize", scale=size, keep_ratio=False, backend="pillow"),
    dict(type="LoadReferredMask"),
    dict(type="ChoosePhrase"),
    dict(type="PackTaskInputs"),
]

image_size = dict(
    size=size,
    paths=[
        "train_dataloader.dataset.pipeline.2.scale",
        "val_dataloader.dataset.pipeline.1.scale",
        "test_dataloader.dataset.pipeline.1.scale",
    ],
)

dataset = dict(type="ReferDataset", data_root=data_root, name="grefcoco", split_by="unc")
train_dataloader = dict(
    batch_size=8,
    num_workers=4,
    persistent_workers=True,
    drop_last=True,
    sampler=dict(type="DefaultSampler", shuffle=True),
    dataset=dict(**dataset, split="train", pipeline=train_pipeline),
)
val_dataloader = dict(
    batch_size=1,
    num_workers=4,
    persistent_workers=True,
    drop_last=False,
    sampler=dict(type="DefaultSampler", shuffle=False),
    dataset=dict(**dataset, split="val", test_mode=True, pipeline=test_pipeline),
)
test_dataloader = dict(
    batch_size=1,
    num_workers=4,
    persistent_workers=True,
    drop_last=False,
    sampler=dict(type="DefaultSampler", shuffle=False),
    dataset=dict(**dataset, split="testA", test_mode=True, pipeline=test_pipeline),
)

val_evaluator = dict(type="ReferMetric", protocol="grefcoco", least_pixels=50)
test_evaluator = val_evaluator

tiny_size = (64, 64)
tiny_train_pipeline = [
    dict(type="LoadImage"),
    dict(type="LoadReferredMask"),
    dict(type="Resize", scale=tiny_size, keep_ratio=False, backend="pillow"),
    dict(type="ChoosePhrase"),
    dict(type="PackTaskInputs"),
]
tiny_test_pipeline = [
    dict(type="LoadImage"),
    dict(type="Resize", scale=tiny_size, keep_ratio=False, backend="pillow"),
    dict(type="LoadReferredMask"),
    dict(type="ChoosePhrase"),
    dict(type="PackTaskInputs"),
]
tiny_root = "tiny://grefcoco?train=160&val=24&test=24&seed=0"
tiny_val_dataloader = dict(
    batch_size=8,
    num_workers=0,
    persistent_workers=False,
    dataset=dict(data_root=tiny_root, pipeline=tiny_test_pipeline),
)
tiny_evaluator = dict(least_pixels=4)  # objects of the drawn images are small
tiny = dict(
    image_size=dict(size=tiny_size),
    train_dataloader=dict(
        num_workers=0,
        persistent_workers=False,
        dataset=dict(data_root=tiny_root, pipeline=tiny_train_pipeline),
    ),
    val_dataloader=tiny_val_dataloader,
    test_dataloader=tiny_val_dataloader,
    val_evaluator=tiny_evaluator,
    test_evaluator=tiny_evaluator,
)
