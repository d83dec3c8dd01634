"""What two views or two members of a class have in common."""

from losses.contrastive.alignment import alignment
from losses.contrastive.barlow_twins import barlow_twins
from losses.contrastive.byol import byol
from losses.contrastive.info_nce import info_nce
from losses.contrastive.neighbourhood_components import neighbourhood_components
from losses.contrastive.nt_xent import nt_xent
from losses.contrastive.self_distillation import Centre, self_distillation
from losses.contrastive.semantic_alignment import semantic_alignment
from losses.contrastive.supervised_contrastive import supervised_contrastive
from losses.contrastive.swapped_prediction import sinkhorn_assignment, swapped_prediction
from losses.contrastive.triplet import triplet
from losses.contrastive.uniformity import uniformity
from losses.contrastive.vicreg import vicreg

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
    "sinkhorn_assignment",
    "supervised_contrastive",
    "swapped_prediction",
    "triplet",
    "uniformity",
    "vicreg",
]
