"""COCONut-S to train and relabeled COCO-val to validate, in data/coconut (see datasets/coconut/README.md).

The images are those of COCO 2017. COCONut-B, L and XL need another ann_file and another folder of masks.
"""

data_root = "data/coconut"
dataset_type = "PanopticDataset"

train_pipeline = [
    dict(type="LoadImage"),
    dict(type="LoadPanopticTargets"),
    dict(type="RandomResize", scale=(1024, 1024), ratio_range=(0.1, 2.0), resize_type="mmdet.Resize", keep_ratio=True),
    dict(type="mmdet.RandomCrop", crop_size=(1024, 1024), recompute_bbox=True, allow_negative_crop=True),
    dict(type="mmdet.RandomFlip", prob=0.5),
    dict(type="PackPanopticInputs"),
]
test_pipeline = [
    dict(type="LoadImage"),
    dict(type="mmdet.Resize", scale=(1333, 800), keep_ratio=True),
    dict(type="LoadPanoptic"),
    dict(type="PackPanopticInputs"),
]

image_size = dict(
    size=(1024, 1024),
    paths=[
        "train_dataloader.dataset.pipeline.2.scale",
        "train_dataloader.dataset.pipeline.3.crop_size",
        "val_dataloader.dataset.pipeline.1.scale",
        "test_dataloader.dataset.pipeline.1.scale",
    ],
)

train_dataloader = dict(
    batch_size=2,
    num_workers=2,
    persistent_workers=True,
    sampler=dict(type="DefaultSampler", shuffle=True),
    batch_sampler=dict(type="mmdet.AspectRatioBatchSampler"),  # less padding: wide and tall images in separate batches
    dataset=dict(
        type=dataset_type,
        data_root=data_root,
        ann_file="coconut_s.json",
        data_prefix=dict(img="train2017/", seg="coconut_s/"),
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
        ann_file="relabeled_coco_val.json",
        data_prefix=dict(img="val2017/", seg="relabeled_coco_val/"),
        test_mode=True,
        pipeline=test_pipeline,
    ),
)
test_dataloader = val_dataloader

val_evaluator = dict(type="PanopticQualityMetric")
test_evaluator = val_evaluator

tiny_root = "tiny://coconut?train=64&val=8&seed=0"
tiny_train_pipeline = [
    dict(type="LoadImage"),
    dict(type="LoadPanopticTargets"),
    dict(type="RandomResize", scale=(64, 64), ratio_range=(0.9, 1.2), resize_type="mmdet.Resize", keep_ratio=True),
    dict(type="mmdet.RandomCrop", crop_size=(64, 64), recompute_bbox=True, allow_negative_crop=True),
    dict(type="mmdet.RandomFlip", prob=0.5),
    dict(type="PackPanopticInputs"),
]
tiny_test_pipeline = [
    dict(type="LoadImage"),
    dict(type="mmdet.Resize", scale=(64, 64), keep_ratio=True),
    dict(type="LoadPanoptic"),
    dict(type="PackPanopticInputs"),
]
tiny_val_dataloader = dict(
    batch_size=1,
    num_workers=0,
    persistent_workers=False,
    dataset=dict(data_root=tiny_root, pipeline=tiny_test_pipeline),
)
tiny = dict(
    image_size=dict(size=(64, 64)),
    train_dataloader=dict(
        batch_size=4,
        num_workers=0,
        persistent_workers=False,
        dataset=dict(data_root=tiny_root, pipeline=tiny_train_pipeline),
    ),
    val_dataloader=tiny_val_dataloader,
    test_dataloader=tiny_val_dataloader,
)
