"""MICDIR's network with the corrections of the clean variant (see visionzoo/heads/micdir/head.py)."""

model = dict(
    type="TaskModel",
    data_preprocessor=dict(type="TaskPreprocessor", pad_size_divisor=32),
    backbone=dict(type="MICDIREncoder", variant="mscgunet", dims=3, both_directions=True),
    head=dict(type="MICDIRHead", variant="mscgunet", dims=3),
)

tiny = dict(
    model=dict(data_preprocessor=dict(pad_size_divisor=4), backbone=dict(variant="tiny"), head=dict(variant="tiny")),
)
