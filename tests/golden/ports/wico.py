"""Referring segmentation against the authors' code: text, LAVT, the loader of REFER and LAVT's measures."""

from __future__ import annotations

import json
import math
import pickle
import re
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from weights import reference_state

from visionzoo.backbones.lavt import LAVTSwin, convert_model
from visionzoo.backbones.lavt.convert import renamed
from visionzoo.datasets.referring.refs_file import read_refs, refs_of_split
from visionzoo.datasets.referring.segments import area_of, mask_of, mask_sum
from visionzoo.heads.wico import LAVTHead
from visionzoo.layers.language import PWAM
from visionzoo.metrics.referring import overlap_of, scores_of
from visionzoo.structures.batch import Batch, TextStates
from visionzoo.structures.task_sample import TaskSample
from visionzoo.text_encoders.bert import BertTextEncoder
from visionzoo.tokenizers.word_pieces import WordPieceTokenizer

SYSTEM = "wico"
Arrays = dict[str, np.ndarray]


def run(case: dict[str, Any], arrays: Mapping[str, np.ndarray]) -> Arrays:
    """Compute every output that ``case`` names, with the runner of its family."""
    families = {
        "bert_small": _run_bert,
        "tokenizer": _run_tokenizer,
        "lavt_": _run_lavt,
        "pwam_": _run_pwam,
        "refer_api": _run_refer_api,
        "ris_metrics": _run_ris_metrics,
    }
    for start, run_family in families.items():
        if case["name"].startswith(start):
            return run_family(case, arrays)
    raise LookupError(f"wico: expected one of {', '.join(families)}, found {case['name']!r}")


def tolerance(case: Mapping[str, Any], name: str, reference: np.ndarray) -> float | None:
    """Relative for losses and norms of gradients, if the case states it."""
    kinds = {"loss_": "tolerance_losses_relative", "grad_norm:": "tolerance_grad_norm_relative"}
    key = next((key for start, key in kinds.items() if name.startswith(start)), None)
    return float(case[key]) * float(np.abs(reference)) if key in case else None


# --------------------------------------------------------------------------- BERT

_OPTIONS = {
    "hidden_size": "width",
    "num_hidden_layers": "depth",
    "num_attention_heads": "heads",
    "intermediate_size": "ffn",
    "max_position_embeddings": "positions",
}


def _run_bert(case: dict[str, Any], arrays: Mapping[str, np.ndarray]) -> Arrays:
    """Compute the hidden states of BERT, loaded strictly under the authors' names."""
    built = dict(case["constructor"])
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *map(str, range(4, built.pop("vocab_size")))]
    with tempfile.TemporaryDirectory() as folder:
        options = {_OPTIONS[name]: value for name, value in built.items()}
        encoder = BertTextEncoder(**options, vocab_file=_vocabulary(words, folder))
    encoder.load_state_dict(encoder.convert(reference_state(case)))
    encoder.train(case["mode"] == "train")
    ids, mask = (torch.from_numpy(arrays[f"input:{name}"]) for name in ("input_ids", "attention_mask"))
    with torch.no_grad():
        return {"last_hidden_state": encoder.encode(ids, mask != 0).numpy()}


# --------------------------------------------------------------------------- tokenizer


def _run_tokenizer(case: dict[str, Any], arrays: Mapping[str, np.ndarray]) -> Arrays:
    """Return ids and mask of each sentence, cut and padded with 0 to the largest number of tokens."""
    built = dict(case["constructor"])
    if not built.pop("do_lower_case"):
        raise LookupError("wico: expected do_lower_case true, found false")
    with tempfile.TemporaryDirectory() as folder:
        tokenizer = WordPieceTokenizer(_vocabulary(case["vocab"], folder), **built)
    rows = [tokenizer(sentence).ids for sentence in case["sentences"]]
    padded = [row + [tokenizer.pad_id] * (tokenizer.max_tokens - len(row)) for row in rows]
    masks = [[1] * len(row) + [0] * (tokenizer.max_tokens - len(row)) for row in rows]
    return {"input_ids": np.array(padded), "attention_mask": np.array(masks)}


def _vocabulary(words: Sequence[str], folder: str) -> str:
    """Write a vocabulary to a file and return its path."""
    path = Path(folder, "vocab.txt")
    path.write_text("\n".join(words) + "\n", encoding="utf-8")
    return str(path)


# --------------------------------------------------------------------------- LAVT


def _run_lavt(case: dict[str, Any], arrays: Mapping[str, np.ndarray]) -> Arrays:
    model, images = _built(case), torch.from_numpy(arrays["input:images"])
    sample = TaskSample(metainfo={"batch_input_shape": tuple(images.shape[2:])})
    batch = Batch(images, [sample] * len(images), text=_text_of(arrays))
    trains = case["mode"] == "train"
    with torch.set_grad_enabled(trains):
        feats = model["backbone"](images, batch)
        logits = model["head"](feats, batch)
    outputs = {f"stage{stage}": feat for stage, feat in enumerate(feats, start=1)} | {"logits": logits}
    if "input:target" in arrays:
        loss = model["head"].mask_loss(logits, torch.from_numpy(arrays["input:target"]) != 0)
        outputs["loss_ce"] = loss
        if trains:
            loss.backward()
            outputs |= _gradients(model, case)
    return {name: value.detach().numpy() for name, value in outputs.items()}


def _built(case: Mapping[str, Any]) -> nn.ModuleDict:
    """Build trunk and decoder without stochastic depth, and load the weights of the reference strictly."""
    built, state = dict(case["constructor"]), reference_state(case)
    size, is_12, mha, drop = (built.pop(name, None) for name in ("swin_type", "window12", "mha", "fusion_drop"))
    if built:
        raise LookupError(f"wico: expected swin_type, window12, mha and fusion_drop, found also {', '.join(built)}")
    backbone = LAVTSwin(
        f"swin_{size}",
        **_sizes_of(state, is_12=bool(is_12)),
        fusion_heads=tuple(map(int, mha.split("-"))) if mha else (1, 1, 1, 1),
        fusion_drop=drop or 0.0,
        drop_path_rate=0.0,
    )
    model = nn.ModuleDict({"backbone": backbone, "head": LAVTHead(backbone.out_channels, backbone.out_strides)})
    model.load_state_dict(convert_model({"model": state}))
    for part, ours in {"backbone": "backbone", "classifier": "head"}.items():
        count = sum(value.numel() for value in model[ours].parameters())
        if count != case.get("parameters", {}).get(part, count):
            raise AssertionError(f"{part}: expected {case['parameters'][part]} parameters, found {count}")
    return model.train(case["mode"] == "train")


def _sizes_of(state: Mapping[str, Tensor], *, is_12: bool) -> dict[str, Any]:
    """Return the sizes of the trunk in the weights, which may differ from those of its type."""
    blocks = re.compile(r"backbone\.layers\.(\d)\.blocks\.(\d+)\.attn\.relative_position_bias_table")
    tables = {match.groups(): value for name, value in state.items() if (match := blocks.fullmatch(name))}
    rows, _ = tables["0", "0"].shape
    window = (math.isqrt(rows) + 1) // 2
    if is_12 and window != 12:
        raise AssertionError(f"window: expected 12, found {window}")
    return {
        "embed_dim": len(state["backbone.patch_embed.proj.weight"]),
        "depths": tuple(sum(stage == f"{index}" for stage, _ in tables) for index in range(4)),
        "num_heads": tuple(tables[f"{index}", "0"].shape[1] for index in range(4)),
        "window_size": window,
        "text_channels": state["backbone.layers.0.fusion.image_lang_att.f_key.0.weight"].shape[1],
    }


def _gradients(model: nn.Module, case: Mapping[str, Any]) -> dict[str, Tensor]:
    """Return the norms of gradients by the authors' names, -1 for a parameter without gradient."""
    outputs, parameters = {}, dict(model.named_parameters())
    for entry in case["outputs"]:
        name = entry["name"]
        if name.startswith("grad_norm:"):
            (ours,) = renamed({name.removeprefix("grad_norm:"): torch.zeros(1, 1, 1)})
            gradient = parameters[ours].grad
            outputs[name] = torch.tensor(-1.0) if gradient is None else gradient.norm()
    without = {name for name, value in parameters.items() if value.grad is None}
    listed = case.get("zero_or_no_grad_parameters")
    if listed is not None and not without <= set(renamed({name: torch.zeros(1) for name in listed})):
        raise AssertionError(f"expected no gradient of {listed}, found {sorted(without)}")
    return outputs


# --------------------------------------------------------------------------- PWAM


def _run_pwam(case: dict[str, Any], arrays: Mapping[str, np.ndarray]) -> Arrays:
    built = case["constructor"]
    if len({built[name] for name in ("dim", "v_in_channels", "value_channels")}) > 1:
        raise LookupError(f"wico: expected equal dim, v_in_channels and value_channels, found {built}")
    fusion = PWAM(
        built["dim"],
        built["l_in_channels"],
        key_channels=built["key_channels"],
        heads=built["num_heads"],
        dropout=built["dropout"],
    )
    fusion.load_state_dict(renamed(reference_state(case)))
    fusion.train(case["mode"] == "train")
    x, text = torch.from_numpy(arrays["input:x"]), _text_of(arrays)
    with torch.no_grad():
        outputs = {"image_lang_att": fusion.attention(x, text), "pwam": fusion(x, text)}
    return {name: value.numpy() for name, value in outputs.items()}


def _text_of(arrays: Mapping[str, np.ndarray]) -> TextStates:
    """Return the words of the reference, (B, C, L), with their mask, (B, L, 1), as ours."""
    states, mask = torch.from_numpy(arrays["input:l"]), torch.from_numpy(arrays["input:l_mask"])
    return TextStates(states.transpose(1, 2), mask[..., 0] != 0)


# --------------------------------------------------------------------------- data and measures


def _run_refer_api(case: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> Arrays:
    with tempfile.TemporaryDirectory() as folder:
        pickled, twin = Path(folder, "refs(unc).p"), Path(folder, "refs(unc).json")
        pickled.write_bytes(pickle.dumps(case["refs"], protocol=2))
        twin.write_text(json.dumps(case["refs"]), encoding="utf-8")
        refs = read_refs(pickled)
        if read_refs(twin) != refs:
            raise AssertionError("the JSON twin gives other refs than the pickle")
    ids = {split: [ref.ref_id for ref in refs_of_split(refs, split, "refs")] for split in case["getRefIds"]}
    if ids != case["getRefIds"]:
        raise AssertionError(f"expected the refs {case['getRefIds']} by split, found {ids}")
    images = {image["id"]: image for image in case["instances"]["images"]}
    annotations = {annotation["id"]: annotation for annotation in case["instances"]["annotations"]}
    outputs: Arrays = {}
    for ref in refs:
        (annotation,) = (annotations[ann_id] for ann_id in ref.ann_ids)
        segmentation, image = annotation["segmentation"], images[ref.image_id]
        size = image["height"], image["width"]
        outputs |= {
            f"mask_sum:{ref.ref_id}": mask_sum(segmentation, size),
            f"annot:{ref.ref_id}": mask_of([segmentation], size, legacy_overlap=True).astype(np.uint8),
            f"area:{ref.ref_id}": np.array(area_of(segmentation, size)),
            f"box:{ref.ref_id}": np.array(annotation["bbox"], np.float32),
        }
    return outputs


def _run_ris_metrics(case: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> Arrays:
    overlaps = [overlap_of(pred, gt) for pred, gt in zip(arrays["input:pred"], arrays["input:gt"], strict=True)]
    scores = {name: 100 * value for name, value in scores_of(overlaps).items()}
    return {
        "iou": np.array([overlap.iou for overlap in overlaps]),
        "mIoU": np.array(scores["mIoU"]),
        "oIoU": np.array(scores["oIoU"]),
        "precision@": np.array([value for name, value in scores.items() if name.startswith("P@")]),
    }
