"""RCNet (Zong et al. 2021): the neck, and its parts for separate use."""

from visionzoo.necks.rcnet.convert import convert, convert_detector
from visionzoo.necks.rcnet.csn import CSN, shift_levels
from visionzoo.necks.rcnet.neck import RCNet
from visionzoo.necks.rcnet.revfp import FusionNode, RevFP

__all__ = ["CSN", "FusionNode", "RCNet", "RevFP", "convert", "convert_detector", "shift_levels"]
