"""BCCD: 364 blood smears of 640 x 480 pixels, 205 to train, 87 to validate, 72 to test; see datasets/bccd/README.md.

`visionzoo convert voc2coco` writes data/bccd from the files as published, with their own splits.
"""

_base_ = ["lite_detection.py"]

data_root = "data/bccd"

# A smear has no upper side, so images are also flipped upside down.
train_pipeline = [
    dict(type="LoadImage"),
    dict(type="mmdet.LoadAnnotations", with_bbox=True),
    dict(type="RandomResize", scale=(320, 240), ratio_range=(0.8, 1.25), resize_type="mmdet.Resize", keep_ratio=True),
    dict(type="mmdet.RandomCrop", crop_size=(240, 320), recompute_bbox=True, allow_negative_crop=True),
    dict(type="mmdet.RandomFlip", prob=[0.25, 0.25, 0.25], direction=["horizontal", "vertical", "diagonal"]),
    dict(type="PackDetInputs"),
]
train_dataloader = dict(dataset=dict(data_root=data_root, pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(data_root=data_root))
test_dataloader = dict(
    dataset=dict(data_root=data_root, ann_file="annotations/instances_test2017.json", data_prefix=dict(img="test2017/"))
)

tiny_data = dict(dataset=dict(data_root="tiny://bccd?train=16&val=8&test=8&seed=0"))
tiny = dict(train_dataloader=tiny_data, val_dataloader=tiny_data, test_dataloader=tiny_data)
