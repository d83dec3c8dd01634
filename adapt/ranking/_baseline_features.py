"""Features of a row without any encoder."""

from collections.abc import Sequence
from typing import Any

import numpy
import torch
import torch.nn.functional as F
from torch import Tensor

from adapt.protocols import MapStyle
from adapt.streams.items import ItemForm
from adapt.streams.memory import columns

SIDE = 16  # most pixels along each axis of an averaged image
TERMS = 2048  # most frequent terms of the fitted texts
LONGEST_TABLE = 1000  # a longer row of numbers is a recording
QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
LAGS = (1, 2, 4, 8)
BANDS = (0, 1 / 16, 1 / 8, 1 / 4, 1)  # of the highest frequency
KINDS = ("text", "image", "series", "table")


def baseline_features(
    dataset: MapStyle,
    *,
    fitted_on: MapStyle | None = None,
    kind: str | None = None,
    label: str | None = None,
    input: str | None = None,
) -> Tensor:
    r"""Return ``(n, d)`` features of the rows without any encoder: what a simple model would see.

    The row that every encoder must beat. By kind of the inputs:

    - texts: tf-idf of words, :math:`(1 + \ln \mathrm{tf}) (1 + \ln \frac{1 + n}{1 + \mathrm{df}})` with rows of length
      1; the 2,048 most frequent words;
    - images, tensors ``(c, h, w)`` or PIL: the pixels, averaged down to at most 16 x 16;
    - series, ``(length,)`` or ``(channels, length)``, of any length: 28 statistics for each channel: mean, deviation,
      least, largest, five quantiles (5, 25, 50, 75, 95 %), skewness, excess kurtosis, mean and largest absolute
      difference of neighbours, deviation of the differences, autocorrelation at lags 1, 2, 4 and 8, share of
      crossings of the mean, share of local maxima, slope of the line over time, root mean square, shares of the energy
      in four bands (up to 1/16, 1/8, 1/4 and 1 of the highest frequency), spectral centroid, and spectral entropy;
    - tables, ``(columns,)``: the columns; a missing number becomes the mean of the column.

    Args:
        dataset: with or without labels. Labels are not read.
        fitted_on: the training rows, for words, their weights and means of columns: give the training rows for the rows
            of a test. None takes `dataset` itself.
        kind: ``"text"``, ``"image"``, ``"series"`` or ``"table"``. None looks at the first row: a row of up to 1,000
            numbers is a table, a longer row a series.
        label, input: key of the label and of the input in items that are mappings, as in :class:`adapt.Stream`.

    Returns:
        float32 features for :func:`rank`, ``inductive.probe`` and any simple model; not standardised.

    Raises:
        TypeError: inputs of another kind, such as a dict.
        ValueError: an empty data set, an unknown `kind`, rows of unequal shapes, texts without words.

    >>> baseline_features([torch.zeros(3, 40, 40), torch.ones(3, 40, 40)]).shape
    torch.Size([2, 768])
    >>> baseline_features([torch.randn(6, 128), torch.randn(6, 128)]).shape
    torch.Size([2, 168])
    """
    form = ItemForm(label, None, input)
    rows = read_rows(dataset, form)[0]
    fitted = rows if fitted_on is None else read_rows(fitted_on, form)[0]
    kind = _kind(fitted[0]) if kind is None else kind
    if kind not in KINDS:
        raise ValueError(f"`kind` must be one of {', '.join(KINDS)}, got {kind!r}.")
    if kind == "text":
        return _tf_idf(fitted, rows)
    numbers = [_tensor(row) for row in rows]
    if kind == "series":
        return torch.stack([_statistics(row) for row in numbers])
    if kind == "image":
        return torch.stack([_small(row) for row in numbers])
    return _table(torch.stack([_tensor(row).flatten() for row in fitted]), torch.stack([n.flatten() for n in numbers]))


def read_rows(dataset: MapStyle, form: ItemForm) -> tuple[Any, Tensor | None]:
    """Return the inputs of all rows, and the labels or None.

    Raises:
        ValueError: an empty data set.
    """
    if len(dataset) == 0:
        raise ValueError("`dataset` is empty: there is no row.")
    memory = columns(dataset) if form == ItemForm() else None
    if memory is not None:
        every = torch.arange(len(dataset))
        return memory.take(0, every), memory.take(1, every) if len(memory.kinds) > 1 else None
    inputs, labels = zip(*(form.split(dataset[k]) for k in range(len(dataset))), strict=True)
    return inputs, None if labels[0] is None else torch.stack([torch.as_tensor(y) for y in labels])


def _kind(row: Any) -> str:
    if isinstance(row, str):
        return "text"
    shape = _tensor(row).shape
    if len(shape) == 3:
        return "image"
    return "series" if len(shape) == 2 or (len(shape) == 1 and len(row) > LONGEST_TABLE) else "table"


def _tensor(row: Any) -> Tensor:
    """Return numbers as a float tensor; an image of PIL with its channels first."""
    if isinstance(row, Tensor):
        return row.float()
    array = numpy.asarray(row)
    if array.dtype.kind not in "biuf":
        raise TypeError(
            f"the inputs must be texts, images, series or rows of numbers, got a {type(row).__name__}: name the key of "
            "the input, `input=...`, or make features of your own."
        )
    image = type(row).__module__.startswith("PIL.")
    made = torch.from_numpy(array.astype(numpy.float32))
    return (made[None] if made.ndim == 2 else made.permute(2, 0, 1)) if image else made


def _tf_idf(fitted: Sequence[str], rows: Sequence[str]) -> Tensor:
    from sklearn.feature_extraction.text import TfidfVectorizer

    words = TfidfVectorizer(max_features=TERMS, sublinear_tf=True, dtype=numpy.float32)
    try:
        words.fit(fitted)
    except ValueError as error:
        raise ValueError(
            "`dataset` holds texts without any word of two letters: give texts, or another `kind`."
        ) from error
    return torch.from_numpy(words.transform(rows).toarray())


def _small(image: Tensor) -> Tensor:
    if image.ndim not in (2, 3):
        raise ValueError(f"an image must be (h, w) or (c, h, w), got shape {tuple(image.shape)}.")
    sides = min(image.shape[-2], SIDE), min(image.shape[-1], SIDE)
    return F.adaptive_avg_pool2d(image.reshape(-1, *image.shape[-2:]), sides).flatten()


def _table(fitted: Tensor, rows: Tensor) -> Tensor:
    means = fitted.nanmean(0).nan_to_num()
    return torch.where(rows.isnan(), means, rows)


def _statistics(series: Tensor) -> Tensor:
    """Return 28 numbers for each channel of a series ``(length,)`` or ``(channels, length)``."""
    if series.ndim not in (1, 2) or series.shape[-1] < 2:
        raise ValueError(
            f"a series must be (length,) or (channels, length) with at least 2 time steps, got {tuple(series.shape)}."
        )
    x = series.double().reshape(-1, series.shape[-1])
    mean, deviation = x.mean(1, keepdim=True), x.std(1, correction=0, keepdim=True)
    centred, step = x - mean, x.diff(dim=1)
    z = centred / torch.where(deviation > 1e-12 * (1 + mean.abs()), deviation, 1)
    n = x.shape[1]
    time = torch.linspace(-1, 1, n, dtype=x.dtype)
    inner = z[:, 1:-1]
    found = [
        mean, deviation, x.amin(1, keepdim=True), x.amax(1, keepdim=True),
        x.quantile(torch.tensor(QUANTILES, dtype=x.dtype), 1).T,
        (z**3).mean(1, keepdim=True), (z**4).mean(1, keepdim=True) - 3,
        step.abs().mean(1, keepdim=True), step.abs().amax(1, keepdim=True), step.std(1, correction=0, keepdim=True),
        torch.stack([(z[:, lag:] * z[:, : max(n - lag, 0)]).sum(1) / n for lag in LAGS], 1),
        (z[:, 1:] * z[:, :-1] < 0).double().mean(1, keepdim=True),
        ((inner > z[:, :-2]) & (inner > z[:, 2:])).double().sum(1, keepdim=True) / n,
        (time * centred).sum(1, keepdim=True) / (time**2).sum(),
        (x**2).mean(1, keepdim=True).sqrt(),
        _spectrum(centred),
    ]  # fmt: skip
    return torch.cat(found, 1).flatten().float()


def _spectrum(centred: Tensor) -> Tensor:
    """Return the shares of the energy in four bands, the centroid and the entropy; zeros for a constant series."""
    power = torch.fft.rfft(centred).abs()[:, 1:] ** 2
    total = power.sum(1, keepdim=True)
    share = torch.where(total > 0, power / torch.where(total > 0, total, 1), 0)
    place = torch.arange(1, power.shape[1] + 1, dtype=share.dtype) / power.shape[1]
    bands = [
        (share * ((place > low) & (place <= high))).sum(1) for low, high in zip(BANDS[:-1], BANDS[1:], strict=True)
    ]
    entropy = torch.special.entr(share).sum(1) / max(numpy.log(power.shape[1]), 1.0)
    return torch.stack([*bands, (share * place).sum(1), entropy], 1)
