"""NASNet-A Mobile (4 @ 1056) on ImageNet at 224 pixels, as its authors trained it.

Paper (CVPR 2018, arXiv 1707.07012): top-1 74.0, top-5 91.6; results here: model_cards/nasnet_mobile_imagenet.md.

    tools/train.py configs/nasnet_mobile_imagenet.py --tiny      # a minute on a CPU, on drawn images
    tools/train.py configs/nasnet_mobile_imagenet.py             # ImageNet in data/imagenet
"""

_base_ = [
    "_base_/imagenet_classification.py",
    "_base_/nasnet_classifier.py",
    "_base_/schedule_nasnet.py",
    "_base_/runtime.py",
]

task = "classification"

model = dict(backbone=dict(variant="mobile"), auxiliary_head=dict(classifier=dict(size=4)))

train_pipeline = [
    dict(type="LoadImage"),
    dict(type="RandomResizedCrop", size=224, scale=(0.05, 1.0)),
    dict(type="HorizontalFlip", prob=0.5),
    dict(type="ColorJitter", brightness=0.125, contrast=0.5, saturation=0.5, hue=0.2),
    dict(type="PackTaskInputs"),
]
fixed_size = "the layers of its auxiliary classifier have the size of its map"
image_size = fixed_size
train_dataloader = dict(batch_size=32, dataset=dict(pipeline=train_pipeline))

optim_wrapper = dict(optimizer=dict(lr=2.0, weight_decay=4e-5))

tiny = dict(image_size=fixed_size)
