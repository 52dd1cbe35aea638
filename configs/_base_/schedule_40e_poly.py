"""SGD for 40 epochs with polynomial decay; the learning rate of the backbone is a tenth."""

train_cfg = dict(type="EpochBasedTrainLoop", max_epochs=40, val_interval=5)
val_cfg = dict(type="ValLoop")
test_cfg = dict(type="TestLoop")

optim_wrapper = dict(
    type="OptimWrapper",
    optimizer=dict(type="SGD", lr=0.005, momentum=0.9, weight_decay=0.0001),
    paramwise_cfg=dict(custom_keys={"backbone": dict(lr_mult=0.1)}),
)
param_scheduler = [
    dict(type="PolyLR", power=0.9, eta_min=0.0, by_epoch=True, begin=0, end=40, convert_to_iter_based=True)
]

# The learning rate above is for base_batch_size images per step, over all GPUs. If enabled, it is scaled.
auto_scale_lr = dict(enable=True, base_batch_size=8)

tiny = dict(
    train_cfg=dict(max_epochs=50, val_interval=25),
    optim_wrapper=dict(
        optimizer=dict(type="AdamW", lr=0.005, weight_decay=0.0001),
        paramwise_cfg=dict(custom_keys={"backbone": dict(lr_mult=1.0)}),
        clip_grad=dict(max_norm=10),
    ),
    param_scheduler=[
        dict(type="PolyLR", power=0.9, eta_min=0.0, by_epoch=True, begin=0, end=50, convert_to_iter_based=True)
    ],
    auto_scale_lr=dict(enable=False),
    default_hooks=dict(logger=dict(interval=3), checkpoint=dict(interval=25)),
)
