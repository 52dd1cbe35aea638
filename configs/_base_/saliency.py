"""MSRA-B: 2,500 images to train, 500 to validate, 2,000 to test, in data/msra_b (see datasets/saliency/README.md).

Data sets with the same layout (DUTS, HKU-IS, ECSSD, PASCAL-S, DUT-OMRON) need another data_root and split. Images are
measured in their original size, with sides padded to multiples of 32. Crop and scales are our choice, because those of
ConnNet are not public.
"""

data_root = "data/msra_b"
dataset_type = "SaliencyDataset"

train_pipeline = [
    dict(type="LoadImage"),
    dict(type="LoadMaskAnnotation", kind="binary"),
    dict(type="RandomResize", scale=(400, 400), ratio_range=(0.75, 1.25), keep_ratio=True),
    dict(type="mmseg.RandomCrop", crop_size=(352, 352)),
    dict(type="RandomFlip", prob=0.5),
    dict(type="Pad", size=(352, 352), pad_val=dict(img=(124, 116, 104), seg=0)),
    dict(type="PackTaskInputs"),
]
test_pipeline = [
    dict(type="LoadImage"),
    dict(type="LoadMaskAnnotation"),
    dict(type="PackTaskInputs"),
]

image_size = dict(
    size=(352, 352),
    paths=[
        "train_dataloader.dataset.pipeline.2.scale",
        "train_dataloader.dataset.pipeline.3.crop_size",
        "train_dataloader.dataset.pipeline.5.size",
    ],
)

train_dataloader = dict(
    batch_size=8,
    num_workers=4,
    persistent_workers=True,
    drop_last=True,
    sampler=dict(type="DefaultSampler", shuffle=True),
    dataset=dict(type=dataset_type, data_root=data_root, split="train", pipeline=train_pipeline),
)
val_dataloader = dict(
    batch_size=1,
    num_workers=4,
    persistent_workers=True,
    drop_last=False,
    sampler=dict(type="DefaultSampler", shuffle=False),
    dataset=dict(type=dataset_type, data_root=data_root, split="val", test_mode=True, pipeline=test_pipeline),
)
test_dataloader = dict(
    batch_size=1,
    num_workers=4,
    persistent_workers=True,
    drop_last=False,
    sampler=dict(type="DefaultSampler", shuffle=False),
    dataset=dict(type=dataset_type, data_root=data_root, split="test", test_mode=True, pipeline=test_pipeline),
)

val_evaluator = dict(type="SaliencyMetric", protocol="pysod")
test_evaluator = val_evaluator

tiny_root = "tiny://msra_b?train=24&val=8&seed=0"
tiny_train_pipeline = [
    dict(type="LoadImage"),
    dict(type="LoadMaskAnnotation", kind="binary"),
    dict(type="RandomResize", scale=(80, 80), ratio_range=(0.75, 1.25), keep_ratio=True),
    dict(type="mmseg.RandomCrop", crop_size=(64, 64)),
    dict(type="RandomFlip", prob=0.5),
    dict(type="Pad", size=(64, 64), pad_val=dict(img=(124, 116, 104), seg=0)),
    dict(type="PackTaskInputs"),
]
tiny_val_dataloader = dict(
    num_workers=0,
    persistent_workers=False,
    dataset=dict(data_root=tiny_root),
)
tiny = dict(
    image_size=dict(size=(64, 64)),
    train_dataloader=dict(
        num_workers=0,
        persistent_workers=False,
        dataset=dict(data_root=tiny_root, pipeline=tiny_train_pipeline),
    ),
    val_dataloader=tiny_val_dataloader,
    test_dataloader=tiny_val_dataloader,
)
