"""The schedule of HMoDE on ShanghaiTech A: Adam, 200 epochs of single images, learning rate x0.5 after 100 epochs.

The authors validate after epoch 100 and keep the epoch with the lowest MAE.
"""

train_cfg = dict(type="EpochBasedTrainLoop", max_epochs=200, val_begin=100, val_interval=1)
val_cfg = dict(type="ValLoop")
test_cfg = dict(type="TestLoop")

optim_wrapper = dict(type="OptimWrapper", optimizer=dict(type="Adam", lr=2e-5))
param_scheduler = [dict(type="MultiStepLR", milestones=[100], gamma=0.5, by_epoch=True)]

# The learning rate above is for base_batch_size images per step, over all GPUs. If enabled, it is scaled.
auto_scale_lr = dict(enable=False, base_batch_size=1)

tiny = dict(
    train_cfg=dict(max_epochs=40, val_begin=1, val_interval=20),
    optim_wrapper=dict(optimizer=dict(type="Adam", lr=1e-3)),
    param_scheduler=[
        dict(type="PolyLR", power=0.9, eta_min=0.0, by_epoch=True, begin=0, end=40, convert_to_iter_based=True)
    ],
    default_hooks=dict(logger=dict(interval=6), checkpoint=dict(interval=20)),
)
