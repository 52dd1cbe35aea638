"""VoxelMorph on Neurite-OASIS: brains of different subjects. Paper (TMI 2019): arXiv 1809.05231.

Results here: model_cards/voxelmorph_oasis.md.

    tools/train.py configs/voxelmorph_oasis.py --tiny      # a minute on a CPU, on drawn brains
    tools/train.py configs/voxelmorph_oasis.py             # Neurite-OASIS in data/oasis
"""

_base_ = ["_base_/oasis.py", "_base_/schedule_voxelmorph.py", "_base_/runtime.py"]

task = "registration"

model = dict(
    type="TaskModel",
    data_preprocessor=dict(type="TaskPreprocessor", pad_size_divisor=16),
    backbone=dict(type="VoxelMorphEncoder", dims=3),
    head=dict(type="VoxelMorphHead", dims=3),
)
default_hooks = dict(checkpoint=dict(by_epoch=False, interval=5_000))

tiny = dict(
    model=dict(
        data_preprocessor=dict(pad_size_divisor=4),
        backbone=dict(variant="tiny"),
        head=dict(variant="tiny", smooth_weight=0.005),
    ),
    train_dataloader=dict(batch_size=4),
    train_cfg=dict(max_iters=140, val_interval=140),
    optim_wrapper=dict(optimizer=dict(lr=5e-3)),
)
