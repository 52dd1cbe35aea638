"""AdamW for 40 epochs with polynomial decay in every iteration, as in LAVT's script.

Weight decay is off for norms and position biases of the backbone; the decoder and BERT have it everywhere.
"""

train_cfg = dict(type="EpochBasedTrainLoop", max_epochs=40, val_interval=1)
val_cfg = dict(type="ValLoop")
test_cfg = dict(type="TestLoop")

optim_wrapper = dict(
    type="OptimWrapper",
    optimizer=dict(type="AdamW", lr=0.00005, weight_decay=0.01),
    # Norms of the decoder have no name, and those of BERT are called LayerNorm.
    paramwise_cfg=dict(
        custom_keys={"norm": dict(decay_mult=0.0), "relative_position_bias_table": dict(decay_mult=0.0)}
    ),
)
param_scheduler = [
    dict(type="PolyLR", power=0.9, eta_min=0.0, by_epoch=True, begin=0, end=40, convert_to_iter_based=True)
]

# The learning rate above is for base_batch_size images per step, over all GPUs. If enabled, it is scaled.
auto_scale_lr = dict(enable=True, base_batch_size=32)

tiny = dict(
    train_cfg=dict(max_epochs=8, val_interval=4),
    optim_wrapper=dict(optimizer=dict(lr=0.002), clip_grad=dict(max_norm=10)),
    param_scheduler=[
        dict(type="LinearLR", start_factor=0.025, by_epoch=False, begin=0, end=40),
        dict(type="PolyLR", power=0.9, eta_min=0.0, by_epoch=True, begin=0, end=8, convert_to_iter_based=True),
    ],
    auto_scale_lr=dict(enable=False),
    default_hooks=dict(logger=dict(interval=5), checkpoint=dict(interval=4)),
)
