"""Form of a model of images, by its heads: those of this package, of mmdet and of mmseg, one or several."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import nn

from visionzoo.graphs.form import HeadGraph, ImageForm, NotExportable, require_exportable
from visionzoo.graphs.mask_queries import mask_query_graph
from visionzoo.graphs.one_stage import one_stage_graph
from visionzoo.graphs.pixels import pixel_graph
from visionzoo.graphs.two_stage import two_stage_graph

# By the attribute that holds the head in a model of mmdet or mmseg, and in its adapter in a ``TaskModel``.
OF_LIBRARIES: dict[str, Callable[[Any], HeadGraph]] = {
    "bbox_head": one_stage_graph,
    "roi_head": two_stage_graph,
    "panoptic_head": mask_query_graph,
    "decode_head": pixel_graph,
}


def image_form(model: nn.Module) -> ImageForm:
    """Return the form of a ``TaskModel``, a detector of mmdet or a segmentor of mmseg.

    Raises:
        NotExportable: the model has a part that cannot be exported, or a head without a form, or predicts by tiles.
    """
    require_exportable(model)
    whole: Any = model
    if getattr(whole, "text_encoder", None) is not None:
        raise NotExportable("text_encoder: words are split outside a graph, and the exporter has no form for phrases")
    if (tiling := getattr(whole, "tiling", None)) is not None:
        advice = "leave test_cfg.tile out for the export"
        found = f"tiles of {tiling.tile} pixels"
        raise NotExportable("test_cfg.tile", expected="whole images in a graph", found=found, advice=advice)
    if getattr(whole, "heads", None):
        return ImageForm(model, {name: head_graph(head, f"heads.{name}") for name, head in whole.heads.items()})
    if getattr(whole, "head", None) is not None:
        return ImageForm(model, {"head": head_graph(whole.head, "head")})
    return ImageForm(model, {"model": head_graph(model)})


def head_graph(head: Any, place: str = "") -> HeadGraph:
    """Return what a head computes in a graph.

    Args:
        head: a head with ``graph_outputs`` and their names, ``GRAPH_OUTPUTS``; the adapter of a head of mmdet or mmseg;
            or a model of mmdet or mmseg, which holds its heads under the same names.
        place: its place in the model, for messages; empty for the model.

    Raises:
        NotExportable: the head has no form here.
    """
    if hasattr(head, "graph_outputs"):
        settings = head.graph_settings() if hasattr(head, "graph_settings") else {}
        return HeadGraph(head.GRAPH_OUTPUTS, head.graph_outputs, settings=settings)
    for part, graph in OF_LIBRARIES.items():
        if hasattr(head, part):
            try:
                return graph(head)
            except NotExportable as error:
                raise error.at(place) if place else error from None
    kind = type(getattr(head, "inner", head)).__name__
    raise NotExportable(f"{place or 'model'} ({kind}): it does not define graph_outputs, so it has no exported form")
