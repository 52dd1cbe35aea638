"""Formats that are converted to COCO before a run reads them."""

import contextlib
import io
from pathlib import Path

from PIL import Image

from reliability.campaign import UNKNOWN, Format
from reliability.loading import loaded
from visionzoo.datasets.coco_records import to_coco
from visionzoo.datasets.coco_writing import write_coco_folder

WIDTH, HEIGHT = 60, 40
STEMS = ("a", "b c", "d")


class Converted(Format):
    """A format with ``source``, its reader, and ``boxes``, a plain reader of (name, x0, y0, x1, y1) by stem."""

    def source(self, folder):
        raise NotImplementedError

    def boxes(self, folder):
        raise NotImplementedError

    def read(self, folder, workers=0):
        coco = to_coco(self.source(folder))
        with contextlib.redirect_stdout(io.StringIO()):
            write_coco_folder(folder / "out", coco.records, coco.images)
        names = [category["name"] for category in coco.records["train"]["categories"]]
        with_mask = any("segmentation" in one for one in coco.records["train"]["annotations"])
        cfg = {
            "type": "CocoDetection",
            "ann_file": "annotations/instances_train2017.json",
            "data_root": str(folder / "out"),
            "data_prefix": {"img": "train2017/"},
            "pipeline": [
                {"type": "LoadImage"},
                {"type": "mmdet.LoadAnnotations", "with_bbox": True, "with_mask": with_mask},
            ],
        }
        return dict(_contents(sample, names) for sample in loaded(cfg, workers))

    def truth(self, folder):
        try:
            found = self.boxes(folder)
        except Exception:  # no plain meaning
            return UNKNOWN
        return UNKNOWN if any(not _is_plain(box) for boxes in found.values() for box in boxes) else found


def draw(folder):
    """Write the images."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, stem in enumerate(STEMS):
        Image.new("RGB", (WIDTH, HEIGHT), (70 * number, 9, 9)).save(folder / f"{stem}.png")


def _is_plain(box):
    """Return True for a box that needs no rule to be read: sorted, inside the image, and not tiny."""
    _, x0, y0, x1, y1 = box
    return x0 >= 0 and x0 + 1 <= x1 <= WIDTH and y0 >= 0 and y0 + 1 <= y1 <= HEIGHT


def _contents(sample, names):
    boxes = sample["gt_bboxes"].numpy().tolist()
    rows = zip(sample["gt_bboxes_labels"], boxes, strict=True)
    return Path(sample["img_path"]).stem, [(names[label], *(round(value, 1) for value in box)) for label, box in rows]
