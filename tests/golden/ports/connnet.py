"""Connectivity cubes, votes and losses against BiconNets and DconnNet; the non-local block against GCoNet+'s."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from weights import reference_state

from visionzoo.heads.connnet import ConnectivityLoss
from visionzoo.heads.connnet.connectivity import connectivity_to_map, mask_to_connectivity, pair_votes
from visionzoo.heads.connnet.non_local import NonLocalBlock, convert_non_local

SYSTEM = "connnet"
Arrays = dict[str, np.ndarray]

# Weight of each BiconNets term in their sum; the stored losses are unweighted.
_WEIGHTS = {"loss_cube": 0.8, "loss_edge": 1.0, "loss_vote": 0.2, "loss_map": 1.0, "loss_dice": 1.0}
_STORED = {
    "loss_cube": "loss_conn_bce",
    "loss_edge": "loss_edge",
    "loss_vote": "loss_vote_bce",
    "loss_map": "loss_sal_bce",
    "loss_dice": "loss_sal_dice",
}


def run(case: dict[str, Any], arrays: Mapping[str, np.ndarray]) -> Arrays:
    """Compute every output that ``case`` names, of the families ``connectivity`` and ``nonlocal_block``."""
    if case["name"].startswith("connectivity"):
        return _run_connectivity(arrays)
    if case["name"].startswith("nonlocal_block"):
        return _run_block(case, arrays)
    raise LookupError(f"connnet: expected connectivity* or nonlocal_block*, found {case['name']!r}")


def _run_connectivity(arrays: Mapping[str, np.ndarray]) -> Arrays:
    mask = torch.from_numpy(arrays["input:mask"])
    logits = torch.from_numpy(arrays["input:logits"]).requires_grad_()
    cube, votes = mask_to_connectivity(mask), pair_votes(logits.detach().sigmoid())
    terms = ConnectivityLoss("bicon", dice_dims="column")(logits, mask)
    total = torch.stack(list(terms.values())).sum()
    total.backward()
    losses = {_STORED[name]: term.detach() / _WEIGHTS[name] for name, term in terms.items()}
    losses |= {
        "conn_target": cube,
        "conn_target_2class": mask_to_connectivity(torch.cat([mask, 1 - mask], 1)),
        "bilateral_votes": votes,
        "saliency_product_max": connectivity_to_map(logits.detach().sigmoid()),
        "loss_bicon_total": total.detach(),
        "grad_logits": logits.grad,
        "isolated_salient_pixels": ((mask[:, 0] != 0) & ~cube.any(1)).sum(),
        "dconn_max_abs_diff_to_bicon": (_votes_by_loop(logits.detach().sigmoid()) - votes).abs().max(),
    }
    return {name: value.numpy() for name, value in losses.items()}


def _votes_by_loop(prob: torch.Tensor) -> torch.Tensor:
    """Compute votes by their definition, with pixel pairs from rolling a padded image."""
    padded = torch.nn.functional.pad(prob, (1, 1, 1, 1))
    offsets = [(dy, dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1) if (dy, dx) != (0, 0)]
    partner = [padded[:, 7 - i].roll((-dy, -dx), (1, 2)) for i, (dy, dx) in enumerate(offsets)]
    return prob * torch.stack(partner, 1)[..., 1:-1, 1:-1]


@torch.no_grad()
def _run_block(case: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> Arrays:
    built = case["constructor"]
    block = NonLocalBlock(
        built["channel_in"],
        inner=built.get("inter_channels"),
        sub_sample=built.get("sub_sample", True),
        norm=built.get("bn_layer", True),
    )
    block.load_state_dict(convert_non_local(reference_state(case)))
    block.train(case["mode"] == "train")
    x = torch.from_numpy(arrays["input:x"])
    return {"attention": block.attention(x).numpy(), "output": block(x).numpy()}
