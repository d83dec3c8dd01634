"""How much a newly listed stock will move in the next five days: transfer from markets, and from other stocks.

    ADAPT_DATA=... python examples/volatility.py            # 2 minutes; --quick: a smoke run, its numbers mean nothing

Squared error against the same regression on the stock alone: 60 days of history -58 % (p < .001), 125 days -21 %
(p < .001), 250 days -3.4 % (p = .18); against the regression of the indices alone -6.0, -7.6 and -6.1 % (p < .001).
Fitted again on 60 days of the stock, the weights of the indices lose 12 %.

The label is the log of the sum of the next five squared daily log returns. HAR (Corsi 2009) is a regression on the log
mean squared returns of 1, 5 and 22 days; "level" adds the same of the whole history. Ten dates, 60 days apart, are the
paired seeds; the next 60 days of 20 stocks are the test. Inputs and sources were chosen on dates before the first date.
"""

import argparse
from dataclasses import dataclass
from functools import cache

import numpy as np
import torch

from adapt import datasets, heads, report

HORIZON, SPANS, FLOOR, BASELINE = 5, (1, 5, 22), 1e-6, "stock only: HAR"
LAST, TEST = 610, 60  # days before the end of the data at which the first date lies; days of a test
METHODS = {  # the sources, the number of columns of the inputs, the pull of the stock's weights to those of the sources
    BASELINE: ("", 4, None), "indices only: HAR": ("indices", 4, None), "indices, then stock: HAR": ("indices", 4, 3.0),
    "indices only: HAR, level": ("indices", 5, None), "indices, then stock: HAR, level": ("indices", 5, 3.0),
    "indices, stocks: HAR, level": ("indices and stocks", 5, None), "random walk": ("", 0, None), "mean": ("", 1, None),
}  # fmt: skip
read = cache(lambda: (datasets.world_indices(), datasets.stock_prices()))


@dataclass(frozen=True)
class Settings:
    dates: int = 10
    histories: tuple[int, ...] = (60, 125, 250)  # days of the stock
    stocks: int = 20


def mean_square(returns: np.ndarray, days: int) -> np.ndarray:
    """The log of the mean squared return of the last `days` days, NaN where there are fewer days."""
    return np.log(np.r_[np.full(days - 1, np.nan), np.convolve(returns**2, np.ones(days), "valid")] / days + FLOOR)


@cache
def series(history: int) -> dict[str, tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Days, inputs (a one, HAR's three, the level) and labels of each market and stock."""
    found = {}
    for prices in read():
        for name, closes in zip(prices.names, prices.closes.T.numpy(), strict=True):
            there = ~np.isnan(closes)
            returns = np.diff(np.log(closes[there]))
            young = np.log(np.cumsum(returns**2) / np.arange(1, len(returns) + 1) + FLOOR)
            level = np.r_[young[: history - 1], mean_square(returns, history)[history - 1 :]]
            x = np.stack([np.ones(len(returns)), *(mean_square(returns, span) for span in SPANS), level], 1)
            ahead = np.r_[mean_square(returns, HORIZON)[HORIZON:], np.full(HORIZON, np.nan)]
            found[name] = prices.days[there][1:], x, ahead + np.log(HORIZON)
    return found


def regression(x: np.ndarray, y: np.ndarray, start: np.ndarray | None = None, pull: float = 1e-8) -> np.ndarray:
    """The weights of least squared error plus `pull` times the squared distance to `start`: L2-SP in closed form."""
    start = np.zeros(x.shape[1]) if start is None else start
    return start + np.linalg.solve(x.T @ x + pull * np.eye(x.shape[1]), x.T @ (y - x @ start))


@cache
def losses(method: str, history: int, date: int, settings: Settings) -> np.ndarray:
    """Squared errors ``(stocks, days)`` of the test after a date."""
    (sources, columns, pull), data, (markets, stocks) = METHODS[method], series(history), read()
    start, names = stocks.days[TEST * date - LAST], stocks.names[: settings.stocks]
    found = np.empty((len(names), TEST))
    for row, name in enumerate(names):
        days, x, y = data[name]
        first = int(np.searchsorted(days, start))
        test, own = slice(first, first + TEST), slice(first - history + SPANS[-1], first - HORIZON)
        if not columns:
            said = x[test, 2] + np.log(HORIZON)  # the last five days again
        elif not sources:
            said = x[test, :columns] @ regression(x[own, :columns], y[own])
        else:
            others = markets.names + [n for n in names if n != name] * ("stocks" in sources)
            known = [(data[o], slice(SPANS[-1], int(np.searchsorted(data[o][0], start)) - HORIZON)) for o in others]
            pooled = [np.concatenate([part[k][rows] for part, rows in known if rows.stop > rows.start]) for k in (1, 2)]
            weights = regression(pooled[0][:, :columns], pooled[1])
            again = weights if pull is None else regression(x[own, :columns], y[own], weights, pull)
            said = x[test, :columns] @ again
        found[row] = (said - y[test]) ** 2
    return found


def scored(cell: report.Cell, settings: Settings) -> heads.Score:
    error = torch.from_numpy(losses(cell.method, cell.budget, cell.seed, settings).mean(1))
    return heads.average("squared error of the log", error, higher_is_better=False)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="2 dates, 3 stocks: does everything run?")
    parser.add_argument("--out", default="runs/volatility", help="folder for what is written (default: %(default)s)")
    arguments = parser.parse_args()
    settings = Settings(dates=2, histories=(60,), stocks=3) if arguments.quick else Settings()
    result = report.experiment(
        arguments.out, dict.fromkeys(METHODS, lambda cell: scored(cell, settings)), settings.dates, BASELINE,
        data=report.Data(), budgets=settings.histories, settings=settings, quick=arguments.quick,
    )  # fmt: skip
    print(f"\n{result.table()}\n\n| history | against | by | % | DM | p |\n|---|---|---|---:|---:|---:|")
    for history in settings.histories:
        days = {m: np.concatenate([losses(m, history, d, settings).T for d in range(settings.dates)]) for m in METHODS}
        for other in (BASELINE, "indices only: HAR"):
            for method in [m for m in METHODS if "level" in m]:
                a, b = (days[m].mean(1) for m in (method, other))  # a mean over stocks per day
                dm = report.diebold_mariano(a, b, lags=22)
                by = f"{method} | {100 * dm.difference.value / b.mean():+.1f}"
                print(f"| {history} | {other} | {by} | {dm.statistic:.1f} | {dm.p:.4f} |")
    print(f"\npage {result.page()}, picture {result.figure()}, numbers {result.json()}")


if __name__ == "__main__":
    main()
