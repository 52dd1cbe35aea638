"""Pascal VOC folders."""

import contextlib
import io
import math
import re
import xml.dom.minidom
from pathlib import Path

from PIL import Image

from reliability import mutations
from reliability.campaign import UNKNOWN, Format
from reliability.loading import loaded
from visionzoo.datasets.coco_writing import write_coco_folder
from visionzoo.datasets.voc import VocFolder, choose_splits, to_coco

WIDTH, HEIGHT = 60, 40
NAMES = ("cat", "dög")
ODD_TEXTS = (*mutations.ODD_WORDS, "0", "1", "true", "Unspecified", "-5", "7.5", "0.5", "70", "<a/>", "&x;", "&amp;")
CODECS = ("latin-1", "gbk", "utf-16", "utf-16-le", "utf-8-sig", "utf-32", "cp037", "shift_jis")


def some_element(path, random):
    """Change, remove or repeat one element of an XML file."""
    text = path.read_text(encoding="utf-8")
    leaves = list(re.finditer(r"<(\w+)>([^<]*)</\1>", text))
    leaf = random.choice(leaves)
    kind = random.choice(("removed", "repeated", "text", "text", "text", "renamed"))
    new = {"removed": "", "repeated": leaf.group() * 2, "renamed": leaf.group().replace(leaf.group(1), "other")}
    odd = random.choice(ODD_TEXTS)
    text = text[: leaf.start()] + new.get(kind, f"<{leaf.group(1)}>{odd}</{leaf.group(1)}>") + text[leaf.end() :]
    path.write_text(text, encoding="utf-8")
    return f"{path.name}: {leaf.group(1)} {kind} {odd!r:.30}"


def some_encoding(path, random):
    """Save an XML file in another encoding, or declare another one."""
    codec, declared = random.choice(CODECS), random.choice((*CODECS, "utf-8", "klingon", ""))
    declaration = f'<?xml version="1.0" encoding="{declared}"?>' if declared else ""
    path.write_bytes((declaration + path.read_text(encoding="utf-8")).encode(codec, "replace"))
    return f"{path.name}: saved as {codec}, declared as {declared}"


class PascalVoc(Format):
    name = "Pascal VOC"
    damages = (
        *[("Annotations/*.xml", some_element)] * 6,
        ("Annotations/*.xml", some_encoding),
        ("Annotations/*.xml", mutations.some_line),
        ("Annotations/*.xml", mutations.some_bytes),
        ("Annotations/*.xml", mutations.some_file),
        ("JPEGImages/*", mutations.some_file),
        ("JPEGImages/*", mutations.some_bytes),
        *[("ImageSets/Main/train.txt", mutations.some_line)] * 2,
        ("ImageSets/Main/train.txt", mutations.some_bytes),
    )

    def write(self, folder, random):
        for name in ("Annotations", "JPEGImages", "ImageSets/Main"):
            (folder / name).mkdir(parents=True)
        for number, stem in enumerate(("a", "b c", "d")):
            Image.new("RGB", (WIDTH, HEIGHT), (70 * number, 9, 9)).save(folder / "JPEGImages" / f"{stem}.png")
            objects = "\n".join(
                f"<object><name>{random.choice(NAMES)}</name><difficult>{at % 2}</difficult>\n<bndbox><xmin>{3 + at}"
                f"</xmin>\n<ymin>{4 + number}</ymin><xmax>{30 + at}</xmax><ymax>22</ymax></bndbox></object>"
                for at in range(3)
            )
            size = f"<size><width>{WIDTH}</width><height>{HEIGHT}</height></size>"
            (folder / "Annotations" / f"{stem}.xml").write_text(
                f"<annotation>{size}\n{objects}\n</annotation>", "utf-8"
            )
        (folder / "ImageSets" / "Main" / "train.txt").write_text("a\nb c\nd\n")

    def read(self, folder, workers=0):
        voc = VocFolder.find(folder)
        splits = choose_splits(voc)
        coco = to_coco(voc, splits, voc.read_all(splits["train"]))
        with contextlib.redirect_stdout(io.StringIO()):
            write_coco_folder(folder / "out", coco.records, coco.images)
        names = [category["name"] for category in coco.records["train"]["categories"]]
        cfg = {
            "type": "CocoDetection",
            "ann_file": "annotations/instances_train2017.json",
            "data_root": str(folder / "out"),
            "data_prefix": {"img": "train2017/"},
            "pipeline": [{"type": "LoadImage"}, {"type": "mmdet.LoadAnnotations", "with_bbox": True}],
        }
        return dict(_contents(sample, names) for sample in loaded(cfg, workers))

    def truth(self, folder):
        try:
            words = (folder / "ImageSets" / "Main" / "train.txt").read_bytes().decode("utf-8-sig").splitlines()
            stems = dict.fromkeys(word.strip().rpartition("/")[2] for word in words if word.strip())
            paths = {path.stem: path for path in (folder / "Annotations").iterdir() if path.name[0] != "."}
            return {stem: _objects(paths[stem]) for stem in stems}
        except Exception:  # no plain meaning
            return UNKNOWN


def _contents(sample, names):
    boxes = sample["gt_bboxes"].numpy().tolist()
    rows = zip(sample["gt_bboxes_labels"], boxes, sample["gt_ignore_flags"], strict=True)
    found = [(names[label], *(round(value, 2) for value in box), bool(crowd)) for label, box, crowd in rows]
    return Path(sample["img_path"]).stem, found


def _objects(path):
    document = xml.dom.minidom.parseString(path.read_bytes())
    return [_box(node) for node in document.getElementsByTagName("object") if _is_inside(node)]


def _number(node, key):
    return float(_only(node, key))


def _only(node, key):
    (element,) = node.getElementsByTagName(key)
    return "".join(child.data for child in element.childNodes).strip()


def _corners(node):
    xs = sorted(_number(node, key) - 1 for key in ("xmin", "xmax"))
    ys = sorted(_number(node, key) - 1 for key in ("ymin", "ymax"))
    assert all(map(math.isfinite, xs + ys))
    return max(xs[0], 0), max(ys[0], 0), min(xs[1] + 1, WIDTH), min(ys[1] + 1, HEIGHT)


def _is_inside(node):
    left, top, right, bottom = _corners(node)
    return right - left >= 1 and bottom - top >= 1


def _box(node):
    try:
        word = _only(node, "difficult").lower()
    except ValueError:
        word = ""
    return (_only(node, "name"), *(round(value, 2) for value in _corners(node)), word in ("1", "true"))
