"""The schedule of VoxelMorph in its authors' code: Adam, learning rate 1e-4, 150,000 steps of single pairs."""

train_cfg = dict(type="IterBasedTrainLoop", max_iters=150_000, val_interval=5_000)
val_cfg = dict(type="ValLoop")
test_cfg = dict(type="TestLoop")

optim_wrapper = dict(type="OptimWrapper", optimizer=dict(type="Adam", lr=1e-4))
param_scheduler = []

# The learning rate above is for base_batch_size pairs per step, over all GPUs. If enabled, it is scaled.
auto_scale_lr = dict(enable=True, base_batch_size=1)

tiny = dict(
    train_cfg=dict(max_iters=120, val_interval=60),
    optim_wrapper=dict(optimizer=dict(lr=3e-3)),
    auto_scale_lr=dict(enable=False),
    default_hooks=dict(logger=dict(interval=6), checkpoint=dict(interval=60)),
)
