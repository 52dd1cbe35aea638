"""NAT-Tiny on ImageNet.

Paper (CVPR 2023, arXiv 2204.07143): top-1 83.2; results here: model_cards/nat_tiny_imagenet.md.

    tools/train.py configs/nat_tiny_imagenet.py --tiny      # half a minute on a CPU, on drawn images
    tools/train.py configs/nat_tiny_imagenet.py             # ImageNet in data/imagenet
"""

_base_ = [
    "_base_/dinat_classifier.py",
    "_base_/imagenet_classification.py",
    "_base_/schedule_300e.py",
    "_base_/runtime.py",
]

task = "classification"

model = dict(backbone=dict(variant="nat_tiny"))

optim_wrapper = dict(paramwise_cfg=dict(custom_keys={"rpb": dict(decay_mult=0.0)}), clip_grad=dict(max_norm=5.0))

tiny = dict(model=dict(backbone=dict(variant="tiny", dilations=1)))
