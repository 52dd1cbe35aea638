"""COCO 2017 boxes: 118k images to train, 5k to validate, in data/coco (see datasets/coco/README.md)."""

data_root = "data/coco"
dataset_type = "CocoDetection"

train_pipeline = [
    dict(type="LoadImage"),
    dict(type="mmdet.LoadAnnotations", with_bbox=True),
    dict(type="mmdet.Resize", scale=(1333, 800), keep_ratio=True),
    dict(type="mmdet.RandomFlip", prob=0.5),
    dict(type="PackDetInputs"),
]
test_pipeline = [
    dict(type="LoadImage"),
    dict(type="mmdet.Resize", scale=(1333, 800), keep_ratio=True),
    dict(type="mmdet.LoadAnnotations", with_bbox=True),
    dict(
        type="PackDetInputs",
        meta_keys=("img_id", "img_path", "ori_shape", "img_shape", "scale_factor"),
    ),
]

image_size = dict(
    size=(800, 1333),
    paths=[
        "train_dataloader.dataset.pipeline.2.scale",
        "val_dataloader.dataset.pipeline.1.scale",
        "test_dataloader.dataset.pipeline.1.scale",
    ],
)

train_dataloader = dict(
    batch_size=4,
    num_workers=2,
    persistent_workers=True,
    sampler=dict(type="DefaultSampler", shuffle=True),
    batch_sampler=dict(type="mmdet.AspectRatioBatchSampler"),  # less padding: wide and tall images in separate batches
    dataset=dict(
        type=dataset_type,
        data_root=data_root,
        ann_file="annotations/instances_train2017.json",
        data_prefix=dict(img="train2017/"),
        filter_cfg=dict(filter_empty_gt=True, min_size=32),
        pipeline=train_pipeline,
    ),
)
val_dataloader = dict(
    batch_size=1,
    num_workers=2,
    persistent_workers=True,
    drop_last=False,
    sampler=dict(type="DefaultSampler", shuffle=False),
    dataset=dict(
        type=dataset_type,
        data_root=data_root,
        ann_file="annotations/instances_val2017.json",
        data_prefix=dict(img="val2017/"),
        test_mode=True,
        pipeline=test_pipeline,
    ),
)
test_dataloader = val_dataloader

val_evaluator = dict(type="CocoMetric", metric="bbox")  # reads the annotation file of the data set
test_evaluator = val_evaluator

tiny_root = "tiny://coco?train=16&val=8&seed=0"
tiny_train_pipeline = [
    dict(type="LoadImage"),
    dict(type="mmdet.LoadAnnotations", with_bbox=True),
    dict(type="mmdet.Resize", scale=(208, 168), keep_ratio=True),
    dict(type="mmdet.RandomFlip", prob=0.5),
    dict(type="PackDetInputs"),
]
tiny_test_pipeline = [
    dict(type="LoadImage"),
    dict(type="mmdet.Resize", scale=(208, 168), keep_ratio=True),
    dict(type="mmdet.LoadAnnotations", with_bbox=True),
    dict(
        type="PackDetInputs",
        meta_keys=("img_id", "img_path", "ori_shape", "img_shape", "scale_factor"),
    ),
]
tiny_val_dataloader = dict(
    batch_size=1,
    num_workers=0,
    persistent_workers=False,
    dataset=dict(data_root=tiny_root, pipeline=tiny_test_pipeline),
)
tiny = dict(
    image_size=dict(size=(168, 208)),
    train_dataloader=dict(
        batch_size=4,
        num_workers=0,
        persistent_workers=False,
        dataset=dict(data_root=tiny_root, pipeline=tiny_train_pipeline),
    ),
    val_dataloader=tiny_val_dataloader,
    test_dataloader=tiny_val_dataloader,
)
