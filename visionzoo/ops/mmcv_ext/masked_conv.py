"""Convolution at selected pixels: gather their columns, multiply (done by mmcv), and scatter the results."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from visionzoo.ops.mmcv_ext.precision import fills_tensors


@fills_tensors
def masked_im2col_forward(
    im: Tensor,
    mask_h_idx: Tensor,
    mask_w_idx: Tensor,
    col: Tensor,
    kernel_h: int,
    kernel_w: int,
    pad_h: int,
    pad_w: int,
) -> None:
    """Fill ``col`` (C * kH * kW, N) with the windows of N pixels of ``im`` (1, C, H, W). Values outside are zero."""
    padded = F.pad(im[0], (pad_w, kernel_w, pad_h, kernel_h))
    rows = mask_h_idx + torch.arange(kernel_h, device=im.device)[:, None, None]
    columns = mask_w_idx + torch.arange(kernel_w, device=im.device)[None, :, None]
    col.copy_(padded[:, rows, columns].flatten(0, 2))


@fills_tensors
def masked_col2im_forward(
    col: Tensor, mask_h_idx: Tensor, mask_w_idx: Tensor, im: Tensor, height: int, width: int, channels: int
) -> None:
    """Write ``col`` (C, N) to N pixels of ``im`` (1, C, H, W). Other pixels are unchanged."""
    im[0, :, mask_h_idx, mask_w_idx] = col
