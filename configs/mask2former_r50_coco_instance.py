"""Mask2Former with ResNet-50 for the instances of COCO 2017, 50 epochs.

Paper (CVPR 2022, arXiv 2112.01527): mask AP 43.7 on COCO val2017; results here:
model_cards/mask2former_r50_coco_instance.md.

    tools/train.py configs/mask2former_r50_coco_instance.py --tiny      # two minutes on a CPU, on drawn scenes
    tools/train.py configs/mask2former_r50_coco_instance.py             # COCO 2017 in data/coco
"""

_base_ = ["_base_/mask2former.py", "_base_/coco_instance.py", "_base_/schedule_mask2former.py", "_base_/runtime.py"]

task = "instances"

default_hooks = dict(checkpoint=dict(by_epoch=False, interval=5000))

model = dict(
    data_preprocessor=dict(pad_seg=False),
    backbone=dict(
        type="mmdet.ResNet",
        depth=50,
        num_stages=4,
        out_indices=(0, 1, 2, 3),
        frozen_stages=-1,
        norm_cfg=dict(type="BN", requires_grad=False),
        norm_eval=True,
        init_cfg=dict(type="Pretrained", checkpoint="torchvision://resnet50"),
    ),
    panoptic_head=dict(num_stuff_classes=0),
    test_cfg=dict(panoptic_on=False, semantic_on=False),
)

# Jitter of the scale: 0.1 to 2.0 times the size, then a crop of the size.
train_pipeline = [
    dict(type="LoadImage"),
    dict(type="mmdet.LoadAnnotations", with_bbox=True, with_mask=True),
    dict(type="mmdet.RandomFlip", prob=0.5),
    dict(type="RandomResize", scale=(1024, 1024), ratio_range=(0.1, 2.0), resize_type="mmdet.Resize", keep_ratio=True),
    dict(type="mmdet.RandomCrop", crop_size=(1024, 1024), recompute_bbox=True, allow_negative_crop=True),
    dict(type="mmdet.FilterAnnotations", min_gt_bbox_wh=(1e-5, 1e-5), by_mask=True),
    dict(type="PackDetInputs"),
]
image_size = dict(
    size=(1024, 1024),
    paths=[
        "train_dataloader.dataset.pipeline.3.scale",
        "train_dataloader.dataset.pipeline.4.crop_size",
        "val_dataloader.dataset.pipeline.1.scale",
        "test_dataloader.dataset.pipeline.1.scale",
    ],
)
train_dataloader = dict(batch_size=2, dataset=dict(pipeline=train_pipeline))

# Scenes of 64 pixels, those of the panoptic twin: the boxes of the twin of COCO are larger and take minutes.
tiny_root = "tiny://coco_panoptic?train=64&val=8&seed=0"
tiny_train_pipeline = [
    dict(type="LoadImage"),
    dict(type="mmdet.LoadAnnotations", with_bbox=True, with_mask=True),
    dict(type="mmdet.RandomFlip", prob=0.5),
    dict(type="RandomResize", scale=(64, 64), ratio_range=(0.9, 1.2), resize_type="mmdet.Resize", keep_ratio=True),
    dict(type="mmdet.RandomCrop", crop_size=(64, 64), recompute_bbox=True, allow_negative_crop=True),
    dict(type="mmdet.FilterAnnotations", min_gt_bbox_wh=(1e-5, 1e-5), by_mask=True),
    dict(type="PackDetInputs"),
]
tiny_test_pipeline = [
    dict(type="LoadImage"),
    dict(type="mmdet.Resize", scale=(64, 64), keep_ratio=True),
    dict(type="mmdet.LoadAnnotations", with_bbox=True, with_mask=True),  # for the figures of a report
    dict(
        type="PackDetInputs",
        meta_keys=("img_id", "img_path", "ori_shape", "img_shape", "scale_factor"),
    ),
]
tiny_val_dataloader = dict(dataset=dict(data_root=tiny_root, pipeline=tiny_test_pipeline))
tiny = dict(
    image_size=dict(size=(64, 64)),
    model=dict(
        backbone=dict(depth=18, base_channels=16, norm_cfg=dict(requires_grad=True), norm_eval=False, init_cfg=None)
    ),
    train_dataloader=dict(
        dataset=dict(data_root=tiny_root, filter_cfg=dict(min_size=1), pipeline=tiny_train_pipeline),
    ),
    val_dataloader=tiny_val_dataloader,
    test_dataloader=tiny_val_dataloader,
)
