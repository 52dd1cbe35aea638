"""Referring segmentation: the decoder of LAVT, and WiCo, which joins a bottom-up and a top-down branch."""

from visionzoo.heads.wico.head import WiCoHead
from visionzoo.heads.wico.integration import GSI, Reliability
from visionzoo.heads.wico.interaction import CFI
from visionzoo.heads.wico.lavt_head import LAVTHead
from visionzoo.heads.wico.proposals import Proposals, proposals_of
from visionzoo.heads.wico.scorer import ProposalScorer

__all__ = ["CFI", "GSI", "LAVTHead", "ProposalScorer", "Proposals", "Reliability", "WiCoHead", "proposals_of"]
