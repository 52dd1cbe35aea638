"""Drawn images in the layouts of geographic shift: DollarStreet, GeoDE, and the test sets with classes of ImageNet.

::

    dollarstreet   images_v2.csv, images_v2_imagenet_train.csv, images_v2_imagenet_test.csv, assets/<id>/<id>.jpg
    geode          index.csv, metadata.csv, images/<Region>/<Country>/<Country>_<object>_<nnn>.jpg
    imagenet_v2    test/<0..999>/*.jpg          imagenet_r, imagenet_a, imagenet_sketch: test/<wnid>/*.jpg
    objectnet      test/images/<folder>/*.png, test/mappings/*.json

Shape and colour of an image depend on its first class. Images of some regions are darker, so that accuracies differ.
One image in eight is grey, one is a PNG with transparency named ``.jpg``. The last ``missing`` rows of a
table have no file.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.random import RandomState
from PIL import Image

from visionzoo.datasets.geo_shift.geode import METADATA, metadata_of_index
from visionzoo.datasets.geo_shift.labels import GEODE_INDICES, REGIONS_OF_GEODE, TOPICS_OF_INDEX
from visionzoo.datasets.tiny.imagenet import CLASSES
from visionzoo.datasets.tiny.shapes import draw_class

_DOLLARSTREET_CLASSES = (831, 453, 567, 770, 896)  # with the topics of each class in turn
_STREET_COUNTRIES = {
    "af": ("Burundi", "Nigeria"),
    "am": ("Bolivia", "Brazil"),
    "as": ("India", "Nepal"),
    "eu": ("France", "Serbia"),
}
_INCOMES = (60.0, 300.0, 900.0, 4000.0)
_GEODE_OBJECTS = ("bag", "chair", "hand_soap", "stove", "toy", "tree")
_GEODE_COUNTRIES = ("Nigeria", "Brazil", "Japan", "Romania", "Indonesia", "Turkey")
_DARKER = {"af": 60, "as": 30, "Africa": 60, "WestAsia": 30}  # grey levels that are subtracted
_HOUSE = 3  # images of a household


def image_bytes(rng: RandomState, label: int, size: int, number: int, darker: int = 0) -> bytes:
    """Return an image file: usually a JPEG, one in eight grey, one in eight a PNG with transparency.

    Args:
        rng: generator of random numbers.
        label: class index; shape and colour depend on it.
        size: mean side in pixels; each side differs by at most a quarter.
        number: number of the image, which decides its format.
        darker: grey levels that are subtracted.
    """
    height, width = (int(side) for side in rng.randint(size - size // 4, size + size // 4 + 1, 2))
    drawn = draw_class(rng, label % 100, height, width).astype(np.int16) - darker
    image = Image.fromarray(drawn.clip(0, 255).astype(np.uint8))
    file = io.BytesIO()
    if number % 8 == 3:
        image.convert("L").save(file, "JPEG", quality=95)
    elif number % 8 == 6:
        image.putalpha(200)
        image.save(file, "PNG")
    else:
        image.save(file, "JPEG", quality=95)
    return file.getvalue()


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def _table(path: Path, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerows([columns, *rows])
    path.write_text(file.getvalue(), encoding="utf-8")


# --- DollarStreet ---

_STREET_COLUMNS = (
    *("id", "country.name", "country.id", "region.id", "type", "imageRelPath", "topics", "place", "income"),
    *("imagenet_synonyms", "imagenet_sysnet_id"),
)


class StreetTwin:
    """Twin of DollarStreet: regions, countries and incomes take turns; three images belong to one household."""

    VERSION = 1
    DEFAULTS = {"train": 96, "test": 96, "size": 48, "missing": 0, "seed": 0}
    LOWEST = {"train": 4, "test": 4, "size": 24, "missing": 0, "seed": 0}

    @staticmethod
    def draw(folder: Path, *, train: int, test: int, size: int, missing: int, seed: int) -> None:
        """Draw both splits into ``folder``.

        Args:
            folder: an empty folder.
            train, test: number of rows of each table.
            size: mean side of the images in pixels.
            missing: number of rows of each table without a file.
            seed: different seeds draw different images.
        """
        tables = {}
        for number, (split, count) in enumerate((("train", train), ("test", test))):
            tables[split] = [
                _street_row(folder, [seed, number, at], split, at, at < count - missing, size) for at in range(count)
            ]
            _table(folder / f"images_v2_imagenet_{split}.csv", _STREET_COLUMNS, tables[split])
        _table(folder / "images_v2.csv", _STREET_COLUMNS, tables["train"] + tables["test"])


def _street_row(folder: Path, seeds: list[int], split: str, at: int, has_file: bool, size: int) -> list[Any]:
    house = at // _HOUSE
    region = list(_STREET_COUNTRIES)[house % 4]
    country = _STREET_COUNTRIES[region][house // 4 % 2]
    label = _DOLLARSTREET_CLASSES[at % len(_DOLLARSTREET_CLASSES)]
    topics = [TOPICS_OF_INDEX[label][house % len(TOPICS_OF_INDEX[label])]]
    labels = [label]
    if at % 7 == 2:  # an image of two topics
        topics, labels = [*topics, "lamps", "toys"], [*labels, 865]
    name = f"{seeds[0] * 2 + (split == 'test'):08x}{at:016x}"
    path = f"assets/{name}/{name}.jpg"
    if has_file:
        _write(folder / path, image_bytes(RandomState(seeds), label, size, at, _DARKER.get(region, 0)))
    place, income = f"{split}-{house:04d}", _INCOMES[house // 8 % 4]
    about = [name, country, country[:2].lower(), region, "image", path, str(topics), place, income]
    return [*about, str([topics[0]]), str(labels)]


# --- GeoDE ---

_GEODE_COLUMNS = (
    *("", "file_path", "object", "region", "ip_country", "date", "make", "model", "gps_position", "gps_altitude"),
    *("resolution", "licence_plate", "people_in_background", "tree_tag"),
)


class GeoDETwin:
    """Twin of GeoDE: six regions and six objects take turns, one of them without a class in ImageNet."""

    VERSION = 1
    DEFAULTS = {"test": 144, "size": 48, "missing": 0, "seed": 0}
    LOWEST = {"test": 6, "size": 24, "missing": 0, "seed": 0}

    @staticmethod
    def draw(folder: Path, *, test: int, size: int, missing: int, seed: int) -> None:
        """Draw the images, their index and the metadata into ``folder``; see :class:`StreetTwin`."""
        rows = [_geode_row(folder, [seed, at], at, at < test - missing, size) for at in range(test)]
        _table(folder / "index.csv", _GEODE_COLUMNS, rows)
        text, _ = metadata_of_index(folder / "index.csv")
        (folder / METADATA).write_text(text, encoding="utf-8")


def _geode_row(folder: Path, seeds: list[int], at: int, has_file: bool, size: int) -> list[Any]:
    region, country = REGIONS_OF_GEODE[at % 6], _GEODE_COUNTRIES[at % 6]
    name = _GEODE_OBJECTS[at // 6 % len(_GEODE_OBJECTS)]
    path = f"images/{region}/{country}/{country}_{name}_{at:03d}.jpg"
    label = (GEODE_INDICES[name] or (99,))[0]
    if has_file:
        _write(folder / path, image_bytes(RandomState(seeds), label, size, at, _DARKER.get(region, 0)))
    return [at, path, name, region, country, "2022:06:01", "", "", "", "", f"{size}x{size}", "", "", ""]


# --- test sets with classes of ImageNet ---


@dataclass(frozen=True)
class KindTwin:
    """Twin of a test set with classes of ImageNet.

    Attributes:
        names: folder of each label.
        seed: first seed; each twin has other images.
        darker: grey levels that are subtracted.
    """

    names: dict[str, int]
    seed: int
    darker: int = 0

    VERSION = 1
    DEFAULTS = {"test": 40, "size": 48, "seed": 0}
    LOWEST = {"test": 10, "size": 24, "seed": 0}

    def draw(self, folder: Path, *, test: int, size: int, seed: int) -> None:
        """Draw the images into ``folder``; classes alternate."""
        for at in range(test):
            name = list(self.names)[at % len(self.names)]
            content = image_bytes(RandomState([self.seed, seed, at]), self.names[name], size, at, self.darker)
            _write(folder / "test" / name / f"{name}_{at}.jpg", content)


class ObjectNetTwin:
    """Twin of ObjectNet: four folders, one of which has no class in ImageNet; images have a red border of 2 pixels."""

    VERSION = 1
    DEFAULTS = {"test": 40, "size": 48, "seed": 0}
    LOWEST = {"test": 4, "size": 24, "seed": 0}
    OBJECTS = {"chairs": "Chair", "tenches": "Tench", "backpacks": "Backpack", "bills": "Bills (money)"}
    CLASSES = {
        "Chair": "rocking chair, rocker; folding chair",
        "Tench": "tench, Tinca tinca",
        "Backpack": "backpack, back pack, knapsack, packsack, rucksack, haversack",
    }

    @classmethod
    def draw(cls, folder: Path, *, test: int, size: int, seed: int) -> None:
        """Draw the images and the mappings into ``folder``; objects alternate."""
        _write(folder / "test/mappings/folder_to_objectnet_label.json", json.dumps(cls.OBJECTS).encode())
        _write(folder / "test/mappings/objectnet_to_imagenet_1k.json", json.dumps(cls.CLASSES).encode())
        for at in range(test):
            name = list(cls.OBJECTS)[at % len(cls.OBJECTS)]
            rng, file = RandomState([9, seed, at]), io.BytesIO()
            image = draw_class(rng, at % len(cls.OBJECTS), *(int(side) for side in rng.randint(size // 2, size, 2)))
            image = np.pad(image, ((2, 2), (2, 2), (0, 0)))
            for edge in (image[:2], image[-2:], image[:, :2], image[:, -2:]):
                edge[:] = (255, 0, 0)
            Image.fromarray(image).save(file, "PNG")
            _write(folder / "test/images" / name / f"{at:03d}.png", file.getvalue())


_IDS = {name: label for label, name in enumerate(CLASSES)}
TWINS = {
    "dollarstreet": StreetTwin,
    "geode": GeoDETwin,
    "imagenet_v2": KindTwin({str(label): label for label in range(10)}, 1),
    "imagenet_r": KindTwin({name: label for name, label in _IDS.items() if label % 2}, 2, 40),
    "imagenet_a": KindTwin({name: label for name, label in _IDS.items() if label % 2 == 0}, 3, 60),
    "imagenet_sketch": KindTwin(_IDS, 4, 20),
    "objectnet": ObjectNetTwin,
}
