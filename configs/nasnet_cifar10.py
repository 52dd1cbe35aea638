"""NASNet-A 6 @ 768 on CIFAR-10 with cutout, as its authors trained it.

Paper (CVPR 2018, arXiv 1707.07012): error 2.65 %; results here: model_cards/nasnet_cifar10.md.

    tools/train.py configs/nasnet_cifar10.py --tiny      # a minute on a CPU, on drawn images
    tools/train.py configs/nasnet_cifar10.py             # CIFAR-10 in data/cifar
"""

_base_ = ["_base_/cifar10_classification.py", "_base_/runtime.py"]

task = "classification"

model = dict(
    type="TaskModel",
    data_preprocessor=dict(type="TaskPreprocessor", mean=[127.5] * 3, std=[127.5] * 3),  # scales to [-1, 1]
    backbone=dict(type="NASNet", variant="cifar", out_indices=(1, 2)),
    head=dict(type="ClassificationHead", num_classes=10),
    auxiliary_head=dict(
        type="ClassificationHead",
        in_index=0,
        loss_weight=0.4,
        classifier=dict(type="NASNetAuxBranch", size=4, norm_eps=1e-5, norm_momentum=0.1),
    ),
)

train_cfg = dict(type="EpochBasedTrainLoop", max_epochs=600, val_interval=5)
val_cfg = dict(type="ValLoop")
test_cfg = dict(type="TestLoop")

optim_wrapper = dict(
    type="OptimWrapper",
    optimizer=dict(type="SGD", lr=0.025, momentum=0.9, nesterov=True, weight_decay=5e-4),
    paramwise_cfg=dict(bias_decay_mult=0.0, norm_decay_mult=0.0),
    clip_grad=dict(max_norm=5.0),
)
param_scheduler = [
    dict(type="CosineAnnealingLR", by_epoch=True, begin=0, end=600, T_max=600, eta_min=0.0, convert_to_iter_based=True)
]
ema = dict(ema_type="ExponentialMovingAverage", momentum=0.0001, update_buffers=True)

# The learning rate above is for base_batch_size images per step, over all GPUs. If enabled, it is scaled.
auto_scale_lr = dict(enable=True, base_batch_size=32)

tiny = dict(
    model=dict(
        backbone=dict(num_cells=3, filters=8, stem_filters=24, drop_path_keep_prob=0.9),
        auxiliary_head=dict(classifier=dict(channels=(16, 32))),
    ),
    train_cfg=dict(max_epochs=15, val_interval=5),
    param_scheduler=[
        dict(
            type="CosineAnnealingLR", by_epoch=True, begin=0, end=15, T_max=15, eta_min=0.0, convert_to_iter_based=True
        )
    ],
    ema=None,
    auto_scale_lr=dict(enable=False),
    default_hooks=dict(logger=dict(interval=5), checkpoint=dict(interval=5)),
)
