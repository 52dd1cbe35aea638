"""WiCo with DiNAT-Mini as trunk, and the proposals of DiNAT-Mini's Mask R-CNN, on RefCOCO.

Paper (IJCAI 2023, arXiv 2306.10750): the two branches, the exchange of their features and the mixture by predicted
reliabilities. Its equations and settings were not accessible, so their form and the schedule are our choice. Results
here: model_cards/wico_dinat_refcoco.md.

    tools/train.py configs/wico_dinat_refcoco.py --tiny      # two minutes on a CPU, on drawn objects
    tools/train.py configs/wico_dinat_refcoco.py --cfg-options model.head.provider.weights=RUN      # RefCOCO

The phrase enters after the trunk (LanguageFusion), so the trunk runs once for all phrases of an image. This is a
combination of three papers, so there is no published number. Options are those of wico_lavt_refcoco.py.
"""

_base_ = ["_base_/wico_model.py", "_base_/refcoco.py", "_base_/schedule_wico.py", "_base_/runtime.py"]

task = "referring"

default_hooks = dict(checkpoint=dict(save_best="ref/oIoU", rule="greater"))

model = dict(
    backbone=dict(_delete_=True, type="DiNAT", variant="dinat_mini"),
    neck=dict(type="LanguageFusion", gate=True),
    head=dict(provider=dict(model="dinat_mask_rcnn_coco")),
)
optim_wrapper = dict(paramwise_cfg=dict(custom_keys={"rpb": dict(decay_mult=0.0)}))

tiny = dict(model=dict(backbone=dict(_delete_=True, type="DiNAT", variant="tiny")))
