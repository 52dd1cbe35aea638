"""The baseline of ConnNet: the same network and schedule with one binary output instead of eight.

It has 903 parameters fewer; see model_cards/connnet_binary_r50.md.

    tools/train.py configs/connnet_binary_r50.py --tiny      # half a minute on a CPU, on drawn images
    tools/train.py configs/connnet_binary_r50.py             # MSRA-B in data/msra_b
"""

_base_ = ["_base_/connnet_model.py", "_base_/saliency.py", "_base_/schedule_40e_poly.py", "_base_/runtime.py"]

task = "saliency"

model = dict(head=dict(type="BinaryMapHead"))
default_hooks = dict(checkpoint=dict(save_best="sal/Fmeasure_max", rule="greater"))
