"""Six simulators of a robot arm and motion capture of the real one: what is left of the gap when the tempo is right?

    ADAPT_DATA=... python examples/kinova.py            # half a minute of processor time
    ADAPT_DATA=... python examples/kinova.py --quick    # a smoke run; its numbers mean nothing

Pushing a cube: 74 mm where simulators are stretched to the length of the real path, 36 with their tempo, 25 with the
simulator that fits the other commands best; another real run is 4 mm away.

A Kinova arm carries out three commands. Simulators have no clock: one row a step. Tempo, delay, gain and offset of the
hand's path are fitted on two commands, and predict the third. A seed draws half of the 23 real runs for the fit. Score:
mean distance to the mean real path. Never a random split: runs of one command repeat each other to 4 to 8 mm.
"""

import argparse
from dataclasses import dataclass
from functools import cache, partial

import numpy as np
from scipy.optimize import least_squares

from adapt import datasets, report

SIMULATORS = ["Mujoco", "PyBullet", "VRepBullet278", "VRepBullet283", "VRepNewton", "VRepVortex"]  # VRepODE diverges
COMMANDS, RATE, MOVED = {"one joint": 1, "two joints": 2, "pushing a cube": 3}, 20, 5.0  # per second; mm
STRETCHED, RAW, TEMPO, GAIN = "same length", "20 Hz", "tempo", "tempo, gain"
BASELINE, REPEATED = f"{STRETCHED}: mean", "another real run"
METHODS = [BASELINE, *(f"{m}: mean" for m in (RAW, TEMPO, GAIN)), *(f"{m}: best fit" for m in (TEMPO, GAIN))]


@dataclass(frozen=True)
class Settings:
    seeds: int = 5
    runs: int = 12  # of 23, for the fit


def from_first_movement(path: np.ndarray, rest: np.ndarray, skip: int) -> np.ndarray:
    far = np.linalg.norm(path - rest, axis=1) > MOVED
    return path[skip + int(far[skip:].argmax()) :]


@cache
def real(command: int) -> np.ndarray:
    """Paths of the hand (runs, times, 3) in mm, 20 times a second."""
    paths = []
    with np.load(datasets.data_file("reality_gap_kinova", "reality_gap.npz")) as file:
        for name in (name for name in file.files if name.startswith(f"exp{command}_real")):
            time, hand = file[name][:, 0].astype(float), file[name][:, 1:4].astype(float)
            even = np.arange(time[0], time[-1], 1 / RATE)  # lines with missing bodies are absent
            path = np.stack([np.interp(even, time, part) for part in hand.T], 1)
            paths.append(from_first_movement(path, np.median(path[2:8], 0), 3))
    return np.stack([path[: min(map(len, paths))] for path in paths])


@cache
def simulated(command: int, simulator: str) -> np.ndarray:
    """Path of the hand (times, 3) in mm; the 20 runs of a simulator are equal."""
    with np.load(datasets.data_file("reality_gap_kinova", "reality_gap.npz")) as file:
        name = next(name for name in file.files if name.startswith(f"exp{command}_{simulator}_"))
        path = 1000 * file[name][:, :3].astype(float)
    return from_first_movement(path, path[0], 0)


def played(path: np.ndarray, p: np.ndarray, times: int) -> np.ndarray:
    """The path at another tempo p[0] and delay p[1], with gains p[2:5] and offsets p[5:8] of the axes."""
    at = p[0] * np.arange(times) + p[1]
    return p[2:5] * np.stack([np.interp(at, np.arange(len(path)), part) for part in path.T], 1) + p[5:8]


def fitted(simulator: str, wanted: dict[int, np.ndarray], free: int) -> tuple[float, np.ndarray]:
    """The misfit and the first `free` of eight numbers, the others neutral; the best of several tempi to start from."""
    neutral = np.array([1.0, 0, 1, 1, 1, 0, 0, 0])

    def misfit(p: np.ndarray) -> np.ndarray:
        p = np.concatenate([p, neutral[free:]])
        parts = (played(simulated(c, simulator), p, len(x)) - x for c, x in wanted.items())
        return np.concatenate([part.ravel() / len(part) ** 0.5 for part in parts])

    scale = np.array([0.05, 1, 0.1, 0.1, 0.1, 20, 20, 20])[:free]
    starts = [np.concatenate([[tempo], neutral[1:free]]) for tempo in (0.5, 0.7, 1.0, 1.4, 2.0)]
    found = min((least_squares(misfit, start, x_scale=scale) for start in starts), key=lambda f: f.cost)
    return found.cost, np.concatenate([found.x, neutral[free:]])


def scored(cell: report.Cell, s: Settings) -> dict[str, float]:
    left_out = COMMANDS[cell.task]
    order = np.random.default_rng(cell.seed).permutation(len(real(left_out)))
    truth = real(left_out).mean(0)
    if cell.method == REPEATED:
        return {"distance, mm": float(np.linalg.norm(real(left_out)[order[0]] - truth, axis=1).mean())}
    model, which = cell.method.split(": ")
    wanted = {c: real(c)[order[: s.runs]].mean(0) for c in COMMANDS.values() if c != left_out}
    found = []
    for simulator in SIMULATORS:
        path, cost = simulated(left_out, simulator), 0.0
        p = np.array([(len(path) - 1) / (len(truth) - 1) if model == STRETCHED else 1.0, 0, 1, 1, 1, 0, 0, 0])
        if model in (TEMPO, GAIN):
            cost, p = fitted(simulator, wanted, 2 if model == TEMPO else 8)
        found.append((cost, np.linalg.norm(played(path, p, len(truth)) - truth, axis=1).mean()))
    distance = min(found)[1] if which == "best fit" else np.mean([distance for _, distance in found])
    return {"distance, mm": float(distance)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="2 seeds, one run each: does everything run?")
    parser.add_argument("--out", default="runs/kinova", help="folder for what is written (default: %(default)s)")
    arguments = parser.parse_args()
    s = Settings(seeds=2, runs=1) if arguments.quick else Settings()
    methods = dict.fromkeys([*METHODS, REPEATED], partial(scored, s=s))
    data, grid = {name: report.Data() for name in COMMANDS}, {"settings": s, "quick": arguments.quick}
    grid |= {"higher_is_better": False, "oracle": [REPEATED]}
    result = report.experiment(arguments.out, methods, s.seeds, BASELINE, data=data, **grid)
    for command in result.tasks:
        for method, found in result.scores(command).items():
            print(f"{command}: {np.mean(found):5.1f} mm, {method}")
    print(f"\n{result.table()}\n\npage {result.page()}, picture {result.figure()}, numbers {result.json()}")


if __name__ == "__main__":
    main()
