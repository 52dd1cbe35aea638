"""Classes of ImageNet, salient objects of MSRA-B, boxes of COCO and panoptic masks of COCONut-S, one task per image.

See datasets/imagenet/README.md, datasets/saliency/README.md, datasets/coco/README.md and datasets/coconut/README.md. An
epoch has 120,000 images, as many batches of each task. For tests, images of all tasks are resized to fit into 480x640,
so that one pass of the trunk serves all tasks.
"""

size = (480, 640)
load = dict(type="LoadImage")
fit = dict(type="ResizeToFit", size=size, truth=False)
pack = dict(type="PackTaskInputs")
boxes = dict(type="mmdet.LoadAnnotations", with_bbox=True)
flip = dict(type="RandomFlip", prob=0.5)
flip_classes = dict(type="HorizontalFlip", prob=0.5)
flip_boxes = dict(type="mmdet.RandomFlip", prob=0.5)
load_mask = dict(type="LoadMaskAnnotation")
load_binary_mask = dict(type="LoadMaskAnnotation", kind="binary")
load_segments = dict(type="LoadPanopticTargets")

image_size = dict(
    size=size,
    paths=[
        "train_dataloader.dataset.datasets.classification.pipeline.1.size",
        "train_dataloader.dataset.datasets.saliency.pipeline.2.scale",
        "train_dataloader.dataset.datasets.saliency.pipeline.3.crop_size",
        "train_dataloader.dataset.datasets.detection.pipeline.2.scale",
        "train_dataloader.dataset.datasets.panoptic.pipeline.2.scale",
        "train_dataloader.dataset.datasets.panoptic.pipeline.3.crop_size",
        "val_dataloader.dataset.datasets.classification.pipeline.1.size",
        "val_dataloader.dataset.datasets.saliency.pipeline.1.size",
        "val_dataloader.dataset.datasets.detection.pipeline.1.size",
        "val_dataloader.dataset.datasets.panoptic.pipeline.1.size",
        "test_dataloader.dataset.datasets.classification.pipeline.1.size",
        "test_dataloader.dataset.datasets.saliency.pipeline.1.size",
        "test_dataloader.dataset.datasets.detection.pipeline.1.size",
        "test_dataloader.dataset.datasets.panoptic.pipeline.1.size",
    ],
)

train_dataloader = dict(
    batch_size=4,
    num_workers=4,
    persistent_workers=True,
    drop_last=True,
    sampler=dict(type="JointSampler", mode="in_turn", length=120_000),
    dataset=dict(
        type="JointDataset",
        datasets=dict(
            classification=dict(
                type="ImageNet",
                data_root="data/imagenet",
                split="train",
                pipeline=[load, dict(type="RandomResizedCrop", size=(320, 320)), flip_classes, pack],
            ),
            saliency=dict(
                type="SaliencyDataset",
                data_root="data/msra_b",
                split="train",
                pipeline=[
                    load,
                    load_binary_mask,
                    dict(type="RandomResize", scale=(400, 400), ratio_range=(0.75, 1.25), keep_ratio=True),
                    dict(type="mmseg.RandomCrop", crop_size=(352, 352)),
                    flip,
                    pack,
                ],
            ),
            detection=dict(
                type="CocoDetection",
                data_root="data/coco",
                ann_file="annotations/instances_train2017.json",
                data_prefix=dict(img="train2017/"),
                filter_cfg=dict(filter_empty_gt=True, min_size=32),
                pipeline=[load, boxes, dict(type="mmdet.Resize", scale=(640, 480), keep_ratio=True), flip_boxes, pack],
            ),
            panoptic=dict(
                type="PanopticDataset",
                data_root="data/coconut",
                ann_file="coconut_s.json",
                data_prefix=dict(img="train2017/", seg="coconut_s/"),
                pipeline=[
                    load,
                    load_segments,
                    dict(
                        type="RandomResize",
                        scale=(640, 480),
                        ratio_range=(0.5, 1.5),
                        resize_type="mmdet.Resize",
                        keep_ratio=True,
                    ),
                    dict(type="mmdet.RandomCrop", crop_size=(480, 640), recompute_bbox=True, allow_negative_crop=True),
                    flip_boxes,
                    pack,
                ],
            ),
        ),
    ),
)
classification_test = dict(
    type="ImageNet", data_root="data/imagenet", split="val", test_mode=True, pipeline=[load, fit, pack]
)
detection_test = dict(
    type="CocoDetection",
    data_root="data/coco",
    ann_file="annotations/instances_val2017.json",
    data_prefix=dict(img="val2017/"),
    test_mode=True,
    pipeline=[load, fit, boxes, pack],
)
panoptic_test = dict(
    type="PanopticDataset",
    data_root="data/coconut",
    ann_file="relabeled_coco_val.json",
    data_prefix=dict(img="val2017/", seg="relabeled_coco_val/"),
    test_mode=True,
    pipeline=[load, fit, dict(type="LoadPanoptic"), pack],
)
saliency_test = dict(
    type="SaliencyDataset", data_root="data/msra_b", test_mode=True, pipeline=[load, fit, load_mask, pack]
)
val_dataloader = dict(
    batch_size=1,
    num_workers=4,
    persistent_workers=True,
    dataset=dict(
        type="JointDataset",
        datasets=dict(
            classification=classification_test,
            saliency=dict(**saliency_test, split="val"),
            detection=detection_test,
            panoptic=panoptic_test,
        ),
    ),
)
test_dataloader = dict(
    batch_size=1,
    num_workers=4,
    persistent_workers=True,
    dataset=dict(
        type="JointDataset",
        datasets=dict(
            classification=classification_test,
            saliency=dict(**saliency_test, split="test"),
            detection=detection_test,
            panoptic=panoptic_test,
        ),
    ),
)

val_evaluator = dict(
    type="JointEvaluator",
    metrics=dict(
        classification=dict(type="ClassificationMetric"),
        saliency=dict(type="SaliencyMetric", protocol="pysod"),
        detection=dict(type="CocoMetric", metric="bbox"),
        panoptic=dict(type="PanopticQualityMetric"),
    ),
)
test_evaluator = val_evaluator

tiny_size = (96, 96)
tiny_fit = dict(type="ResizeToFit", size=tiny_size, truth=False)
tiny_classes_root = "tiny://imagenet?train=120&val=40&seed=0"
tiny_saliency_root = "tiny://msra_b?train=24&val=8&seed=0"
tiny_detection_root = "tiny://coco?train=16&val=8&seed=0"
tiny_panoptic_root = "tiny://coconut?train=32&val=8&seed=0"
tiny_test_data = dict(
    classification=dict(data_root=tiny_classes_root, pipeline=[load, tiny_fit, pack]),
    saliency=dict(data_root=tiny_saliency_root, pipeline=[load, tiny_fit, load_mask, pack]),
    detection=dict(data_root=tiny_detection_root, pipeline=[load, tiny_fit, boxes, pack]),
    panoptic=dict(data_root=tiny_panoptic_root, pipeline=[load, tiny_fit, dict(type="LoadPanoptic"), pack]),
)
tiny_val_dataloader = dict(num_workers=0, persistent_workers=False, dataset=dict(datasets=tiny_test_data))
tiny = dict(
    image_size=dict(size=tiny_size),
    train_dataloader=dict(
        batch_size=4,
        num_workers=0,
        persistent_workers=False,
        sampler=dict(length=96),
        dataset=dict(
            datasets=dict(
                classification=dict(
                    data_root=tiny_classes_root,
                    pipeline=[
                        load,
                        dict(type="RandomResizedCrop", size=(64, 64), scale=(0.5, 1.0)),
                        flip_classes,
                        pack,
                    ],
                ),
                saliency=dict(
                    data_root=tiny_saliency_root,
                    pipeline=[
                        load,
                        load_binary_mask,
                        dict(type="RandomResize", scale=(80, 80), ratio_range=(0.75, 1.25), keep_ratio=True),
                        dict(type="mmseg.RandomCrop", crop_size=(64, 64)),
                        flip,
                        pack,
                    ],
                ),
                detection=dict(
                    data_root=tiny_detection_root,
                    pipeline=[
                        load,
                        boxes,
                        dict(type="mmdet.Resize", scale=(96, 96), keep_ratio=True),
                        flip_boxes,
                        pack,
                    ],
                ),
                panoptic=dict(
                    data_root=tiny_panoptic_root,
                    pipeline=[
                        load,
                        load_segments,
                        dict(
                            type="RandomResize",
                            scale=(64, 64),
                            ratio_range=(0.9, 1.2),
                            resize_type="mmdet.Resize",
                            keep_ratio=True,
                        ),
                        dict(
                            type="mmdet.RandomCrop", crop_size=(64, 64), recompute_bbox=True, allow_negative_crop=True
                        ),
                        flip_boxes,
                        pack,
                    ],
                ),
            ),
        ),
    ),
    val_dataloader=tiny_val_dataloader,
    test_dataloader=tiny_val_dataloader,
)
