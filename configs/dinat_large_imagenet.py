"""DiNAT-Large on ImageNet, fine-tuned from ImageNet-22k.

Paper (arXiv 2209.15001): top-1 86.6; results here: model_cards/dinat_large_imagenet.md.

    tools/train.py configs/dinat_large_imagenet.py --tiny      # half a minute on a CPU, on drawn images
    tools/train.py configs/dinat_large_imagenet.py             # ImageNet in data/imagenet
"""

_base_ = [
    "_base_/dinat_classifier.py",
    "_base_/imagenet_classification.py",
    "_base_/schedule_300e.py",
    "_base_/runtime.py",
]

task = "classification"

# Weights of ImageNet-22k: --weights FILE --ignore "head.*", converted by `visionzoo convert checkpoint`.
model = dict(
    data_preprocessor=dict(batch_augments=None), backbone=dict(variant="dinat_large"), head=dict(label_smoothing=0.1)
)

# The authors' recipe for fine-tuning: short, without mixing of images, almost without weight decay.
train_dataloader = dict(batch_size=64)
train_cfg = dict(max_epochs=30)
optim_wrapper = dict(
    optimizer=dict(lr=0.00005, weight_decay=1e-10),
    paramwise_cfg=dict(custom_keys={"rpb": dict(decay_mult=0.0)}),
    clip_grad=dict(max_norm=5.0),
)
param_scheduler = [
    dict(type="LinearLR", start_factor=1.0, end_factor=0.01, begin=0, end=30, by_epoch=True, convert_to_iter_based=True)
]
auto_scale_lr = dict(base_batch_size=512)

tiny = dict(model=dict(backbone=dict(variant="tiny")))
