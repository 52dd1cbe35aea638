"""YOLO folders."""

import yaml

from reliability import mutations
from reliability.converted import HEIGHT, STEMS, WIDTH, Converted, draw
from visionzoo.datasets.yolo import read_yolo


class Yolo(Converted):
    name = "YOLO"
    damages = (
        *[("labels/train/*.txt", mutations.some_line)] * 5,
        ("labels/train/*.txt", mutations.some_bytes),
        ("labels/train/*.txt", mutations.some_file),
        *[("data.yaml", mutations.some_line)] * 3,
        ("data.yaml", mutations.some_bytes),
        ("data.yaml", mutations.some_file),
        ("images/train/*", mutations.some_file),
        ("images/train/*", mutations.some_bytes),
    )

    def write(self, folder, random):
        draw(folder / "images" / "train")
        (folder / "labels" / "train").mkdir(parents=True)
        for number, stem in enumerate(STEMS):
            boxes = [f"{random.choice((0, 1))} 0.5 0.{4 + number} 0.2 0.{2 + at}" for at in range(3)]
            polygon = "1 0.1 0.1 0.5 0.1 0.5 0.75"
            (folder / "labels" / "train" / f"{stem}.txt").write_text("\n".join([*boxes, polygon]) + "\n")
        (folder / "data.yaml").write_text("path: .\ntrain: images/train\nnc: 2\nnames:\n  0: cat\n  1: dög\n", "utf-8")

    def source(self, folder):
        return read_yolo(folder)

    def boxes(self, folder):
        names = yaml.safe_load((folder / "data.yaml").read_bytes().decode("utf-8-sig"))["names"]
        names = dict(enumerate(names)) if isinstance(names, list) else names
        assert all(isinstance(name, str) and name == name.strip() for name in names.values())
        images = (folder / "images" / "train").iterdir()
        return {
            path.stem: _boxes(folder, path.stem, names) for path in images if path.name[0] != "." and path.is_file()
        }


def _boxes(folder, stem, names):
    path = folder / "labels" / "train" / f"{stem}.txt"
    if not path.is_symlink() and not path.exists():
        return []
    lines = [" ".join(line.split()) for line in path.read_bytes().decode("utf-8-sig").splitlines()]
    return [_box(line.split(), names) for line in dict.fromkeys(lines) if line]


def _box(words, names):
    values = [float(word) for word in words[1:]]
    if len(values) == 4:
        x, y, w, h = values
        edges = x - w / 2, y - h / 2, x + w / 2, y + h / 2
    else:
        assert len(values) % 2 == 0
        edges = min(values[::2]), min(values[1::2]), max(values[::2]), max(values[1::2])
    sides = (WIDTH, HEIGHT, WIDTH, HEIGHT)
    return names[int(words[0])], *(round(edge * side, 1) for edge, side in zip(edges, sides, strict=True))
