"""ConnNet: salient objects as connectivity of eight neighbours, ResNet-50.

Paper (IEEE TIP 28(5), arXiv 1804.07836); results here: model_cards/connnet_r50.md, with the list of our choices.

    tools/train.py configs/connnet_r50.py --tiny      # half a minute on a CPU, on drawn images
    tools/train.py configs/connnet_r50.py             # MSRA-B in data/msra_b

Variants by `--cfg-options`: `model.head.non_local=[]` or `"['c4','c5']"`, `model.head.aspp=True`,
`model.head.neighbours=4`, `model.head.pair=and`, `model.head.loss.mode=bicon`.
"""

_base_ = ["_base_/connnet_model.py", "_base_/saliency.py", "_base_/schedule_40e_poly.py", "_base_/runtime.py"]

task = "saliency"

model = dict(head=dict(type="ConnectivityHead", loss=dict(type="ConnectivityLoss", mode="paper")))
default_hooks = dict(checkpoint=dict(save_best="sal/Fmeasure_max", rule="greater"))
