"""Readers of the same texts in several languages."""

import re
from pathlib import Path
from typing import NamedTuple

from adapt import store
from adapt.datasets.files import TEXT, complete, data_file, reading
from adapt.datasets.published_rows import MULTI30K, UD_PUD

UPOS = (
    "ADJ", "ADP", "ADV", "AUX", "CCONJ", "DET", "INTJ", "NOUN", "NUM", "PART", "PRON", "PROPN", "PUNCT", "SCONJ", "SYM",
    "VERB", "X",
)  # fmt: skip


class Captions(NamedTuple):
    """Captions in three languages: line i is the same caption in each language."""

    english: list[str]
    german: list[str]
    french: list[str]


class Multi30k(NamedTuple):
    """Captions for training, for validation and for two tests: photographs of the same source, and of MS COCO."""

    train: Captions
    validation: Captions
    flickr: Captions
    coco: Captions


class Tagged(NamedTuple):
    """Sentences as written, the words of each sentence, and the part of speech of each word: an index into ``UPOS``."""

    texts: list[str]
    words: list[list[str]]
    tags: list[list[int]]


class UdPud(NamedTuple):
    """Sentence i is the same sentence in each language; `documents` names the document of each sentence."""

    english: Tagged
    german: Tagged
    french: Tagged
    documents: list[str]


def multi30k(root: str | Path | None = None) -> Multi30k:
    """Read 29,000, 1,014, 1,000 and 461 captions of photographs, in English, German and French.

    The captions were written in English and translated. A text is a line of the file, without white space at the ends
    and with single spaces inside.

    Elliott, Frank, Sima'an, Specia, Multi30K: Multilingual English-German Image Descriptions, 2016,
    https://aclanthology.org/W16-3210
    """
    return Multi30k(*(_captions(part, root) for part in ("train", "val", "test_2016_flickr", "test_2017_mscoco")))


def ud_pud(root: str | Path | None = None) -> UdPud:
    """Read 1,000 sentences of news and Wikipedia in English, German and French, each word with one of 17 parts of
    speech.

    Words are the words of the treebank: the German contraction "am" is one word in the text and two words in the
    treebank, "an" and "dem". A document has one to five sentences: put all sentences of a document on one side of a
    split.

    Zeman et al., CoNLL 2017 Shared Task: Multilingual Parsing from Raw Text to Universal Dependencies, 2017,
    https://aclanthology.org/K17-3001
    """
    (english, ids), *others = (_treebank(language, root) for language in ("en", "de", "fr"))
    if any(other != ids for _, other in others):
        raise ValueError("`ud_pud` has other sentences in one language than in another: expected the same `sent_id`s.")
    return UdPud(english, others[0][0], others[1][0], [name[:6] for name in ids])


def _captions(part: str, root: str | Path | None) -> Captions:
    texts: list[list[str]] = []
    for language in ("en", "de", "fr"):
        path = data_file("multi30k", f"{part}.{language}.gz", root=root)
        with reading(path, "gzip text with a caption on each line"):
            # not splitlines: some captions hold a rare separator
            whole = store.unpacked(path, cost=TEXT).decode()
            lines = [" ".join(line.split()) for line in whole.removesuffix("\n").split("\n")]
            complete(lines, MULTI30K)
            if not all(lines):
                raise ValueError(f"line {lines.index('') + 1} of {len(lines)} is empty")
            if texts and len(lines) != len(texts[0]):
                raise ValueError(f"found {len(lines)} lines, and {len(texts[0])} in English")
        texts.append(lines)
    return Captions(*texts)


def _treebank(language: str, root: str | Path | None) -> tuple[Tagged, list[str]]:
    path = data_file("ud_pud", f"{language}_pud-ud-test.conllu.gz", root=root)
    number = {tag: i for i, tag in enumerate(UPOS)}
    found, ids = Tagged([], [], []), list[str]()
    with reading(path, "gzip of CoNLL-U sentences with `sent_id` and `text`"):
        sentences = store.unpacked(path, cost=TEXT).decode().strip().split("\n\n")
        complete(sentences, UD_PUD)
        for sentence in sentences:
            about = dict(re.findall(r"^# (\w+) = (.*)$", sentence, re.MULTILINE))
            words, tags = list[str](), list[int]()
            for line in sentence.split("\n"):
                if line[:1] in ("#", ""):
                    continue
                row = line.split("\t", 10)
                if not row[0].isdigit():  # 26-27, a contraction, or 8.1, a word left out
                    continue
                if len(row) != 10 or row[3] not in number or row[0] != str(len(words) + 1):
                    raise ValueError(
                        f"sentence {about.get('sent_id')!r} has rows without ten columns or with another tag, or out "
                        f"of order: {line[:60]!r}"
                    )
                words.append(row[1])
                tags.append(number[row[3]])
            if not words or not {"sent_id", "text"} <= about.keys():
                raise ValueError(
                    f"sentence {about.get('sent_id')!r}, number {len(ids) + 1}, has no sent_id, text or word"
                )
            ids.append(about["sent_id"])
            found.texts.append(about["text"])
            found.words.append(words)
            found.tags.append(tags)
    return found, ids
