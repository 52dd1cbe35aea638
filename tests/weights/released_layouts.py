"""Files in the formats in which others release weights, made from tensors under their names or ours."""

from __future__ import annotations

import re
import struct
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from visionzoo.weights.crc32c import crc32c

# --- names ---

_TO_HUGGING_FACE = (
    (r"^patch_embed\.proj\.", "nat.embeddings.patch_embeddings.projection."),
    (r"^patch_embed\.norm\.", "nat.embeddings.norm."),
    (r"^levels\.(\d+)\.blocks\.", r"nat.encoder.levels.\1.layers."),
    (r"^levels\.", "nat.encoder.levels."),
    (r"\.norm1\.", ".layernorm_before."),
    (r"\.norm2\.", ".layernorm_after."),
    (r"\.attn\.proj\.", ".attention.output.dense."),
    (r"\.attn\.", ".attention.self."),
    (r"\.mlp\.fc1\.", ".intermediate.dense."),
    (r"\.mlp\.fc2\.", ".output.dense."),
    (r"^norm\.", "nat.layernorm."),
    (r"^head\.", "classifier."),
)


def hugging_face_names(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors of a NAT or DiNAT under the names of transformers, which splits queries, keys and values."""
    named: dict[str, Tensor] = {}
    for name, value in state.items():
        if name.endswith(".gamma2"):
            continue
        if name.endswith(".gamma1"):
            both = torch.stack([value, state[name.replace("gamma1", "gamma2")]])
            named[_renamed(name.replace("gamma1", "layer_scale_parameters"), _TO_HUGGING_FACE)] = both
            continue
        if match := re.search(r"\.attn\.qkv\.(weight|bias)$", name):
            for part, third in zip(("query", "key", "value"), value.chunk(3), strict=True):
                named[_renamed(f"{name[: match.start()]}.attn.{part}.{match[1]}", _TO_HUGGING_FACE)] = third.clone()
            continue
        named[_renamed(name, _TO_HUGGING_FACE)] = value
    return named


_TO_DETECTRON2 = (
    (r"\.input_convs\.(\d)\.conv\.", r".input_proj.\1.0."),
    (r"\.input_convs\.(\d)\.gn\.", r".input_proj.\1.1."),
    (r"level_encoding\.weight$", "transformer.level_embed"),
    (r"pixel_decoder\.encoder\.", "pixel_decoder.transformer.encoder."),
    (r"(encoder\.layers\.\d+)\.norms\.0\.", r"\1.norm1."),
    (r"(encoder\.layers\.\d+)\.norms\.1\.", r"\1.norm2."),
    (r"(encoder\.layers\.\d+)\.ffn\.layers\.0\.0\.", r"\1.linear1."),
    (r"(encoder\.layers\.\d+)\.ffn\.layers\.1\.", r"\1.linear2."),
    (r"lateral_convs\.0\.conv\.", "adapter_1."),
    (r"lateral_convs\.0\.gn\.", "adapter_1.norm."),
    (r"output_convs\.0\.conv\.", "layer_1."),
    (r"output_convs\.0\.gn\.", "layer_1.norm."),
    (r"mask_feature\.", "mask_features."),
    (
        r"transformer_decoder\.layers\.(\d+)\.cross_attn\.attn\.",
        r"predictor.transformer_cross_attention_layers.\1.multihead_attn.",
    ),
    (
        r"transformer_decoder\.layers\.(\d+)\.self_attn\.attn\.",
        r"predictor.transformer_self_attention_layers.\1.self_attn.",
    ),
    (r"transformer_decoder\.layers\.(\d+)\.norms\.0\.", r"predictor.transformer_cross_attention_layers.\1.norm."),
    (r"transformer_decoder\.layers\.(\d+)\.norms\.1\.", r"predictor.transformer_self_attention_layers.\1.norm."),
    (r"transformer_decoder\.layers\.(\d+)\.norms\.2\.", r"predictor.transformer_ffn_layers.\1.norm."),
    (r"transformer_decoder\.layers\.(\d+)\.ffn\.layers\.0\.0\.", r"predictor.transformer_ffn_layers.\1.linear1."),
    (r"transformer_decoder\.layers\.(\d+)\.ffn\.layers\.1\.", r"predictor.transformer_ffn_layers.\1.linear2."),
    (r"transformer_decoder\.post_norm\.", "predictor.decoder_norm."),
    (r"^panoptic_head\.(query_feat|query_embed|level_embed)\.", r"panoptic_head.predictor.\1."),
    (r"^panoptic_head\.cls_embed\.", "panoptic_head.predictor.class_embed."),
    (r"^panoptic_head\.mask_embed\.0\.", "panoptic_head.predictor.mask_embed.layers.0."),
    (r"^panoptic_head\.mask_embed\.2\.", "panoptic_head.predictor.mask_embed.layers.1."),
    (r"^panoptic_head\.mask_embed\.4\.", "panoptic_head.predictor.mask_embed.layers.2."),
    (r"^panoptic_head\.", "sem_seg_head."),
)


def detectron2_names(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors of mmdet's Mask2Former under the names of its authors' code, with those of their loss."""
    named = {
        _renamed(name, _TO_DETECTRON2) if name.startswith("panoptic_head.") else name: value
        for name, value in state.items()
    }
    return named | {"criterion.empty_weight": torch.ones(134)}


def _renamed(name: str, table: tuple[tuple[str, str], ...]) -> str:
    for pattern, replacement in table:
        name = re.sub(pattern, replacement, name)
    return name


_PORT_TO_AUTO_DRIVE = {
    "backbone.": "encoder.",
    "layer1.": "fc67.",
    "message_passing.up_down.": "scnn.conv_d.",
    "message_passing.down_up.": "scnn.conv_u.",
    "message_passing.left_right.": "scnn.conv_r.",
    "message_passing.right_left.": "scnn.conv_l.",
    "layer2.1.": "fc8.1.",
    "fc.0.": "lane_classifier.linear1.",
    "fc.2.": "lane_classifier.linear2.",
}


def auto_drive_names(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors of the PyTorch port of SCNN under the names of pytorch-auto-drive."""
    named = {}
    for name, value in state.items():
        old = max((start for start in _PORT_TO_AUTO_DRIVE if name.startswith(start)), key=len, default=None)
        if old is not None:
            named[_PORT_TO_AUTO_DRIVE[old] + name.removeprefix(old)] = value
    return named


def keras_names(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors of our VxmDense as Keras stores them, by their paths in the file."""
    torch_names = (
        (r"^backbone\.levels\.(\d+)\.(\d+)\.0\.", r"unet_model.encoder.\1.\2.main."),
        (r"^head\.decoder\.(\d+)\.(\d+)\.0\.", r"unet_model.decoder.\1.\2.main."),
        (r"^head\.remaining\.(\d+)\.0\.", r"unet_model.remaining.\1.main."),
        (r"^head\.velocity\.", "flow."),
    )
    return keras_arrays({_renamed(name, torch_names): value for name, value in state.items()})


def keras_arrays(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors of VoxelMorph's PyTorch code as Keras stores them, by their paths in the file."""
    deepest = max(int(match[1]) for name in state if (match := re.match(r"unet_model\.decoder\.(\d+)\.", name)))
    arrays = {}
    for name, value in state.items():
        if not name.endswith(".grid"):
            layer, leaf = _keras_layer(name, deepest), name.rpartition(".")[2]
            kind = {"weight": "kernel:0", "bias": "bias:0"}[leaf]
            moved = value.permute(*range(2, value.ndim), 1, 0) if value.ndim > 1 else value
            arrays[f"model_weights/{layer}/{layer}/{kind}"] = moved
    return arrays


# --- files ---


def write_keras(path: Path, state: Mapping[str, Tensor]) -> None:
    """Write a VxmDense as Keras does: kernels with their channels last, the decoder counted from the finest level."""
    import h5py

    with h5py.File(path, "w") as file:
        file.attrs["keras_version"] = "2.4.0"
        for name, value in keras_arrays(state).items():
            file[name] = value.numpy()


def _keras_layer(name: str, deepest: int) -> str:
    parts = name.split(".")
    if parts[0] == "flow":
        return "vxm_dense_flow"
    if parts[1] == "remaining":
        return f"vxm_dense_unet_dec_final_conv_{parts[2]}"
    level = int(parts[2]) if parts[1] == "encoder" else deepest - int(parts[2])
    return f"vxm_dense_unet_{parts[1][:3]}_conv_{level}_{parts[3]}"


_NUMBERS = {
    "float32": 1,
    "float64": 2,
    "int32": 3,
    "uint8": 4,
    "int16": 5,
    "int8": 6,
    "int64": 9,
    "bool": 10,
    "float16": 19,
}


def write_tf_bundle(path: Path, arrays: Mapping[str, np.ndarray], *, block: int = 4096, shards: int = 1) -> None:
    """Write ``model.ckpt.index`` and its shards as TensorFlow does: a table of LevelDB and plain bytes.

    Args:
        path: the beginning of the names of the files.
        arrays: variables by name.
        block: bytes after which a block of the table ends.
        shards: number of files of tensors.
    """
    pairs = [(b"", _field(1, shards) + _field(3, _field(1, 1)))]
    data = [bytearray() for _ in range(shards)]
    for index, name in enumerate(sorted(arrays)):
        array, shard = np.ascontiguousarray(arrays[name]), index % shards
        raw = array.tobytes()
        shape = b"".join(_field(2, _field(1, axis)) for axis in np.shape(arrays[name]))
        entry = _field(1, _NUMBERS[str(array.dtype)]) + _field(2, shape) + _field(3, shard)
        entry += _field(4, len(data[shard])) + _field(5, len(raw))
        pairs.append((name.encode(), entry + b"\x35" + struct.pack("<I", masked(crc32c(raw)))))
        data[shard] += raw
    path.with_name(f"{path.name}.index").write_bytes(_table(pairs, block))
    for shard, each in enumerate(data):
        path.with_name(f"{path.name}.data-{shard:05d}-of-{shards:05d}").write_bytes(each)


def masked(checksum: int) -> int:
    """Return a checksum as LevelDB stores it."""
    return ((checksum >> 15 | checksum << 17) + 0xA282EAD8) & 0xFFFFFFFF


def _varint(value: int) -> bytes:
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def _field(number: int, value: int | bytes) -> bytes:
    if isinstance(value, int):
        return _varint(number << 3) + _varint(value)
    return _varint(number << 3 | 2) + _varint(len(value)) + value


def _table(pairs: list[tuple[bytes, bytes]], size: int) -> bytes:
    out, index, block = bytearray(), [], []

    def end() -> None:
        index.append((block[-1][0], _append(out, _block(block))))
        block.clear()

    for pair in pairs:
        block.append(pair)
        if sum(len(key) + len(value) for key, value in block) >= size:
            end()
    if block:
        end()
    empty = _append(out, _block([]))
    footer = (empty + _append(out, _block(index))).ljust(40, b"\0")
    return bytes(out) + footer + struct.pack("<Q", 0xDB4775248B80FB57)


def _block(pairs: list[tuple[bytes, bytes]]) -> bytes:
    """Return a block with a restart, a key that shares nothing, after every 16 keys."""
    out, restarts, before = bytearray(), [], b""
    for place, (key, value) in enumerate(pairs):
        shared = 0
        if place % 16 == 0:
            restarts.append(len(out))
        else:
            while shared < min(len(key), len(before)) and key[shared] == before[shared]:
                shared += 1
        out += _varint(shared) + _varint(len(key) - shared) + _varint(len(value)) + key[shared:] + value
        before = key
    restarts = restarts or [0]
    return bytes(out) + struct.pack(f"<{len(restarts) + 1}I", *restarts, len(restarts))


def _append(out: bytearray, block: bytes) -> bytes:
    """Append a block with its trailer, and return its place."""
    place = _varint(len(out)) + _varint(len(block))
    out += block + b"\0" + struct.pack("<I", masked(crc32c(block + b"\0")))
    return place


def write_tar(path: Path, files: list[Path]) -> None:
    """Write files into a ``.tar.gz``, without their folders."""
    with tarfile.open(path, "w:gz", compresslevel=1) as archive:
        for file in files:
            archive.add(file, arcname=file.name)


def openmmlab_file(state: Mapping[str, Tensor]) -> dict[str, Any]:
    """Return the content of a training checkpoint of OpenMMLab."""
    return {"meta": {"mmdet_version": "2.19.0", "epoch": 12, "CLASSES": None}, "state_dict": dict(state)}
