"""CIFAR-10: 50k images of 32x32 pixels to train, 10k to test, in data/cifar (see datasets/cifar/README.md)."""

data_root = "data/cifar"
dataset_type = "CIFAR10"

# ResizeCrop leaves the images of CIFAR as they are. Larger images of a user get their size.
train_pipeline = [
    dict(type="LoadImage"),
    dict(type="ResizeCrop", size=32, crop_pct=1.0),
    dict(type="PaddedRandomCrop", size=32, padding=4),
    dict(type="HorizontalFlip", prob=0.5),
    dict(type="Cutout", size=16),
    dict(type="PackTaskInputs"),
]
test_pipeline = [
    dict(type="LoadImage"),
    dict(type="ResizeCrop", size=32, crop_pct=1.0),
    dict(type="PackTaskInputs"),
]

image_size = "the images of CIFAR have 32 x 32 pixels"

train_dataloader = dict(
    batch_size=32,
    num_workers=2,
    persistent_workers=True,
    sampler=dict(type="DefaultSampler", shuffle=True),
    dataset=dict(type=dataset_type, data_root=data_root, split="train", pipeline=train_pipeline),
)
val_dataloader = dict(
    batch_size=100,
    num_workers=2,
    persistent_workers=True,
    drop_last=False,
    sampler=dict(type="DefaultSampler", shuffle=False),
    dataset=dict(type=dataset_type, data_root=data_root, split="test", test_mode=True, pipeline=test_pipeline),
)
test_dataloader = val_dataloader

val_evaluator = dict(type="ClassificationMetric")
test_evaluator = val_evaluator

tiny_root = "tiny://cifar10?train=200&val=50&seed=0"
tiny_train_pipeline = [
    dict(type="LoadImage"),
    dict(type="ResizeCrop", size=32, crop_pct=1.0),
    dict(type="PaddedRandomCrop", size=32, padding=4),
    dict(type="HorizontalFlip", prob=0.5),
    dict(type="PackTaskInputs"),
]
tiny_val_dataloader = dict(
    batch_size=25,
    num_workers=0,
    persistent_workers=False,
    dataset=dict(data_root=tiny_root),
)
tiny = dict(
    train_dataloader=dict(
        batch_size=20,
        num_workers=0,
        persistent_workers=False,
        dataset=dict(data_root=tiny_root, pipeline=tiny_train_pipeline),
    ),
    val_dataloader=tiny_val_dataloader,
    test_dataloader=tiny_val_dataloader,
)
