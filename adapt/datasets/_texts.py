"""Texts as a data set."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from torch import Tensor
from torch.utils.data import Dataset

from adapt.datasets.folders import naming
from adapt.datasets.labels import to_labels
from adapt.datasets.records import column_of, read_columns, typed
from adapt.datasets.rows import describe
from losses.options import COUNT, check, or_none


class TextRows(Dataset):
    """Texts with labels: an item is ``(text, label)``, or the text alone.

    Attributes:
        texts: list of str.
        labels: ``(n,)`` or ``(n, k)``, or None.
        names: of the classes, or None.
    """

    def __init__(self, texts: list[str], labels: Tensor | None, names: list[str] | None):
        self.texts, self.labels, self.names = texts, labels, names

    def __len__(self) -> int:
        return len(self.texts)

    def __getitem__(self, index: int) -> Any:
        return self.texts[index] if self.labels is None else (self.texts[index], self.labels[index])

    def __repr__(self) -> str:
        return f"TextRows({len(self)} texts, {describe(self.labels, self.names)})"


def texts(
    texts: Sequence[str] | str | Path,
    labels: Any = None,
    *,
    text: str = "text",
    names: Sequence[str] | None = None,
    missing: bool = False,
    separator: str | None = None,
    count: int | None = None,
) -> TextRows:
    """Return texts and labels as a data set.

    Args:
        texts: a list of str; or the path of a ``.csv``, ``.tsv`` or ``.jsonl`` file; or the path of a ``.txt`` file
            with one text in each line.
        labels: of a list of texts, as in :func:`arrays`; of a file, the name of the column of labels. None for texts
            alone.
        text: name of the column of texts in a file.
        names: of the classes, in the order of the numbers, as in :func:`arrays`.
        missing: ``True`` allows rows without a label, as in :func:`arrays`. In a csv file a missing label is an empty
            field or ``NA``.
        separator: between two fields of a csv file; None takes a tab for ``.tsv``, else a comma.
        count: the number of texts that there must be: a file that is cut at the end of a row looks whole. None takes
            any number.

    Returns:
        A data set with `texts`, `labels` and `names`. An item is ``(text, label)``, or the text alone.

    Raises:
        FileNotFoundError: no such file.
        TypeError: something else than texts; labels of mixed kinds.
        ValueError: no texts, unequal numbers of texts and labels, another number of texts than `count`, an unknown
            column, a missing label; a torn file, with the name of the file.

    >>> texts(["good", "bad", "fine"], ["plus", "minus", "plus"])[1]
    ('bad', tensor(0))
    """
    check(or_none(COUNT), count=count)
    if isinstance(texts, str | Path):
        if Path(texts).suffix.lower() == ".txt":
            with naming(texts, "texts of utf-8"):
                whole = Path(texts).read_text(encoding="utf-8-sig")
            # not splitlines: a text may hold a rare separator
            columns: dict[str, list[Any]] = {text: whole.removesuffix("\n").split("\n") if whole else []}
        else:
            columns = read_columns(texts, separator, count)
        found = list(column_of(columns, text, "`text`"))
        labels = typed(column_of(columns, labels, "`labels`"), label=True) if isinstance(labels, str) else labels
    else:
        found = list(texts)
    wrong = [value for value in found if not isinstance(value, str)]
    if wrong or not found:
        what = f"a {type(wrong[0]).__name__}" if wrong else "no text"
        raise (TypeError if wrong else ValueError)(f"`texts` must be at least one str, found {what}: convert first.")
    if count is not None and len(found) != count:
        raise ValueError(f"`texts` must have {count} texts, as `count` says, found {len(found)}: is the file complete?")
    if labels is None:
        return TextRows(found, None, None)
    values, classes = to_labels(labels, names, missing=missing, what="`labels`")
    if values.ndim == 0 or len(values) != len(found):
        raise ValueError(f"`labels` must be one for each of the {len(found)} texts, got {tuple(values.shape)}.")
    return TextRows(found, values, classes)
