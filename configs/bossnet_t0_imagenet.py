"""BossNet-T0, the hybrid network that BossNAS found, on ImageNet with DeiT's recipe.

Paper (ICCV 2021, arXiv 2103.12424): top-1 80.8; results here: model_cards/bossnet_t0_imagenet.md.

    tools/train.py configs/bossnet_t0_imagenet.py --tiny      # half a minute on a CPU, on drawn images
    tools/train.py configs/bossnet_t0_imagenet.py             # ImageNet in data/imagenet
"""

_base_ = ["_base_/imagenet_classification.py", "_base_/schedule_300e.py", "_base_/runtime.py"]

task = "classification"

model = dict(
    type="TaskModel",
    data_preprocessor=dict(
        type="TaskPreprocessor",
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        batch_augments=dict(type="MixupCutmix", mixup_alpha=0.8, cutmix_alpha=1.0, label_smoothing=0.1),
    ),
    backbone=dict(type="BossNet", variant="T0", drop_path_rate=0.1, out_indices=(3,)),
    head=dict(type="ClassificationHead"),
)

train_dataloader = dict(sampler=dict(type="RepeatedAugmentation", repeats=3))

optim_wrapper = dict(optimizer=dict(lr=0.0005))
param_scheduler = [
    dict(type="WarmupCosineLR", end=300, warmup=5, warmup_start=1e-6, eta_min=1e-5, convert_to_iter_based=True)
]
ema = dict(ema_type="ExponentialMovingAverage", momentum=0.00004, update_buffers=True)
auto_scale_lr = dict(base_batch_size=512)

tiny = dict(
    model=dict(
        data_preprocessor=dict(batch_augments=None), backbone=dict(variant="tiny"), head=dict(label_smoothing=0.1)
    ),
    train_dataloader=dict(sampler=dict(type="DefaultSampler", shuffle=True)),
    ema=None,
)
