"""The shared pretrained encoder: load it, wrap it, choose its layers."""

from adapt.encoders.cifar_resnet import cifar_resnet
from adapt.encoders.encoder import Encoder, wrap
from adapt.encoders.ia3 import ia3
from adapt.encoders.learned import interpolate, learned, load_learned, save_learned
from adapt.encoders.lora import lora, merge, unmerge
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
    "ia3",
    "interpolate",
    "learned",
    "load",
    "load_learned",
    "load_weights",
    "lora",
    "merge",
    "read_weights",
    "save_learned",
    "sentences",
    "small_conv",
    "synchronize_batch_norm",
    "unmerge",
    "wrap",
]
