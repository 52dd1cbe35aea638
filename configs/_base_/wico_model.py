"""WiCo: LAVT (Swin-B, BERT) and a scorer of the proposals of Mask R-CNN, which exchange features and are mixed.

BERT is as in lavt_model.py. The segmenter is frozen; `model.head.provider.weights` is the folder of its run. The tiny
variant takes regions of one colour as proposals.
"""

_base_ = ["lavt_model.py"]

model = dict(
    head=dict(
        _delete_=True,
        type="WiCoHead",
        bottom_up=dict(type="LAVTHead"),
        top_down=dict(type="ProposalScorer"),
        provider=dict(type="ZooSegmenter", model="rcnet_mask_rcnn"),
        interaction=dict(type="CFI"),
        integration=dict(type="GSI"),
        result="mixture",
    ),
)

tiny = dict(model=dict(head=dict(provider=dict(_delete_=True, type="ColourRegions"))))
