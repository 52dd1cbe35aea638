"""The schedule of SCNN on CULane in its authors' Lua code: 60,000 steps of 12 images, polynomial decay.

The 200 steps of warm-up are an addition: without them training sometimes diverges, as many users report.
"""

train_cfg = dict(type="IterBasedTrainLoop", max_iters=60_000, val_interval=5_000)
val_cfg = dict(type="ValLoop")
test_cfg = dict(type="TestLoop")

optim_wrapper = dict(
    type="OptimWrapper",
    optimizer=dict(type="SGD", lr=0.01, momentum=0.9, nesterov=True, weight_decay=1e-4),
)
param_scheduler = [
    dict(type="LinearLR", start_factor=1 / 200, by_epoch=False, begin=0, end=200),
    dict(type="PolyLR", power=0.9, eta_min=0.0, by_epoch=False, begin=200, end=60_000),
]

# The learning rate above is for base_batch_size images per step, over all GPUs. If enabled, it is scaled.
auto_scale_lr = dict(enable=True, base_batch_size=12)

tiny = dict(
    train_cfg=dict(max_iters=200, val_interval=100),
    optim_wrapper=dict(optimizer=dict(type="AdamW", lr=0.003, weight_decay=1e-4), clip_grad=dict(max_norm=10)),
    param_scheduler=[
        dict(type="LinearLR", start_factor=1 / 10, by_epoch=False, begin=0, end=10),
        dict(type="PolyLR", power=0.9, eta_min=0.0, by_epoch=False, begin=10, end=200),
    ],
    auto_scale_lr=dict(enable=False),
    default_hooks=dict(logger=dict(interval=10), checkpoint=dict(interval=100)),
)
