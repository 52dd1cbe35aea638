"""Co-saliency: pairs of groups from DUTS_class and COCO-SEG to train, CoCA to validate, all in data/co_saliency.

See datasets/co_saliency/README.md. An iteration reads one pair. A step has two iterations, one for each source. The
authors add their losses; here the mean is used, which gives the same steps with Adam.
"""

data_root = "data/co_saliency"
dataset_type = "CoSaliencyFolder"
meta_keys = ("img_path", "ori_shape", "img_shape", "group")

train_pipeline = [
    dict(type="LoadGroup"),
    dict(type="FlipGroup", prob=0.5),
    dict(type="RotateGroup", prob=0.2, degrees=15),
    dict(type="EnhanceGroup"),
    dict(type="ResizeGroup", size=256),
    dict(type="PackTaskInputs", meta_keys=meta_keys),
]
test_pipeline = [
    dict(type="LoadGroup"),
    dict(type="ResizeGroup", size=256, masks=False),  # the metric uses original pixels
    dict(type="PackTaskInputs", meta_keys=meta_keys),
]

image_size = dict(
    size=(256, 256),
    paths=[
        "train_dataloader.dataset.sources.*.pipeline.4.size",
        "val_dataloader.dataset.pipeline.1.size",
        "test_dataloader.dataset.pipeline.1.size",
    ],
)

train_dataloader = dict(
    batch_size=1,  # pair
    num_workers=8,
    persistent_workers=True,
    sampler=dict(type="BlockSampler"),
    collate_fn=dict(type="join_samples"),
    dataset=dict(
        type="CoSaliencyPairs",
        most=26,
        sources=[
            dict(type=dataset_type, data_root=data_root, name="DUTS_class", pipeline=train_pipeline),
            dict(type=dataset_type, data_root=data_root, name="coco-seg", pipeline=train_pipeline),
        ],
    ),
)
val_dataloader = dict(
    batch_size=1,  # group
    num_workers=4,
    persistent_workers=True,
    drop_last=False,
    sampler=dict(type="DefaultSampler", shuffle=False),
    dataset=dict(type=dataset_type, data_root=data_root, name="CoCA", test_mode=True, pipeline=test_pipeline),
)
test_dataloader = val_dataloader

val_evaluator = dict(type="SaliencyMetric", protocol="gconet")
test_evaluator = val_evaluator

train_cfg = dict(by_epoch=True, max_epochs=350, val_interval=10)
val_cfg = dict()
test_cfg = dict()
optim_wrapper = dict(
    optimizer=dict(type="Adam", lr=1.625e-4, betas=(0.9, 0.99)),  # 1e-4 for groups of 16 images, here 26
    accumulative_counts=2,
)

tiny_root = "tiny://co_saliency?groups=3&images=4&seed=0"
tiny_train_pipeline = [
    dict(type="LoadGroup"),
    dict(type="FlipGroup", prob=0.5),
    dict(type="ResizeGroup", size=64),
    dict(type="PackTaskInputs", meta_keys=meta_keys),
]
tiny_test_pipeline = [
    dict(type="LoadGroup"),
    dict(type="ResizeGroup", size=64, masks=False),
    dict(type="PackTaskInputs", meta_keys=meta_keys),
]
tiny_val_dataloader = dict(
    num_workers=0,
    persistent_workers=False,
    dataset=dict(data_root=tiny_root, pipeline=tiny_test_pipeline),
)
tiny = dict(
    image_size=dict(
        size=(64, 64),
        paths=[
            "train_dataloader.dataset.sources.*.pipeline.2.size",
            "val_dataloader.dataset.pipeline.1.size",
            "test_dataloader.dataset.pipeline.1.size",
        ],
    ),
    train_dataloader=dict(
        num_workers=0,
        persistent_workers=False,
        dataset=dict(
            sources=[
                dict(type=dataset_type, data_root=tiny_root, name="DUTS_class", pipeline=tiny_train_pipeline),
                dict(type=dataset_type, data_root=tiny_root, name="coco-seg", pipeline=tiny_train_pipeline),
            ],
        ),
    ),
    val_dataloader=tiny_val_dataloader,
    test_dataloader=tiny_val_dataloader,
    train_cfg=dict(max_epochs=60, val_interval=20),
    optim_wrapper=dict(optimizer=dict(lr=1e-3)),
)
