"""The schedule of DeiT and timm: AdamW, 300 epochs with warm-up and cosine decay, then 10 epochs at the lowest rate."""

train_cfg = dict(type="EpochBasedTrainLoop", max_epochs=310, val_interval=1)
val_cfg = dict(type="ValLoop")
test_cfg = dict(type="TestLoop")

optim_wrapper = dict(
    type="OptimWrapper",
    optimizer=dict(type="AdamW", lr=0.001, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.05),
    # No weight decay for biases, norms and other vectors (layer scale), as in timm.
    paramwise_cfg=dict(bias_decay_mult=0.0, norm_decay_mult=0.0, flat_decay_mult=0.0),
)
param_scheduler = [
    dict(type="WarmupCosineLR", end=300, warmup=20, warmup_start=1e-6, eta_min=5e-6, convert_to_iter_based=True)
]

# The learning rate above is for base_batch_size images per step, over all GPUs. If enabled, it is scaled.
auto_scale_lr = dict(enable=True, base_batch_size=1024)

tiny = dict(
    train_cfg=dict(max_epochs=40, val_interval=10),
    optim_wrapper=dict(optimizer=dict(type="AdamW", lr=0.002, weight_decay=0.01), clip_grad=dict(max_norm=5)),
    param_scheduler=[
        dict(type="WarmupCosineLR", end=40, warmup=3, warmup_start=1e-5, eta_min=0.0, convert_to_iter_based=True)
    ],
    auto_scale_lr=dict(enable=False),
    default_hooks=dict(logger=dict(interval=6), checkpoint=dict(interval=20)),
)
