"""VoxelMorph on the slices of Neurite-OASIS: 2-D images of different subjects. Paper (TMI 2019): arXiv 1809.05231.

Results here: model_cards/voxelmorph_2d.md. Batches of 8 slices and 30,000 steps are our choice.

    tools/train.py configs/voxelmorph_2d.py --tiny      # a minute on a CPU, on drawn brains
    tools/train.py configs/voxelmorph_2d.py             # slices of Neurite-OASIS in data/oasis_2d
"""

_base_ = ["_base_/oasis.py", "_base_/schedule_voxelmorph.py", "_base_/runtime.py"]

task = "registration"

model = dict(
    type="TaskModel",
    data_preprocessor=dict(type="TaskPreprocessor", pad_size_divisor=16),
    backbone=dict(type="VoxelMorphEncoder", dims=2),
    head=dict(type="VoxelMorphHead", dims=2),
)

slices = dict(data_root="data/oasis_2d", fixed="*/slice_norm.nii.gz", labels="*/slice_seg24.nii.gz")
train_dataloader = dict(batch_size=8, dataset=slices)
val_dataloader = dict(dataset=slices)
test_dataloader = val_dataloader

train_cfg = dict(max_iters=30_000, val_interval=1_000)
default_hooks = dict(checkpoint=dict(by_epoch=False, interval=1_000))
auto_scale_lr = dict(base_batch_size=8)

tiny_slices = dict(data_root="tiny://oasis_2d?subjects=9&size=64&seed=0", fixed="*.npz", labels=None)
tiny = dict(
    model=dict(data_preprocessor=dict(pad_size_divisor=4), backbone=dict(variant="tiny"), head=dict(variant="tiny")),
    train_dataloader=dict(batch_size=8, dataset=tiny_slices),
    val_dataloader=dict(dataset=tiny_slices),
    test_dataloader=dict(dataset=tiny_slices),
)
