"""WiCo with LAVT and the proposals of Mask R-CNN on RefCOCO+.

Paper (IJCAI 2023, arXiv 2306.10750): the two branches, the exchange of their features and the mixture by predicted
reliabilities. Its equations and settings were not accessible, so their form and the schedule are our choice. Results
here: model_cards/wico_lavt_refcoco_plus.md.

    tools/train.py configs/wico_lavt_refcoco_plus.py --tiny      # two minutes on a CPU, on drawn objects
    tools/train.py configs/wico_lavt_refcoco_plus.py --cfg-options model.head.provider.weights=RUN      # RefCOCO+

Options are those of wico_lavt_refcoco.py.
"""

_base_ = ["_base_/wico_model.py", "_base_/refcoco_plus.py", "_base_/schedule_wico.py", "_base_/runtime.py"]

task = "referring"

default_hooks = dict(checkpoint=dict(save_best="ref/oIoU", rule="greater"))
