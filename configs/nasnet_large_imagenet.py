"""NASNet-A Large (6 @ 4032) on ImageNet at 331 pixels, as its authors trained it.

Paper (CVPR 2018, arXiv 1707.07012): top-1 82.7, top-5 96.2; results here: model_cards/nasnet_large_imagenet.md.

    tools/train.py configs/nasnet_large_imagenet.py --tiny      # a minute on a CPU, on drawn images
    tools/train.py configs/nasnet_large_imagenet.py             # ImageNet in data/imagenet
"""

_base_ = [
    "_base_/imagenet_classification.py",
    "_base_/nasnet_classifier.py",
    "_base_/schedule_nasnet.py",
    "_base_/runtime.py",
]

task = "classification"

model = dict(
    backbone=dict(variant="large", with_cp=True),  # recomputing the cells saves most of the memory
    auxiliary_head=dict(classifier=dict(size=6)),
)

train_pipeline = [
    dict(type="LoadImage"),
    dict(type="RandomResizedCrop", size=331, scale=(0.05, 1.0)),
    dict(type="HorizontalFlip", prob=0.5),
    dict(type="ColorJitter", brightness=0.125, contrast=0.5, saturation=0.5, hue=0.2),
    dict(type="PackTaskInputs"),
]
test_pipeline = [
    dict(type="LoadImage"),
    dict(type="ResizeCrop", size=331, edge=354),
    dict(type="PackTaskInputs"),
]
fixed_size = "the layers of its auxiliary classifier have the size of its map"
image_size = fixed_size
train_dataloader = dict(batch_size=16, dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader

tiny = dict(model=dict(backbone=dict(with_cp=False)), image_size=fixed_size)
