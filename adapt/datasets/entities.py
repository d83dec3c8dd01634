"""A reader of sentences with named entities, in six domains."""

from pathlib import Path
from typing import NamedTuple

from adapt import store
from adapt.datasets.files import TEXT, complete, data_file, reading
from adapt.datasets.published_rows import CROSSNER

CROSSNER_DOMAINS = ("conll2003", "politics", "science", "music", "literature", "ai")


class TaggedWords(NamedTuple):
    """The words of each sentence, and the tag of each word: an index into the `names` of the domain."""

    words: list[list[str]]
    tags: list[list[int]]


class Entities(NamedTuple):
    """Sentences of one domain for training, validation and the test.

    Attributes:
        names: of the tags: ``"O"``, no entity, first; then ``"B-..."``, the first word of an entity, and ``"I-..."``, a
            further word, by the alphabet.
    """

    train: TaggedWords
    validation: TaggedWords
    test: TaggedWords
    names: list[str]


def crossner(root: str | Path | None = None) -> dict[str, Entities]:
    """Read sentences with named entities of news (CoNLL 2003) and of five fields with few labelled sentences.

    The fields have 100 or 200 sentences for training, and types of entities of their own beside person, organisation,
    location and misc. 78 test sentences of CoNLL and 6 of music are among the training sentences of the domain. The
    meaning of ``misc`` differs from domain to domain. :func:`adapt.heads.span_f1` gives the score of the papers.

    Returns:
        By domain, in the order of ``datasets.CROSSNER_DOMAINS``.

    Liu et al., CrossNER, 2021, https://arxiv.org/abs/2012.04373; Tjong Kim Sang and De Meulder, 2003,
    https://aclanthology.org/W03-0419
    """
    found = {}
    for domain in CROSSNER_DOMAINS:
        parts = [
            _sentences(data_file("crossner", domain, f"{part}.txt.gz", root=root)) for part in ("train", "dev", "test")
        ]
        kinds = {tag for part in parts for sentence in part for _, tag in sentence} - {"O"}
        names = ["O", *sorted(kinds, key=lambda tag: (tag[2:], tag))]
        number = {tag: i for i, tag in enumerate(names)}
        train, validation, test = (
            TaggedWords(
                [[word for word, _ in sentence] for sentence in part],
                [[number[tag] for _, tag in sentence] for sentence in part],
            )
            for part in parts
        )
        found[domain] = Entities(train, validation, test, names)
    return found


def _sentences(path: Path) -> list[list[tuple[str, str]]]:
    """Return the words of each sentence, each with its tag."""
    with reading(path, "gzip of lines of a word, a tab and a tag, with an empty line after each sentence"):
        text = store.unpacked(path, cost=TEXT).decode()
        blocks = [block for block in text.replace("\r\n", "\n").split("\n\n") if block.strip("\n")]
        complete(blocks, CROSSNER)
        sentences = list[list[tuple[str, str]]]()
        for block in blocks:
            rows = [line.split("\t") for line in block.strip("\n").split("\n")]
            for row in rows:
                if len(row) != 2 or not row[0] or not (row[1] == "O" or (row[1][:2] in ("B-", "I-") and row[1][2:])):
                    raise ValueError(f"sentence {len(sentences) + 1} has a line without a word and a tag: {row[:2]!r}")
            sentences.append([(row[0], row[1]) for row in rows])
        if not sentences:
            raise ValueError("found 0 sentences")
    return sentences
