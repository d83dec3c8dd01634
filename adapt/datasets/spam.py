"""Readers of comments and messages, spam or not."""

import csv
import io
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from adapt.datasets.files import data_file, reading
from losses.options import TRUTH, check

SPAM_VIDEOS = ("Psy", "KatyPerry", "LMFAO", "Eminem", "Shakira")


class Messages(NamedTuple):
    """`texts` and `labels`: ``(n,)`` int64, 0 ham, 1 spam."""

    texts: list[str]
    labels: Tensor


def youtube_spam(root: str | Path | None = None, *, distinct: bool = True) -> dict[str, Messages]:
    """Read the 1,956 comments under five videos by the name of the artist; half of the comments are spam.

    Args:
        root: instead of the folder named by ``ADAPT_DATA``.
        distinct: whether a text counts once within a video: 1,782 texts. Up to 9 texts are shared by two videos.

    Names of authors are not read. Alberto, Lochter, Almeida, TubeSpam, 2015, https://doi.org/10.1109/ICMLA.2015.37
    """
    check(TRUTH, distinct=distinct)
    found = {}
    for video in SPAM_VIDEOS:
        path = data_file("youtube_spam", f"{video}.csv", root=root)
        with reading(path, "a table with the columns CONTENT and CLASS, 0 or 1"):
            table = csv.DictReader(io.StringIO(path.read_bytes().decode("utf-8-sig"), newline=""))
            found[video] = _messages([(row["CONTENT"], ("0", "1").index(row["CLASS"])) for row in table], distinct)
    return found


def sms_spam(root: str | Path | None = None, *, distinct: bool = True) -> Messages:
    """Read 5,574 phone messages; 13 % are spam.

    Args:
        root: instead of the folder named by ``ADAPT_DATA``.
        distinct: whether a text counts once: 5,171 texts.

    Almeida, Gomez Hidalgo, Yamakami, 2011, https://doi.org/10.1145/2034691.2034742
    """
    check(TRUTH, distinct=distinct)
    path = data_file("sms_spam", "SMSSpamCollection.tsv", root=root)
    with reading(path, "lines of ham or spam, a tab and a text"):
        lines = path.read_bytes().decode().removesuffix("\n").split("\n")
        parts = [line.removesuffix("\r").split("\t", 1) for line in lines]
        return _messages([(text, ("ham", "spam").index(kind)) for kind, text in parts], distinct)


def _messages(rows: list[tuple[str, int]], distinct: bool) -> Messages:
    if not rows:
        raise ValueError("found 0 rows")
    if distinct:
        first = {text: label for text, label in reversed(rows)}
        rows = [(text, first[text]) for text in dict.fromkeys(text for text, _ in rows)]
    return Messages([text for text, _ in rows], torch.tensor([label for _, label in rows]))
