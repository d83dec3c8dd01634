"""Readers of closing prices: made files, torn files, and the published files where they are at hand."""

import gzip
import os

import numpy
import pytest

from adapt import datasets

ROWS = "2018-01-26,10.5,20\n2018-01-29,11,19.5\n"


def write(root, text="date,A,B\n" + ROWS):
    (root / "world_indices").mkdir(parents=True, exist_ok=True)
    (root / "stock_prices_20").mkdir(parents=True, exist_ok=True)
    (root / "world_indices" / "Index2018.csv").write_text(text)
    (root / "stock_prices_20" / "stock_prices.csv.gz").write_bytes(gzip.compress(text.encode()))


@pytest.mark.parametrize("reader", [datasets.world_indices, datasets.stock_prices])
def test_days_names_and_closes(tmp_path, reader):
    write(tmp_path)
    days, names, closes = reader(tmp_path)
    assert days.tolist() == numpy.array(["2018-01-26", "2018-01-29"], "M8[D]").tolist() and names == ["A", "B"]
    assert closes.tolist() == [[10.5, 20], [11, 19.5]]


def test_an_empty_field_is_a_stock_that_is_not_listed_yet(tmp_path):
    write(tmp_path, "date,A,B\n2018-01-26,,20\n2018-01-29,11,19.5\n")
    assert datasets.stock_prices(tmp_path).closes.isnan().tolist() == [[True, False], [False, False]]
    with pytest.raises(ValueError, match="Index2018.csv.*must be a positive number"):
        datasets.world_indices(tmp_path)


@pytest.mark.parametrize(
    "text",
    [
        "", "date,A\n", "day,A\n2018-01-29,1\n", "date\n2018-01-29\n", "date,A,B\n2018-01-29,1\n",
        "date,A\n2018-01-29,0\n", "date,A\n2018-01-29,-1\n", "date,A\n2018-01-29,inf\n", "date,A\n2018-01-29,x\n",
        "date,A\n29.1.2018,1\n", "date,A\n2018-01-29,1\n2018-01-29,2\n", "date,A\n2018-01-29,1\n2018-01-26,2\n",
    ],
)  # fmt: skip
@pytest.mark.parametrize("reader", [datasets.world_indices, datasets.stock_prices])
def test_torn_files(tmp_path, reader, text):
    write(tmp_path, text)
    with pytest.raises(ValueError, match="cannot be read as"):
        reader(tmp_path)


@pytest.mark.skipif("ADAPT_DATA" not in os.environ, reason="the published files, below ADAPT_DATA")
def test_the_published_files(tmp_path):
    indices, stocks = datasets.world_indices(), datasets.stock_prices()
    assert indices.closes.shape == (6277, 4) and indices.names == ["spx", "dax", "ftse", "nikkei"]
    assert stocks.closes.shape == (7126, 20) and str(stocks.days[0]) == "1989-12-29"
    listed = (~stocks.closes.isnan()).sum(0)
    assert int(listed.min()) == 896 and not stocks.closes[-1].isnan().any()
    lines = gzip.decompress(datasets.data_file("stock_prices_20", "stock_prices.csv.gz").read_bytes()).splitlines(True)
    write(tmp_path, b"".join(lines[:-1]).decode())
    with pytest.raises(ValueError, match="found 7125 rows, and the published file has 7126"):
        datasets.stock_prices(tmp_path)
