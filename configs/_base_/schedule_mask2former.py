"""AdamW for 368,750 iterations of 16 images (50 epochs of COCO), as the authors of Mask2Former train ResNet-50.

The learning rate is multiplied by 0.1 after 88.9 % and 96.3 % of the iterations, and by 0.1 for the backbone.
"""

train_cfg = dict(type="IterBasedTrainLoop", max_iters=368750, val_interval=5000)
val_cfg = dict(type="ValLoop")
test_cfg = dict(type="TestLoop")

undecayed = dict(lr_mult=1.0, decay_mult=0.0)
optim_wrapper = dict(
    type="OptimWrapper",
    optimizer=dict(type="AdamW", lr=0.0001, weight_decay=0.05, eps=1e-8, betas=(0.9, 0.999)),
    paramwise_cfg=dict(
        custom_keys={
            "backbone": dict(lr_mult=0.1, decay_mult=1.0),
            "query_embed": undecayed,
            "query_feat": undecayed,
            "level_embed": undecayed,
        },
        norm_decay_mult=0.0,
    ),
    clip_grad=dict(max_norm=0.01, norm_type=2),
)
param_scheduler = [
    dict(type="MultiStepLR", begin=0, end=368750, by_epoch=False, milestones=[327778, 355092], gamma=0.1)
]

# The learning rate above is for base_batch_size images per step, over all GPUs. If enabled, it is scaled.
auto_scale_lr = dict(enable=True, base_batch_size=16)

# The tiny backbone starts from random values, so it learns at the rate of the head.
tiny = dict(
    train_cfg=dict(max_iters=300, val_interval=100),
    optim_wrapper=dict(
        optimizer=dict(lr=0.001),
        paramwise_cfg=dict(custom_keys={"backbone": dict(lr_mult=1.0)}),
        clip_grad=dict(max_norm=1.0),
    ),
    param_scheduler=[
        dict(type="LinearLR", start_factor=0.1, by_epoch=False, begin=0, end=20),
        dict(type="CosineAnnealingLR", by_epoch=False, begin=0, end=300, T_max=300, eta_min=0.0),
    ],
    auto_scale_lr=dict(enable=False),
    default_hooks=dict(logger=dict(interval=20), checkpoint=dict(interval=100)),
)
