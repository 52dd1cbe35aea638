"""TuSimple in data/tusimple (see datasets/tusimple/README.md): 3,268 frames to train, 358 to validate, 2,782 to test.

Frames of 720x1280 are resized to 288x512 and augmented as by the authors of SCNN on CULane. Masks are drawn from the
points. The metrics are the accuracy, false positives and false negatives of the benchmark.
"""

data_root = "data/tusimple"
dataset_type = "TuSimpleDataset"
mean_colour = (124, 116, 104)

train_pipeline = [
    dict(type="LoadImage"),
    dict(type="LoadLaneMask", thickness=15),
    dict(type="RandomResize", scale=[(486, 274), (539, 304)], keep_ratio=False, interpolation="bicubic"),
    dict(type="mmseg.RandomRotate", prob=1.0, degree=1.0, pad_val=mean_colour, seg_pad_val=0),
    dict(type="CropOrPad", size=(288, 512), pad_val=mean_colour),
    dict(type="PackTaskInputs"),
]
test_pipeline = [
    dict(type="LoadImage"),
    dict(type="Resize", scale=(512, 288), keep_ratio=False, interpolation="bicubic"),
    dict(type="PackTaskInputs"),
]

image_size = dict(
    size=(288, 512),
    multiple=8,
    paths=[
        "train_dataloader.dataset.pipeline.2.scale",
        "train_dataloader.dataset.pipeline.4.size",
        "val_dataloader.dataset.pipeline.1.scale",
        "test_dataloader.dataset.pipeline.1.scale",
    ],
)

train_dataloader = dict(
    batch_size=32,
    num_workers=4,
    persistent_workers=True,
    drop_last=True,
    sampler=dict(type="DefaultSampler", shuffle=True),
    dataset=dict(
        type=dataset_type,
        data_root=data_root,
        label_files=["label_data_0313.json", "label_data_0601.json"],
        pipeline=train_pipeline,
    ),
)
val_dataloader = dict(
    batch_size=8,
    num_workers=4,
    persistent_workers=True,
    drop_last=False,
    sampler=dict(type="DefaultSampler", shuffle=False),
    dataset=dict(
        type=dataset_type,
        data_root=data_root,
        label_files=["label_data_0531.json"],
        test_mode=True,
        pipeline=test_pipeline,
    ),
)
test_dataloader = dict(
    batch_size=8,
    num_workers=4,
    persistent_workers=True,
    drop_last=False,
    sampler=dict(type="DefaultSampler", shuffle=False),
    dataset=dict(
        type=dataset_type,
        data_root=data_root,
        label_files=["test_label.json"],
        test_mode=True,
        pipeline=test_pipeline,
    ),
)

val_evaluator = dict(type="TuSimpleMetric")
test_evaluator = val_evaluator

tiny_root = "tiny://tusimple?train=36&val=9&test=9&seed=0"
tiny_train_pipeline = [
    dict(type="LoadImage"),
    dict(type="LoadLaneMask", thickness=7),
    dict(type="RandomResize", scale=[(182, 106), (202, 118)], keep_ratio=False, interpolation="bicubic"),
    dict(type="mmseg.RandomRotate", prob=1.0, degree=1.0, pad_val=mean_colour, seg_pad_val=0),
    dict(type="CropOrPad", size=(112, 192), pad_val=mean_colour),
    dict(type="PackTaskInputs"),
]
tiny_test_pipeline = [
    dict(type="LoadImage"),
    dict(type="Resize", scale=(192, 112), keep_ratio=False, interpolation="bicubic"),
    dict(type="PackTaskInputs"),
]
tiny_val_dataloader = dict(
    num_workers=0,
    persistent_workers=False,
    dataset=dict(data_root=tiny_root, pipeline=tiny_test_pipeline),
)
tiny_evaluator = dict(pixels=5.0)
tiny = dict(
    image_size=dict(size=(112, 192)),
    model=dict(head=dict(input_size=(112, 192))),
    train_dataloader=dict(
        batch_size=12,
        num_workers=0,
        persistent_workers=False,
        dataset=dict(data_root=tiny_root, pipeline=tiny_train_pipeline),
    ),
    val_dataloader=tiny_val_dataloader,
    test_dataloader=tiny_val_dataloader,
    val_evaluator=tiny_evaluator,
    test_evaluator=tiny_evaluator,
)
