"""IXI in data/ixi: T1 volumes of one subject and the next one (see datasets/registration/README.md).

MICDIR's volumes are without skull, affinely aligned, resampled to 2 mm and padded to 128 x 128 x 128 voxels. The last
step is done here. ResampleVolumes (`spacing=2.0`) after LoadVolumePair resamples; the other steps must be done before.
Every fifth subject validates. Volumes of any size can be used for validation and inference, because the preprocessor
pads them.
"""

train_pipeline = [
    dict(type="LoadVolumePair"),
    dict(type="CropOrPadVolumes", size=(128, 128, 128)),
    dict(type="NormalizeVolumes"),
    dict(type="PackTaskInputs"),
]

train_dataloader = dict(
    batch_size=5,
    num_workers=4,
    persistent_workers=True,
    drop_last=True,
    sampler=dict(type="DefaultSampler", shuffle=True),
    dataset=dict(
        type="RegistrationPairs",
        data_root="data/ixi",
        fixed="IXI-T1/*-T1.nii.gz",
        labels="labels/*-labels.nii.gz",
        pairing="next",
        not_every=5,
        pipeline=train_pipeline,
    ),
)

tiny_train_pipeline = [
    dict(type="LoadVolumePair"),
    dict(type="NormalizeVolumes"),
    dict(type="PackTaskInputs"),
]
tiny = dict(
    train_dataloader=dict(
        batch_size=1,
        num_workers=0,
        persistent_workers=False,
        dataset=dict(
            data_root="tiny://ixi?subjects=9&size=24&seed=0", pairing="all", not_every=3, pipeline=tiny_train_pipeline
        ),
    ),
)
