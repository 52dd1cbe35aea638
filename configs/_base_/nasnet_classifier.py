"""A NASNet-A classifier for ImageNet with an auxiliary classifier. The config sets variant and sizes."""

model = dict(
    type="TaskModel",
    data_preprocessor=dict(type="TaskPreprocessor", mean=[127.5] * 3, std=[127.5] * 3),  # scales to [-1, 1]
    backbone=dict(type="NASNet", out_indices=(3, 4)),
    head=dict(type="ClassificationHead", dropout=0.5, label_smoothing=0.1),
    auxiliary_head=dict(
        type="ClassificationHead",
        in_index=0,
        label_smoothing=0.1,
        loss_weight=0.4,
        classifier=dict(type="NASNetAuxBranch"),
    ),
)

tiny_train_pipeline = [
    dict(type="LoadImage"),
    dict(type="RandomResizedCrop", size=96, scale=(0.5, 1.0)),
    dict(type="HorizontalFlip", prob=0.5),
    dict(type="PackTaskInputs"),
]
tiny_test_pipeline = [
    dict(type="LoadImage"),
    dict(type="ResizeCrop", size=96, crop_pct=1.0),
    dict(type="PackTaskInputs"),
]
tiny = dict(
    model=dict(
        backbone=dict(variant="tiny"),
        head=dict(dropout=0.0),
        auxiliary_head=dict(classifier=dict(size=1, channels=(16, 32))),
    ),
    train_dataloader=dict(dataset=dict(pipeline=tiny_train_pipeline)),
    val_dataloader=dict(dataset=dict(pipeline=tiny_test_pipeline)),
    test_dataloader=dict(dataset=dict(pipeline=tiny_test_pipeline)),
)
