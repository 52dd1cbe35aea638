"""RefCOCO (UNC): 42,404 refs to train, 3,811 to validate, 1,975 for testA (people) and 1,810 for testB (other things).

The data are in data/refer, see datasets/refcoco/README.md. Images are resized to 480 x 480 without keeping their aspect
ratio, as in LAVT. There is no other change of geometry, because phrases name sides. `--cfg-options
test_dataloader.dataset.split=testB` tests on the other test.

Numbers are of the original image. `test_evaluator.eval_size=input` measures at the size of the network's input as LAVT
does, and `legacy_overlap=True` of LoadReferredMask takes LAVT's masks.

LoadProposals is for heads that choose among objects. It does nothing unless it has a `file` of results, or the data
set gives `objects`.
"""

data_root = "data/refer"
size = (480, 480)

train_pipeline = [
    dict(type="LoadImage"),
    dict(type="LoadReferredMask"),
    dict(type="Resize", scale=size, keep_ratio=False, backend="pillow"),
    dict(type="LoadProposals"),
    dict(type="ChoosePhrase"),
    dict(type="PackTaskInputs"),
]
test_pipeline = [
    dict(type="LoadImage"),
    dict(type="Resize", scale=size, keep_ratio=False, backend="pillow"),
    dict(type="LoadProposals"),
    dict(type="LoadReferredMask"),
    dict(type="ChoosePhrase"),
    dict(type="PackTaskInputs"),
]

image_size = dict(
    size=size,
    paths=[
        "train_dataloader.dataset.pipeline.2.scale",
        "val_dataloader.dataset.pipeline.1.scale",
        "test_dataloader.dataset.pipeline.1.scale",
    ],
)

dataset = dict(type="ReferDataset", data_root=data_root, name="refcoco", split_by="unc")
train_dataloader = dict(
    batch_size=8,
    num_workers=4,
    persistent_workers=True,
    drop_last=True,
    sampler=dict(type="DefaultSampler", shuffle=True),
    dataset=dict(**dataset, split="train", pipeline=train_pipeline),
)
val_dataloader = dict(
    batch_size=1,
    num_workers=4,
    persistent_workers=True,
    drop_last=False,
    sampler=dict(type="DefaultSampler", shuffle=False),
    dataset=dict(**dataset, split="val", test_mode=True, pipeline=test_pipeline),
)
test_dataloader = dict(
    batch_size=1,
    num_workers=4,
    persistent_workers=True,
    drop_last=False,
    sampler=dict(type="DefaultSampler", shuffle=False),
    dataset=dict(**dataset, split="testA", test_mode=True, pipeline=test_pipeline),
)

val_evaluator = dict(type="ReferMetric")
test_evaluator = val_evaluator

tiny_size = (64, 64)
tiny_train_pipeline = [
    dict(type="LoadImage"),
    dict(type="LoadReferredMask"),
    dict(type="Resize", scale=tiny_size, keep_ratio=False, backend="pillow"),
    dict(type="LoadProposals"),
    dict(type="ChoosePhrase"),
    dict(type="PackTaskInputs"),
]
tiny_test_pipeline = [
    dict(type="LoadImage"),
    dict(type="Resize", scale=tiny_size, keep_ratio=False, backend="pillow"),
    dict(type="LoadProposals"),
    dict(type="LoadReferredMask"),
    dict(type="ChoosePhrase"),
    dict(type="PackTaskInputs"),
]
tiny_root = "tiny://refcoco?train=320&val=24&test=24&seed=0"
tiny_val_dataloader = dict(
    batch_size=8,
    num_workers=0,
    persistent_workers=False,
    dataset=dict(data_root=tiny_root, pipeline=tiny_test_pipeline),
)
tiny = dict(
    image_size=dict(size=tiny_size),
    train_dataloader=dict(
        num_workers=0,
        persistent_workers=False,
        dataset=dict(data_root=tiny_root, pipeline=tiny_train_pipeline),
    ),
    val_dataloader=tiny_val_dataloader,
    test_dataloader=tiny_val_dataloader,
)
