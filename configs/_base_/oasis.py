"""Neurite-OASIS in data/oasis: 414 aligned brains with 35 labels (see datasets/registration/README.md).

Volumes have 160 x 192 x 224 voxels and intensities of 0 to 1. Training registers all pairs of subjects, validation
every fifth subject with the next one of these.
"""

data_root = "data/oasis"
patterns = dict(fixed="*/aligned_norm.nii.gz", labels="*/aligned_seg35.nii.gz")

train_pipeline = [
    dict(type="LoadVolumePair"),
    dict(type="NormalizeVolumes"),
    dict(type="PackTaskInputs"),
]
test_pipeline = [
    dict(type="LoadVolumePair"),
    dict(type="NormalizeVolumes", keep=True),
    dict(type="PackTaskInputs"),
]

image_size = "its volumes keep their own size"

train_dataloader = dict(
    batch_size=1,
    num_workers=4,
    persistent_workers=True,
    drop_last=True,
    sampler=dict(type="DefaultSampler", shuffle=True),
    dataset=dict(
        type="RegistrationPairs",
        data_root=data_root,
        **patterns,
        pairing="all",
        not_every=5,
        pipeline=train_pipeline,
    ),
)
val_dataloader = dict(
    batch_size=1,
    num_workers=4,
    persistent_workers=True,
    drop_last=False,
    sampler=dict(type="DefaultSampler", shuffle=False),
    dataset=dict(
        type="RegistrationPairs",
        data_root=data_root,
        **patterns,
        pairing="next",
        every=5,
        test_mode=True,
        pipeline=test_pipeline,
    ),
)
test_dataloader = val_dataloader

val_evaluator = dict(type="RegistrationMetric", distances=False)
test_evaluator = dict(type="RegistrationMetric")

tiny_data = dict(data_root="tiny://oasis?subjects=9&size=24&seed=0", labels="*/aligned_seg4.nii.gz")
tiny_val_dataloader = dict(num_workers=0, persistent_workers=False, dataset=dict(**tiny_data, every=3))
tiny = dict(
    train_dataloader=dict(
        batch_size=1, num_workers=0, persistent_workers=False, dataset=dict(**tiny_data, not_every=3)
    ),
    val_dataloader=tiny_val_dataloader,
    test_dataloader=tiny_val_dataloader,
)
