"""LAVT: Swin-B with window 12 that reads BERT's words in every stage, for RGB images normalised as for ImageNet.

BERT is that of `text_encoder.weights`: a folder with its files, or its name on the Hugging Face hub, whose local cache
is read; `online=True` lets the first training download it. As in LAVT, its first ten layers are trained.
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
    head=dict(type="LAVTHead"),
)

tiny = dict(
    model=dict(
        text_encoder=dict(_delete_=True, type="GRUTextEncoder", variant="tiny"),
        backbone=dict(variant="tiny", drop_path_rate=0.0),
        head=dict(variant="tiny"),
    ),
)
