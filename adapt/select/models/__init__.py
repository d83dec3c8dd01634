"""Which pretrained encoder to take for a target set, estimated from its features before any training."""

from adapt.select.models.cost import Cost, cost
from adapt.select.models.gbc import gbc
from adapt.select.models.h_score import h_score
from adapt.select.models.knn import knn
from adapt.select.models.leep import leep
from adapt.select.models.logme import logme
from adapt.select.models.n_leep import n_leep
from adapt.select.models.nce import nce
from adapt.select.models.parc import parc
from adapt.select.models.rank import Pretrained, rank
from adapt.select.models.ranking import Ranking, Row
from adapt.select.models.ridge import ridge
from adapt.select.models.sample import Sample, Undefined
from adapt.select.models.transrate import transrate

__all__ = [
    "Cost",
    "Pretrained",
    "Ranking",
    "Row",
    "Sample",
    "Undefined",
    "cost",
    "gbc",
    "h_score",
    "knn",
    "leep",
    "logme",
    "n_leep",
    "nce",
    "parc",
    "rank",
    "ridge",
    "transrate",
]
