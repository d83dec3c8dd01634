"""No labels at all: self-supervised pre-training of the shared encoder, and clusters of a small target set."""

from adapt.unsupervised._barlow_twins import barlow_twins
from adapt.unsupervised._cluster import cluster
from adapt.unsupervised._cluster_scores import ClusterScores, cluster_scores
from adapt.unsupervised._denoised_tokens import denoised_tokens
from adapt.unsupervised._dino import dino
from adapt.unsupervised._lejepa import lejepa
from adapt.unsupervised._masked_reconstruction import masked_reconstruction
from adapt.unsupervised._masked_tokens import masked_tokens
from adapt.unsupervised._number_of_clusters import NumberOfClusters, number_of_clusters
from adapt.unsupervised._scan import scan
from adapt.unsupervised._simclr import simclr
from adapt.unsupervised._simcse import simcse
from adapt.unsupervised._swav import swav
from adapt.unsupervised._vicreg import vicreg

__all__ = [
    "ClusterScores",
    "NumberOfClusters",
    "barlow_twins",
    "cluster",
    "cluster_scores",
    "denoised_tokens",
    "dino",
    "lejepa",
    "masked_reconstruction",
    "masked_tokens",
    "number_of_clusters",
    "scan",
    "simclr",
    "simcse",
    "swav",
    "vicreg",
]
