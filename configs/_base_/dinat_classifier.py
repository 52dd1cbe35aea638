"""A DiNAT classifier, as its authors train all sizes on ImageNet. The config sets the variant."""

model = dict(
    type="TaskModel",
    data_preprocessor=dict(
        type="TaskPreprocessor",
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        batch_augments=dict(type="MixupCutmix", mixup_alpha=0.8, cutmix_alpha=1.0, label_smoothing=0.1),
    ),
    backbone=dict(type="DiNAT", out_indices=(3,)),
    head=dict(type="ClassificationHead"),
)

tiny = dict(
    model=dict(data_preprocessor=dict(batch_augments=None), head=dict(label_smoothing=0.1)),
)
