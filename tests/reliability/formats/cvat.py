"""CVAT's XML for images."""

import codecs
import re
import xml.dom.minidom
from pathlib import Path

from reliability import mutations
from reliability.converted import HEIGHT, STEMS, WIDTH, Converted, draw
from reliability.formats.voc import ODD_TEXTS, some_encoding
from visionzoo.datasets.cvat import read_cvat


def some_attribute(path, random):
    """Change, remove or repeat one attribute of an XML file."""
    text = path.read_text(encoding="utf-8")
    one = random.choice(list(re.finditer(r' (\w+)="([^"]*)"', text)))
    odd = random.choice(ODD_TEXTS).replace('"', "").replace("<", "")
    kinds = {"removed": "", "repeated": one.group() * 2, "renamed": f' other="{one.group(2)}"'}
    kind = random.choice((*kinds, "value", "value", "value", "value"))
    text = text[: one.start()] + kinds.get(kind, f' {one.group(1)}="{odd}"') + text[one.end() :]
    path.write_text(text, encoding="utf-8")
    return f"{path.name}: {one.group(1)} {kind} {odd!r:.30}"


class CvatImages(Converted):
    name = "CVAT"
    damages = (
        *[("annotations.xml", some_attribute)] * 8,
        ("annotations.xml", some_encoding),
        ("annotations.xml", mutations.some_line),
        ("annotations.xml", mutations.some_bytes),
        ("annotations.xml", mutations.some_file),
        ("images/*", mutations.some_file),
        ("images/*", mutations.some_bytes),
    )

    def write(self, folder, random):
        draw(folder / "images")
        labels = "".join(f"<label>\n<name>{name}</name>\n</label>" for name in ("dög", "cat"))
        images = "\n".join(
            f'<image id="{number}" name="{stem}.png" width="{WIDTH}" height="{HEIGHT}">\n'
            f'<box label="{random.choice(("cat", "dög"))}" xtl="3.00" ytl="{4 + number}" xbr="30.5" ybr="22" '
            'occluded="0" rotation="0"/>\n<polygon label="cat" points="5,5;25,5;25,30;7,31"/>\n'
            '<ellipse label="cat" cx="30" cy="20" rx="9" ry="5"/>\n'
            '<mask label="cat" rle="0, 20" left="40" top="10" width="5" height="4"/>\n'
            '<points label="cat" points="1,2"/>\n</image>'
            for number, stem in enumerate(STEMS)
        )
        text = f"<annotations>\n<meta><task><labels>{labels}</labels></task></meta>\n{images}\n</annotations>"
        (folder / "annotations.xml").write_text(text, "utf-8")

    def source(self, folder):
        return read_cvat(folder)

    def boxes(self, folder):
        (path,) = (path for path in folder.iterdir() if path.suffix.lower() == ".xml" and path.name[0] != ".")
        data = path.read_bytes()
        if data.startswith(codecs.BOM_UTF8):  # the mark precedes any declaration
            data = re.sub(rb"<\?xml.*?\?>", b"", data)
        images = xml.dom.minidom.parseString(data).getElementsByTagName("image")
        return {Path(image.getAttribute("name")).stem: [*_boxes(image)] for image in images}


def _boxes(image):
    for node in image.childNodes:
        if node.nodeType == node.ELEMENT_NODE and node.tagName != "points":
            edges = _EDGES[node.tagName](node)
            yield node.getAttribute("label").strip(), *(round(edge, 1) for edge in edges)


def _numbers(node, *keys):
    return [float(node.getAttribute(key)) for key in keys]


def _of_box(node):
    assert float(node.getAttribute("rotation") or "0") == 0
    return _numbers(node, "xtl", "ytl", "xbr", "ybr")


def _of_polygon(node):
    points = [[float(word) for word in pair.split(",")] for pair in node.getAttribute("points").split(";")]
    xs, ys = zip(*points, strict=True)
    return min(xs), min(ys), max(xs), max(ys)


def _of_ellipse(node):
    x, y, rx, ry = _numbers(node, "cx", "cy", "rx", "ry")
    assert not node.getAttribute("rotation")
    return x - rx, y - ry, x + rx, y + ry


def _of_mask(node):
    left, top, width, height = _numbers(node, "left", "top", "width", "height")
    assert node.getAttribute("rle") == "0, 20"
    return left, top, left + width, top + height


_EDGES = {"box": _of_box, "polygon": _of_polygon, "ellipse": _of_ellipse, "mask": _of_mask}
