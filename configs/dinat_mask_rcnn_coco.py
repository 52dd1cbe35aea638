"""Mask R-CNN with DiNAT-Mini and FPN, 3x schedule, images of many sizes.

Paper (arXiv 2209.15001): box AP 47.2, mask AP 42.5 on COCO val2017; results here: model_cards/dinat_mask_rcnn_coco.md.

    tools/train.py configs/dinat_mask_rcnn_coco.py --tiny      # a minute on a CPU, on drawn scenes
    tools/train.py configs/dinat_mask_rcnn_coco.py --amp       # COCO 2017 in data/coco
"""

_base_ = ["_base_/mask_rcnn.py", "_base_/coco_instance.py", "_base_/schedule_1x.py", "_base_/runtime.py"]

task = "instances"

model = dict(
    backbone=dict(type="DiNAT", variant="dinat_mini", dilations="coco", drop_path_rate=0.2),
    neck=dict(type="mmdet.FPN", out_channels=256, num_outs=5),
)

# As in DETR: resize to one of eleven sizes, or resize a crop of a smaller image to one of them.
scales = [(1333, 480 + 32 * step) for step in range(11)]
train_pipeline = [
    dict(type="LoadImage"),
    dict(type="mmdet.LoadAnnotations", with_bbox=True, with_mask=True),
    dict(type="mmdet.RandomFlip", prob=0.5),
    dict(
        type="RandomChoice",
        transforms=[
            [dict(type="RandomChoiceResize", resize_type="mmdet.Resize", scales=scales, keep_ratio=True)],
            [
                dict(
                    type="RandomChoiceResize",
                    resize_type="mmdet.Resize",
                    scales=[(4200, 400), (4200, 500), (4200, 600)],
                    keep_ratio=True,
                ),
                dict(
                    type="mmdet.RandomCrop",
                    crop_type="absolute_range",
                    crop_size=(384, 600),
                    allow_negative_crop=True,
                ),
                dict(type="RandomChoiceResize", resize_type="mmdet.Resize", scales=scales, keep_ratio=True),
            ],
        ],
    ),
    dict(type="PackDetInputs"),
]
image_size = dict(
    size=(800, 1333),
    paths=[
        "train_dataloader.dataset.pipeline.3.transforms.0.0.scales",
        "train_dataloader.dataset.pipeline.3.transforms.1.2.scales",
        "val_dataloader.dataset.pipeline.1.scale",
        "test_dataloader.dataset.pipeline.1.scale",
    ],
)

train_dataloader = dict(batch_size=2, dataset=dict(pipeline=train_pipeline))

train_cfg = dict(max_epochs=36)
optim_wrapper = dict(
    optimizer=dict(type="AdamW", lr=0.0001, betas=(0.9, 0.999), weight_decay=0.05),
    paramwise_cfg=dict(norm_decay_mult=0.0, custom_keys={"rpb": dict(decay_mult=0.0)}),
)
param_scheduler = [
    dict(type="LinearLR", start_factor=0.001, by_epoch=False, begin=0, end=500),
    dict(type="MultiStepLR", by_epoch=True, begin=0, end=36, milestones=[27, 33], gamma=0.1),
]
auto_scale_lr = dict(base_batch_size=16)

tiny = dict(
    image_size=dict(
        paths=[  # of the pipelines of coco_instance
            "train_dataloader.dataset.pipeline.2.scale",
            "val_dataloader.dataset.pipeline.1.scale",
            "test_dataloader.dataset.pipeline.1.scale",
        ]
    ),
    model=dict(
        backbone=dict(variant="tiny", dilations=[[1, 5], [1, 3], [1, 2], [1, 2]], drop_path_rate=0.0),
        neck=dict(out_channels=32),
    ),
)
