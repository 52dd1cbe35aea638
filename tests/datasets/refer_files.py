"""Small data sets in the layout of the REFER tools, for tests."""

import json
import pickle

import numpy as np
from PIL import Image

FOLDER = "images/mscoco/images/train2014"
SQUARE, OVER = [2, 1, 10, 1, 10, 9, 2, 9], [6, 1, 14, 1, 14, 9, 6, 9]


def ref(number, split="train", image=1, ann=None, phrases=("left box",), **more):
    """Return an entry of a file of refs."""
    sentences = [{"raw": text, "sent": text.lower(), "sent_id": 10 * number + n} for n, text in enumerate(phrases)]
    entry = {"ref_id": number, "image_id": image, "ann_id": number if ann is None else ann, "split": split}
    return {**entry, "file_name": "COCO_train2014_1_7.jpg", "sentences": sentences, **more}


def instances(count=4, **segmentations):
    """Return a COCO record of two images, 17x23 and 23x17 pixels, with annotations 1 to ``count`` on the first."""
    images = [
        {"id": 1, "file_name": "COCO_train2014_000000000001.jpg", "height": 17, "width": 23},
        {"id": 2, "file_name": "COCO_train2014_000000000002.jpg", "height": 23, "width": 17},
    ]
    annotations = [
        {
            "id": number,
            "image_id": 1,
            "category_id": 1,
            "bbox": [2, 1, 12, 8],
            "area": 64,
            "iscrowd": 0,
            "segmentation": segmentations.get(f"of_{number}", [SQUARE, OVER]),
        }
        for number in range(1, count + 1)
    ]
    return {"images": images, "annotations": annotations, "categories": [{"id": 1, "name": "box"}]}


def write_refer(root, refs, record=None, *, name="refcoco", file="refs(unc).p", images=True):
    """Write a data set and return ``root`` as text."""
    folder, record = root / name, record or instances()
    folder.mkdir(parents=True, exist_ok=True)
    data = pickle.dumps(refs, protocol=2) if file.endswith(".p") else json.dumps(refs).encode()
    (folder / file).write_bytes(data)
    (folder / "instances.json").write_text(json.dumps(record), encoding="utf-8")
    place = root / FOLDER
    place.mkdir(parents=True, exist_ok=True)
    for image in record["images"] if images else ():
        pixels = np.full((image["height"], image["width"], 3), 40 * image["id"], np.uint8)
        Image.fromarray(pixels).save(place / image["file_name"])
    return str(root)
