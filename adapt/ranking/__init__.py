"""The pretrained encoder, or the layer, that fits a target set best: estimates from features, before any training."""

from adapt.ranking import layers
from adapt.ranking._baseline_features import baseline_features
from adapt.ranking._cost import Cost, cost
from adapt.ranking._gbc import gbc
from adapt.ranking._h_score import h_score
from adapt.ranking._knn import knn
from adapt.ranking._leep import leep
from adapt.ranking._logme import logme
from adapt.ranking._n_leep import n_leep
from adapt.ranking._nce import nce
from adapt.ranking._parc import parc
from adapt.ranking._rank import Pretrained, rank
from adapt.ranking._ridge import ridge
from adapt.ranking._transrate import transrate
from adapt.ranking.sample import Sample, Undefined
from adapt.ranking.table import Ranking, Row

__all__ = [
    "Cost",
    "Pretrained",
    "Ranking",
    "Row",
    "Sample",
    "Undefined",
    "baseline_features",
    "cost",
    "gbc",
    "h_score",
    "knn",
    "layers",
    "leep",
    "logme",
    "n_leep",
    "nce",
    "parc",
    "rank",
    "ridge",
    "transrate",
]
