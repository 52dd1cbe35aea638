"""HMoDE's schedule on ShanghaiTech A: Adam, 200 epochs of single images, halved once after the hundredth.

The authors validate from epoch 100 on and keep the epoch with the lowest MAE.
"""

train_cfg = dict(type="EpochBasedTrainLoop", max_epochs=200, val_begin=100, val_interval=1)
val_cfg = dict(type="ValLoop")
test_cfg = dict(type="TestLoop")

optim_wrapper = dict(type="OptimWrapper", optimizer=dict(type="Adam", lr=2e-5))
param_scheduler = [dict(type="MultiStepLR", milestones=[100], gamma=0.5, by_epoch=True)]

# The learning rate above is for this many images per step, over all GPUs; it is scaled to the batch at hand.
auto_scale_lr = dict(enable=False, base_batch_size=1)

tiny = dict(
    train_cfg=dict(max_epochs=40, val_begin=1, val_interval=20),
    optim_wrapper=dict(optimizer=dict(type="Adam", lr=1e-3)),
    param_scheduler=[
        dict(type="PolyLR", power=0.9, eta_min=0.0, by_epoch=True, begin=0, end=40, convert_to_iter_based=True)
    ],
    default_hooks=dict(logger=dict(interval=6), checkpoint=dict(interval=20)),
)
