"""The shared pretrained encoder: load it, wrap it, choose its layers."""

from adapt.encoders.cifar_resnet import cifar_resnet
from adapt.encoders.encoder import Encoder, wrap
from adapt.encoders.normalization import GlobalBatchNorm, synchronize_batch_norm
from adapt.encoders.sentences import sentences
from adapt.encoders.small_conv import small_conv
from adapt.encoders.vision import load
from adapt.encoders.weights import Match, load_weights, read_weights

__all__ = [
    "Encoder",
    "GlobalBatchNorm",
    "Match",
    "cifar_resnet",
    "load",
    "load_weights",
    "read_weights",
    "sentences",
    "small_conv",
    "synchronize_batch_norm",
    "wrap",
]
