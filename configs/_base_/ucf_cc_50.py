"""UCF_CC_50: 40 images to train and 10 to test in each of five folds, in data/ucf_cc_50.

See datasets/ucf_cc_50/README.md. A model is trained for each fold, and the mean over folds is reported. The authors of
the data set fix no folds. To use another list or fold, set it for all three loaders. Sizes, crops and grey images are
those of C-3-Framework.
"""

data_root = "data/ucf_cc_50"
dataset_type = "UCFCC50Dataset"
fold = 0
folds = [
    [1, 2, 3, 4, 5, 6, 7, 8, 9, 10],
    [11, 12, 13, 14, 15, 16, 17, 18, 19, 20],
    [21, 22, 23, 24, 25, 26, 27, 28, 29, 30],
    [31, 32, 33, 34, 35, 36, 37, 38, 39, 40],
    [41, 42, 43, 44, 45, 46, 47, 48, 49, 50],
]

train_pipeline = [
    dict(type="LoadImage"),
    dict(type="RandomGrayscale", prob=1.0, keep_channels=True, channel_weights=(0.299, 0.587, 0.114)),
    dict(type="ResizeToFit", multiple=16),
    dict(type="MakeDensityMap", kind="fixed", settings=dict(sigma=4.0, size=15)),
    dict(type="RandomCropPoints", size=(576, 768)),
    dict(type="FlipPoints", prob=0.5),
    dict(type="PackTaskInputs"),
]
test_pipeline = [
    dict(type="LoadImage"),
    dict(type="RandomGrayscale", prob=1.0, keep_channels=True, channel_weights=(0.299, 0.587, 0.114)),
    dict(type="ResizeToFit", multiple=16, truth=False),  # the metric uses original pixels
    dict(type="PackTaskInputs"),
]

image_size = dict(
    size=(576, 768),
    multiple=16,
    paths=[
        "train_dataloader.dataset.pipeline.4.size",
    ],
)

train_dataloader = dict(
    batch_size=1,
    num_workers=4,
    persistent_workers=True,
    drop_last=True,
    sampler=dict(type="DefaultSampler", shuffle=True),
    dataset=dict(
        type=dataset_type, data_root=data_root, fold=fold, folds=folds, split="train", pipeline=train_pipeline
    ),
)
val_dataloader = dict(
    batch_size=1,
    num_workers=4,
    persistent_workers=True,
    drop_last=False,
    sampler=dict(type="DefaultSampler", shuffle=False),
    dataset=dict(
        type=dataset_type,
        data_root=data_root,
        fold=fold,
        folds=folds,
        split="test",
        test_mode=True,
        pipeline=test_pipeline,
    ),
)
test_dataloader = val_dataloader

val_evaluator = dict(type="CountMetric")
test_evaluator = val_evaluator

tiny_root = "tiny://ucf_cc_50?seed=0"
tiny_train_pipeline = [
    dict(type="LoadImage"),
    dict(type="RandomGrayscale", prob=1.0, keep_channels=True, channel_weights=(0.299, 0.587, 0.114)),
    dict(type="ResizeToFit", multiple=16),
    dict(type="MakeDensityMap", kind="fixed", settings=dict(sigma=4.0, size=15)),
    dict(type="RandomCropPoints", size=(64, 96)),
    dict(type="FlipPoints", prob=0.5),
    dict(type="PackTaskInputs"),
]
tiny_test_pipeline = [
    dict(type="LoadImage"),
    dict(type="RandomGrayscale", prob=1.0, keep_channels=True, channel_weights=(0.299, 0.587, 0.114)),
    dict(type="ResizeToFit", multiple=16, truth=False),  # the metric uses original pixels
    dict(type="PackTaskInputs"),
]
tiny_val_dataloader = dict(
    num_workers=0, persistent_workers=False, dataset=dict(data_root=tiny_root, pipeline=tiny_test_pipeline)
)
tiny = dict(
    image_size=dict(size=(64, 96)),
    train_dataloader=dict(
        batch_size=4,
        num_workers=0,
        persistent_workers=False,
        dataset=dict(data_root=tiny_root, pipeline=tiny_train_pipeline),
    ),
    val_dataloader=tiny_val_dataloader,
    test_dataloader=tiny_val_dataloader,
)
