"""Referring segmentation: the decoder of LAVT, and WiCo, which joins a bottom-up and a top-down branch."""

from visionzoo.heads.wico.lavt_head import LAVTHead

__all__ = ["LAVTHead"]
