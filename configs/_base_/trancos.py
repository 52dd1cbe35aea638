"""TRANCOS: traffic jams, 403 images to train, 420 to validate, 421 to test, in data/trancos.

See datasets/trancos/README.md. Images are whole, 640x480 pixels. Only vehicles inside the region of interest count.
The authors of HMoDE publish no settings for this set, so those of ShanghaiTech A are used.
"""

data_root = "data/trancos"
dataset_type = "TRANCOSDataset"

train_pipeline = [
    dict(type="LoadImage"),
    dict(type="LoadRoi"),
    dict(type="MakeDensityMap", kind="fixed", settings=dict(sigma=4.0, size=15)),
    dict(type="FlipPoints", prob=0.5),
    dict(type="PackTaskInputs"),
]
test_pipeline = [
    dict(type="LoadImage"),
    dict(type="LoadRoi"),
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

val_evaluator = dict(type="CountMetric", game_levels=(0, 1, 2, 3))
test_evaluator = val_evaluator

tiny_root = "tiny://trancos?train=24&val=8&test=8&seed=0"
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
