"""LAVT with Swin-B and BERT on RefCOCO, as its authors train it.

Paper (CVPR 2022, arXiv 2112.02244). Results here: model_cards/lavt_refcoco.md.

    tools/train.py configs/lavt_refcoco.py --tiny      # two minutes on a CPU, on drawn objects
    tools/train.py configs/lavt_refcoco.py             # RefCOCO in data/refer
    tools/infer.py lavt_refcoco photo.jpg --text "left red box" --weights RUN

Variants by `--cfg-options`: `model.backbone.variant=swin_tiny`, `model.backbone.fusion_stages="(2,3)"`,
`model.text_encoder.weights=minilm model.text_encoder.trained_layers=0`; with `--tiny`, a small BERT without pretrained
weights: `model.text_encoder.type=BertTextEncoder model.text_encoder.variant=tiny`.
"""

_base_ = ["_base_/lavt_model.py", "_base_/refcoco.py", "_base_/schedule_lavt.py", "_base_/runtime.py"]

task = "referring"

default_hooks = dict(checkpoint=dict(save_best="ref/oIoU", rule="greater"))
