"""Salient instances (Li et al., CVPR 2017: 500 images to train, 200 to validate, 300 to test) in data/sis1k.

The annotations are converted from id maps, see datasets/salient_instances/README.md.
"""

data_root = "data/sis1k"
dataset_type = "CocoDetection"

train_pipeline = [
    dict(type="LoadImage"),
    dict(type="mmdet.LoadAnnotations", with_bbox=True, with_mask=True),
    dict(type="mmdet.Resize", scale=(1333, 800), keep_ratio=True),
    dict(type="mmdet.RandomFlip", prob=0.5),
    dict(type="PackDetInputs"),
]
test_pipeline = [
    dict(type="LoadImage"),
    dict(type="mmdet.Resize", scale=(1333, 800), keep_ratio=True),
    dict(type="mmdet.LoadAnnotations", with_bbox=True, with_mask=True),  # for the figures of a report
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
        ann_file="annotations/instances_train.json",
        data_prefix=dict(img="imgs/"),
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
        ann_file="annotations/instances_val.json",
        data_prefix=dict(img="imgs/"),
        test_mode=True,
        pipeline=test_pipeline,
    ),
)
test_dataloader = dict(
    batch_size=1,
    num_workers=2,
    persistent_workers=True,
    drop_last=False,
    sampler=dict(type="DefaultSampler", shuffle=False),
    dataset=dict(
        type=dataset_type,
        data_root=data_root,
        ann_file="annotations/instances_test.json",
        data_prefix=dict(img="imgs/"),
        test_mode=True,
        pipeline=test_pipeline,
    ),
)

# The metric reads the annotation file of the data set. Salient instances are compared at IoU 0.5 and 0.7.
val_evaluator = dict(type="CocoMetric", metric=["bbox", "segm"], iou_thrs=[0.5, 0.7])
test_evaluator = val_evaluator

tiny_root = "tiny://salient_instances?train=16&val=8&seed=0"
tiny_train_pipeline = [
    dict(type="LoadImage"),
    dict(type="mmdet.LoadAnnotations", with_bbox=True, with_mask=True),
    dict(type="mmdet.Resize", scale=(160, 128), keep_ratio=True),
    dict(type="mmdet.RandomFlip", prob=0.5),
    dict(type="PackDetInputs"),
]
tiny_test_pipeline = [
    dict(type="LoadImage"),
    dict(type="mmdet.Resize", scale=(160, 128), keep_ratio=True),
    dict(type="mmdet.LoadAnnotations", with_bbox=True, with_mask=True),  # for the figures of a report
    dict(
        type="PackDetInputs",
        meta_keys=("img_id", "img_path", "ori_shape", "img_shape", "scale_factor"),
    ),
]
tiny_val_dataloader = dict(
    num_workers=0,
    persistent_workers=False,
    dataset=dict(data_root=tiny_root, pipeline=tiny_test_pipeline),
)
tiny = dict(
    image_size=dict(size=(128, 160)),
    train_dataloader=dict(
        num_workers=0,
        persistent_workers=False,
        dataset=dict(data_root=tiny_root, pipeline=tiny_train_pipeline),
    ),
    val_dataloader=tiny_val_dataloader,
    test_dataloader=tiny_val_dataloader,
)
