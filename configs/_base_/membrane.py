"""Membranes of 30 sections of tissue, 512 x 512 grey; 20 to train, 5 to validate, 5 to test.

See datasets/membrane/README.md. `python datasets/membrane/prepare.py` writes data/membrane.
"""

data_root = "data/membrane"
dataset_type = "SaliencyDataset"

train_pipeline = [
    dict(type="LoadImage"),
    dict(type="LoadMaskAnnotation", kind="binary"),
    dict(type="mmseg.RandomCrop", crop_size=(256, 256)),
    dict(type="RandomFlip", prob=[0.25, 0.25, 0.25], direction=["horizontal", "vertical", "diagonal"]),
    dict(type="PackTaskInputs"),
]
test_pipeline = [
    dict(type="LoadImage"),
    dict(type="LoadMaskAnnotation"),
    dict(type="PackTaskInputs"),
]

image_size = dict(size=(256, 256), paths=["train_dataloader.dataset.pipeline.2.crop_size"])

train_dataloader = dict(
    batch_size=4,
    num_workers=0,
    persistent_workers=False,
    drop_last=True,
    sampler=dict(type="DefaultSampler", shuffle=True),
    dataset=dict(type=dataset_type, data_root=data_root, split="train", pipeline=train_pipeline),
)
val_dataloader = dict(
    batch_size=1,
    num_workers=0,
    persistent_workers=False,
    drop_last=False,
    sampler=dict(type="DefaultSampler", shuffle=False),
    dataset=dict(type=dataset_type, data_root=data_root, split="val", test_mode=True, pipeline=test_pipeline),
)
test_dataloader = dict(
    batch_size=1,
    num_workers=0,
    persistent_workers=False,
    drop_last=False,
    sampler=dict(type="DefaultSampler", shuffle=False),
    dataset=dict(type=dataset_type, data_root=data_root, split="test", test_mode=True, pipeline=test_pipeline),
)

val_evaluator = dict(type="SaliencyMetric", protocol="pysod")
test_evaluator = val_evaluator

tiny_root = "tiny://membrane?train=16&val=6&test=6&seed=0"
tiny_train_pipeline = [
    dict(type="LoadImage"),
    dict(type="LoadMaskAnnotation", kind="binary"),
    dict(type="mmseg.RandomCrop", crop_size=(64, 64)),
    dict(type="RandomFlip", prob=[0.25, 0.25, 0.25], direction=["horizontal", "vertical", "diagonal"]),
    dict(type="PackTaskInputs"),
]
tiny_data = dict(dataset=dict(data_root=tiny_root))
tiny = dict(
    image_size=dict(size=(64, 64)),
    train_dataloader=dict(dataset=dict(data_root=tiny_root, pipeline=tiny_train_pipeline)),
    val_dataloader=tiny_data,
    test_dataloader=tiny_data,
)
