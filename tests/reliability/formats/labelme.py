"""labelme's JSON files."""

import base64
import io
import json

from PIL import Image

from reliability import mutations
from reliability.converted import HEIGHT, STEMS, WIDTH, Converted, draw
from visionzoo.datasets.labelme import read_labelme


class Labelme(Converted):
    name = "labelme"
    damages = (
        *[("*.json", mutations.some_json_value)] * 8,
        ("*.json", mutations.some_line),
        ("*.json", mutations.some_bytes),
        ("*.json", mutations.some_file),
        ("*.png", mutations.some_file),
        ("*.png", mutations.some_bytes),
    )

    def write(self, folder, random):
        draw(folder)
        data = io.BytesIO()
        Image.new("L", (5, 4), 255).save(data, "PNG")
        mask = base64.b64encode(data.getvalue()).decode()
        for number, stem in enumerate(STEMS):
            shapes = [
                _shape(random.choice(("cat", "dög")), "rectangle", [[3, 4 + number], [30, 22.5]]),
                _shape("cat", "polygon", [[5, 5], [25, 5], [25, 30], [7, 31]]),
                _shape("cat", "circle", [[30, 20], [30, 29]]),
                _shape("dög", "mask", [[40, 10], [44, 13]], mask=mask),
                _shape("cat", "point", [[40, 10]]),
            ]
            record = {"shapes": shapes, "imagePath": f"{stem}.png", "imageHeight": HEIGHT, "imageWidth": WIDTH}
            (folder / f"{stem}.json").write_text(json.dumps(record), "utf-8")

    def source(self, folder):
        return read_labelme(folder)

    def boxes(self, folder):
        found = {}
        for path in sorted(path for path in folder.glob("*.[jJ]*") if path.name[0] != "."):
            record = json.loads(path.read_bytes().decode("utf-8-sig"))
            found[record["imagePath"].removesuffix(".png")] = [
                _box(shape) for shape in record["shapes"] if shape["shape_type"] != "point"
            ]
            assert record["imagePath"].removesuffix(".png") in STEMS
            assert all(shape.get("group_id") is None for shape in record["shapes"])
        return found


def _shape(label, kind, points, **others):
    return {"label": label, "shape_type": kind, "points": points, "group_id": None, "flags": {}, **others}


def _box(shape):
    (x0, y0), (x1, y1) = shape["points"][:2]
    label = shape["label"].strip()
    xs, ys = ([float(point[axis]) for point in shape["points"]] for axis in (0, 1))
    if shape["shape_type"] == "circle":
        radius = ((x0 - x1) ** 2 + (y0 - y1) ** 2) ** 0.5
        xs, ys = (x0 - radius, x0 + radius), (y0 - radius, y0 + radius)
    if shape["shape_type"] == "mask":
        xs, ys = (x0, x1 + 1), (y0, y1 + 1)
        assert all(isinstance(value, int) for value in (x0, x1, y0, y1))
    return label, *(round(float(value), 1) for value in (min(xs), min(ys), max(xs), max(ys)))
