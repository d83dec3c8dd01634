"""Named sources of batches: order and augmentation are functions of (seed, stream, epoch, index)."""

from adapt.streams.digits import Digits, Splits, digits
from adapt.streams.domains import ring, splits, standardize
from adapt.streams.features import features
from adapt.streams.order import key
from adapt.streams.readers import data_file
from adapt.streams.readers_features import MnistUsps, OfficeCaltech, mnist_usps_jda, office_caltech10_surf
from adapt.streams.readers_images import CIFAR10_CLASSES, cifar10_jpg, mnist, mnist_m, semeion, usps
from adapt.streams.readers_languages import UPOS, Captions, Multi30k, Tagged, UdPud, multi30k, ud_pud
from adapt.streams.readers_several import FSDD_RATE, FSDD_SPEAKERS, FSDD_TASKS, OMNIGLOT_TASKS, Omniglot, fsdd, omniglot
from adapt.streams.readers_tables import HEART_COLUMNS, WISDM_CLASSES, HeartDisease, heart_disease, wisdm_transformed
from adapt.streams.readers_tasks import SARCOS_TASKS, School, sarcos, school
from adapt.streams.readers_text import AmazonReviews, Reviews, amazon_reviews_text
from adapt.streams.stream import Batch, Stream

__all__ = [
    "CIFAR10_CLASSES",
    "FSDD_RATE",
    "FSDD_SPEAKERS",
    "FSDD_TASKS",
    "HEART_COLUMNS",
    "OMNIGLOT_TASKS",
    "SARCOS_TASKS",
    "UPOS",
    "WISDM_CLASSES",
    "AmazonReviews",
    "Batch",
    "Captions",
    "Digits",
    "HeartDisease",
    "MnistUsps",
    "Multi30k",
    "OfficeCaltech",
    "Omniglot",
    "Reviews",
    "School",
    "Splits",
    "Stream",
    "Tagged",
    "UdPud",
    "amazon_reviews_text",
    "cifar10_jpg",
    "data_file",
    "digits",
    "features",
    "fsdd",
    "heart_disease",
    "key",
    "mnist",
    "mnist_m",
    "mnist_usps_jda",
    "multi30k",
    "office_caltech10_surf",
    "omniglot",
    "ring",
    "sarcos",
    "school",
    "semeion",
    "splits",
    "standardize",
    "ud_pud",
    "usps",
    "wisdm_transformed",
]
