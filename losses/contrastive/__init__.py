"""What two views or two members of a class have in common."""

from losses.contrastive._alignment import alignment
from losses.contrastive._barlow_twins import barlow_twins
from losses.contrastive._byol import byol
from losses.contrastive._info_nce import info_nce
from losses.contrastive._neighbourhood_components import neighbourhood_components
from losses.contrastive._nt_xent import nt_xent
from losses.contrastive._self_distillation import Centre, self_distillation
from losses.contrastive._semantic_alignment import semantic_alignment
from losses.contrastive._sigreg import sigreg
from losses.contrastive._supervised_contrastive import supervised_contrastive
from losses.contrastive._swapped_prediction import sinkhorn_assignment, swapped_prediction
from losses.contrastive._triplet import triplet
from losses.contrastive._uniformity import uniformity
from losses.contrastive._vicreg import vicreg

__all__ = [
    "Centre",
    "alignment",
    "barlow_twins",
    "byol",
    "info_nce",
    "neighbourhood_components",
    "nt_xent",
    "self_distillation",
    "semantic_alignment",
    "sigreg",
    "sinkhorn_assignment",
    "supervised_contrastive",
    "swapped_prediction",
    "triplet",
    "uniformity",
    "vicreg",
]
