"""ConnNet's head on the RCNet neck, ResNet-50: our combination, levels P2 to P6.

tools/train.py configs/connnet_rcnet_r50.py --tiny      # half a minute on a CPU, on drawn images
tools/train.py configs/connnet_rcnet_r50.py             # MSRA-B in data/msra_b
"""

_base_ = ["_base_/connnet_model.py", "_base_/saliency.py", "_base_/schedule_40e_poly.py", "_base_/runtime.py"]

task = "saliency"

model = dict(
    neck=dict(
        type="RCNet",
        out_channels=256,
        num_outs=5,
        start_level=0,
        norm_cfg=dict(type="BN", requires_grad=True),
    ),
    head=dict(type="ConnectivityHead"),
)

default_hooks = dict(checkpoint=dict(save_best="sal/Fmeasure_max", rule="greater"))

tiny = dict(model=dict(neck=dict(out_channels=32)))
