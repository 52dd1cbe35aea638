"""The schedule of ICNet in its author's code: Adam, learning rate 5e-4, 20,001 steps of single pairs."""

train_cfg = dict(type="IterBasedTrainLoop", max_iters=20_001, val_interval=1_000)
val_cfg = dict(type="ValLoop")
test_cfg = dict(type="TestLoop")

optim_wrapper = dict(type="OptimWrapper", optimizer=dict(type="Adam", lr=5e-4))
param_scheduler = []

# The learning rate above is for base_batch_size pairs per step, over all GPUs. If enabled, it is scaled.
auto_scale_lr = dict(enable=True, base_batch_size=1)

tiny = dict(
    train_cfg=dict(max_iters=200, val_interval=100),
    optim_wrapper=dict(optimizer=dict(lr=5e-3)),
    auto_scale_lr=dict(enable=False),
    default_hooks=dict(logger=dict(interval=6), checkpoint=dict(interval=100)),
)
