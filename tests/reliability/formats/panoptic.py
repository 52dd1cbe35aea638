"""Panoptic annotations with id maps, and folders of images and maps of classes."""

import json
from pathlib import Path

import numpy as np
from PIL import Image

from reliability import mutations
from reliability.campaign import UNKNOWN, Format
from reliability.loading import loaded
from visionzoo.registry import DATASETS, TRANSFORMS

for registry in (DATASETS, TRANSFORMS):  # imports take seconds, which the time limit of a mutation does not include
    registry.import_parts()

HEIGHT, WIDTH = 20, 30
NAMES = {3: "cat", 5: "dog", 9: "sky"}


def another_map(path, random):
    """Save a map with other pixels, in another mode or size."""
    image = Image.open(path)
    pixels = np.array(image)
    kind = random.choice(("L", "RGBA", "P", "1", "LA", "I;16", "JPEG", "size", "turned", "zeros", "pixels"))
    if kind == "I;16":
        Image.fromarray(pixels.reshape(HEIGHT, WIDTH, -1)[..., 0].astype(np.uint16)).save(path)
    elif kind == "JPEG":
        image.convert("RGB").save(path, kind)
    elif kind in ("size", "turned", "zeros", "pixels"):
        pixels[3, 4] = random.choice((0, 1, 2, 77, 255))
        new = {"size": pixels[:-1], "turned": pixels.swapaxes(0, 1), "zeros": pixels * 0, "pixels": pixels}
        Image.fromarray(np.ascontiguousarray(new[kind])).save(path)
    else:
        image.convert(kind).save(path)
    return f"{path.name}: saved as {kind}"


class PanopticFiles(Format):
    name = "panoptic annotations"
    damages = (
        *[("all.json", mutations.some_json_value)] * 8,
        ("all.json", mutations.some_bytes),
        ("all.json", mutations.some_line),
        *[("all/*", another_map)] * 3,
        ("all/*", mutations.some_bytes),
        ("all/*", mutations.some_file),
        ("imgs/*", mutations.some_file),
    )

    def write(self, folder, random):
        (folder / "all").mkdir()
        (folder / "imgs").mkdir()
        images, annotations = [], []
        for number, name in enumerate(("a", "b c")):
            ids = np.zeros((HEIGHT, WIDTH), int)
            ids[2:9, 3:10], ids[10:15, 12:20], ids[15:] = 1 + 300 * number, 2, 70_000
            colours = np.stack([ids % 256, ids // 256 % 256, ids // 65536], axis=-1).astype(np.uint8)
            Image.fromarray(colours).save(folder / "all" / f"{name}.png")
            Image.new("RGB", (WIDTH, HEIGHT), (70 * number, 9, 9)).save(folder / "imgs" / f"{name}.jpg")
            kinds = {1 + 300 * number: 3, 2: random.choice((3, 5)), 70_000: 9}
            segments = [
                {"id": each, "category_id": kind, "iscrowd": int(each == 2), "isthing": int(kind < 9), "area": 40}
                for each, kind in kinds.items()
            ]
            images.append({"id": number, "file_name": f"{name}.jpg", "height": HEIGHT, "width": WIDTH})
            annotations.append({"image_id": number, "file_name": f"{name}.png", "segments_info": segments})
        categories = [{"id": number, "name": name, "isthing": int(number < 9)} for number, name in NAMES.items()]
        record = {"images": images, "annotations": annotations, "categories": categories}
        (folder / "all.json").write_text(json.dumps(record))

    def read(self, folder, workers=0):
        steps = [{"type": "LoadImage"}, {"type": "LoadPanopticTargets"}, {"type": "LoadPanoptic"}]
        prefix = {"img": "imgs/", "seg": "all/"}
        data = {"type": "PanopticDataset", "ann_file": "all.json", "data_root": str(folder), "data_prefix": prefix}
        samples = loaded({**data, "pipeline": steps, "test_mode": True}, workers)
        return {Path(each["img_path"]).name: _contents(each) for each in samples}

    def truth(self, folder):
        try:
            record = json.loads((folder / "all.json").read_bytes())
            return dict(_plain(folder, record, each) for each in record["annotations"])
        except Exception:  # no plain meaning
            return UNKNOWN


def _contents(sample):
    """Return the size, the number of things, and category, crowd flag and number of pixels of the segments."""
    panoptic = sample["gt_panoptic"]
    rows = [(each.category_id, each.iscrowd, int(panoptic.mask(each).sum())) for each in panoptic.segments]
    assert (sample["gt_seg_map"] == sample["gt_semantic"]).all()
    return sample["img"].shape[:2], len(sample["gt_masks"]), sorted(rows)


def _plain(folder, record, annotation):
    """Return name and contents of an image, as a plain reader finds them."""
    (image,) = [each for each in record["images"] if each["id"] == annotation["image_id"]]
    categories = sorted(record["categories"], key=lambda each: not each["isthing"])
    labels = {each["id"]: label for label, each in enumerate(categories)}
    pixels = np.array(Image.open(folder / "all" / annotation["file_name"])).astype(int)
    ids = pixels if pixels.ndim == 2 else pixels[..., 0] + 256 * pixels[..., 1] + 65536 * pixels[..., 2]
    rows, things = [], 0
    for each in annotation["segments_info"]:
        label, is_crowd = labels[each["category_id"]], bool(each.get("iscrowd"))
        things += categories[label]["isthing"] and not is_crowd
        rows.append((label, is_crowd, int((ids == each["id"]).sum())))
    return image["file_name"], (ids.shape, int(things), sorted(rows))


class ClassMaps(Format):
    name = "maps of classes"
    damages = (
        *[("annotations/*", another_map)] * 4,
        ("annotations/*", mutations.some_bytes),
        ("annotations/*", mutations.some_file),
        ("images/*", mutations.some_file),
        ("classes.txt", mutations.some_line),
        ("classes.txt", mutations.some_bytes),
    )

    def write(self, folder, random):
        for name in ("images", "annotations"):
            (folder / name).mkdir()
        for number, name in enumerate(("a", "b c")):
            labels = np.full((HEIGHT, WIDTH), 255, np.uint8)
            labels[2:9, 3:10], labels[10:15, 12:20] = 0, random.choice((1, 2))
            Image.fromarray(labels).save(folder / "annotations" / f"{name}.png")
            Image.new("RGB", (WIDTH, HEIGHT), (70 * number, 9, 9)).save(folder / "images" / f"{name}.jpg")
        (folder / "classes.txt").write_text("\n".join(NAMES.values()) + "\n")

    def read(self, folder, workers=0):
        steps = [{"type": "LoadImage"}, {"type": "LoadSemanticMap"}]
        data = {"type": "SemanticFolders", "data_root": str(folder), "pipeline": steps, "test_mode": True}
        counts = [np.bincount(each["gt_seg_map"].ravel(), minlength=256) for each in loaded(data, workers)]
        return [{label: int(count) for label, count in enumerate(each) if count} for each in counts]

    def truth(self, folder):
        try:
            images = sorted((folder / "images").iterdir())
            maps = [np.array(Image.open(folder / "annotations" / f"{each.stem}.png")) for each in images]
            assert all(each.shape == (HEIGHT, WIDTH) for each in maps)
            return [dict(zip(*(values.tolist() for values in np.unique(each, return_counts=True)))) for each in maps]
        except Exception:  # no plain meaning
            return UNKNOWN
