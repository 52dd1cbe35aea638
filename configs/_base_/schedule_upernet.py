"""AdamW for 160,000 iterations of 16 images with linear decay, as usual for UPerNet on ADE20K."""

train_cfg = dict(type="IterBasedTrainLoop", max_iters=160000, val_interval=16000)
val_cfg = dict(type="ValLoop")
test_cfg = dict(type="TestLoop")

optim_wrapper = dict(
    type="OptimWrapper",
    optimizer=dict(type="AdamW", lr=0.00006, betas=(0.9, 0.999), weight_decay=0.01),
    paramwise_cfg=dict(norm_decay_mult=0.0),
)
param_scheduler = [
    dict(type="LinearLR", start_factor=1e-6, by_epoch=False, begin=0, end=1500),
    dict(type="PolyLR", power=1.0, eta_min=0.0, by_epoch=False, begin=1500, end=160000),
]

# The learning rate above is for base_batch_size images per step, over all GPUs. If enabled, it is scaled.
auto_scale_lr = dict(enable=True, base_batch_size=16)

tiny = dict(
    train_cfg=dict(max_iters=600, val_interval=200),
    optim_wrapper=dict(optimizer=dict(lr=0.004)),
    param_scheduler=[
        dict(type="LinearLR", start_factor=0.1, by_epoch=False, begin=0, end=20),
        dict(type="PolyLR", power=1.0, eta_min=0.0, by_epoch=False, begin=20, end=600),
    ],
    auto_scale_lr=dict(enable=False),
    default_hooks=dict(logger=dict(interval=20), checkpoint=dict(interval=200)),
)
