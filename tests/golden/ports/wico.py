"""Referring segmentation: the loader of REFER and LAVT's measures against the authors' code."""

from __future__ import annotations

import json
import pickle
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from visionzoo.datasets.referring.refs_file import read_refs, refs_of_split
from visionzoo.datasets.referring.segments import area_of, mask_of, mask_sum
from visionzoo.metrics.referring import overlap_of, scores_of

SYSTEM = "wico"
Arrays = dict[str, np.ndarray]


def run(case: dict[str, Any], arrays: Mapping[str, np.ndarray]) -> Arrays:
    """Compute every output that ``case`` names, with the runner of its family."""
    families = {"refer_api": _run_refer_api, "ris_metrics": _run_ris_metrics}
    for start, run_family in families.items():
        if case["name"].startswith(start):
            return run_family(case, arrays)
    raise LookupError(f"wico: expected one of {', '.join(families)}, found {case['name']!r}")


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
