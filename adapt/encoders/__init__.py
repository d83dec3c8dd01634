"""The shared pretrained encoder: load it, wrap it, choose its layers."""

from adapt.encoders.at_layer import at_layer
from adapt.encoders.cifar_resnet import cifar_resnet
from adapt.encoders.cut import cut
from adapt.encoders.encoder import Encoder, wrap
from adapt.encoders.ia3 import ia3
from adapt.encoders.learned import interpolate, learned, load_learned, save_learned
from adapt.encoders.lora import lora, merge, unmerge
from adapt.encoders.mobilenet import mobilenet
from adapt.encoders.normalization import GlobalBatchNorm, synchronize_batch_norm
from adapt.encoders.sentences import sentences
from adapt.encoders.small_conv import small_conv
from adapt.encoders.task_lora import of_task, task_lora
from adapt.encoders.timm_models import from_timm
from adapt.encoders.transformers_models import Tokens, from_sentence_transformers, from_transformers, tokens
from adapt.encoders.vision import load
from adapt.encoders.weights import Match, load_weights, read_weights
from adapt.encoders.word_vector_files import word_vectors
from adapt.encoders.word_vectors import WordVectors

__all__ = [
    "Encoder",
    "GlobalBatchNorm",
    "Match",
    "Tokens",
    "WordVectors",
    "at_layer",
    "cifar_resnet",
    "cut",
    "from_sentence_transformers",
    "from_timm",
    "from_transformers",
    "ia3",
    "interpolate",
    "learned",
    "load",
    "load_learned",
    "load_weights",
    "lora",
    "merge",
    "mobilenet",
    "of_task",
    "read_weights",
    "save_learned",
    "sentences",
    "small_conv",
    "synchronize_batch_norm",
    "task_lora",
    "tokens",
    "unmerge",
    "word_vectors",
    "wrap",
]
