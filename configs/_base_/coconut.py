"""COCONut-S to train and relabeled COCO-val to validate, in data/coconut (see datasets/coconut/README.md).

The images are those of COCO 2017. COCONut-B, L and XL need another ann_file and another folder of masks.
"""

_base_ = ["coco_panoptic.py"]

train_dataloader = dict(
    dataset=dict(
        data_root="data/coconut", ann_file="coconut_s.json", data_prefix=dict(img="train2017/", seg="coconut_s/")
    )
)
val_dataloader = dict(
    dataset=dict(
        data_root="data/coconut",
        ann_file="relabeled_coco_val.json",
        data_prefix=dict(img="val2017/", seg="relabeled_coco_val/"),
    )
)
test_dataloader = val_dataloader

tiny_data = dict(dataset=dict(data_root="tiny://coconut?train=64&val=8&seed=0"))
tiny = dict(train_dataloader=tiny_data, val_dataloader=tiny_data, test_dataloader=tiny_data)
