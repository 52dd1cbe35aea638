"""BossNAS (Li et al. 2021): block-wise search for hybrid networks without labels, by ensemble bootstrapping."""

from visionzoo.algorithms.bossnas.bootstrap import (
    Branch,
    Predictor,
    Projector,
    SiamesePair,
    ensemble,
    latent_loss,
    path_loss,
)
from visionzoo.algorithms.bossnas.correlation import (
    Correlations,
    architecture_score,
    nats_architecture,
    rating_correlations,
)
from visionzoo.algorithms.bossnas.hytra import HyTraSupernet, convert_supernet
from visionzoo.algorithms.bossnas.lars import LARS
from visionzoo.algorithms.bossnas.mbconv import MBConvSupernet
from visionzoo.algorithms.bossnas.nats import NATSSupernet
from visionzoo.algorithms.bossnas.path_files import read_best_paths, read_ranking, write_best_paths, write_ranking
from visionzoo.algorithms.bossnas.paths import encoding_from_best_paths, hytra_paths, searched_encoding
from visionzoo.algorithms.bossnas.rating import rate_paths
from visionzoo.algorithms.bossnas.search import SearchResult, search
from visionzoo.algorithms.bossnas.settings import SearchSettings, paper_settings

__all__ = [
    "LARS",
    "Branch",
    "Correlations",
    "HyTraSupernet",
    "MBConvSupernet",
    "NATSSupernet",
    "Predictor",
    "Projector",
    "SearchResult",
    "SearchSettings",
    "SiamesePair",
    "architecture_score",
    "convert_supernet",
    "encoding_from_best_paths",
    "ensemble",
    "hytra_paths",
    "latent_loss",
    "nats_architecture",
    "paper_settings",
    "path_loss",
    "rate_paths",
    "rating_correlations",
    "read_best_paths",
    "read_ranking",
    "search",
    "searched_encoding",
    "write_best_paths",
    "write_ranking",
]
