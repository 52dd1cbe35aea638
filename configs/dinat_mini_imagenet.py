"""DiNAT-Mini on ImageNet.

Paper (arXiv 2209.15001): top-1 81.8; results here: model_cards/dinat_mini_imagenet.md.

    tools/train.py configs/dinat_mini_imagenet.py --tiny      # half a minute on a CPU, on drawn images
    tools/train.py configs/dinat_mini_imagenet.py             # ImageNet in data/imagenet
"""

_base_ = [
    "_base_/dinat_classifier.py",
    "_base_/imagenet_classification.py",
    "_base_/schedule_300e.py",
    "_base_/runtime.py",
]

task = "classification"

model = dict(backbone=dict(variant="dinat_mini"))

optim_wrapper = dict(paramwise_cfg=dict(custom_keys={"rpb": dict(decay_mult=0.0)}), clip_grad=dict(max_norm=5.0))

tiny = dict(model=dict(backbone=dict(variant="tiny")))
