"""A policy from a simulator for worlds with other physics: does domain randomisation help? CartPole.

    python examples/cartpole.py            # 2 minutes of processor time
    python examples/cartpole.py --quick    # a smoke run; its numbers mean nothing

Mean return in unseen worlds, ten seeds: 295 by the policy of the nominal simulator, 487 with random physics and delay;
solved worlds 48 and 96 %; worst seed 140 and 458.

The policy pushes right where w x > 0: four weights, found by cross-entropy search in the nominal simulator, or in 32
new random worlds for each round. Each seed tries the policies in 20 unseen worlds, 20 episodes each: mass of the cart,
mass and length of the pole, and force are multiplied by factors of a range, and a push acts 0 to 3 steps late. A world
is solved where the mean return is at least 475 of 500. "target only" searches in each of the 20 worlds by itself.
"""

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np

from adapt import report

BASELINE, PHYSICS, RANDOM, ORACLE = "nominal simulator", "random physics", "random physics and delay", "target only"
RANGES, SOLVED = {"50 % less to 200 % more": (0.5, 3.0)}, 475
NOMINAL = np.array([1.0, 0.1, 0.5, 10.0])  # gymnasium's CartPole-v1: cart, pole, half of the length, force
GRAVITY, STEP, PLACE, ANGLE = 9.8, 0.02, 2.4, 12 * np.pi / 180


@dataclass(frozen=True)
class Settings:
    seeds: int = 10
    worlds: int = 20  # of the test
    episodes: int = 20
    delay: int = 3  # steps, at most
    candidates: int = 64
    elite: int = 8
    rounds: int = 25
    each: int = 32  # worlds of a round of the search


def drawn(draw: np.random.Generator, shape: tuple[int, ...], low: float, high: float, delay: int) -> np.ndarray:
    """Worlds (5, *shape): mass of the cart, mass and half length of the pole, force, delay."""
    physics = NOMINAL.reshape(4, *(1 for _ in shape)) * draw.uniform(low, high, (4, *shape))
    return np.concatenate([physics, draw.integers(0, delay + 1, (1, *shape))])


def moved(state: np.ndarray, push: np.ndarray, world: np.ndarray) -> np.ndarray:
    """The state (4, ...) a step later: place, speed, angle, turn; `push` is -1 or 1, or 0 for none."""
    (_, speed, angle, turn), (cart, pole, half, force, _) = state, world
    sine, cosine, mass = np.sin(angle), np.cos(angle), cart + pole
    pull = (force * push + pole * half * turn**2 * sine) / mass
    spin = (GRAVITY * sine - cosine * pull) / (half * (4 / 3 - pole * cosine**2 / mass))
    return state + STEP * np.stack([speed, pull - pole * half * spin * cosine / mass, turn, spin])


def returns(weights: np.ndarray, world: np.ndarray, draw: np.random.Generator) -> np.ndarray:
    """Steps before the pole falls or the cart leaves, at most 500; weights (4, ...), worlds (5, ...)."""
    shape, delay = world.shape[1:], world[4].astype(int)[None]
    state, alive, total = draw.uniform(-0.05, 0.05, (4, *shape)), np.ones(shape, bool), np.zeros(shape)
    pushes = np.zeros((delay.max() + 1, *shape))  # the newest first
    for _ in range(500):
        pushes = np.concatenate([np.where((weights * state).sum(0) > 0, 1.0, -1.0)[None], pushes[:-1]])
        state = moved(state, np.take_along_axis(pushes, delay, 0)[0], world)
        total += alive
        alive &= (np.abs(state[0]) <= PLACE) & (np.abs(state[2]) <= ANGLE)
        state = np.where(alive, state, 0.0)
        if not alive.any():
            break
    return total


def searched(worlds: Callable[[], np.ndarray], draw: np.random.Generator, s: Settings) -> np.ndarray:
    """Weights (4, searches); `worlds()` gives the worlds of a round, (5, 1, searches, worlds)."""
    mean, spread = 0.0, 1.0
    for _ in range(s.rounds):
        world = worlds()
        tried = mean + spread * draw.normal(size=(4, s.candidates, world.shape[2]))
        score = returns(tried[..., None], world.repeat(s.candidates, 1), draw).mean(-1)
        elite = np.take_along_axis(tried, np.argsort(-score, 0)[None, : s.elite], 1)
        mean, spread = elite.mean(1, keepdims=True), elite.std(1, keepdims=True) + 0.02
        mean = mean / np.linalg.norm(mean, axis=0)  # the length changes no push
    return mean[:, 0]


def scored(cell: report.Cell, s: Settings) -> dict[str, float]:
    draw, unseen = (np.random.default_rng([cell.seed, part]) for part in (0, 1))
    test = drawn(unseen, (1, s.worlds, 1), *RANGES[cell.task], s.delay)
    worlds = {
        BASELINE: lambda: drawn(draw, (1, 1, s.each), 1.0, 1.0, 0),
        PHYSICS: lambda: drawn(draw, (1, 1, s.each), *RANGES[cell.task], 0),
        RANDOM: lambda: drawn(draw, (1, 1, s.each), *RANGES[cell.task], s.delay),
        ORACLE: lambda: test.repeat(4, 3),
    }[cell.method]
    weights = searched(worlds, draw, s)[:, None, :, None]
    found = returns(weights, test.repeat(s.episodes, 3), unseen).mean(-1)
    return {"return": float(found.mean()), "solved": float((found >= SOLVED).mean())}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="2 seeds, short searches: does everything run?")
    parser.add_argument("--out", default="runs/cartpole", help="folder for what is written (default: %(default)s)")
    arguments = parser.parse_args()
    s = Settings(seeds=2, worlds=4, candidates=16, rounds=3, each=4) if arguments.quick else Settings()
    methods = dict.fromkeys([BASELINE, PHYSICS, RANDOM, ORACLE], partial(scored, s=s))
    data, grid = {task: report.Data() for task in RANGES}, {"settings": s, "quick": arguments.quick}
    result = report.experiment(arguments.out, methods, s.seeds, BASELINE, data=data, oracle=[ORACLE], **grid)
    for task in result.tasks:
        solved = result.only("solved").scores(task)
        for method, found in result.scores(task).items():
            mean, share = np.mean(found), 100 * np.mean(solved[method])
            print(f"{task}: return {mean:5.1f}, worst seed {min(found):5.1f}, solved {share:4.1f} %: {method}")
    print(f"\n{result.table()}\n\npage {result.page()}, picture {result.figure()}, numbers {result.json()}")


if __name__ == "__main__":
    main()
