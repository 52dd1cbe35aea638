"""The schedule of SCNN's PyTorch port on TuSimple: 1,500 steps of 32 images, 20 of warm-up, polynomial decay."""

train_cfg = dict(type="IterBasedTrainLoop", max_iters=1_500, val_interval=100)
val_cfg = dict(type="ValLoop")
test_cfg = dict(type="TestLoop")

optim_wrapper = dict(
    type="OptimWrapper",
    optimizer=dict(type="SGD", lr=0.15, momentum=0.9, nesterov=True, weight_decay=1e-4),
)
param_scheduler = [
    dict(type="LinearLR", start_factor=1 / 20, by_epoch=False, begin=0, end=20),
    dict(type="PolyLR", power=0.9, eta_min=1e-10, by_epoch=False, begin=20, end=1_500),
]

# The learning rate above is for base_batch_size images per step, over all GPUs. If enabled, it is scaled.
auto_scale_lr = dict(enable=True, base_batch_size=32)

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
