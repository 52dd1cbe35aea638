"""EfficientNet-Lite0 on ImageNet at 224 pixels: the trunk whose weights pip brings.

Results here: model_cards/efficientnet_lite0_imagenet.md. The recipe is that of the authors' EfficientNet-B0.

    tools/train.py configs/efficientnet_lite0_imagenet.py --tiny      # a minute on a CPU, on drawn images
    tools/train.py configs/efficientnet_lite0_imagenet.py             # ImageNet in data/imagenet
"""

_base_ = ["_base_/imagenet_classification.py", "_base_/schedule_nasnet.py", "_base_/runtime.py"]

task = "classification"

model = dict(
    type="TaskModel",
    data_preprocessor=dict(type="TaskPreprocessor", mean=[127.0] * 3, std=[128.0] * 3),
    backbone=dict(type="EfficientNetLite", out_indices=(5,)),
    head=dict(type="ClassificationHead", dropout=0.2, label_smoothing=0.1),
)

# 0.016 for 256 images per step, with warm-up; EfficientNet's code trains for 350 epochs.
train_cfg = dict(max_epochs=350)
param_scheduler = [dict(type="StaircaseLR", gamma=0.97, every=2.4, convert_to_iter_based=True)]
optim_wrapper = dict(optimizer=dict(lr=0.016, eps=0.001, weight_decay=1e-5))
auto_scale_lr = dict(base_batch_size=256)

tiny = dict(model=dict(backbone=dict(variant="tiny"), head=dict(dropout=0.0)))
