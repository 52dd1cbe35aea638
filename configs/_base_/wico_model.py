"""WiCo: LAVT (Swin-B, BERT) and a scorer of the proposals of Mask R-CNN, which exchange features and are mixed.

BERT is as in lavt_model.py. The segmenter is frozen; `model.head.provider.weights` is the folder of its run. The tiny
variant takes regions of one colour as proposals.
"""

model = dict(
    type="TaskModel",
    data_preprocessor=dict(
        type="TaskPreprocessor",
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        pad_size_divisor=32,
    ),
    text_encoder=dict(
        type="BertTextEncoder", variant="base", weights="google-bert/bert-base-uncased", trained_layers=10
    ),
    backbone=dict(type="LAVTSwin", variant="swin_base"),
    head=dict(
        type="WiCoHead",
        bottom_up=dict(type="LAVTHead"),
        top_down=dict(type="ProposalScorer"),
        provider=dict(type="ZooSegmenter", model="rcnet_mask_rcnn"),
        interaction=dict(type="CFI"),
        integration=dict(type="GSI"),
        result="mixture",
    ),
)

tiny = dict(
    model=dict(
        text_encoder=dict(_delete_=True, type="GRUTextEncoder", variant="tiny"),
        backbone=dict(variant="tiny", drop_path_rate=0.0),
        head=dict(variant="tiny", provider=dict(_delete_=True, type="ColourRegions")),
    ),
)
