"""UCF-QNRF: 1,201 images to train, 334 to test, in data/ucf_qnrf (see datasets/ucf_qnrf/README.md).

Sizes and crops are those of C-3-Framework: inside 1024x1024 pixels, sides multiples of 16. There is no validation
list: the test images select the epoch, as in the papers.
"""

data_root = "data/ucf_qnrf"
dataset_type = "UCFQNRFDataset"

train_pipeline = [
    dict(type="LoadImage"),
    dict(type="ResizeToFit", size=(1024, 1024), multiple=16),
    dict(type="MakeDensityMap", kind="fixed", settings=dict(sigma=4.0, size=15)),
    dict(type="RandomCropPoints", size=(576, 768)),
    dict(type="FlipPoints", prob=0.5),
    dict(type="PackTaskInputs"),
]
test_pipeline = [
    dict(type="LoadImage"),
    dict(type="ResizeToFit", size=(1024, 1024), multiple=16, truth=False),  # the metric uses original pixels
    dict(type="PackTaskInputs"),
]

image_size = dict(
    size=(576, 768),
    multiple=16,
    paths=[
        "train_dataloader.dataset.pipeline.1.size",
        "train_dataloader.dataset.pipeline.3.size",
        "val_dataloader.dataset.pipeline.1.size",
        "test_dataloader.dataset.pipeline.1.size",
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
    dataset=dict(type=dataset_type, data_root=data_root, split="test", test_mode=True, pipeline=test_pipeline),
)
test_dataloader = val_dataloader

val_evaluator = dict(type="CountMetric")
test_evaluator = val_evaluator

tiny_root = "tiny://ucf_qnrf?train=24&test=8&seed=0"
tiny_train_pipeline = [
    dict(type="LoadImage"),
    dict(type="ResizeToFit", size=(128, 128), multiple=16),
    dict(type="MakeDensityMap", kind="fixed", settings=dict(sigma=4.0, size=15)),
    dict(type="RandomCropPoints", size=(64, 96)),
    dict(type="FlipPoints", prob=0.5),
    dict(type="PackTaskInputs"),
]
tiny_test_pipeline = [
    dict(type="LoadImage"),
    dict(type="ResizeToFit", size=(128, 128), multiple=16, truth=False),  # the metric uses original pixels
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
