"""Registration by optimisation of each pair, without parameters and training."""

model = dict(
    type="TaskModel",
    data_preprocessor=dict(type="TaskPreprocessor"),
    backbone=dict(type="ImagePair", dims=3),
    head=dict(type="DirectRegistrationHead", dims=3),
)

val_cfg = dict(type="ValLoop")
test_cfg = dict(type="TestLoop")
