"""The 1x schedule: SGD, 12 epochs, learning rate x0.1 after 8 and 11, linear warm-up over 500 iterations."""

train_cfg = dict(type="EpochBasedTrainLoop", max_epochs=12, val_interval=1)
val_cfg = dict(type="ValLoop")
test_cfg = dict(type="TestLoop")

optim_wrapper = dict(
    type="OptimWrapper",
    optimizer=dict(type="SGD", lr=0.01, momentum=0.9, weight_decay=0.0001),
)
param_scheduler = [
    dict(type="LinearLR", start_factor=0.001, by_epoch=False, begin=0, end=500),
    dict(type="MultiStepLR", by_epoch=True, begin=0, end=12, milestones=[8, 11], gamma=0.1),
]

# The learning rate above is for base_batch_size images per step, over all GPUs. If enabled, it is scaled.
auto_scale_lr = dict(enable=True, base_batch_size=32)

tiny = dict(
    train_cfg=dict(max_epochs=60, val_interval=20),
    optim_wrapper=dict(optimizer=dict(type="AdamW", lr=0.002, weight_decay=0.0001), clip_grad=dict(max_norm=10)),
    param_scheduler=[
        dict(type="LinearLR", start_factor=0.1, by_epoch=False, begin=0, end=20),
        dict(
            type="CosineAnnealingLR", by_epoch=True, begin=0, end=60, T_max=60, eta_min=0.0, convert_to_iter_based=True
        ),
    ],
    auto_scale_lr=dict(enable=False),
    default_hooks=dict(logger=dict(interval=4), checkpoint=dict(interval=20)),
)
