"""``visionzoo convert voc2coco | yolo2coco | ... | checkpoint``: convert data sets and weights to the zoo's formats."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from functools import partial

from visionzoo.cli import convert_boxes, convert_checkpoint, convert_geode, convert_id_maps, convert_panoptic
from visionzoo.cli.common import Parser, run_verb

_USAGE = """usage: visionzoo convert WHAT ...

what:
  voc2coco            a Pascal VOC folder to the layout of COCO
  yolo2coco           a YOLO folder, or its data.yaml, to the layout of COCO
  labelme2coco        a folder of labelme's JSON files to the layout of COCO
  cvat2coco           an XML of `CVAT for images 1.1` to the layout of COCO
  via2coco            a project, JSON or CSV of the VGG Image Annotator to the layout of COCO
  idmaps2coco         id maps of instances to a COCO json
  panoptic2coco       panoptic annotations of any shape to COCO's panoptic format
  panoptic2instances  panoptic annotations to COCO instances
  panoptic2semantic   panoptic annotations to maps of classes
  panoptic2boxes      panoptic annotations to boxes
  panoptic2images     panoptic annotations drawn on their images
  coco2panoptic       instances and stuff, of ground truth or predicted, to panoptic annotations
  mergepanoptic       several panoptic data sets to one
  checkpanoptic       check a panoptic data set, and compare it with the published numbers
  geode               the index of GeoDE to metadata with class indices of ImageNet
  checkpoint          a released checkpoint to a safetensors file of the zoo

`visionzoo convert WHAT --help` lists the options. Two examples:
  visionzoo convert yolo2coco data/boats -o data/boats_coco --val-every 5
  visionzoo convert checkpoint rcnet_r50.pth rcnet_retinanet.safetensors --from rcnet"""


def parser() -> argparse.ArgumentParser:
    """Return the parser of ``convert voc2coco``, the main conversion."""
    return convert_boxes.parser("voc2coco")


def main(argv: Sequence[str] | None = None) -> int:
    """Run one conversion. Return 0 on success, 2 for wrong use."""
    return run_verb("convert", "conversion", _CONVERSIONS, _USAGE, argv)


_CONVERSIONS: dict[str, tuple[Callable[[], Parser], Callable[[argparse.Namespace], int]]] = {
    **{
        name: (partial(convert_boxes.parser, name), partial(convert_boxes.run, name))
        for name in convert_boxes.CONVERSIONS
    },
    **{
        name: (partial(convert_panoptic.parser, name), partial(convert_panoptic.run, name))
        for name in convert_panoptic.CONVERSIONS
    },
    "idmaps2coco": (convert_id_maps.parser, convert_id_maps.run),
    "geode": (convert_geode.parser, convert_geode.run),
    "checkpoint": (convert_checkpoint.parser, convert_checkpoint.run),
}
