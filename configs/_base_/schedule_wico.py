"""AdamW for 40 epochs with polynomial decay, as for LAVT, because the settings of WiCo's authors are not known.

Weight decay is off for norms and position biases of the backbone. The tiny variant trains 12 epochs.
"""

_base_ = ["schedule_lavt.py"]

tiny = dict(
    train_cfg=dict(max_epochs=12, val_interval=6),
    param_scheduler=[
        dict(type="PolyLR", power=0.9, eta_min=0.0, by_epoch=True, begin=0, end=12, convert_to_iter_based=True)
    ],
    default_hooks=dict(checkpoint=dict(interval=6)),
)
