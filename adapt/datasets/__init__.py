"""Data of your own, published data, the bundled digits, and splits of any data set."""

from adapt.datasets._arrays import SparseRows, arrays
from adapt.datasets._audio import audio
from adapt.datasets._boxes import BoxRows, boxes
from adapt.datasets._byte_pairs import BytePairs
from adapt.datasets._class_pixels import class_pixels, rare_class_weights
from adapt.datasets._digits import Digits, digits
from adapt.datasets._entities import without_entities
from adapt.datasets._images import images
from adapt.datasets._leak_check import Leak, leak_check
from adapt.datasets._log_mel import log_mel
from adapt.datasets._masks import MaskRows, masks
from adapt.datasets._splits import Splits, adaptation_pairs, splits, standardize
from adapt.datasets._styles import fourier_style, histogram_style
from adapt.datasets._table import Preparation, table
from adapt.datasets._texts import TextRows, texts
from adapt.datasets._vary_speech import vary_speech
from adapt.datasets._walk_forward import walk_forward
from adapt.datasets._windows import windows
from adapt.datasets.classical import MnistUsps, OfficeCaltech, mnist_usps_jda, office_caltech10_surf
from adapt.datasets.corruptions import CORRUPTIONS, EXTRA_CORRUPTIONS, corrupt
from adapt.datasets.entities import CROSSNER_DOMAINS, Entities, TaggedWords, crossner
from adapt.datasets.files import data_file
from adapt.datasets.folders import FileRows
from adapt.datasets.languages import UPOS, Captions, Multi30k, Tagged, UdPud, multi30k, ud_pud
from adapt.datasets.markets import Prices, stock_prices, world_indices
from adapt.datasets.published_audio import FSDD_RATE, FSDD_SPEAKERS, FSDD_TASKS, fsdd
from adapt.datasets.published_images import (
    CIFAR10_CLASSES,
    OMNIGLOT_TASKS,
    Omniglot,
    OneShotRuns,
    cifar10_jpg,
    mnist,
    mnist_m,
    olivetti,
    omniglot,
    omniglot_runs,
    semeion,
    usps,
)
from adapt.datasets.reviews import AmazonReviews, Reviews, amazon_reviews_text
from adapt.datasets.rows import Rows
from adapt.datasets.sentence_pairs import Mrpc, SentencePairs, linked, mrpc
from adapt.datasets.spam import SPAM_VIDEOS, Messages, sms_spam, youtube_spam
from adapt.datasets.tables import (
    HEART_COLUMNS,
    SARCOS_TASKS,
    WISDM_CLASSES,
    HeartDisease,
    School,
    heart_disease,
    sarcos,
    school,
    wisdm_transformed,
)
from adapt.datasets.vocabulary import Vocabulary, WordForms, padded

__all__ = [
    "BytePairs",
    "AmazonReviews",
    "BoxRows",
    "CIFAR10_CLASSES",
    "CORRUPTIONS",
    "CROSSNER_DOMAINS",
    "Captions",
    "Digits",
    "EXTRA_CORRUPTIONS",
    "Entities",
    "FSDD_RATE",
    "FSDD_SPEAKERS",
    "FSDD_TASKS",
    "FileRows",
    "HEART_COLUMNS",
    "HeartDisease",
    "Leak",
    "MaskRows",
    "Messages",
    "MnistUsps",
    "Mrpc",
    "Multi30k",
    "OMNIGLOT_TASKS",
    "OfficeCaltech",
    "Omniglot",
    "OneShotRuns",
    "Preparation",
    "Prices",
    "Reviews",
    "Rows",
    "SARCOS_TASKS",
    "SPAM_VIDEOS",
    "School",
    "SentencePairs",
    "SparseRows",
    "Splits",
    "Tagged",
    "TaggedWords",
    "TextRows",
    "UPOS",
    "UdPud",
    "Vocabulary",
    "WISDM_CLASSES",
    "WordForms",
    "adaptation_pairs",
    "amazon_reviews_text",
    "arrays",
    "audio",
    "boxes",
    "cifar10_jpg",
    "class_pixels",
    "corrupt",
    "crossner",
    "data_file",
    "digits",
    "fourier_style",
    "fsdd",
    "heart_disease",
    "histogram_style",
    "images",
    "leak_check",
    "linked",
    "log_mel",
    "masks",
    "mnist",
    "mnist_m",
    "mnist_usps_jda",
    "mrpc",
    "multi30k",
    "office_caltech10_surf",
    "olivetti",
    "omniglot",
    "omniglot_runs",
    "padded",
    "rare_class_weights",
    "sarcos",
    "school",
    "semeion",
    "sms_spam",
    "splits",
    "standardize",
    "stock_prices",
    "table",
    "texts",
    "ud_pud",
    "usps",
    "vary_speech",
    "walk_forward",
    "windows",
    "wisdm_transformed",
    "world_indices",
    "youtube_spam",
    "without_entities",
]
