"""The schedule of NASNet on ImageNet: RMSProp, 250,000 steps of 1600 images, x0.97 every 2.4 epochs.

The metric uses the moving averages of the weights.
"""

train_cfg = dict(type="EpochBasedTrainLoop", max_epochs=312, val_interval=1)
val_cfg = dict(type="ValLoop")
test_cfg = dict(type="TestLoop")

optim_wrapper = dict(
    type="OptimWrapper",
    # RMSProp of TensorFlow: epsilon under the root, initial squares of 1.
    optimizer=dict(type="timm.optim.RMSpropTF", lr=1.5, alpha=0.9, eps=1.0, momentum=0.9, weight_decay=5e-5),
    paramwise_cfg=dict(bias_decay_mult=0.0, norm_decay_mult=0.0),
    clip_grad=dict(max_norm=10.0),
)
param_scheduler = [dict(type="StaircaseLR", gamma=0.97, every=2.4, convert_to_iter_based=True)]
ema = dict(ema_type="ExponentialMovingAverage", momentum=0.0001, update_buffers=True)

# The learning rate above is for base_batch_size images per step, over all GPUs. If enabled, it is scaled.
auto_scale_lr = dict(enable=True, base_batch_size=1600)

tiny = dict(
    train_cfg=dict(max_epochs=40, val_interval=10),
    optim_wrapper=dict(optimizer=dict(type="AdamW", lr=0.002, weight_decay=0.01), clip_grad=dict(max_norm=5)),
    param_scheduler=[
        dict(type="WarmupCosineLR", end=40, warmup=3, warmup_start=1e-5, eta_min=0.0, convert_to_iter_based=True)
    ],
    ema=None,
    auto_scale_lr=dict(enable=False),
    default_hooks=dict(logger=dict(interval=6), checkpoint=dict(interval=20)),
)
