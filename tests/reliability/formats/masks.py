"""Saliency folders, co-saliency groups and images for inference."""

from __future__ import annotations

import io
from contextlib import suppress
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
from PIL import Image, ImageOps

from reliability.campaign import Format
from reliability.loading import loaded
from reliability.mutations import some_bytes, some_file, some_line
from visionzoo.tasks.inputs.files import sources_of
from visionzoo.tasks.inputs.images import read_source

KINDS = ("0/1", "alpha", "16 bit", "red", "palette", "size", "empty", "inverted", "float", "bits", "JPEG", "RGBA")
OPTIONS = dict(test_mode=True, serialize_data=False)


def other_mask(path: Path, random: Random) -> str:
    """Save a mask in another kind of file, under the same name."""
    kind = random.choice(KINDS)
    grey = np.array(Image.open(path).convert("L"))
    is_salient = grey > 127
    ids = is_salient.astype(np.uint8)
    palette = Image.fromarray(ids)
    palette.putpalette([0, 0, 0, *random.choice(((255, 255, 255), (128, 0, 0), (1, 1, 1), (0, 0, 0)))])
    clear = np.zeros_like(grey)
    images: dict[str, Any] = {
        "0/1": lambda: Image.fromarray(ids),
        "alpha": lambda: Image.fromarray(np.dstack([clear, clear, clear, grey]), "RGBA"),
        "16 bit": lambda: Image.fromarray(ids.astype(np.uint16) * random.choice((1, 7, 255, 65535))),
        "red": lambda: Image.fromarray(np.dstack([grey, clear, clear])),
        "palette": lambda: palette,
        "size": lambda: Image.fromarray(grey[:-1]),
        "empty": lambda: Image.fromarray(clear),
        "inverted": lambda: Image.fromarray(255 - grey),
        "float": lambda: Image.fromarray(is_salient.astype(np.float32)),
        "bits": lambda: Image.fromarray(is_salient),
        "JPEG": lambda: Image.fromarray(grey),
        "RGBA": lambda: Image.fromarray(np.dstack([grey, grey, grey, np.full_like(grey, 255)]), "RGBA"),
    }
    images[kind]().save(path, {"float": "TIFF", "JPEG": "JPEG"}.get(kind, "PNG"))
    return f"{path.name}: {kind}"


def levels(path: Path) -> np.ndarray | None:
    """Return the grey levels of a mask; None where its pixels have no plain meaning."""
    with Image.open(io.BytesIO(path.read_bytes())) as image:
        image.load()
        if image.mode in ("L", "1"):
            grey = np.array(image.convert("L"))
            return None if grey.max() in range(1, 16) else grey
        if image.mode == "F":
            return np.array(image.point(lambda value: value * 255 + 0.5).convert("L"))
        if image.mode.startswith("I"):
            high = np.array(image).max()
            return (np.array(image) // 257).astype(np.uint8) if high == 0 or high > 16 * 257 else None
        bands = np.array(image.convert("RGBA"))
        is_grey = np.ptp(bands[..., :3], axis=2).max() < 3 and bands[..., 3].min() == 255
        return bands[..., 0] if is_grey and bands[..., 0].max() > 15 else None


def salient(path: Path) -> list[list[int]] | None:
    """Return the mask as rows of 0 and 1; None if it is not a mask."""
    try:
        grey = levels(path)
    except Exception:  # as damaged files are never masks
        return None
    return None if grey is None else (grey > 127).astype(int).tolist()


def near(image: np.ndarray) -> list[list[int]]:
    """Return the mean colours of four parts in steps of 64, of an image that several decoders read."""
    parts = [part for half in np.array_split(image, 2) for part in np.array_split(half, 2, axis=1)]
    return [(part.reshape(-1, 3).mean(axis=0) // 64).astype(int).tolist() for part in parts if part.size]


class SaliencyFolders(Format):
    """Images and masks in two folders, with a list."""

    name = "saliency masks"
    damages = [
        *[("gt/*", other_mask)] * 3,
        *[("gt/*", some_bytes)] * 2,
        ("gt/*", some_file),
        ("imgs/*", some_file),
        ("imgs/*", some_bytes),
        ("train.txt", some_line),
    ]
    count = 3

    def write(self, folder: Path, random: Random) -> None:
        for number in range(self.count):
            write_pair(folder / "imgs" / f"{number}.png", folder / "gt" / f"{number}.png", random)
        (folder / "train.txt").write_text("".join(f"{number}\n" for number in range(self.count)))

    def read(self, folder: Path, workers: int = 0) -> Any:
        steps = [dict(type="LoadImage"), dict(type="LoadMaskAnnotation", kind="binary"), dict(type="PackTaskInputs")]
        cfg = dict(type="SaliencyDataset", data_root=str(folder), split="train", pipeline=steps, **OPTIONS)
        rows = {}
        for item in loaded(cfg, workers):
            sample = item["data_samples"]
            rows[Path(sample.img_path).stem] = (sample.gt_map > 127).int().tolist()
        return rows

    def truth(self, folder: Path) -> Any:
        try:
            names = (folder / "train.txt").read_text(encoding="utf-8-sig").split("\n")
        except UnicodeDecodeError:
            return "refused"
        names = [name.strip() for name in names if name.strip()]
        masks = {name: salient(found(folder / "gt", name)) for name in names}
        return "refused" if None in masks.values() else masks


class CoSaliencyGroups(SaliencyFolders):
    """Two groups of images with masks."""

    name = "co-saliency masks"
    damages = [
        *[("gts/set/*/*", other_mask)] * 3,
        *[("gts/set/*/*", some_bytes)] * 2,
        ("gts/set/*/*", some_file),
        ("images/set/*/*", some_file),
        ("images/set/*/*", some_bytes),
    ]

    def write(self, folder: Path, random: Random) -> None:
        for group in ("axe", "cup"):
            for number in range(2):
                name = f"set/{group}/{number}.png"
                write_pair(folder / "images" / name, folder / "gts" / name, random)

    def read(self, folder: Path, workers: int = 0) -> Any:
        steps = [dict(type="LoadGroup"), dict(type="ResizeGroup", size=8, masks=False), dict(type="PackTaskInputs")]
        cfg = dict(type="CoSaliencyFolder", data_root=str(folder), name="set", pipeline=steps, **OPTIONS)
        rows = {}
        for item in loaded(cfg, workers):
            sample = item["data_samples"]
            for path, mask in zip(sample.img_path, sample.gt_map, strict=True):
                rows[f"{sample.group}/{Path(path).stem}"] = (np.asarray(mask) > 127).astype(int).tolist()
        return rows

    def truth(self, folder: Path) -> Any:
        images = sorted(path for path in (folder / "images/set").glob("*/*") if is_plain(path))
        masks = {}
        for path in images:
            masks[f"{path.parent.name}/{path.stem}"] = salient(found(folder / "gts/set" / path.parent.name, path.stem))
        return "refused" if None in masks.values() else masks


class Images(Format):
    """A folder of images for inference."""

    name = "images"
    damages = [*[("*", some_bytes)] * 3, ("*", some_file)]

    def write(self, folder: Path, random: Random) -> None:
        image, _ = scene(random)
        exif = Image.Exif()
        exif[0x0112] = random.randrange(1, 9)
        kinds: dict[str, dict[str, Any]] = {
            "a.png": {},
            "b.jpg": {"quality": 92},
            "c.webp": {"lossless": True},
            "d.tif": {},
            "e.tiff": {"compression": "tiff_lzw"},
            "f.avif": {},
            "g.gif": {},
        }
        for name in random.sample(sorted(kinds), 3):
            options = kinds[name] | ({} if name == "g.gif" else {"exif": exif})
            Image.fromarray(image).save(folder / name, **options)

    def read(self, folder: Path, workers: int = 0) -> Any:
        sources = [*sources_of(str(folder))]
        return {source.place.as_posix(): near(read_source(source.value)) for source in sources}

    def truth(self, folder: Path) -> Any:
        try:
            return {path.name: near(plain_image(path)) for path in sorted(folder.iterdir()) if is_plain(path)}
        except Exception:  # as a damaged file must be refused
            return "refused"


def plain_image(path: Path) -> np.ndarray:
    """Return the pixels of an image as Pillow reads them."""
    with Image.open(path) as image:
        image.load()
        with suppress(Exception):  # as damaged EXIF data turns nothing
            image = ImageOps.exif_transpose(image)
        if image.mode in ("I", "F"):
            raise ValueError("no 8-bit image")
        return np.array(image.convert("RGB"))


def is_plain(path: Path) -> bool:
    """Return True for a file that is not hidden."""
    return path.is_file() and not path.name.startswith(".") and ".ipynb" not in str(path)


def found(folder: Path, stem: str) -> Path:
    """Return the file of a stem."""
    names = [path for path in folder.iterdir() if path.stem == stem] if folder.is_dir() else []
    return names[0] if names else folder / stem


def write_pair(image_path: Path, mask_path: Path, random: Random) -> None:
    """Write an image and its mask."""
    image, mask = scene(random)
    for path, pixels in ((image_path, image), (mask_path, mask)):
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(path)


def scene(random: Random) -> tuple[np.ndarray, np.ndarray]:
    """Return an image (H, W, 3) and its mask (H, W), both uint8."""
    rng = np.random.default_rng(random.randrange(2**32))
    height, width = rng.integers(12, 24, 2)
    mask = np.zeros((height, width), np.uint8)
    mask[2 : height // 2, 3 : width - 2] = 255
    image = rng.integers(0, 40, (height, width, 3)).astype(np.uint8) + 90
    image[mask > 0] += 100
    return image, mask
