"""Boxes of a user's images, 100 to 500 of them, on a laptop: COCO's layout in data/coco, or any folder of `--data`.

Images fit into 320 x 240. Batches are read in the process of the training, which on a few cores is as fast as workers.
"""

data_root = "data/coco"
dataset_type = "CocoDetection"

train_pipeline = [
    dict(type="LoadImage"),
    dict(type="mmdet.LoadAnnotations", with_bbox=True),
    dict(type="RandomResize", scale=(320, 240), ratio_range=(0.8, 1.2), resize_type="mmdet.Resize", keep_ratio=True),
    dict(type="mmdet.RandomCrop", crop_size=(240, 320), recompute_bbox=True, allow_negative_crop=True),
    dict(type="mmdet.RandomFlip", prob=0.5),
    dict(type="mmdet.PackDetInputs"),
]
test_pipeline = [
    dict(type="LoadImage"),
    dict(type="mmdet.Resize", scale=(320, 240), keep_ratio=True),
    dict(type="mmdet.LoadAnnotations", with_bbox=True),
    dict(
        type="mmdet.PackDetInputs",
        meta_keys=("img_id", "img_path", "ori_shape", "img_shape", "scale_factor"),
    ),
]

image_size = dict(
    size=(240, 320),
    paths=[
        "train_dataloader.dataset.pipeline.2.scale",
        "train_dataloader.dataset.pipeline.3.crop_size",
        "val_dataloader.dataset.pipeline.1.scale",
        "test_dataloader.dataset.pipeline.1.scale",
    ],
)

train_dataloader = dict(
    batch_size=8,
    num_workers=0,
    persistent_workers=False,
    sampler=dict(type="DefaultSampler", shuffle=True),
    batch_sampler=dict(type="mmdet.AspectRatioBatchSampler"),  # less padding: wide and tall images in separate batches
    dataset=dict(
        type=dataset_type,
        data_root=data_root,
        ann_file="annotations/instances_train2017.json",
        data_prefix=dict(img="train2017/"),
        filter_cfg=dict(filter_empty_gt=False),  # images without an object teach what is none
        pipeline=train_pipeline,
    ),
)
val_dataloader = dict(
    batch_size=1,
    num_workers=0,
    persistent_workers=False,
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
    dict(type="RandomResize", scale=(208, 168), ratio_range=(0.9, 1.1), resize_type="mmdet.Resize", keep_ratio=True),
    dict(type="mmdet.RandomCrop", crop_size=(168, 208), recompute_bbox=True, allow_negative_crop=True),
    dict(type="mmdet.RandomFlip", prob=0.5),
    dict(type="mmdet.PackDetInputs"),
]
tiny_test_pipeline = [
    dict(type="LoadImage"),
    dict(type="mmdet.Resize", scale=(208, 168), keep_ratio=True),
    dict(type="mmdet.LoadAnnotations", with_bbox=True),
    dict(
        type="mmdet.PackDetInputs",
        meta_keys=("img_id", "img_path", "ori_shape", "img_shape", "scale_factor"),
    ),
]
tiny_val_dataloader = dict(dataset=dict(data_root=tiny_root, pipeline=tiny_test_pipeline))
tiny = dict(
    image_size=dict(size=(168, 208)),
    train_dataloader=dict(batch_size=4, dataset=dict(data_root=tiny_root, pipeline=tiny_train_pipeline)),
    val_dataloader=tiny_val_dataloader,
    test_dataloader=tiny_val_dataloader,
)
