"""Drift detectors on streams of errors: false alarms, delay and missed changes, beside the detectors of river.

    python benchmarks/drift.py              # about 5 minutes; river's rows need `pip install river`
    python benchmarks/drift.py --only KSWIN --streams 4

Constructed streams of 0 and 1. Without a change: 10 streams of 10,000 rows for each of four error rates. With a change:
20 streams for each of four changes, 2,000 rows before and 3,000 rows after. The delay is the number of rows after the
change until the first alarm, 3,000 where no alarm came (missed). The threshold of `Drift` was chosen on the rates 1, 3,
8, 15, 25 and 45 % with other seeds.
"""

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

sys.path[0] = str(Path(__file__).parents[1])  # else `benchmarks/losses.py` would hide the package

from adapt.transductive import Drift

RATES = (0.02, 0.1, 0.2, 0.35)
CHANGES = ((0.02, 0.1), (0.1, 0.2), (0.1, 0.3), (0.2, 0.5))
BEFORE, AFTER = 2_000, 3_000


def ours() -> Callable[[float], bool]:
    drift = Drift()
    return lambda error: bool(drift.update([error]))


def of_river(make: Callable[[], Any]) -> Callable[[], Callable[[float], bool]]:
    def start() -> Callable[[float], bool]:
        detector = make()

        def step(error: float) -> bool:
            detector.update(error)
            return detector.drift_detected

        return step

    return start


def detectors() -> dict[str, Callable[[], Callable[[float], bool]]]:
    found = {"Drift (threshold 10)": ours}
    try:
        from river import drift
        from river.drift import binary
    except ImportError:
        print("without river: `pip install river`")
        return found
    return found | {
        "river ADWIN": of_river(drift.ADWIN),
        "river DDM": of_river(binary.DDM),
        "river HDDM_A": of_river(binary.HDDMA),
        "river Page-Hinkley": of_river(drift.PageHinkley),
        "river KSWIN": of_river(lambda: drift.KSWIN(seed=0)),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--streams", type=int, default=20, help="streams with a change, and half as many without")
    parser.add_argument("--only", default="", help="rows whose name holds this text")
    arguments = parser.parse_args()
    head = [*(f"false alarms at {p:.0%}" for p in RATES), *(f"{a:.0%} to {b:.0%}" for a, b in CHANGES)]
    print(f"| detector | {' | '.join(head)} |\n" + "|---" * (len(head) + 1) + "|")
    for name, make in ((n, m) for n, m in detectors().items() if arguments.only in n):
        numbers = []
        for p in RATES:
            alarms = 0
            for seed in range(max(1, arguments.streams // 2)):
                step = make()
                draw = np.random.default_rng([1, seed])
                alarms += sum(step(float(e)) for e in draw.random(10_000) < p)
            numbers.append(f"{alarms / max(1, arguments.streams // 2):.1f}")
        for a, b in CHANGES:
            delays = []
            for seed in range(arguments.streams):
                draw, step = np.random.default_rng([2, seed]), make()
                for error in draw.random(BEFORE) < a:
                    step(float(error))
                alarm = (k for k, e in enumerate(draw.random(AFTER) < b) if step(float(e)))
                delays.append(next(alarm, AFTER))
            missed = sum(delay == AFTER for delay in delays)
            numbers.append(f"{np.mean(delays):.0f}" + (f" ({missed} missed)" if missed else ""))
        print(f"| {name} | {' | '.join(numbers)} |", flush=True)


if __name__ == "__main__":
    main()
