"""Readers of closing prices: indices of four markets, and twenty stocks."""

import csv
import math
from pathlib import Path
from typing import NamedTuple

import numpy
import torch
from torch import Tensor

from adapt import store
from adapt.datasets.files import TEXT, complete, data_file, reading
from adapt.datasets.published_rows import STOCKS, WORLD_INDICES


class Prices(NamedTuple):
    """Closing prices: one row per day, one column per market or stock.

    Attributes:
        days: ``(n,)`` ``datetime64[D]``, ascending.
        names: of the k columns.
        closes: ``(n, k)`` float64; NaN where there is no price, as before the listing of a stock.
    """

    days: numpy.ndarray
    names: list[str]
    closes: Tensor


def world_indices(root: str | Path | None = None) -> Prices:
    """Read daily closes of four markets, 1994-01-07 to 2018-01-29: S&P 500, DAX, FTSE 100, Nikkei 225.

    The four closes of one date are hours apart: Tokyo closes first, New York 15 hours later. The file repeats the close
    of the day before on holidays of a market (3 to 6 % of the rows), and these rows have a return of 0.

    Returns:
        6,277 business days, columns ``spx``, ``dax``, ``ftse``, ``nikkei``.
    """
    path = data_file("world_indices", "Index2018.csv", root=root)
    with reading(path, "csv with a date and closes in each row"):
        return _read(path.read_text(encoding="utf-8-sig"), WORLD_INDICES, missing=False)


def stock_prices(root: str | Path | None = None) -> Prices:
    """Read daily closes of 20 stocks of the United States, 1989-12-29 to 2018-04-11, adjusted for dividends and splits.

    Three of the stocks are listed after 2010. The stocks were chosen in 2018, so companies that had failed before are
    absent: a mean over the stocks says nothing about returns of a market.

    Returns:
        7,126 days; NaN before the listing of a stock.
    """
    path = data_file("stock_prices_20", "stock_prices.csv.gz", root=root)
    with reading(path, "gzip of csv with a date and closes in each row"):
        return _read(store.unpacked(path, cost=TEXT).decode("utf-8-sig"), STOCKS, missing=True)


def _read(text: str, published: dict[str, tuple[int, str]], *, missing: bool) -> Prices:
    lines = text.strip().splitlines()
    complete(lines[1:], published)
    header, *rows = csv.reader(lines)
    if len(header) < 2 or header[0].lower() != "date" or not rows:
        raise ValueError("the first row must be `date` and names, and rows must follow")
    wrong = [number for number, row in enumerate(rows, 2) if len(row) != len(header)]
    if wrong:
        raise ValueError(f"row {wrong[0]} has another number of columns than the first row, {len(header)}")
    closes = torch.tensor(
        [[float(field) if field else math.nan for field in row[1:]] for row in rows], dtype=torch.float64
    )
    there = ~closes.isnan()
    if not (missing or there.all()) or not (closes[there] > 0).all() or closes.isinf().any():
        raise ValueError("a close must be a positive number" + (" or empty" if missing else ""))
    days = numpy.array([row[0] for row in rows], dtype="datetime64[D]")
    if numpy.isnat(days).any() or not (days[1:] > days[:-1]).all():
        raise ValueError("the dates must be of the form 2018-01-29, ascending, each once")
    return Prices(days, header[1:], closes)
