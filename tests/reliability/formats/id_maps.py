"""Id maps of instances."""

from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from reliability import mutations
from reliability.campaign import UNKNOWN, Format
from reliability.loading import loaded
from visionzoo.datasets.coco_writing import write_coco_file
from visionzoo.datasets.id_maps import images_of, to_coco


def another_kind(path, random):
    """Save a map with other pixels, in another mode or size."""
    ids = np.array(Image.open(path))
    kind = random.choice(("RGB", "RGBA", "P", "I;16", "1", "LA", "float", "size", "turned", "zeros", "ids"))
    if kind == "float":
        Image.fromarray(ids.astype(np.float32)).save(path, "TIFF")
    elif kind == "I;16":
        Image.fromarray(ids.astype(np.uint16) * 200).save(path)
    elif kind in ("size", "turned", "zeros", "ids"):
        new = {"size": ids[:-1], "turned": ids.T, "zeros": ids * 0, "ids": ids * random.choice((1, 3, 50, 255))}
        Image.fromarray(np.ascontiguousarray(new[kind])).save(path)
    else:
        Image.fromarray(ids).convert(kind).save(path)
    return f"{path.name}: saved as {kind}"


class IdMaps(Format):
    name = "id maps"
    damages = (
        *[("instances/*", another_kind)] * 3,
        ("instances/*", mutations.some_bytes),
        ("instances/*", mutations.some_file),
        ("imgs/*", mutations.some_bytes),
        ("imgs/*", mutations.some_file),
        *[("train.txt", mutations.some_line)] * 2,
        ("train.txt", mutations.some_bytes),
    )

    def write(self, folder, random):
        for name in ("imgs", "instances"):
            (folder / name).mkdir()
        for number, stem in enumerate(("a", "b c", "d")):
            ids = np.zeros((20, 30), np.uint8)
            ids[2 : 9 + number, 3:10], ids[10:15, 12:20] = 1, random.choice((2, 5))
            Image.fromarray(ids).save(folder / "instances" / f"{stem}.png")
            Image.new("RGB", (30, 20), (70 * number, 9, 9)).save(folder / "imgs" / f"{stem}.png")
        (folder / "train.txt").write_text("a\nb c\nd\n")

    def read(self, folder, workers=0):
        record = to_coco(images_of(folder, folder / "train.txt"))
        write_coco_file(folder / "all.json", {"train": record})
        cfg = {
            "type": "CocoDetection",
            "ann_file": "all.json",
            "data_root": str(folder),
            "data_prefix": {"img": "imgs/"},
            "pipeline": [{"type": "LoadImage"}, {"type": "mmdet.LoadAnnotations", "with_bbox": True}],
        }
        read = loaded(cfg, workers)
        return {Path(sample["img_path"]).stem: sorted(sample["gt_bboxes"].numpy().tolist()) for sample in read}

    def truth(self, folder):
        try:
            lines = (folder / "train.txt").read_bytes().decode("utf-8-sig").splitlines()
            return {line.strip(): _boxes(folder, line.strip()) for line in lines if line.strip()}
        except Exception:  # no plain meaning
            return UNKNOWN


def _boxes(folder, stem):
    path = folder / "instances" / f"{stem}.png"
    image = Image.open(path)
    ids = np.array(image) if image.mode in ("P", "1") else cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    assert ids.shape == (20, 30)
    places = [np.nonzero(ids == value) for value in np.unique(ids) if value]
    return sorted([float(x.min()), float(y.min()), x.max() + 1.0, y.max() + 1.0] for y, x in places)
