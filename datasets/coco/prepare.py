"""Download COCO 2017, unpack it into the layout that the configs expect, and check it.

    python datasets/coco/prepare.py data/coco [--split train val] [--check] [--keep-zips]

Needs nothing but Python. Interrupted downloads continue where they stopped.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import shutil
import sys
import urllib.error
import urllib.request
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

SERVER = "http://images.cocodataset.org"
CHUNK = 1 << 20


@dataclass(frozen=True)
class Archive:
    """One zip of COCO: where it is, how large, and which of its folders are wanted."""

    path: str
    bytes: int

    @property
    def name(self) -> str:
        return self.path.rsplit("/", 1)[-1]


IMAGES = {
    "train": Archive("zips/train2017.zip", 19_336_861_798),
    "val": Archive("zips/val2017.zip", 815_585_330),
}
ANNOTATIONS = Archive("annotations/annotations_trainval2017.zip", 252_907_541)
COUNTS = {"train": 118_287, "val": 5_000}


class Refused(Exception):
    """Something that the user has to put right; printed as one line."""


def main(argv: list[str] | None = None) -> int:
    """0 when COCO is complete, 1 when ``--check`` misses something, 2 on errors."""
    args = parse(argv)
    try:
        if not args.check:
            fetch_all(args.root, args.split, args.server, keep_zips=args.keep_zips)
        problems = [problem for split in args.split for problem in check_split(args.root, split)]
    except (Refused, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    for problem in problems:
        print(problem, file=sys.stderr)
    if not problems:
        print(f"{args.root}: complete ({', '.join(f'{split}2017' for split in args.split)})")
    return 1 if problems else 0


def parse(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("root", type=Path, help="the data set's folder, usually data/coco")
    parser.add_argument("--split", nargs="+", choices=tuple(IMAGES), default=list(IMAGES), help="default: both")
    parser.add_argument("--check", action="store_true", help="download nothing, only check (default: off)")
    parser.add_argument("--keep-zips", action="store_true", help="keep the zips after unpacking (default: delete them)")
    parser.add_argument("--server", default=SERVER, help=f"a mirror with the same paths (default: {SERVER})")
    return parser.parse_args(argv)


def fetch_all(root: Path, splits: list[str], server: str, *, keep_zips: bool) -> None:
    """Download and unpack the missing files; complete ones are not changed."""
    wanted = [split for split in splits if list(check_split(root, split))]
    if not wanted:
        return
    downloads = root / "downloads"
    downloads.mkdir(parents=True, exist_ok=True)
    archives = [IMAGES[split] for split in wanted if count_jpegs(root / f"{split}2017") < COUNTS[split]]
    if not all((root / "annotations" / f"instances_{split}2017.json").is_file() for split in wanted):
        archives.append(ANNOTATIONS)
    for archive in archives:
        zipped = download(archive, downloads, server)
        unpack(zipped, root)
        if not keep_zips:
            zipped.unlink()


def download(archive: Archive, folder: Path, server: str) -> Path:
    """The whole zip in ``folder``; bytes that are there already are not fetched again."""
    path = folder / archive.name
    have = path.stat().st_size if path.exists() else 0
    if have > archive.bytes:
        raise Refused(f"{path}: expected {archive.bytes} bytes, found {have}; delete it and run again")
    url = f"{server}/{archive.path}"
    while have < archive.bytes:
        before = have
        have = continue_download(url, path, have, archive.bytes)
        if have == before:
            raise Refused(f"{url}: the server sent nothing more after {have} bytes; run again, or place {path} by hand")
    print(f"{path}: sha256 {sha256(path)}", file=sys.stderr)
    return path


def continue_download(url: str, path: Path, have: int, total: int) -> int:
    """Append what the server has from byte ``have`` on; returns the new size."""
    request = urllib.request.Request(url, headers={"Range": f"bytes={have}-"})
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            mode = "ab" if answer.status == 206 else "wb"  # 200: the server starts from the beginning
            done = have if mode == "ab" else 0
            with path.open(mode) as file:
                for chunk in iter(lambda: answer.read(CHUNK), b""):
                    file.write(chunk)
                    done += len(chunk)
                    show_progress(path.name, done, total)
    except (urllib.error.URLError, TimeoutError, ConnectionError) as error:
        raise Refused(f"{url}: {error}; run again to continue, or place the file at {path} by hand") from error
    print(file=sys.stderr)
    return path.stat().st_size


def show_progress(name: str, done: int, total: int) -> None:
    if sys.stderr.isatty():
        print(f"\r{name}: {done / 1e9:.2f} of {total / 1e9:.2f} GB", end="", file=sys.stderr)


def sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        for chunk in iter(lambda: file.read(CHUNK), b""):
            digest.update(chunk)
    return digest.hexdigest()


def unpack(zipped: Path, root: Path) -> None:
    """Unpack into ``root``; zipfile checks the CRC-32 of every file. A file appears under its name when it is whole."""
    try:
        with zipfile.ZipFile(zipped) as archive:
            for entry in archive.infolist():
                if not entry.is_dir():
                    unpack_one(archive, entry, root)
    except zipfile.BadZipFile as error:
        raise Refused(f"{zipped}: expected a zip of COCO, but {error}; delete it and run again") from error


def unpack_one(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, root: Path) -> None:
    target = (root / entry.filename).resolve()
    if not target.is_relative_to(root.resolve()):
        raise Refused(
            f"{archive.filename}: {entry.filename} would be written outside {root}; this is not a zip of COCO"
        )
    if target.is_file() and target.stat().st_size == entry.file_size:
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(target.name + ".part")
    with archive.open(entry) as source, part.open("wb") as file:
        shutil.copyfileobj(source, file, CHUNK)
    part.replace(target)


def check_split(root: Path, split: str) -> Iterator[str]:
    """What is missing from one split, a sentence each; nothing when it is complete."""
    annotations = root / "annotations" / f"instances_{split}2017.json"
    folder = root / f"{split}2017"
    if not annotations.is_file():
        yield f"{annotations}: missing"
        return
    try:
        names = {image["file_name"] for image in json.loads(annotations.read_bytes())["images"]}
    except (ValueError, KeyError, TypeError):
        yield f"{annotations}: no COCO annotations; delete it and run again"
        return
    if len(names) != COUNTS[split]:
        yield f"{annotations}: expected {COUNTS[split]} images, lists {len(names)}"
    present = {path.name for path in folder.glob("*.jpg")} if folder.is_dir() else set()
    missing = sorted(names - present)
    if missing:
        yield f"{folder}: {len(missing)} of {len(names)} images missing ({', '.join(missing[:3])}, ...)"


def count_jpegs(folder: Path) -> int:
    return sum(1 for _ in folder.glob("*.jpg")) if folder.is_dir() else 0


if __name__ == "__main__":
    sys.exit(main())
