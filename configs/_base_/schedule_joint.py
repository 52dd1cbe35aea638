"""AdamW for 12 epochs of several tasks, warm-up over 500 iterations, then cosine decay.

Norms, biases and learned weights of the losses have no weight decay.
"""

train_cfg = dict(type="EpochBasedTrainLoop", max_epochs=12, val_interval=1)
val_cfg = dict(type="ValLoop")
test_cfg = dict(type="TestLoop")

optim_wrapper = dict(
    type="OptimWrapper",
    optimizer=dict(type="AdamW", lr=0.0002, weight_decay=0.05),
    paramwise_cfg=dict(norm_decay_mult=0.0, bias_decay_mult=0.0, custom_keys={"loss_weighting": dict(decay_mult=0.0)}),
    clip_grad=dict(max_norm=10),
)
param_scheduler = [
    dict(type="LinearLR", start_factor=0.01, by_epoch=False, begin=0, end=500),
    dict(type="CosineAnnealingLR", by_epoch=True, begin=0, end=12, T_max=12, eta_min=1e-6, convert_to_iter_based=True),
]

# The learning rate above is for base_batch_size images per step, over all GPUs. If enabled, it is scaled.
auto_scale_lr = dict(enable=False, base_batch_size=8)

tiny = dict(
    train_cfg=dict(max_epochs=40, val_interval=20),
    optim_wrapper=dict(optimizer=dict(lr=0.003, weight_decay=0.0001)),
    param_scheduler=[
        dict(type="LinearLR", start_factor=0.1, by_epoch=False, begin=0, end=20),
        dict(
            type="CosineAnnealingLR", by_epoch=True, begin=0, end=40, T_max=40, eta_min=0.0, convert_to_iter_based=True
        ),
    ],
    default_hooks=dict(logger=dict(interval=6), checkpoint=dict(interval=20)),
)
