"""Lanes of TuSimple, vehicles of TRANCOS and boxes of COCO: every image has the truth of one task.

See datasets/tusimple/README.md, datasets/trancos/README.md and datasets/coco/README.md. An epoch has as many samples as
the three sets together; half of its batches are boxes, and a third are lanes. For tests, images of all tasks are
resized to fit into 288x512, so that one pass of the trunk serves all tasks.
"""

size = (288, 512)
mean_colour = (124, 116, 104)
load = dict(type="LoadImage")
fit = dict(type="ResizeToFit", size=size, truth=False)
pack = dict(type="PackTaskInputs")
boxes = dict(type="mmdet.LoadAnnotations", with_bbox=True)

lanes_train_pipeline = [
    load,
    dict(type="LoadLaneMask", thickness=15),
    dict(type="RandomResize", scale=[(486, 274), (539, 304)], keep_ratio=False, interpolation="bicubic"),
    dict(type="mmseg.RandomRotate", prob=1.0, degree=1.0, pad_val=mean_colour, seg_pad_val=0),
    dict(type="CropOrPad", size=size, pad_val=mean_colour),
    pack,
]
counting_train_pipeline = [
    load,
    dict(type="LoadRoi"),
    dict(type="ResizeToFit", size=size),
    dict(type="MakeDensityMap", kind="fixed", settings=dict(sigma=4.0, size=15)),
    dict(type="FlipPoints", prob=0.5),
    pack,
]
detection_train_pipeline = [
    load,
    boxes,
    dict(type="mmdet.Resize", scale=(512, 288), keep_ratio=True),
    dict(type="mmdet.RandomFlip", prob=0.5),
    pack,
]
lanes_test_pipeline = [load, fit, pack]
counting_test_pipeline = [load, dict(type="LoadRoi"), fit, pack]
detection_test_pipeline = [load, fit, boxes, pack]

image_size = "the pipelines of its tasks and the head of the lanes have one size"

train_dataloader = dict(
    batch_size=8,
    num_workers=4,
    persistent_workers=True,
    drop_last=True,
    sampler=dict(type="JointSampler", mode="in_turn", weights=dict(lanes=2, counting=1, detection=3)),
    dataset=dict(
        type="JointDataset",
        datasets=dict(
            lanes=dict(
                type="TuSimpleDataset",
                data_root="data/tusimple",
                label_files=["label_data_0313.json", "label_data_0601.json"],
                pipeline=lanes_train_pipeline,
            ),
            counting=dict(
                type="TRANCOSDataset", data_root="data/trancos", split="train", pipeline=counting_train_pipeline
            ),
            detection=dict(
                type="CocoDetection",
                data_root="data/coco",
                ann_file="annotations/instances_train2017.json",
                data_prefix=dict(img="train2017/"),
                filter_cfg=dict(filter_empty_gt=True, min_size=32),
                pipeline=detection_train_pipeline,
            ),
        ),
    ),
)
coco_val = dict(
    type="CocoDetection",
    data_root="data/coco",
    ann_file="annotations/instances_val2017.json",
    data_prefix=dict(img="val2017/"),
    test_mode=True,
    pipeline=detection_test_pipeline,
)
val_dataloader = dict(
    batch_size=4,
    num_workers=4,
    persistent_workers=True,
    dataset=dict(
        type="JointDataset",
        datasets=dict(
            lanes=dict(
                type="TuSimpleDataset",
                data_root="data/tusimple",
                label_files=["label_data_0531.json"],
                test_mode=True,
                pipeline=lanes_test_pipeline,
            ),
            counting=dict(
                type="TRANCOSDataset",
                data_root="data/trancos",
                split="val",
                test_mode=True,
                pipeline=counting_test_pipeline,
            ),
            detection=coco_val,
        ),
    ),
)
test_dataloader = dict(
    batch_size=4,
    num_workers=4,
    persistent_workers=True,
    dataset=dict(
        type="JointDataset",
        datasets=dict(
            lanes=dict(
                type="TuSimpleDataset",
                data_root="data/tusimple",
                label_files=["test_label.json"],
                test_mode=True,
                pipeline=lanes_test_pipeline,
            ),
            counting=dict(
                type="TRANCOSDataset",
                data_root="data/trancos",
                split="test",
                test_mode=True,
                pipeline=counting_test_pipeline,
            ),
            detection=coco_val,
        ),
    ),
)

val_evaluator = dict(
    type="JointEvaluator",
    metrics=dict(
        lanes=dict(type="TuSimpleMetric"),
        counting=dict(type="CountMetric", game_levels=(0, 1, 2, 3)),
        detection=dict(type="CocoMetric", metric="bbox"),
    ),
)
test_evaluator = val_evaluator

tiny_size = (96, 160)
tiny_fit = dict(type="ResizeToFit", size=tiny_size, truth=False)
tiny_lanes_root = "tiny://tusimple?train=36&val=9&test=9&seed=0"
tiny_counting_root = "tiny://trancos?train=24&val=8&test=8&seed=0"
tiny_detection_root = "tiny://coco?train=16&val=8&seed=0"
tiny_lanes_train_pipeline = [
    load,
    dict(type="LoadLaneMask", thickness=7),
    dict(type="RandomResize", scale=[(152, 91), (168, 101)], keep_ratio=False, interpolation="bicubic"),
    dict(type="mmseg.RandomRotate", prob=1.0, degree=1.0, pad_val=mean_colour, seg_pad_val=0),
    dict(type="CropOrPad", size=tiny_size, pad_val=mean_colour),
    pack,
]
tiny_counting_train_pipeline = [
    load,
    dict(type="LoadRoi"),
    dict(type="ResizeToFit", size=tiny_size),
    dict(type="MakeDensityMap", kind="fixed", settings=dict(sigma=4.0, size=15)),
    dict(type="FlipPoints", prob=0.5),
    pack,
]
tiny_detection_train_pipeline = [
    load,
    boxes,
    dict(type="mmdet.Resize", scale=(160, 96), keep_ratio=True),
    dict(type="mmdet.RandomFlip", prob=0.5),
    pack,
]
tiny_val_dataloader = dict(
    batch_size=1,
    num_workers=0,
    persistent_workers=False,
    dataset=dict(
        datasets=dict(
            lanes=dict(data_root=tiny_lanes_root, pipeline=[load, tiny_fit, pack]),
            counting=dict(data_root=tiny_counting_root, pipeline=[load, dict(type="LoadRoi"), tiny_fit, pack]),
            detection=dict(data_root=tiny_detection_root, pipeline=[load, tiny_fit, boxes, pack]),
        ),
    ),
)
tiny_evaluator = dict(metrics=dict(lanes=dict(pixels=5.0)))
tiny = dict(
    train_dataloader=dict(
        batch_size=4,
        num_workers=0,
        persistent_workers=False,
        sampler=dict(weights=dict(lanes=1, counting=1, detection=1), length=72),
        dataset=dict(
            datasets=dict(
                lanes=dict(data_root=tiny_lanes_root, pipeline=tiny_lanes_train_pipeline),
                counting=dict(data_root=tiny_counting_root, pipeline=tiny_counting_train_pipeline),
                detection=dict(data_root=tiny_detection_root, pipeline=tiny_detection_train_pipeline),
            ),
        ),
    ),
    val_dataloader=tiny_val_dataloader,
    test_dataloader=tiny_val_dataloader,
    val_evaluator=tiny_evaluator,
    test_evaluator=tiny_evaluator,
)
