"""ShanghaiTech A: 300 crowds to train, 182 to test, in data/shanghaitech (see datasets/shanghaitech/README.md).

As in the script of HMoDE, a batch is one whole image in its original size, and larger batches are cropped to their
smallest image. There is no validation list: the test images select the epoch, as in the papers.
"""

data_root = "data/shanghaitech"
dataset_type = "ShanghaiTechDataset"

train_pipeline = [
    dict(type="LoadImage"),
    dict(type="MakeDensityMap", kind="fixed", settings=dict(sigma=4.0, size=15)),
    dict(type="FlipPoints", prob=0.5),
    dict(type="PackTaskInputs"),
]
test_pipeline = [
    dict(type="LoadImage"),
    dict(type="PackTaskInputs"),
]

image_size = "its images keep their own size"

train_dataloader = dict(
    batch_size=1,
    num_workers=4,
    persistent_workers=True,
    drop_last=True,
    sampler=dict(type="DefaultSampler", shuffle=True),
    collate_fn=dict(type="crop_to_smallest"),
    dataset=dict(type=dataset_type, data_root=data_root, part="A", split="train", pipeline=train_pipeline),
)
val_dataloader = dict(
    batch_size=1,
    num_workers=4,
    persistent_workers=True,
    drop_last=False,
    sampler=dict(type="DefaultSampler", shuffle=False),
    dataset=dict(
        type=dataset_type, data_root=data_root, part="A", split="test", test_mode=True, pipeline=test_pipeline
    ),
)
test_dataloader = val_dataloader

val_evaluator = dict(type="CountMetric")
test_evaluator = val_evaluator

tiny_root = "tiny://shanghaitech_a?train=24&test=8&seed=0"
tiny_val_dataloader = dict(num_workers=0, persistent_workers=False, dataset=dict(data_root=tiny_root))
tiny = dict(
    train_dataloader=dict(
        batch_size=4,
        num_workers=0,
        persistent_workers=False,
        dataset=dict(data_root=tiny_root),
    ),
    val_dataloader=tiny_val_dataloader,
    test_dataloader=tiny_val_dataloader,
)
