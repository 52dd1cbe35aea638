"""The schedule of MICDIR in its authors' code: Adam, learning rate 1e-4, batches of 5 pairs, 1,600 epochs.

The authors train in runs of 101 epochs, the last of which begins at epoch 1,501.
"""

train_cfg = dict(type="EpochBasedTrainLoop", max_epochs=1_600, val_interval=5)
val_cfg = dict(type="ValLoop")
test_cfg = dict(type="TestLoop")

optim_wrapper = dict(type="OptimWrapper", optimizer=dict(type="Adam", lr=1e-4))
param_scheduler = []

# The learning rate above is for base_batch_size pairs per step, over all GPUs. If enabled, it is scaled.
auto_scale_lr = dict(enable=True, base_batch_size=5)

tiny = dict(
    train_cfg=dict(max_epochs=4, val_interval=2),
    optim_wrapper=dict(optimizer=dict(lr=3e-3)),
    auto_scale_lr=dict(enable=False),
    default_hooks=dict(logger=dict(interval=6), checkpoint=dict(interval=2)),
)
