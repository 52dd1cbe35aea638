"""Boxes of a user's images, 100 to 500 of them, on a laptop: COCO's layout in data/coco, or any folder of `--data`.

Images fit into 320 x 240. Batches are read in the process of the training, which on a few cores is as fast as workers.
"""

_base_ = ["coco_detection.py"]

train_pipeline = [
    dict(type="LoadImage"),
    dict(type="mmdet.LoadAnnotations", with_bbox=True),
    dict(type="RandomResize", scale=(320, 240), ratio_range=(0.8, 1.2), resize_type="mmdet.Resize", keep_ratio=True),
    dict(type="mmdet.RandomCrop", crop_size=(240, 320), recompute_bbox=True, allow_negative_crop=True),
    dict(type="mmdet.RandomFlip", prob=0.5),
    dict(type="PackDetInputs"),
]
test_pipeline = [
    dict(type="LoadImage"),
    dict(type="mmdet.Resize", scale=(320, 240), keep_ratio=True),
    dict(type="mmdet.LoadAnnotations", with_bbox=True),
    dict(
        type="PackDetInputs",
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

in_this_process = dict(num_workers=0, persistent_workers=False)
train_dataloader = dict(
    batch_size=8,
    **in_this_process,
    dataset=dict(
        filter_cfg=dict(_delete_=True, filter_empty_gt=False),  # images without an object teach what is none
        pipeline=train_pipeline,
    ),
)
val_dataloader = dict(**in_this_process, dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader

tiny_train_pipeline = [
    dict(type="LoadImage"),
    dict(type="mmdet.LoadAnnotations", with_bbox=True),
    dict(type="RandomResize", scale=(208, 168), ratio_range=(0.9, 1.1), resize_type="mmdet.Resize", keep_ratio=True),
    dict(type="mmdet.RandomCrop", crop_size=(168, 208), recompute_bbox=True, allow_negative_crop=True),
    dict(type="mmdet.RandomFlip", prob=0.5),
    dict(type="PackDetInputs"),
]
tiny = dict(train_dataloader=dict(dataset=dict(pipeline=tiny_train_pipeline)))
