"""Files of the VGG Image Annotator."""

import csv
import json

from reliability import mutations
from reliability.converted import STEMS, Converted, draw
from visionzoo.datasets.via import read_via

HEADER = ("filename", "file_size", "file_attributes", "region_count", "region_id", "region_shape_attributes",
          "region_attributes")  # fmt: skip


def entries(random):
    """Return regions by image."""
    return {
        f"{stem}.png": [
            ({"name": "rect", "x": 3, "y": 4 + number, "width": 27.5, "height": 18}, random.choice(("cat", "dög"))),
            ({"name": "polygon", "all_points_x": [5, 25, 25, 7], "all_points_y": [5, 5, 30, 31]}, "cat"),
            ({"name": "circle", "cx": 30, "cy": 20, "r": 9}, "cat"),
            ({"name": "ellipse", "cx": 30, "cy": 20, "rx": 9, "ry": 5, "theta": 0}, "dög"),
            ({"name": "point", "cx": 30, "cy": 20}, "cat"),
        ]
        for number, stem in enumerate(STEMS)
    }


class ViaProject(Converted):
    name = "VIA project"
    damages = (
        *[("via.json", mutations.some_json_value)] * 8,
        ("via.json", mutations.some_line),
        ("via.json", mutations.some_bytes),
        ("via.json", mutations.some_file),
        ("*.png", mutations.some_file),
        ("*.png", mutations.some_bytes),
    )

    def write(self, folder, random):
        draw(folder)
        images = {
            f"{name}77": {
                "filename": name,
                "regions": [
                    {"shape_attributes": shape, "region_attributes": {"kind": kind}} for shape, kind in regions
                ],
            }
            for name, regions in entries(random).items()
        }
        (folder / "via.json").write_text(json.dumps({"_via_settings": {}, "_via_img_metadata": images}), "utf-8")

    def source(self, folder):
        return read_via(folder)

    def boxes(self, folder):
        (path,) = (path for path in folder.iterdir() if path.suffix.lower() == ".json" and path.name[0] != ".")
        found = {}
        for entry in json.loads(path.read_bytes().decode("utf-8-sig"))["_via_img_metadata"].values():
            assert entry["filename"].removesuffix(".png") in STEMS
            regions = [(one["shape_attributes"], one["region_attributes"]["kind"]) for one in entry["regions"]]
            found[entry["filename"].removesuffix(".png")] = [_box(*one) for one in regions if one[0]["name"] != "point"]
        return found


class ViaCsv(ViaProject):
    name = "VIA CSV"
    damages = (
        *[("via.csv", mutations.some_line)] * 6,
        ("via.csv", mutations.some_bytes),
        ("via.csv", mutations.some_file),
        ("*.png", mutations.some_file),
    )

    def write(self, folder, random):
        draw(folder)
        with open(folder / "via.csv", "w", newline="", encoding="utf-8") as file:
            table = csv.writer(file, lineterminator="\n")
            table.writerow(HEADER)
            for name, regions in entries(random).items():
                for number, (shape, kind) in enumerate(regions):
                    row = [name, 77, "{}", len(regions), number, json.dumps(shape), json.dumps({"kind": kind})]
                    table.writerow(row)

    def boxes(self, folder):
        (path,) = (path for path in folder.iterdir() if path.suffix.lower() == ".csv" and path.name[0] != ".")
        found = {}
        for row in csv.DictReader(path.read_bytes().decode("utf-8-sig").splitlines(), strict=True):
            assert None not in row
            assert row["filename"].removesuffix(".png") in STEMS
            boxes = found.setdefault(row["filename"].removesuffix(".png"), [])
            shape, attributes = (json.loads(row[key]) for key in HEADER[-2:])
            if row["region_count"] != "0" and shape["name"] != "point":
                boxes.append(_box(shape, attributes["kind"]))
        return found


def _box(shape, kind):
    if shape["name"] == "rect":
        edges = shape["x"], shape["y"], shape["x"] + shape["width"], shape["y"] + shape["height"]
    elif shape["name"] == "polygon":
        xs, ys = shape["all_points_x"], shape["all_points_y"]
        edges = min(xs), min(ys), max(xs), max(ys)
    else:
        assert not shape.get("theta")
        rx, ry = (shape["r"],) * 2 if shape["name"] == "circle" else (shape["rx"], shape["ry"])
        edges = shape["cx"] - rx, shape["cy"] - ry, shape["cx"] + rx, shape["cy"] + ry
    return kind.strip(), *(round(float(edge), 1) for edge in edges)
