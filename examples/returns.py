"""Is tomorrow's return of a market predictable? A leak that looks like a result, and four honest noes.

    ADAPT_DATA=... python examples/returns.py            # seconds; --quick changes nothing

A regression on the own last five returns is no better than the forecast of no change: R2 -0.0007 (S&P 500), -0.002
(DAX), -0.013 (FTSE), -0.008 (Nikkei). With the returns of all four markets, R2 for the Nikkei is +0.22, with a
Diebold-Mariano statistic of -7.8: New York closes 15 hours after Tokyo, and `datasets.leak_check` says so.

Learned before November 2010, tested on the 1,891 days after. No model here is a strategy: costs are not counted.
"""

import argparse
from datetime import timedelta
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

from adapt import datasets, report

LAGS, SPLIT, TOKYO, NEW_YORK = 5, np.datetime64("2010-11"), 3, 0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="as without: the script takes seconds")
    parser.add_argument("--out", default="runs/returns", help="folder for the picture (default: %(default)s)")
    arguments = parser.parse_args()
    prices = datasets.world_indices()
    r, days = np.diff(np.log(prices.closes.numpy()), axis=0), prices.days[1 + LAGS :]
    learn = days < SPLIT
    print("| next return of | from | R2 against no change | DM | p | |\n|---|---|---:|---:|---:|---|")
    figure, axis = plt.subplots(figsize=(7, 3.5), layout="constrained")
    for market, inputs in [(k, [k]) for k in range(4)] + [(TOKYO, [0, 1, 2, 3])]:
        columns = [r[LAGS - 1 - lag : len(r) - 1 - lag, k] for k in inputs for lag in range(LAGS)]
        x, y = np.stack([np.ones(len(days)), *columns], 1), r[LAGS:, market]
        weights = np.linalg.lstsq(x[learn], y[learn])[0]
        error, none = (y - x @ weights)[~learn] ** 2, y[~learn] ** 2
        test, who = report.diebold_mariano(error, none), "own lags" if len(inputs) == 1 else "all markets"
        better = "better" if test.statistic < 0 and test.p < 0.05 else "not distinguishable from the random walk"
        words = "worse than the random walk" if test.statistic > 0 and test.p < 0.05 else better
        row = f"{1 - error.sum() / none.sum():+.4f} | {test.statistic:+.1f} | {test.p:.3f} | {words}"
        print(f"| {prices.names[market]} | {who} | {row} |")
        axis.plot(days[~learn], 100 * np.cumsum(none - error) / none.sum(), label=f"{prices.names[market]}, {who}")
    # the prediction is made at the close of Tokyo: how much later is each column known?
    times = days.astype("datetime64[ns]") - np.timedelta64(1, "D")
    known = {NEW_YORK: timedelta(hours=15), TOKYO: timedelta(0)}
    inputs, sides = r[LAGS - 1 : -1], (learn, ~learn)
    leaks = datasets.leak_check(*(inputs[s] for s in sides), times=tuple(times[s] for s in sides), known=known, near=1)
    for leak in [leak for leak in leaks if leak.kind == "column of the future"]:
        print(f"\nThe last row of the table is a leak. {leak} Column {NEW_YORK} is {prices.names[NEW_YORK]}.")
    axis.set(ylabel="R2 so far, %", title="A model of returns that gains looks at the future")
    axis.legend(frameon=False)
    path = Path(arguments.out) / "returns.png"
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=120)
    print(f"\npicture {path}")


if __name__ == "__main__":
    main()
