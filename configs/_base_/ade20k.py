"""ADE20K's scene parsing challenge (150 classes, 20,210 images to train, 2,000 to validate) in data/ade.

See datasets/ade20k/README.md. Other folders of images and maps of classes need another data_root, img_folder and
seg_folder, and a file with the names of the classes.
"""

data_root = "data/ade/ADEChallengeData2016"
dataset_type = "SemanticFolders"

train_pipeline = [
    dict(type="LoadImage"),
    dict(type="LoadSemanticMap"),
    dict(type="RandomResize", scale=(2048, 512), ratio_range=(0.5, 2.0), keep_ratio=True),
    dict(type="mmseg.RandomCrop", crop_size=(512, 512), cat_max_ratio=0.75),
    dict(type="RandomFlip", prob=0.5),
    dict(type="mmseg.PhotoMetricDistortion"),
    dict(type="PackSemanticInputs"),
]
test_pipeline = [
    dict(type="LoadImage"),
    dict(type="Resize", scale=(2048, 512), keep_ratio=True),
    dict(type="LoadSemanticMap"),
    dict(type="PackSemanticInputs"),
]

image_size = dict(
    size=(512, 512),
    paths=[
        "train_dataloader.dataset.pipeline.2.scale",
        "train_dataloader.dataset.pipeline.3.crop_size",
        "val_dataloader.dataset.pipeline.1.scale",
        "test_dataloader.dataset.pipeline.1.scale",
    ],
)

dataset = dict(type=dataset_type, data_root=data_root, reduce_zero_label=True)
train_dataloader = dict(
    batch_size=4,
    num_workers=2,
    persistent_workers=True,
    drop_last=True,
    sampler=dict(type="DefaultSampler", shuffle=True),
    dataset=dict(**dataset, img_folder="images/training", seg_folder="annotations/training", pipeline=train_pipeline),
)
val_dataloader = dict(
    batch_size=1,
    num_workers=2,
    persistent_workers=True,
    drop_last=False,
    sampler=dict(type="DefaultSampler", shuffle=False),
    dataset=dict(
        **dataset,
        img_folder="images/validation",
        seg_folder="annotations/validation",
        test_mode=True,
        pipeline=test_pipeline,
    ),
)
test_dataloader = val_dataloader

val_evaluator = dict(type="SemanticMetric", definition="mmseg")
test_evaluator = val_evaluator

tiny_root = "tiny://ade20k?train=64&val=8&seed=0"
tiny_train_pipeline = [
    dict(type="LoadImage"),
    dict(type="LoadSemanticMap"),
    dict(type="RandomResize", scale=(64, 64), ratio_range=(0.9, 1.2), keep_ratio=True),
    dict(type="mmseg.RandomCrop", crop_size=(64, 64), cat_max_ratio=0.75),
    dict(type="RandomFlip", prob=0.5),
    dict(type="PackSemanticInputs"),
]
tiny_test_pipeline = [
    dict(type="LoadImage"),
    dict(type="Resize", scale=(64, 64), keep_ratio=True),
    dict(type="LoadSemanticMap"),
    dict(type="PackSemanticInputs"),
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
