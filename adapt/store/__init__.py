"""Files: written whole or not at all, sealed with hashes, held by one process, and read within limits of memory."""

from adapt.store.allocations import LimitedTensors
from adapt.store.claim import LOCK, claim, holder, holders
from adapt.store.limits import Budget, TooLarge, arrays, open_zip, unpacked
from adapt.store.sealed import (
    MANIFEST,
    Foreign,
    OtherVersion,
    Torn,
    check,
    fingerprint,
    seal,
    whole_file,
    whole_folder,
)
from adapt.store.torch_files import ForeignObject, load_torch

__all__ = [
    "Budget",
    "Foreign",
    "ForeignObject",
    "LOCK",
    "LimitedTensors",
    "MANIFEST",
    "OtherVersion",
    "TooLarge",
    "Torn",
    "arrays",
    "check",
    "claim",
    "fingerprint",
    "holder",
    "holders",
    "load_torch",
    "open_zip",
    "seal",
    "unpacked",
    "whole_file",
    "whole_folder",
]
