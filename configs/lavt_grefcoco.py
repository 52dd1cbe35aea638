"""LAVT with Swin-B and BERT on gRefCOCO, whose phrases mean one object, several, or none.

Paper (CVPR 2022, arXiv 2112.02244); data: GRES (CVPR 2023, arXiv 2306.00968). Results here:
model_cards/lavt_grefcoco.md.

    tools/train.py configs/lavt_grefcoco.py --tiny      # two minutes on a CPU, on drawn objects
    tools/train.py configs/lavt_grefcoco.py             # gRefCOCO in data/refer
"""

_base_ = ["_base_/lavt_model.py", "_base_/grefcoco.py", "_base_/schedule_lavt.py", "_base_/runtime.py"]

task = "referring"

default_hooks = dict(checkpoint=dict(save_best="ref/gIoU", rule="greater"))
