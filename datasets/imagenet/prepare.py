"""Unpack ImageNet (ILSVRC 2012) archives that you downloaded into the layout that the configs expect, and check it.

    python datasets/imagenet/prepare.py data/imagenet [--downloads DIR] [--split train val] [--check]

Needs only Python and visionzoo's timm. Unpacked files are not unpacked again, so a stopped run can be repeated.
"""

from __future__ import annotations

import argparse
import hashlib
import shutil
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path

CHUNK = 1 << 20
# As torchvision.datasets.ImageNet checks them.
MD5 = {
    "ILSVRC2012_img_train.tar": "1d675b47d978889d74fa0da5fadfb00e",
    "ILSVRC2012_img_val.tar": "29b22e2961454d5413ddabcf34fc5622",
}
COUNTS = {"train": 1_281_167, "val": 50_000}
CLASSES = 1000
VAL_LIST = "val.txt"


class Refused(Exception):
    """Something that the user has to put right; printed as one line."""


def main(argv: list[str] | None = None) -> int:
    """0 when ImageNet is complete, 1 when ``--check`` misses something, 2 on errors."""
    args = parse(argv)
    try:
        if not args.check:
            for split in args.split:
                if list(check_split(args.root, split)):
                    unpack_split(args.root, split, args.downloads or args.root / "downloads", check=not args.no_md5)
        problems = [problem for split in args.split for problem in check_split(args.root, split)]
    except (Refused, OSError, tarfile.TarError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    for problem in problems:
        print(problem, file=sys.stderr)
    if not problems:
        print(f"{args.root}: complete ({', '.join(args.split)})")
    return 1 if problems else 0


def parse(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("root", type=Path, help="the data set's folder, usually data/imagenet")
    parser.add_argument("--downloads", type=Path, help="folder of the archives (default: ROOT/downloads)")
    parser.add_argument("--split", nargs="+", choices=tuple(COUNTS), default=list(COUNTS), help="default: both")
    parser.add_argument("--check", action="store_true", help="unpack nothing, only check (default: off)")
    parser.add_argument("--no-md5", action="store_true", help="take the archives as they are (default: check them)")
    return parser.parse_args(argv)


def unpack_split(root: Path, split: str, downloads: Path, *, check: bool) -> None:
    """Unpack one archive: an archive per class for training, loose images for validation."""
    archive = downloads / f"ILSVRC2012_img_{split}.tar"
    if not archive.is_file():
        raise Refused(
            f"{archive}: missing; register at https://image-net.org/download.php, accept its terms and place it there"
        )
    if check and md5(archive) != MD5[archive.name]:
        raise Refused(f"{archive}: expected md5 {MD5[archive.name]}, found another; download it again")
    with tarfile.open(archive) as tar:
        if split == "train":
            unpack_classes(tar, root / "train")
        else:
            unpack_images(tar, root / "val", val_folders(downloads))


def unpack_classes(tar: tarfile.TarFile, folder: Path) -> None:
    for member in tar:
        inner = tar.extractfile(member)
        if inner is None:
            continue
        with tarfile.open(fileobj=inner) as images:
            unpack_images(images, folder, dict.fromkeys(images.getnames(), Path(member.name).stem))


def unpack_images(tar: tarfile.TarFile, folder: Path, classes: dict[str, str]) -> None:
    """Each image into its class's folder; it appears under its name when it is whole."""
    for member in tar:
        source = tar.extractfile(member)
        if source is None:
            continue
        name = Path(member.name).name
        target = folder / class_of(name, classes) / name
        if target.is_file() and target.stat().st_size == member.size:
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        part = target.with_name(target.name + ".part")
        with part.open("wb") as file:
            shutil.copyfileobj(source, file, CHUNK)
        part.replace(target)


def class_of(name: str, classes: dict[str, str]) -> str:
    if name not in classes:
        raise Refused(f"{name}: expected its class in {VAL_LIST}, found no line of it; use the whole list")
    return classes[name]


def val_folders(downloads: Path) -> dict[str, str]:
    """Image -> class folder, from lines ``ILSVRC2012_val_00000001.JPEG 65`` (or with a WordNet id)."""
    path = downloads / VAL_LIST
    if not path.is_file():
        raise Refused(
            f"{path}: missing; it lists `<image> <label>` for the validation images, labels 0 to 999 in the order "
            "of the WordNet ids (Caffe's ilsvrc12 val.txt), or their WordNet ids"
        )
    folders = class_folders()
    pairs = [line.split() for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    return {Path(name).name: folders[int(label)] if label.isdecimal() else label for name, label in pairs}


def class_folders() -> list[str]:
    from timm.data import ImageNetInfo

    return list(ImageNetInfo("imagenet-1k").label_names())


def md5(path: Path) -> str:
    digest = hashlib.md5(usedforsecurity=False)
    with path.open("rb") as file:
        for chunk in iter(lambda: file.read(CHUNK), b""):
            digest.update(chunk)
    return digest.hexdigest()


def check_split(root: Path, split: str) -> Iterator[str]:
    """What is missing from one split, a sentence each; nothing when it is complete."""
    folder = root / split
    if not folder.is_dir():
        yield f"{folder}: missing"
        return
    folders = [entry for entry in folder.iterdir() if entry.is_dir()]
    if len(folders) != CLASSES:
        yield f"{folder}: expected {CLASSES} class folders, found {len(folders)}"
    found = sum(1 for entry in folders for _ in entry.glob("*.JPEG"))
    if found != COUNTS[split]:
        yield f"{folder}: expected {COUNTS[split]} images, found {found}"


if __name__ == "__main__":
    sys.exit(main())
