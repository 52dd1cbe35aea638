"""ImageNet-1k: 1.28M images to train, 50k to validate, in data/imagenet (see datasets/imagenet/README.md).

The augmentation is that of DeiT and timm. The data_preprocessor of the model mixes the images of a batch.
"""

data_root = "data/imagenet"
dataset_type = "ImageNet"

train_pipeline = [
    dict(type="LoadImage"),
    dict(type="RandomResizedCrop", size=224),
    dict(type="HorizontalFlip", prob=0.5),
    dict(type="RandAugment", policy="rand-m9-mstd0.5-inc1", size=224),
    dict(type="RandomErasing", prob=0.25, mode="pixel"),
    dict(type="PackTaskInputs"),
]
test_pipeline = [
    dict(type="LoadImage"),
    dict(type="ResizeCrop", size=224, crop_pct=0.875),
    dict(type="PackTaskInputs"),
]

image_size = dict(
    size=(224, 224),
    paths=[
        "train_dataloader.dataset.pipeline.1.size",
        "train_dataloader.dataset.pipeline.3.size",
        "val_dataloader.dataset.pipeline.1.size",
        "test_dataloader.dataset.pipeline.1.size",
    ],
)

train_dataloader = dict(
    batch_size=128,
    num_workers=8,
    persistent_workers=True,
    drop_last=True,
    sampler=dict(type="DefaultSampler", shuffle=True),
    dataset=dict(type=dataset_type, data_root=data_root, split="train", pipeline=train_pipeline),
)
val_dataloader = dict(
    batch_size=64,
    num_workers=8,
    persistent_workers=True,
    drop_last=False,
    sampler=dict(type="DefaultSampler", shuffle=False),
    dataset=dict(type=dataset_type, data_root=data_root, split="val", test_mode=True, pipeline=test_pipeline),
)
test_dataloader = val_dataloader

val_evaluator = dict(type="ClassificationMetric")
test_evaluator = val_evaluator

tiny_root = "tiny://imagenet?train=120&val=40&seed=0"
tiny_train_pipeline = [
    dict(type="LoadImage"),
    dict(type="RandomResizedCrop", size=64, scale=(0.5, 1.0)),
    dict(type="HorizontalFlip", prob=0.5),
    dict(type="PackTaskInputs"),
]
tiny_test_pipeline = [
    dict(type="LoadImage"),
    dict(type="ResizeCrop", size=64, crop_pct=1.0),
    dict(type="PackTaskInputs"),
]
tiny_val_dataloader = dict(
    batch_size=20,
    num_workers=0,
    persistent_workers=False,
    dataset=dict(data_root=tiny_root, pipeline=tiny_test_pipeline),
)
tiny = dict(
    image_size=dict(
        size=(64, 64),
        paths=[
            "train_dataloader.dataset.pipeline.1.size",
            "val_dataloader.dataset.pipeline.1.size",
            "test_dataloader.dataset.pipeline.1.size",
        ],
    ),
    train_dataloader=dict(
        batch_size=20,
        num_workers=0,
        persistent_workers=False,
        dataset=dict(data_root=tiny_root, pipeline=tiny_train_pipeline),
    ),
    val_dataloader=tiny_val_dataloader,
    test_dataloader=tiny_val_dataloader,
)
