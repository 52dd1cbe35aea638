"""BCCD as points: the centres of all boxes, for counting; see datasets/bccd/README.md.

`python datasets/bccd/prepare.py data/bccd` writes the points from the boxes. Images are halved to 320 x 240.
"""

data_root = "data/bccd"
dataset_type = "PointsDataset"

# A red cell has a diameter of about 50 pixels after the resizing.
train_pipeline = [
    dict(type="LoadImage"),
    dict(type="ResizeToFit", size=(240, 320)),
    dict(type="MakeDensityMap", kind="fixed", settings=dict(sigma=10.0, size=51)),
    dict(type="FlipPoints", prob=[0.25, 0.25, 0.25], direction=["horizontal", "vertical", "diagonal"]),
    dict(type="PackTaskInputs"),
]
test_pipeline = [
    dict(type="LoadImage"),
    dict(type="ResizeToFit", size=(240, 320), truth=False),
    dict(type="PackTaskInputs"),
]

image_size = dict(
    size=(240, 320),
    paths=[
        "train_dataloader.dataset.pipeline.1.size",
        "val_dataloader.dataset.pipeline.1.size",
        "test_dataloader.dataset.pipeline.1.size",
    ],
)

train_dataloader = dict(
    batch_size=8,
    num_workers=0,
    persistent_workers=False,
    drop_last=True,
    sampler=dict(type="DefaultSampler", shuffle=True),
    collate_fn=dict(type="crop_to_smallest", multiple=8),
    dataset=dict(type=dataset_type, data_root=data_root, ann_file="train.jsonl", pipeline=train_pipeline),
)
val_dataloader = dict(
    batch_size=1,
    num_workers=0,
    persistent_workers=False,
    drop_last=False,
    sampler=dict(type="DefaultSampler", shuffle=False),
    dataset=dict(type=dataset_type, data_root=data_root, ann_file="val.jsonl", test_mode=True, pipeline=test_pipeline),
)
test_dataloader = dict(
    batch_size=1,
    num_workers=0,
    persistent_workers=False,
    drop_last=False,
    sampler=dict(type="DefaultSampler", shuffle=False),
    dataset=dict(type=dataset_type, data_root=data_root, ann_file="test.jsonl", test_mode=True, pipeline=test_pipeline),
)

val_evaluator = dict(type="CountMetric")
test_evaluator = val_evaluator

tiny_data = dict(dataset=dict(data_root="tiny://bccd?train=16&val=8&test=8&seed=0"))
tiny = dict(train_dataloader=tiny_data, val_dataloader=tiny_data, test_dataloader=tiny_data)
