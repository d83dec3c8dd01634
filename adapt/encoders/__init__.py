"""The shared pretrained encoder: loaders, wrappers, adapters, layers."""

from adapt.encoders._at_layer import at_layer
from adapt.encoders._by_word import by_word, word_shapes
from adapt.encoders._callable import callable
from adapt.encoders._cifar_resnet import cifar_resnet
from adapt.encoders._columns import columns
from adapt.encoders._detector import detector
from adapt.encoders._frames import frames
from adapt.encoders._from_onnx import from_onnx
from adapt.encoders._from_open_clip import DualEncoder, from_open_clip
from adapt.encoders._from_timm import from_timm
from adapt.encoders._from_torchvision import load
from adapt.encoders._from_transformers import from_sentence_transformers, from_transformers
from adapt.encoders._frozen_copy import FrozenCopy
from adapt.encoders._ia3 import ia3
from adapt.encoders._layer_outputs import layer_outputs
from adapt.encoders._learned_word_vectors import contextual_word_vectors, learn_word_vectors
from adapt.encoders._lora import lora, merge, unmerge
from adapt.encoders._mix_layers import keep_states, kept_mix, mix_layers
from adapt.encoders._mobilenet import mobilenet
from adapt.encoders._packaged_words import packaged_words
from adapt.encoders._pyramid import pyramid
from adapt.encoders._sentences import packaged_minilm, sentences
from adapt.encoders._small_conv import small_conv
from adapt.encoders._small_gru import small_gru
from adapt.encoders._split_at import split_at
from adapt.encoders._task_lora import single_task, task_lora
from adapt.encoders._tokens import Tokens, WordTokens, tokens, word_tokens
from adapt.encoders._trainable_state import interpolate, load_trainable_state, save_trainable_state, trainable_state
from adapt.encoders._word_vector_files import word_vectors
from adapt.encoders._word_vectors import WordVectors
from adapt.encoders.encoder import Encoder, wrap
from adapt.encoders.normalization import GlobalBatchNorm, synchronize_batch_norm
from adapt.encoders.weights import LoadReport, load_weights, read_weights

__all__ = [
    "DualEncoder",
    "Encoder",
    "FrozenCopy",
    "GlobalBatchNorm",
    "LoadReport",
    "Tokens",
    "WordTokens",
    "WordVectors",
    "at_layer",
    "by_word",
    "callable",
    "cifar_resnet",
    "columns",
    "contextual_word_vectors",
    "detector",
    "frames",
    "from_onnx",
    "from_open_clip",
    "from_sentence_transformers",
    "from_timm",
    "from_transformers",
    "ia3",
    "interpolate",
    "keep_states",
    "kept_mix",
    "layer_outputs",
    "learn_word_vectors",
    "load",
    "load_trainable_state",
    "load_weights",
    "lora",
    "merge",
    "mix_layers",
    "mobilenet",
    "packaged_minilm",
    "packaged_words",
    "pyramid",
    "read_weights",
    "save_trainable_state",
    "sentences",
    "single_task",
    "small_conv",
    "small_gru",
    "split_at",
    "synchronize_batch_norm",
    "task_lora",
    "tokens",
    "trainable_state",
    "unmerge",
    "word_shapes",
    "word_tokens",
    "word_vectors",
    "wrap",
]
