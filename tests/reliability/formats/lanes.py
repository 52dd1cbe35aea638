"""TuSimple's JSON lines, and CULane's lists and lanes."""

import json
import math
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from reliability import mutations
from reliability.campaign import UNKNOWN, Format
from reliability.loading import loaded
from visionzoo.datasets.lanes.culane_files import read_lines, read_list
from visionzoo.datasets.lanes.tusimple_files import read_tusimple
from visionzoo.structures.lane_files import lines_path

WIDTH, HEIGHT = 64, 32
ROWS = (12, 16, 20, 24, 28)
PIPELINE = ({"type": "LoadImage"}, {"type": "LoadLaneMask", "thickness": 2, "keep_points": True})


def draw_image(path, number):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (WIDTH, HEIGHT), (70 * number, 9, 9)).save(path)


class TuSimple(Format):
    name = "TuSimple"
    damages = (
        *[("a.json", mutations.some_json_value)] * 6,
        *[("a.json", mutations.some_line)] * 2,
        ("a.json", mutations.some_bytes),
        ("a.json", mutations.some_file),
        ("clips/*/20.png", mutations.some_file),
        ("clips/*/20.png", mutations.some_bytes),
    )

    def write(self, folder, random):
        lines = []
        for number in range(3):
            name = f"clips/{number}/20.png"
            draw_image(folder / name, number)
            left = [-2, *(30 - 3 * at for at in range(4))]
            right = [random.choice((-2, 33)), *(36 + 4 * at + 0.5 for at in range(4))]
            lines.append(json.dumps({"raw_file": name, "lanes": [left, right], "h_samples": ROWS}))
        (folder / "a.json").write_text("\n".join(lines) + "\n")

    def read(self, folder, workers=0):
        cfg = {"type": "TuSimpleDataset", "data_root": str(folder), "label_files": "a.json", "pipeline": [*PIPELINE]}
        found = {
            sample["raw_file"]: [[tuple(point) for point in lane.tolist()] for lane in sample["gt_lanes"]]
            for sample in loaded(cfg, workers)
        }
        assert found.keys() == {record["raw_file"] for record in read_tusimple(folder / "a.json")}
        return found

    def truth(self, folder):
        try:
            lines = (folder / "a.json").read_bytes().decode("utf-8-sig").split("\n")
            records = [json.loads(line) for line in lines if line.strip()]
            return {
                record["raw_file"]: [_points(lane, record["h_samples"]) for lane in record["lanes"]]
                for record in records
            }
        except Exception:  # no plain meaning
            return UNKNOWN


def _points(lane, rows):
    pairs = [(float(x), float(y)) for x, y in zip(lane, rows, strict=True)]
    assert all(math.isfinite(value) for pair in pairs for value in pair)
    return [pair for pair in pairs if pair[0] >= 0]


class CULane(Format):
    name = "CULane"
    damages = (
        *[("clip/*.lines.txt", mutations.some_line)] * 4,
        ("clip/*.lines.txt", mutations.some_bytes),
        ("clip/*.lines.txt", mutations.some_file),
        *[("list/train.txt", mutations.some_line)] * 4,
        ("list/train.txt", mutations.some_bytes),
        ("list/train.txt", mutations.some_file),
        ("clip/*.png", mutations.some_file),
        ("clip/*.png", mutations.some_bytes),
        ("masks/*.png", mutations.some_file),
        ("masks/*.png", mutations.some_bytes),
    )

    def write(self, folder, random):
        (folder / "list").mkdir()
        (folder / "masks").mkdir()
        for number in range(3):
            draw_image(folder / "clip" / f"{number}.png", number)
            lanes = [[(30 - 3 * at, 12 + 4 * at) for at in range(5)], [(36.5 + 4 * at, 12 + 4 * at) for at in range(4)]]
            text = "".join(" ".join(f"{x} {y}" for x, y in lane) + "\n" for lane in lanes)
            (folder / "clip" / f"{number}.lines.txt").write_text(text + random.choice(("", "\n", "5 7\n")))
            mask = np.zeros((HEIGHT, WIDTH), np.uint8)
            mask[12:, 20:24], mask[12:, 40:44] = 2, 3
            Image.fromarray(mask).save(folder / "masks" / f"{number}.png")
        lines = [f"/clip/{number}.png /masks/{number}.png 0 1 1 0\n" for number in range(3)]
        (folder / "list" / "train.txt").write_text("".join(lines))

    def read(self, folder, workers=0):
        cfg = {"type": "CULaneDataset", "data_root": str(folder), "split": "train", "pipeline": [*PIPELINE]}
        found = {
            sample["name"]: (
                [[tuple(point) for point in lane.tolist()] for lane in sample["gt_lanes"]],
                sample["gt_exist"].tolist() if "gt_path" in sample else None,
                int(sample["gt_seg_map"].sum()) if "gt_path" in sample else None,
            )
            for sample in loaded(cfg, workers)
        }
        for image in read_list(folder / "list" / "train.txt"):  # as the score of folders reads them
            lanes = read_lines(folder / lines_path(image.name))
            assert [list(map(tuple, lane.tolist())) for lane in lanes] == found[image.name][0]
        return found

    def truth(self, folder):
        try:
            lines = (folder / "list" / "train.txt").read_bytes().decode("utf-8-sig").split("\n")
            return dict(_listed(folder, line.split()) for line in lines if line.strip())
        except Exception:  # no plain meaning
            return UNKNOWN


def _listed(folder, words):
    name, mask, *exist = (word.lstrip("/") for word in words)
    text = (folder / Path(name).with_suffix(".lines.txt")).read_bytes().decode("utf-8-sig")
    lines = text.split("\n")
    lanes = [list(map(float, line.split())) for line in (lines if lines[-1] else lines[:-1])]
    assert all(math.isfinite(value) for lane in lanes for value in lane)
    points = [list(zip(lane[::2], lane[1::2], strict=True)) for lane in lanes]
    return name, (points, list(map(float, exist)), int(cv2.imread(str(folder / mask), cv2.IMREAD_UNCHANGED).sum()))
