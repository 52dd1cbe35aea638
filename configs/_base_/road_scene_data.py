"""Lanes of TuSimple, vehicles of TRANCOS and boxes of COCO: every image has the truth of one task.

See datasets/tusimple/README.md, datasets/trancos/README.md and datasets/coco/README.md. An epoch has as many samples as
the three sets together; half of them have boxes, and a third have lanes. A batch mixes the tasks, so that norms see the
same mixture in training as in tests. No image is larger than 288x512, the size of the head of the lanes; for tests,
images of all tasks are resized to fit into it, so that one pass of the trunk serves all tasks.
"""

size = (288, 512)
mean_colour = (124, 116, 104)
load = dict(type="LoadImage")
load_roi = dict(type="LoadRoi")
fit = dict(type="ResizeToFit", size=size, truth=False)
rotate = dict(type="mmseg.RandomRotate", prob=1.0, degree=1.0, pad_val=mean_colour, seg_pad_val=0)
make_density = dict(type="MakeDensityMap", kind="fixed", settings=dict(sigma=4.0, size=15))
flip_points = dict(type="FlipPoints", prob=0.5)
boxes = dict(type="mmdet.LoadAnnotations", with_bbox=True)
flip_boxes = dict(type="mmdet.RandomFlip", prob=0.5)
pack = dict(type="PackTaskInputs")

lanes_train_pipeline = [
    load,
    dict(type="LoadLaneMask", thickness=15),
    dict(type="RandomResize", scale=[(486, 274), (539, 304)], keep_ratio=False, interpolation="bicubic"),
    rotate,
    dict(type="CropOrPad", size=size, pad_val=mean_colour),
    pack,
]
counting_train_pipeline = [load, load_roi, dict(type="ResizeToFit", size=size), make_density, flip_points, pack]
detection_train_pipeline = [
    load,
    boxes,
    dict(type="mmdet.Resize", scale=(512, 288), keep_ratio=True),
    dict(type="mmdet.RandomCrop", crop_size=(512, 288), allow_negative_crop=True),  # images that are higher than wide
    flip_boxes,
    pack,
]

image_size = dict(
    size=size,
    multiple=32,
    paths=[
        "train_dataloader.dataset.datasets.lanes.pipeline.2.scale",
        "train_dataloader.dataset.datasets.lanes.pipeline.4.size",
        "train_dataloader.dataset.datasets.counting.pipeline.2.size",
        "train_dataloader.dataset.datasets.detection.pipeline.2.scale",
        "train_dataloader.dataset.datasets.detection.pipeline.3.crop_size",
        "val_dataloader.dataset.datasets.lanes.pipeline.1.size",
        "val_dataloader.dataset.datasets.counting.pipeline.2.size",
        "val_dataloader.dataset.datasets.detection.pipeline.1.size",
        "test_dataloader.dataset.datasets.lanes.pipeline.1.size",
        "test_dataloader.dataset.datasets.counting.pipeline.2.size",
        "test_dataloader.dataset.datasets.detection.pipeline.1.size",
        "model.heads.lanes.input_size",
    ],
)

lanes = dict(type="TuSimpleDataset", data_root="data/tusimple")
counting = dict(type="TRANCOSDataset", data_root="data/trancos")
lanes_test = dict(**lanes, test_mode=True, pipeline=[load, fit, pack])
counting_test = dict(**counting, test_mode=True, pipeline=[load, load_roi, fit, pack])
detection_test = dict(
    type="CocoDetection",
    data_root="data/coco",
    ann_file="annotations/instances_val2017.json",
    data_prefix=dict(img="val2017/"),
    test_mode=True,
    pipeline=[load, fit, boxes, pack],
)
train_dataloader = dict(
    batch_size=8,
    num_workers=4,
    persistent_workers=True,
    drop_last=True,
    sampler=dict(type="JointSampler", mode="mixed", weights=dict(lanes=2, counting=1, detection=3)),
    dataset=dict(
        type="JointDataset",
        datasets=dict(
            lanes=dict(
                **lanes,
                label_files=["label_data_0313.json", "label_data_0601.json"],
                pipeline=lanes_train_pipeline,
            ),
            counting=dict(**counting, split="train", pipeline=counting_train_pipeline),
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
val_dataloader = dict(
    batch_size=4,
    num_workers=4,
    persistent_workers=True,
    dataset=dict(
        type="JointDataset",
        datasets=dict(
            lanes=dict(**lanes_test, label_files=["label_data_0531.json"]),
            counting=dict(**counting_test, split="val"),
            detection=detection_test,
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
            lanes=dict(**lanes_test, label_files=["test_label.json"]),
            counting=dict(**counting_test, split="test"),
            detection=detection_test,
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
    rotate,
    dict(type="CropOrPad", size=tiny_size, pad_val=mean_colour),
    pack,
]
tiny_counting_train_pipeline = [
    load,
    load_roi,
    dict(type="ResizeToFit", size=tiny_size),
    make_density,
    flip_points,
    pack,
]
tiny_detection_train_pipeline = [
    load,
    boxes,
    dict(type="mmdet.Resize", scale=(160, 96), keep_ratio=True),
    dict(type="mmdet.RandomCrop", crop_size=(160, 96), allow_negative_crop=True),
    flip_boxes,
    pack,
]
tiny_val_dataloader = dict(
    batch_size=1,
    num_workers=0,
    persistent_workers=False,
    dataset=dict(
        datasets=dict(
            lanes=dict(data_root=tiny_lanes_root, pipeline=[load, tiny_fit, pack]),
            counting=dict(data_root=tiny_counting_root, pipeline=[load, load_roi, tiny_fit, pack]),
            detection=dict(data_root=tiny_detection_root, pipeline=[load, tiny_fit, boxes, pack]),
        ),
    ),
)
tiny_evaluator = dict(metrics=dict(lanes=dict(pixels=5.0)))
tiny = dict(
    image_size=dict(size=tiny_size),
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
