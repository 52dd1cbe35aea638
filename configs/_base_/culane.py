"""CULane in data/culane (see datasets/culane/README.md): 88,880 frames to train, 9,675 to validate, 34,680 to test.

Frames of 590x1640 are resized to 288x800 and augmented as by the authors of SCNN. The metric is the official F1: in
training on the frames of val.txt, in tests with a table of the nine scenarios.
"""

data_root = "data/culane"
dataset_type = "CULaneDataset"
mean_colour = (92, 93, 93)

train_pipeline = [
    dict(type="LoadImage"),
    dict(type="LoadLaneMask"),
    dict(type="RandomResize", scale=[(760, 274), (842, 304)], keep_ratio=False, interpolation="bicubic"),
    dict(type="mmseg.RandomRotate", prob=1.0, degree=1.0, pad_val=mean_colour, seg_pad_val=0),
    dict(type="CropOrPad", size=(288, 800), pad_val=mean_colour),
    dict(type="PackTaskInputs"),
]
test_pipeline = [
    dict(type="LoadImage"),
    dict(type="Resize", scale=(800, 288), keep_ratio=False, interpolation="bicubic"),
    dict(type="PackTaskInputs"),
]

image_size = dict(
    size=(288, 800),
    multiple=8,
    paths=[
        "train_dataloader.dataset.pipeline.2.scale",
        "train_dataloader.dataset.pipeline.4.size",
        "val_dataloader.dataset.pipeline.1.scale",
        "test_dataloader.dataset.pipeline.1.scale",
    ],
)

train_dataloader = dict(
    batch_size=12,
    num_workers=4,
    persistent_workers=True,
    drop_last=True,
    sampler=dict(type="DefaultSampler", shuffle=True),
    dataset=dict(type=dataset_type, data_root=data_root, split="train_gt", with_lanes=False, pipeline=train_pipeline),
)
val_dataloader = dict(
    batch_size=8,
    num_workers=4,
    persistent_workers=True,
    drop_last=False,
    sampler=dict(type="DefaultSampler", shuffle=False),
    dataset=dict(type=dataset_type, data_root=data_root, split="val", test_mode=True, pipeline=test_pipeline),
)
test_dataloader = dict(
    batch_size=8,
    num_workers=4,
    persistent_workers=True,
    drop_last=False,
    sampler=dict(type="DefaultSampler", shuffle=False),
    dataset=dict(type=dataset_type, data_root=data_root, split="test_split", test_mode=True, pipeline=test_pipeline),
)

val_evaluator = dict(type="CULaneMetric")
test_evaluator = val_evaluator

tiny_root = "tiny://culane?train=36&val=9&test=18&seed=0"
tiny_train_pipeline = [
    dict(type="LoadImage"),
    dict(type="LoadLaneMask"),
    dict(type="RandomResize", scale=[(258, 91), (286, 101)], keep_ratio=False, interpolation="bicubic"),
    dict(type="mmseg.RandomRotate", prob=1.0, degree=1.0, pad_val=mean_colour, seg_pad_val=0),
    dict(type="CropOrPad", size=(96, 272), pad_val=mean_colour),
    dict(type="PackTaskInputs"),
]
tiny_test_pipeline = [
    dict(type="LoadImage"),
    dict(type="Resize", scale=(272, 96), keep_ratio=False, interpolation="bicubic"),
    dict(type="PackTaskInputs"),
]
tiny_val_dataloader = dict(
    num_workers=0,
    persistent_workers=False,
    dataset=dict(data_root=tiny_root, pipeline=tiny_test_pipeline),
)
tiny_evaluator = dict(image_size=(328, 118), lane_width=6)
tiny = dict(
    image_size=dict(size=(96, 272)),
    model=dict(head=dict(input_size=(96, 272))),
    train_dataloader=dict(
        num_workers=0,
        persistent_workers=False,
        dataset=dict(data_root=tiny_root, pipeline=tiny_train_pipeline),
    ),
    val_dataloader=tiny_val_dataloader,
    test_dataloader=tiny_val_dataloader,
    val_evaluator=tiny_evaluator,
    test_evaluator=tiny_evaluator,
)
