"""IXI in data/ixi: T1 volumes of two subjects to compare (see datasets/registration/README.md).

Every fifth subject is compared with the next one of these. IXI has no label maps; if labels/*-labels.nii.gz exist, Dice
is measured too.
"""

data_root = "data/ixi"
patterns = dict(fixed="IXI-T1/*-T1.nii.gz", labels="labels/*-labels.nii.gz")

test_pipeline = [
    dict(type="LoadVolumePair"),
    dict(type="NormalizeVolumes", keep=True),
    dict(type="PackTaskInputs"),
]

image_size = "its volumes keep their own size"

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

tiny_val_dataloader = dict(
    num_workers=0, persistent_workers=False, dataset=dict(data_root="tiny://ixi?subjects=9&size=24&seed=0", every=3)
)
tiny = dict(val_dataloader=tiny_val_dataloader, test_dataloader=tiny_val_dataloader)
