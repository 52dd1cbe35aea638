"""Graph of the head of mmdet's Mask2Former: logits of the classes and masks of its queries, which are fused outside it.

Tensors: B images, Q queries, C classes, N cells of all levels of the encoder, D channels, M heads, P points of a head.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from visionzoo.graphs.form import HeadGraph, NotExportable
from visionzoo.structures.batch import Batch


def mask_query_graph(detector: Any) -> HeadGraph:
    """Return the graph of Mask2Former: ``classes``, (B, Q, C + 1), and ``masks``, (B, Q, H / 4, W / 4), logits.

    The masks have a quarter of the size of the batch. Enlarge them before the fusion.

    Args:
        detector: holds the head as ``panoptic_head``, and the fusion as ``panoptic_fusion_head``.

    Raises:
        NotExportable: another head, pixel decoder or fusion.
    """
    head = detector.panoptic_head
    fusion: Any = getattr(detector, "panoptic_fusion_head", None)
    for part, kind in ((head, "Mask2FormerHead"), (head.pixel_decoder, "MSDeformAttnPixelDecoder")):
        if type(part).__name__ != kind:
            raise NotExportable(f"panoptic_head ({type(part).__name__}): the exporter has the form of {kind} only")
    if not hasattr(fusion, "graph_settings"):
        kind = type(fusion).__name__
        raise NotExportable(f"panoptic_fusion_head ({kind}): the exporter has the form of PanopticFusion only")

    def compute(feats: Sequence[Tensor], batch: Batch, sizes: Tensor) -> Mapping[str, Tensor]:
        classes, masks = type(head).forward(_WithSizes(head), tuple(feats), None)
        return {"classes": classes[-1], "masks": masks[-1]}

    return HeadGraph(("classes", "masks"), compute, settings={"fusion": fusion.graph_settings()})


class _WithSizes:
    """A head whose pixel decoder handles sizes as numbers. mmdet's keeps them in tensors, which a graph cannot read."""

    def __init__(self, head: Any):
        self.head = head

    def __getattr__(self, name: str) -> Any:
        return getattr(self.head, name)

    def pixel_decoder(self, feats: Sequence[Tensor]) -> tuple[Tensor, list[Tensor]]:
        return decoded(self.head.pixel_decoder, feats)


def decoded(decoder: Any, feats: Sequence[Tensor]) -> tuple[Tensor, list[Tensor]]:
    """Return the features of the masks, (B, D, h, w), and the maps of all levels, coarse first.

    Args:
        decoder: mmdet's ``MSDeformAttnPixelDecoder``.
        feats: maps of the trunk, shallow first; the decoder reads the first ``num_input_levels``.
    """
    last = decoder.num_input_levels - 1
    levels = range(last, last - decoder.num_encoder_levels, -1)
    shapes = [feats[level].shape[2:] for level in levels]
    parts = [_level(decoder, number, level, feats[level]) for number, level in enumerate(levels)]
    query, position, points = (torch.cat(each, 1) for each in zip(*parts, strict=True))
    for layer in decoder.encoder.layers:
        query = layer.norms[0](query + _attended(layer.self_attn, query + position, query, points, shapes))
        query = layer.norms[1](layer.ffn(query))
    memory = query.transpose(1, 2).split([height * width for height, width in shapes], -1)
    maps = [cells.unflatten(-1, tuple(shape)) for cells, shape in zip(memory, shapes, strict=True)]
    for level in range(last - len(shapes), -1, -1):
        own = decoder.lateral_convs[level](feats[level])
        finer = F.interpolate(maps[-1], size=own.shape[2:], mode="bilinear", align_corners=False)
        maps.append(decoder.output_convs[level](own + finer))
    return decoder.mask_feature(maps[-1]), maps[: decoder.num_outs]


def _level(decoder: Any, number: int, level: int, feat: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return cells (B, n, D), positions (B, n, D) and reference points (1, n, 2) of one level, x and y in [0, 1]."""
    height, width = feat.shape[2:]
    cells = decoder.input_convs[number](feat)
    position = decoder.postional_encoding(feat.new_zeros((feat.shape[0], height, width), dtype=torch.bool))
    position = decoder.level_encoding.weight[number].view(1, -1, 1, 1) + position
    x, y = decoder.point_generator.single_level_grid_priors((height, width), level, device=feat.device).unbind(-1)
    stride = decoder.strides[level]
    points = torch.stack([x / (width * stride), y / (height * stride)], -1)[None]
    return cells.flatten(2).transpose(1, 2), position.flatten(2).transpose(1, 2), points


def _attended(attention: Any, query: Tensor, value: Tensor, points: Tensor, shapes: Sequence[Sequence[int]]) -> Tensor:
    """Return mmcv's multi-scale deformable attention without its sum with the query, (B, N, D)."""
    batch, queries, _ = query.shape
    heads, levels, count = attention.num_heads, attention.num_levels, attention.num_points
    offsets = attention.sampling_offsets(query).view(batch, queries, heads, levels, count, 2)
    weights = attention.attention_weights(query).view(batch, queries, heads, levels * count).softmax(-1)
    values = attention.value_proj(value).unflatten(-1, (heads, -1)).split([h * w for h, w in shapes], 1)
    sampled = []
    for level, ((height, width), cells) in enumerate(zip(shapes, values, strict=True)):
        x, y = offsets[:, :, :, level].unbind(-1)
        places = points[:, :, None, None] + torch.stack([x / width, y / height], -1)
        planes = cells.permute(0, 2, 3, 1).flatten(0, 1).unflatten(-1, (height, width))
        grid = (2 * places - 1).transpose(1, 2).flatten(0, 1)
        sampled.append(F.grid_sample(planes, grid, mode="bilinear", padding_mode="zeros", align_corners=False))
    shares = weights.transpose(1, 2).flatten(0, 1)[:, None]
    read = (torch.cat(sampled, -1) * shares).sum(-1).unflatten(0, (batch, heads)).flatten(1, 2)
    return attention.output_proj(read.transpose(1, 2))
