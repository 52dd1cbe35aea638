"""Class folders, lists of images, class maps and CIFAR."""

from __future__ import annotations

import csv
import io
import json
import os
import pickle
import re
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
from PIL import Image

from reliability import mutations
from reliability.campaign import Format
from reliability.loading import samples_of
from visionzoo.datasets.class_map import read_class_map
from visionzoo.engine.loaders import build_dataset

REFUSED = "refused"
PATHS = ("cat/0.png", "cat/1.png", "dog/0.png", "dog/deep/1.png")


def draw(folder: Path) -> None:
    for number, name in enumerate(PATHS):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (3, 2), (50 * number, 9, 9)).save(path)


def loaded(folder: Path, workers: int, **cfg: Any) -> list[tuple]:
    """Return path, class and size of each image of a data set, in order."""
    pipeline = [] if cfg["type"].startswith("CIFAR") else [{"type": "LoadImage"}]
    data = build_dataset({**cfg, "data_root": str(folder), "pipeline": pipeline}, where="data set")
    samples = samples_of(data, workers)
    names = data.metainfo["classes"]
    return [(sample.get("img_path"), names[sample["gt_label"]], sample["img"].shape) for sample in samples]


def at(folder: Path, samples: list[tuple]) -> list[tuple[str, str]]:
    """Return the path relative to the folder, and the class."""
    return sorted((os.path.normpath(os.path.relpath(path, folder)), name) for path, name, _ in samples)


# --- folders ---


def some_link(folder: Path, random: Random) -> str:
    """Link from a class folder to a folder above, to itself, to another class or to nothing."""
    target = random.choice(("..", ".", "../..", "../dog", "../cat", "/nowhere", "up", "../../train"))
    (folder / "train" / random.choice(("cat", "dog", "dog/deep")) / "up").symlink_to(target)
    return f"link to {target}"


def some_name(folder: Path, random: Random) -> str:
    """Write an image, or a file, with another name."""
    names = (
        "._0.png",
        ".0.png",
        ".hidden/0.png",
        "__MACOSX/0.png",
        "Thumbs.db",
        "a.txt",
        "x/y/z.png",
        "猫.png",
        "b.JPG",
    )
    odd = (os.fsdecode(b"caf\xe9.png"), "a\nb.png", " .png", "a b.png", f"{'x' * 240}.png")
    name = random.choice(names + odd)
    path = folder / random.choice(("train", "train/cat", "train/dog/deep")) / name
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (3, 2)).save(path, "PNG")
    return f"file {name!r}"


def some_class(folder: Path, random: Random) -> str:
    """Rename, empty, move or add a class folder."""
    train = folder / "train"
    new = random.choice(("emu", "Cat", "7", " ", "__MACOSX", ".emu", "c\nt", os.fsdecode(b"\xe9mu"), "nan", "x" * 255))
    kind = random.choice(("renamed", "added", "deeper", "file"))
    if kind == "renamed":
        (train / "cat").rename(train / new)
    elif kind == "added":
        (train / new).mkdir()
        Image.new("RGB", (3, 2)).save(train / new / "9.png")
    elif kind == "deeper":
        train.rename(folder / "images")
        train.mkdir()
        (folder / "images").rename(train / "images")
    else:
        (train / new).touch()
    return f"class {new!r}: {kind}"


class ClassFolders(Format):
    name = "class folders"
    damages = (("train/**/*.png", mutations.some_file), ("train/**/*.png", mutations.some_bytes))

    def write(self, folder, random):
        draw(folder / "train")

    def damage(self, folder, random):
        other = random.choice((None, some_link, some_name, some_class))
        return super().damage(folder, random) if other is None else other(folder, random)

    def read(self, folder, workers=0):
        return at(folder / "train", loaded(folder, workers, type="ImageFolder"))

    def truth(self, folder):
        train, found = folder / "train", []
        for where, folders, names in os.walk(train):
            folders[:] = [name for name in folders if name[0] != "." and name != "__MACOSX"]
            images = [name for name in names if name[0] != "." and name.lower().endswith((".png", ".jpg"))]
            paths = [os.path.relpath(os.path.join(where, name), train) for name in images]
            found += [(path, path.split("/")[0]) for path in paths if "/" in path]
        return sorted(found) if len({name for _, name in found}) > 1 else REFUSED


# --- lists ---


class ImageLists(Format):
    name = "image list"
    file = "list.txt"
    lines = "\n".join(f"{path} {path[:3]}" for path in PATHS)
    damages = (
        *[("list.*", mutations.some_line)] * 6,
        ("list.*", mutations.some_bytes),
        ("cat/*.png", mutations.some_file),
    )

    def write(self, folder, random):
        draw(folder)
        lines = self.lines
        if random.random() < 0.5:
            first, second = random.choice((("0", "1"), ("1", "2"), ("4", "5003"), ("0", "9" * 12), ("01", "02")))
            lines = re.sub(r"cat$", first, re.sub(r"dog$", second, lines, flags=re.M), flags=re.M)
        (folder / self.file).write_text(lines)

    def read(self, folder, workers=0):
        return at(folder, loaded(folder, workers, type="ImageList", ann_file=self.file))

    def truth(self, folder):
        try:
            rows = self.rows((folder / self.file).read_text(encoding="utf-8-sig"))
        except (ValueError, OSError, csv.Error):
            return REFUSED
        rows = [(os.path.normpath(name.strip()), label.strip()) for name, label in rows]
        rows = [(name, label) for name, label in rows if not os.path.basename(name).startswith(".")]
        if len(dict(rows)) != len(set(rows)) or len({label for _, label in rows}) < 2:
            return REFUSED
        numeric = all(re.fullmatch(r"[0-9.]+", label) for _, label in rows)
        return sorted((name, str(int(float(label))) if numeric else label) for name, label in rows)

    def rows(self, text: str) -> list[tuple[str, str]]:
        return [(line.rsplit(maxsplit=1)[0], line.split()[-1]) for line in text.split("\n") if line.strip()]


class ClassCsv(ImageLists):
    name = "class CSV"
    file = "list.csv"
    lines = "path,label\n" + "\n".join(f"{path},{path[:3]}" for path in PATHS)

    def rows(self, text):
        header, *rows = (row for row in csv.reader(io.StringIO(text, newline=""), strict=True) if any(row))
        path, label = ([name.strip().lower() for name in header].index(name) for name in ("path", "label"))
        if any(len(row) != len(header) for row in rows):
            raise ValueError("cells")
        return [(row[path], row[label]) for row in rows]


# --- class maps ---

RECORDS: tuple[Any, ...] = (
    {"dog": "a hound", "cat": "a tom"},
    {"0": ["dog", "a hound"], "1": ["cat", "a tom"]},
    {"dog": 0, "cat": 1},
    ["dog", "cat"],
    [["dog", "a hound"], ["cat", "a tom"]],
)


class JsonClassMap(Format):
    name = "class map (json)"
    file = "map.json"
    damages = (
        *[("map.*", mutations.some_json_value)] * 8,
        *[("map.*", mutations.some_line)] * 2,
        ("map.*", mutations.some_bytes),
        ("map.*", mutations.some_file),
    )

    def write(self, folder, random):
        draw(folder / "train")
        (folder / self.file).write_text(json.dumps(random.choice(RECORDS)))

    def read(self, folder, workers=0):
        known = read_class_map(folder / self.file)
        loaded(folder, workers, type="ImageFolder", class_map=self.file)
        return list(zip(known.keys, known.names))

    def truth(self, folder):
        try:
            record = json.loads((folder / self.file).read_text(encoding="utf-8-sig"))
            pairs = plain_pairs(record)
        except (ValueError, OSError, TypeError, LookupError, AttributeError):
            return REFUSED
        texts = [word for pair in pairs for word in pair]
        return (
            pairs
            if all(isinstance(word, str) for word in texts) and {"cat", "dog"} <= {k for k, _ in pairs}
            else REFUSED
        )


def plain_pairs(record: Any) -> list[tuple[str, str]]:
    """Return folder and name of each class by label."""
    if isinstance(record, list):
        return [(each, each) if isinstance(each, str) else (each[0], each[1]) for each in record]
    values = list(record.values())
    if all(isinstance(value, list) for value in values):
        return [tuple(record[str(number)]) for number in range(len(record))]
    try:
        labels = {int(value): key for key, value in record.items() if not isinstance(value, bool | float)}
        return [(labels[number], labels[number]) for number in range(len(record))]
    except (ValueError, KeyError, TypeError):
        return [(key, key if name is None else name) for key, name in record.items()]


class TextClassMap(JsonClassMap):
    name = "class map (text)"
    file = "map.txt"
    damages = (
        *[("map.*", mutations.some_line)] * 6,
        ("map.*", mutations.some_bytes),
        ("map.*", mutations.some_file),
    )

    def write(self, folder, random):
        draw(folder / "train")
        (folder / self.file).write_text(random.choice(("dog a hound\ncat a tom", "dog\ncat", "cat\tcat\ndog\tdog\n")))

    def truth(self, folder):
        try:
            text = (folder / self.file).read_text(encoding="utf-8-sig")
        except (ValueError, OSError):
            return REFUSED
        words = [line.strip().replace("\t", " ").split(" ", 1) for line in text.split("\n") if line.strip()]
        pairs = [(some[0], some[-1].strip()) for some in words]
        return pairs if {"cat", "dog"} <= {key for key, _ in pairs} else REFUSED


# --- CIFAR ---

NAMES = [b"cat", b"dog", b"emu"]
ODD: tuple[Any, ...] = (
    *mutations.ODD, b"cat", b"\xff", b"", 2**200, (1, 2), np.zeros(3), np.zeros((4, 3072), np.uint8),
    np.zeros((0, 3072), np.uint8), np.zeros(4, object), np.arange(4), np.zeros((4, 3, 32, 32), np.uint8), {b"data": 1},
)  # fmt: skip


def some_entry(path: Path, random: Random) -> str:
    """Change, remove or repeat an entry of a pickle, or an item of it."""
    record = pickle.loads(path.read_bytes())
    key = random.choice(list(record))
    value, kind = record[key], random.choice(("other", "removed", "item", "item", "item", "repeated"))
    if kind == "removed":
        del record[key]
    elif kind == "item" and isinstance(value, list):
        value[random.randrange(len(value))] = random.choice(ODD)
    elif kind == "repeated" and isinstance(value, list):
        value.append(value[0])
    else:
        record[key] = random.choice(ODD)
    path.write_bytes(pickle.dumps(record, protocol=random.choice((2, 4))))
    return f"{path.name}: {key!r}: {kind}: {record.get(key)!r:.60}"


class Cifar10(Format):
    name = "CIFAR-10"
    folder, meta, labels, names, batch, kind = (
        "cifar-10-batches-py", "batches.meta", b"labels", b"label_names", "test_batch", "CIFAR10",
    )  # fmt: skip
    damages = (
        *[("*/*", some_entry)] * 6,
        *[("*/*", mutations.some_bytes)] * 3,
        ("*/*", mutations.some_file),
    )

    def write(self, folder, random):
        (folder / self.folder).mkdir()
        images = np.arange(4 * 3072, dtype=np.uint32).astype(np.uint8).reshape(4, 3072)
        records = {self.meta: {self.names: NAMES}, self.batch: {b"data": images, self.labels: [2, 0, 1, 0]}}
        for name, record in records.items():
            (folder / self.folder / name).write_bytes(pickle.dumps(record, protocol=2))

    def read(self, folder, workers=0):
        samples = loaded(folder, workers, type=self.kind, split="test")
        return [(name, shape) for _, name, shape in samples]

    def truth(self, folder):
        try:
            meta, batch = (self.record(folder / self.folder / name) for name in (self.meta, self.batch))
            names = [name.decode() if isinstance(name, bytes) else name for name in meta[self.names]]
            labels = [each for each in batch[self.labels] if np.asarray(each).dtype.kind in "iu"]
            if min(labels) < 0 or len(labels) != len(batch[b"data"]):
                return REFUSED
            return [(names[label], (32, 32, 3)) for label in labels]
        except Exception:
            return REFUSED

    def record(self, path: Path) -> dict:
        data = path.read_bytes()
        if any(word in data for word in (b"posix", b"builtin")):
            raise ValueError("not read as it could run code")
        return pickle.loads(data, encoding="bytes")


class Cifar100(Cifar10):
    name = "CIFAR-100"
    folder, meta, labels, names, batch, kind = (
        "cifar-100-python", "meta", b"fine_labels", b"fine_label_names", "test", "CIFAR100",
    )  # fmt: skip
