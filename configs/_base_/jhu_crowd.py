"""JHU-CROWD++: 2,272 images to train, 500 to validate, 1,600 to test, in data/jhu_crowd.

See datasets/jhu_crowd/README.md. Sizes and crops are those of NWPU-Crowd, by our choice.
"""

data_root = "data/jhu_crowd"
dataset_type = "JHUCrowdDataset"

train_pipeline = [
    dict(type="LoadImage"),
    dict(type="ResizeToFit", size=(2048, 2048), at_least=(576, 768), multiple=16),
    dict(type="MakeDensityMap", kind="fixed", settings=dict(sigma=4.0, size=15)),
    dict(type="RandomCropPoints", size=(576, 768)),
    dict(type="FlipPoints", prob=0.5),
    dict(type="PackTaskInputs"),
]
test_pipeline = [
    dict(type="LoadImage"),
    # the metric uses original pixels
    dict(type="ResizeToFit", size=(2048, 2048), at_least=(576, 768), multiple=16, truth=False),
    dict(type="PackTaskInputs"),
]

image_size = dict(
    size=(576, 768),
    multiple=16,
    paths=[
        "train_dataloader.dataset.pipeline.1.size",
        "train_dataloader.dataset.pipeline.1.at_least",
        "train_dataloader.dataset.pipeline.3.size",
        "val_dataloader.dataset.pipeline.1.size",
        "val_dataloader.dataset.pipeline.1.at_least",
        "test_dataloader.dataset.pipeline.1.size",
        "test_dataloader.dataset.pipeline.1.at_least",
    ],
)

train_dataloader = dict(
    batch_size=4,
    num_workers=4,
    persistent_workers=True,
    drop_last=True,
    sampler=dict(type="DefaultSampler", shuffle=True),
    dataset=dict(type=dataset_type, data_root=data_root, split="train", pipeline=train_pipeline),
)
val_dataloader = dict(
    batch_size=1,
    num_workers=4,
    persistent_workers=True,
    drop_last=False,
    sampler=dict(type="DefaultSampler", shuffle=False),
    dataset=dict(type=dataset_type, data_root=data_root, split="val", test_mode=True, pipeline=test_pipeline),
)
test_dataloader = dict(
    batch_size=1,
    num_workers=4,
    persistent_workers=True,
    drop_last=False,
    sampler=dict(type="DefaultSampler", shuffle=False),
    dataset=dict(type=dataset_type, data_root=data_root, split="test", test_mode=True, pipeline=test_pipeline),
)

val_evaluator = dict(type="CountMetric", categories=("weather",))
test_evaluator = val_evaluator

tiny_root = "tiny://jhu_crowd?train=24&val=8&test=8&seed=0"
tiny_train_pipeline = [
    dict(type="LoadImage"),
    dict(type="ResizeToFit", size=(128, 128), at_least=(64, 96), multiple=16),
    dict(type="MakeDensityMap", kind="fixed", settings=dict(sigma=4.0, size=15)),
    dict(type="RandomCropPoints", size=(64, 96)),
    dict(type="FlipPoints", prob=0.5),
    dict(type="PackTaskInputs"),
]
tiny_test_pipeline = [
    dict(type="LoadImage"),
    dict(type="ResizeToFit", size=(128, 128), at_least=(64, 96), multiple=16, truth=False),
    dict(type="PackTaskInputs"),
]
tiny_val_dataloader = dict(
    num_workers=0, persistent_workers=False, dataset=dict(data_root=tiny_root, pipeline=tiny_test_pipeline)
)
tiny = dict(
    image_size=dict(size=(64, 96)),
    train_dataloader=dict(
        batch_size=4,
        num_workers=0,
        persistent_workers=False,
        dataset=dict(data_root=tiny_root, pipeline=tiny_train_pipeline),
    ),
    val_dataloader=tiny_val_dataloader,
    test_dataloader=tiny_val_dataloader,
)
