"""Points of objects: JSON lines, CSV, and the crowd and traffic sets with their own formats."""

from __future__ import annotations

import csv
import io
import json
import math
from pathlib import Path
from typing import ClassVar

import cv2
import numpy as np
import scipy.io
import scipy.sparse
from PIL import Image

from reliability import mutations
from reliability.campaign import UNKNOWN, Format
from reliability.loading import loaded

REFUSED = "refused"  # a truth that equals no contents
WIDTH, HEIGHT = 40, 30


class PointFormat(Format):
    """A data set of three images, one of them without points."""

    config: ClassVar[dict]
    steps: ClassVar[tuple] = ({"type": "MakeDensityMap", "kind": "fixed"}, {"type": "FlipPoints", "prob": 0.0})

    def write(self, folder, random):
        for number in (1, 2, 3):
            points = [[random.randrange(2, 36) + 0.5, random.randrange(2, 26) * 1.0] for _ in range(number % 3 * 2)]
            self.write_one(folder, number, points)

    def write_one(self, folder, number, points):
        """Write image ``number`` and its points."""
        raise NotImplementedError

    def read(self, folder, workers=0):
        pipeline = [{"type": "LoadImage"}, *self.steps, {"type": "PackTaskInputs"}]
        cfg = {**self.config, "data_root": str(folder), "pipeline": pipeline}
        samples = [each["data_samples"] for each in loaded(cfg, workers)]
        return {self.key(folder, sample): self.contents(sample) for sample in samples}

    def key(self, folder, sample):
        return Path(sample.img_path).stem

    def contents(self, sample):
        return sorted(sample.gt_points.tolist())

    def truth(self, folder):
        try:
            return self.plain(folder)
        except Exception:  # no plain meaning
            return UNKNOWN

    def plain(self, folder):
        """Return the contents, read without visionzoo."""
        raise NotImplementedError


def draw(path, shape=(HEIGHT, WIDTH, 3)):
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), np.full(shape, 90, np.uint8))


def append(path, line):
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8") as file:
        file.write(f"{line}\n")


def pairs(values):
    """Return sorted pairs of floats; text states a number."""
    if not isinstance(values, list) or any(not isinstance(pair, list) or len(pair) != 2 for pair in values):
        return REFUSED
    if any(isinstance(each, bool) or not math.isfinite(float(each)) for pair in values for each in pair):
        return REFUSED
    return sorted([float(x), float(y)] for x, y in values)


def lines_of(path):
    return [line for line in path.read_bytes().decode("utf-8-sig").replace("\r\n", "\n").split("\n") if line.strip()]


def stems(folder, *endings):
    return [path.stem for path in folder.iterdir() if path.suffix.lower() in endings and path.name[0] != "."]


# --- one file ---


class JsonLines(PointFormat):
    name = "points, JSON lines"
    config: ClassVar = {"type": "PointsDataset", "ann_file": "a.jsonl"}
    damages = (
        *[("a.jsonl", mutations.some_json_value)] * 6,
        *[("a.jsonl", mutations.some_line)] * 2,
        ("a.jsonl", mutations.some_bytes),
        ("*.png", mutations.some_file),
        ("*.png", mutations.some_bytes),
    )

    def write_one(self, folder, number, points):
        draw(folder / f"{number}.png")
        record = {"image": f"{number}.png", "points": points, "level": number, "scene": "yard"}
        append(folder / "a.jsonl", json.dumps(record))

    def contents(self, sample):
        return sorted(sample.gt_points.tolist()), sample.get("level"), sample.get("scene")

    def plain(self, folder):
        records = [json.loads(line) for line in lines_of(folder / "a.jsonl")]
        return {
            Path(each["image"]).stem: (pairs(each["points"]), whole(each.get("level")), each.get("scene"))
            for each in records
        }


def whole(value):
    return value if value is None else int(float(value))


class CsvPoints(PointFormat):
    name = "points, CSV"
    config: ClassVar = {"type": "PointsDataset", "ann_file": "a.csv"}
    damages = (
        *[("a.csv", mutations.some_line)] * 6,
        *[("a.csv", mutations.some_bytes)] * 2,
        ("*.png", mutations.some_file),
    )

    def write_one(self, folder, number, points):
        draw(folder / f"{number}.png")
        if number == 1:
            append(folder / "a.csv", "image,x,y")
        for x, y in points or [["", ""]]:
            append(folder / "a.csv", f"{number}.png,{x},{y}")

    def plain(self, folder):
        text = (folder / "a.csv").read_bytes().decode("utf-8-sig")
        rows = [row for row in csv.DictReader(io.StringIO(text)) if any(row.values())]
        points = {Path(row["image"].strip()).stem: [] for row in rows}
        for row in rows:
            if row["x"].strip() or row["y"].strip():
                points[Path(row["image"].strip()).stem].append([row["x"], row["y"]])
        return {name: pairs(each) for name, each in points.items()}


# --- text ---


class JHUCrowd(PointFormat):
    name = "JHU-CROWD++"
    config: ClassVar = {"type": "JHUCrowdDataset"}
    damages = (
        *[("train/gt/*.txt", mutations.some_line)] * 4,
        *[("train/image_labels.txt", mutations.some_line)] * 2,
        ("train/gt/*.txt", mutations.some_bytes),
        ("train/*/*", mutations.some_file),
        ("train/image_labels.txt", mutations.some_file),
    )

    def write_one(self, folder, number, points):
        draw(folder / f"train/images/{number}.jpg")
        (folder / "train/gt").mkdir(exist_ok=True)
        text = "".join(f"{x} {y} 5 6 1 0\n" for x, y in points)
        (folder / f"train/gt/{number}.txt").write_text(text)
        append(folder / "train/image_labels.txt", f"{number},{len(points)},street,{number},0")

    def contents(self, sample):
        return sorted(sample.gt_points.tolist()), sample.get("weather")

    def plain(self, folder):
        weather = {}
        if (folder / "train/image_labels.txt").exists():
            rows = [line.split(",") for line in lines_of(folder / "train/image_labels.txt")]
            weather = {row[0].strip(): ("none", "fog", "rain", "snow")[int(row[-2])] for row in rows}
        found = {}
        for stem in stems(folder / "train/images", ".jpg"):
            path = next(path for path in (folder / "train/gt").iterdir() if path.name.lower() == f"{stem}.txt")
            rows = [line.replace(",", " ").split() for line in lines_of(path)]
            found[stem] = pairs([row[:2] for row in rows]), weather.get(stem)
            if any(len(row) != 6 for row in rows):
                found[stem] = REFUSED
        return found


# --- MATLAB ---

SOME_POINTS = np.array([[3.5, 4.0], [20.0, 8.25], [31.0, 17.0]])
VALUES = (
    SOME_POINTS, SOME_POINTS.astype(np.uint16), SOME_POINTS.astype(np.float32), SOME_POINTS.T, SOME_POINTS[:, :1],
    SOME_POINTS[None], np.c_[SOME_POINTS, SOME_POINTS], SOME_POINTS + 1j, SOME_POINTS > 4, SOME_POINTS * np.nan,
    SOME_POINTS * np.inf, SOME_POINTS * 1e300, SOME_POINTS + 500, np.zeros((0, 0)), np.zeros((0, 2)), "points",
    np.array([["3", "4"]]), np.array([[SOME_POINTS]], object), {"x": SOME_POINTS}, 7.0,
    scipy.sparse.csc_matrix(SOME_POINTS),
)  # fmt: skip
HDF5 = b"MATLAB 7.3 MAT-file, Platform: GLNXA64".ljust(124) + b"\x00\x02IM" + b"\x89HDF\r\n\x1a\n" + bytes(400)


def other_variable(name):
    """Return a mutation that writes another value, another name or another version."""

    def change(path, random):
        number = random.randrange(len(VALUES))
        kind = random.choice(("value", "value", "value", "name", "7.3", "4", "compressed"))
        if kind == "7.3":
            path.write_bytes(HDF5)
            return f"{path.name}: version 7.3"
        stored = {"other" if kind == "name" else name: VALUES[number], "further": [1, 2]}
        old = kind == "4" and not isinstance(VALUES[number], dict) and np.ndim(VALUES[number]) == 2 and number < 8
        scipy.io.savemat(path, stored, format="4" if old else "5", do_compression=kind == "compressed")
        return f"{path.name}: {kind} {VALUES[number]!r:.40}"

    return change


def mat_truth(values):
    """Return sorted points of an array, or REFUSED."""
    array = np.asarray(values)
    if array.size == 0:
        return []
    if array.dtype.kind not in "iuf" or array.ndim != 2 or array.shape[1] != 2 or not np.isfinite(array).all():
        return REFUSED
    return sorted(array.astype(float).tolist()) if np.abs(array.astype(float)).max() <= 1e6 else REFUSED


def mat_damages(folder, images, name):
    return (
        *[(f"{folder}/*.mat", other_variable(name))] * 3,
        *[(f"{folder}/*.mat", mutations.some_bytes)] * 3,
        (f"{folder}/*", mutations.some_file),
        (f"{images}/*.jpg", mutations.some_file),
        (f"{images}/*.jpg", mutations.some_bytes),
    )


class UCFQNRF(PointFormat):
    name = "UCF-QNRF"
    config: ClassVar = {"type": "UCFQNRFDataset"}
    damages = mat_damages("Train", "Train", "annPoints")

    def write_one(self, folder, number, points):
        draw(folder / f"Train/{number}.jpg")
        scipy.io.savemat(folder / f"Train/{number}_ann.mat", {"annPoints": points or np.zeros((0, 2))})

    def plain(self, folder):
        paths = {path.name.lower(): path for path in (folder / "Train").iterdir()}
        return {
            stem: mat_truth(scipy.io.loadmat(paths[f"{stem}_ann.mat"])["annPoints"])
            for stem in stems(folder / "Train", ".jpg")
        }


class UCFCC50(PointFormat):
    name = "UCF_CC_50"
    config: ClassVar = {
        "type": "UCFCC50Dataset", "fold": 1, "split": "test", "folds": [[*range(4, 51)], [1, 2, 3]],
    }  # fmt: skip
    damages = mat_damages(".", ".", "annPoints")

    def write_one(self, folder, number, points):
        draw(folder / f"{number}.jpg", (HEIGHT, WIDTH))
        scipy.io.savemat(folder / f"{number}_ann.mat", {"annPoints": points or np.zeros((0, 2))})

    def plain(self, folder):
        paths = {path.name.lower(): path for path in folder.iterdir()}
        return {stem: mat_truth(scipy.io.loadmat(paths[f"{stem}_ann.mat"])["annPoints"]) for stem in ("1", "2", "3")}


class ShanghaiTech(PointFormat):
    name = "ShanghaiTech"
    config: ClassVar = {"type": "ShanghaiTechDataset", "part": None}
    damages = mat_damages("train_data/ground_truth", "train_data/images", "image_info")

    def write_one(self, folder, number, points):
        draw(folder / f"train_data/images/IMG_{number}.jpg")
        info = np.empty((1, 1), dtype=object)
        info[0, 0] = {"location": points or np.zeros((0, 2)), "number": len(points)}
        path = folder / f"train_data/ground_truth/GT_IMG_{number}.mat"
        path.parent.mkdir(exist_ok=True)
        scipy.io.savemat(path, {"image_info": info})

    def plain(self, folder):
        paths = {path.name.lower(): path for path in (folder / "train_data/ground_truth").iterdir()}
        names = stems(folder / "train_data/images", ".jpg")
        infos = {name: scipy.io.loadmat(paths[f"gt_{name.lower()}.mat"])["image_info"] for name in names}
        return {name: mat_truth(info[0, 0][0, 0]["location"]) for name, info in infos.items()}


class NWPUMat(PointFormat):
    name = "NWPU-Crowd, mat"
    config: ClassVar = {"type": "NWPUCrowdDataset"}
    damages = (*mat_damages("mats", "images", "annPoints"), *[("train.txt", mutations.some_line)] * 4)

    def write_one(self, folder, number, points):
        draw(folder / f"images/{number}.jpg")
        append(folder / "train.txt", f"{number} {number} {len(points)}")
        (folder / "mats").mkdir(exist_ok=True)
        scipy.io.savemat(folder / f"mats/{number}.mat", {"annPoints": points or np.zeros((0, 2))})

    def contents(self, sample):
        return sorted(sample.gt_points.tolist()), sample.get("level"), sample.get("luminance")

    def plain(self, folder):
        rows = [line.split() for line in lines_of(folder / "train.txt")]
        facts = {row[0]: [int(word) for word in row[1:]] or [None, None] for row in rows}
        points = {name: self.points(folder, name) for name in facts}
        return {name: (points[name], level, luminance) for name, (luminance, level) in facts.items()}

    def points(self, folder, name):
        paths = {path.name.lower(): path for path in (folder / "mats").iterdir()}
        return mat_truth(scipy.io.loadmat(paths[f"{name}.mat"])["annPoints"])


class NWPUJson(NWPUMat):
    name = "NWPU-Crowd, JSON"
    config: ClassVar = {"type": "NWPUCrowdDataset", "annotation": "json"}
    damages = (
        *[("jsons/*.json", mutations.some_json_value)] * 6,
        ("jsons/*.json", mutations.some_bytes),
        ("jsons/*", mutations.some_file),
        ("train.txt", mutations.some_line),
    )

    def write_one(self, folder, number, points):
        draw(folder / f"images/{number}.jpg")
        append(folder / "train.txt", f"{number} {number} {len(points)}")
        append(folder / f"jsons/{number}.json", json.dumps({"img_id": f"{number}.jpg", "points": points}))

    def points(self, folder, name):
        paths = {path.name.lower(): path for path in (folder / "jsons").iterdir()}
        return pairs(json.loads(paths[f"{name}.json"].read_bytes().decode("utf-8-sig"))["points"])


# --- dots ---


def other_pixels(path, random):
    """Store the dots in another form: of the same meaning, or of none."""
    if path.suffix.lower() != ".png":
        return mutations.some_bytes(path, random)
    dots = np.array(Image.open(path).convert("RGB"))
    grey = dots.max(axis=2)
    kind = random.choice(
        ("palette", "grey", "16 bit", "alpha", "jpeg", "white", "discs", "size", "noise", "hidden", "ones", "bits")
    )
    if kind == "jpeg":
        Image.fromarray(dots).save(path, "JPEG", quality=random.choice((30, 75, 95)))
    elif kind == "palette":
        Image.fromarray(dots).quantize(2).save(path, "PNG")
    elif kind == "bits":
        Image.fromarray(grey).convert("1").save(path, "PNG")
    elif kind == "alpha":
        Image.fromarray(np.dstack([dots, np.full_like(grey, 255)])).save(path, "PNG")
    elif kind == "hidden":
        Image.fromarray(np.dstack([dots * 0, grey])).save(path, "PNG")
    else:
        changed = {
            "grey": grey,
            "ones": (grey > 0).astype(np.uint8),
            "16 bit": (grey > 0).astype(np.uint16) * random.choice((1, 255, 65535)),
            "white": 255 - dots,
            "discs": cv2.dilate(dots, np.ones((3, 3), np.uint8)),
            "size": dots[:-1],
            "noise": np.maximum(dots, np.random.RandomState(random.randrange(99)).randint(0, 9, dots.shape)),
        }[kind]
        cv2.imwrite(str(path), changed.astype(np.uint16 if kind == "16 bit" else np.uint8))
    return f"{path.name}: {kind}"


class Trancos(PointFormat):
    name = "TRANCOS"
    config: ClassVar = {"type": "TRANCOSDataset"}
    steps: ClassVar = ({"type": "LoadRoi"}, *PointFormat.steps)
    damages = (
        *[("images/*dots.png", other_pixels)] * 5,
        *[("images/*.png", mutations.some_bytes)] * 2,
        *[("images/*mask.mat", other_variable("BW"))] * 2,
        ("images/*.mat", mutations.some_bytes),
        ("images/*", mutations.some_file),
        ("image_sets/training.txt", mutations.some_line),
    )

    def write_one(self, folder, number, points):
        draw(folder / f"images/{number}.jpg")
        dots = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
        for x, y in points:
            dots[int(y) // 3 * 3, int(x) // 3 * 3] = 0, 0, 255
        cv2.imwrite(str(folder / f"images/{number}dots.png"), dots)
        scipy.io.savemat(folder / f"images/{number}mask.mat", {"BW": np.ones((HEIGHT, WIDTH), np.uint8)})
        append(folder / "image_sets/training.txt", f"{number}.jpg")

    def contents(self, sample):
        return sorted(sample.gt_points.tolist()), sample.gt_roi.sum().item()

    def plain(self, folder):
        paths = {path.name.lower(): path for path in (folder / "images").iterdir()}
        names = [Path(line.strip()).stem for line in lines_of(folder / "image_sets/training.txt")]
        return {
            name: (
                plain_dots(paths[f"{name}dots.png"]),
                int((scipy.io.loadmat(paths[f"{name}mask.mat"])["BW"] > 0).sum()),
            )
            for name in names
        }


def plain_dots(path):
    """Return the pixels that are not black; more than 8 are a wrong drawing."""
    stored = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    if stored.ndim == 2:
        stored = stored[..., None]
    if stored.shape[2] == 4:
        stored = stored[..., :3] if stored[..., 3].min() == 255 else np.ones((9, 9, 3))
    rows, columns = np.nonzero(stored.any(axis=2))
    return sorted([float(x), float(y)] for x, y in zip(columns, rows, strict=True)) if len(rows) <= 8 else REFUSED
