"""How to transfer: encoders, heads, streams, one engine, and the kinds of transfer built from them."""

import losses

if getattr(losses, "__distribution__", None) != "adapt-losses":  # a stranger's module has no such attribute
    raise ImportError(
        f"`import losses` gave {getattr(losses, '__file__', losses)!r}, expected the package `losses` beside `adapt`: "
        "a file or folder named `losses` comes before it on the import path. Rename that file or folder, or run from "
        "elsewhere."
    )

from adapt import (
    bridges,
    datasets,
    domain,
    encoders,
    engine,
    fewshot,
    heads,
    inductive,
    multitask,
    ranking,
    report,
    select,
    streams,
    transductive,
    unsupervised,
    zeroshot,
)
from adapt.engine import Model, Phase, Term, Trainer, ramp, supervised
from adapt.streams import Stream
from adapt.version import VERSION

__all__ = [
    "Model",
    "Phase",
    "Stream",
    "Term",
    "Trainer",
    "bridges",
    "datasets",
    "domain",
    "encoders",
    "engine",
    "fewshot",
    "heads",
    "inductive",
    "multitask",
    "ramp",
    "ranking",
    "report",
    "select",
    "streams",
    "supervised",
    "transductive",
    "zeroshot",
    "unsupervised",
]

__version__ = VERSION
