"""WiCo with LAVT and the proposals of Mask R-CNN on RefCOCO.

Paper (IJCAI 2023, arXiv 2306.10750): the two branches, the exchange of their features and the mixture by predicted
reliabilities. Its equations and settings were not accessible, so their form and the schedule are our choice. Results
here: model_cards/wico_lavt_refcoco.md.

    tools/train.py configs/wico_lavt_refcoco.py --tiny      # two minutes on a CPU, on drawn objects
    tools/train.py configs/wico_lavt_refcoco.py --cfg-options model.head.provider.weights=RUN      # RefCOCO

Rows of an ablation, by `--cfg-options`: `model.head.result=average` (or `bottom_up`, `top_down`),
`model.head.interaction=None`, `model.head.integration=None model.head.result=average`. Other proposals:
`model.head.provider=None` with `dataset.objects=True` of all three loaders (annotated objects), or with
`train_dataloader.dataset.pipeline.3.file=results.json` (results of a detector in COCO's format; `pipeline.2` of the
other loaders). `visionzoo infer RUN IMAGES --text PHRASE --proposals results.json` reads such a file for other images.
"""

_base_ = ["_base_/wico_model.py", "_base_/refcoco.py", "_base_/schedule_wico.py", "_base_/runtime.py"]

task = "referring"

default_hooks = dict(checkpoint=dict(save_best="ref/oIoU", rule="greater"))
