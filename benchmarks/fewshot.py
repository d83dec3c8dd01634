"""python benchmarks/fewshot.py [--episodes 100] [--rounds 5] [--only speed]

Few-shot methods on features, batched over episodes, beside easyfsl's loop over episodes that does the same work:
5 classes, 1 support row and 15 queries of each class, 640 features; TIM with 50 steps, PT-MAP with 30 updates. All
predictions are compared. The contestants take turns; the table has medians over the rounds, in milliseconds of the
processor for each episode, and the memory that a process of its own takes more at the peak.

The other tables need ADAPT_DATA: accuracy with equal and with unequal shares of the classes among the queries, and how
many rows of unknown classes get a name.
"""

import argparse
import ctypes
import multiprocessing
import os
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

sys.path[0] = str(Path(__file__).parents[1])  # benchmarks/losses.py would hide the package
from adapt import fewshot

WAYS, QUERIES, DIM = 5, 15, 640


def features(episodes: int, length: float) -> tuple[Tensor, Tensor, Tensor]:
    """Rows from 0 on, as after a ReLU, of one length."""
    generator = torch.Generator().manual_seed(0)
    middles = torch.randn(episodes, WAYS, 1, DIM, generator=generator)
    rows = (middles + 2.0 * torch.randn(episodes, WAYS, 1 + QUERIES, DIM, generator=generator)).relu()
    rows = length * torch.nn.functional.normalize(rows, dim=-1)
    labels = torch.arange(WAYS).expand(episodes, -1)
    return rows[:, :, 0], labels, rows[:, :, 1:].flatten(1, 2)


def loop(make: Callable) -> Callable[[Tensor, Tensor, Tensor], Tensor]:
    """easyfsl: a new model for each episode."""

    def run(support: Tensor, labels: Tensor, query: Tensor) -> Tensor:
        found = []
        for s, y, q in zip(support, labels, query, strict=True):
            model = make()
            with torch.no_grad():
                model.process_support_set(s, y)
                found.append(model(q).detach())
        return torch.stack(found)

    return run


def contestants() -> dict[str, tuple[Callable, Callable]]:
    from easyfsl import methods as peer

    tim = fewshot.alpha_tim(alpha=1.0, metric="cosine", temperature=10.0, rate=1e-4, conditional=0.1)
    pt_map = fewshot.pt_map(prior="uniform", unit=False, steps=30)
    return {
        "ProtoNet": (fewshot.centroid(), loop(peer.PrototypicalNetworks)),
        "SimpleShot": (fewshot.centroid(metric="cosine"), loop(peer.SimpleShot)),
        "BD-CSPN": (fewshot.bd_cspn(sharpness=1.0), loop(peer.BDCSPN)),
        "LaplacianShot": (fewshot.laplacian_shot(), loop(peer.LaplacianShot)),
        "TIM": (tim, loop(peer.TIM)),
        "PT-MAP": (pt_map, loop(lambda: peer.PTMAP(fine_tuning_steps=30))),
        "PT-MAP, dense rows": (pt_map, loop(lambda: peer.PTMAP(fine_tuning_steps=30))),
    }


def rows_for(name: str, episodes: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return episodes: exp of the distances of long rows underflows in easyfsl, whose PT-MAP then answers by chance."""
    return features(episodes, 10.0 if "dense" in name else 0.1)


def peak(name: str, which: int, episodes: int, answer: multiprocessing.Queue) -> None:
    torch.set_num_threads(1)
    method, rows = contestants()[name][which], rows_for(name, episodes)
    method(*(part[:1] for part in rows))
    ctypes.CDLL("libc.so.6").malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5")  # Linux: the peak begins anew
    before = kept("VmRSS")
    method(*rows)
    answer.put(kept("VmHWM") - before)


def kept(what: str) -> float:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(what)) / 1024


def memory(name: str, which: int, episodes: int) -> float:
    context = multiprocessing.get_context("fork")  # a copy, without the seconds of the imports
    answer = context.Queue()
    process = context.Process(target=peak, args=(name, which, episodes, answer))
    process.start()
    found = answer.get()
    process.join()
    return found


def speed(episodes: int, rounds: int) -> None:
    size = episodes * WAYS * QUERIES * DIM * 4 / 2**20
    print(f"{episodes} episodes, queries {size:.0f} MiB, torch {torch.__version__}, one thread, processor time")
    print("| method | ours, ms | easyfsl, ms | ratio | equal predictions | ours, MiB | easyfsl, MiB |")
    print("|---|---:|---:|---:|---:|---:|---:|")
    for name, pair in contestants().items():
        rows = rows_for(name, episodes)
        some = max(4, episodes // 20) if "PT-MAP" in name else episodes  # easyfsl takes a second per episode
        for run in pair:
            run(*(part[:2] for part in rows))
        times: list[list[float]] = [[], []]
        found = [None, None]
        for _ in range(rounds):
            for which, run in enumerate(pair):
                part = [r[:some] for r in rows] if which else rows
                start = time.process_time()
                found[which] = run(*part)
                times[which].append(1000 * (time.process_time() - start) / len(part[0]))
        ratio = statistics.median(b / a for a, b in zip(*times, strict=True))
        ours, theirs = (f.argmax(-1)[:some] for f in found)
        equal = (ours == theirs).double().mean().item()
        taken = [memory(name, which, some if which else episodes) for which in (0, 1)]
        a, b = map(statistics.median, times)
        cells = f"{a:.2f} | {b:.2f} | {ratio:.1f} | {equal:.4f} | {taken[0]:.0f} | {taken[1]:.0f}"
        print(f"| {name} | {cells} |", flush=True)


METHODS = {
    "centroid": fewshot.centroid(),
    "centroid, cosine (default of fit)": fewshot.centroid(metric="cosine"),
    "cl2n": fewshot.cl2n(),
    "ridge": fewshot.ridge(),
    "logistic": fewshot.logistic(),
    "lda": fewshot.lda(),
    "alpha_tim (default of transduce)": fewshot.alpha_tim(),
    "alpha_tim, alpha=1 (TIM)": fewshot.alpha_tim(alpha=1.0),
    "bd_cspn": fewshot.bd_cspn(),
    "bd_cspn, shift=False": fewshot.bd_cspn(shift=False),
    "pt_map, uniform": fewshot.pt_map(prior="uniform"),
    "label_propagation": fewshot.label_propagation(),
    "laplacian_shot": fewshot.laplacian_shot(),
}


def omniglot() -> tuple[Tensor, Tensor]:
    """The characters of `images_background_small2` at 64 pixels."""
    from adapt import datasets

    images, labels = datasets.omniglot("small2", size=64).images.tensors
    return images.expand(-1, 3, -1, -1), labels[:, 1]


def cifar10() -> tuple[Tensor, Tensor]:
    """400 images of each class at 64 pixels; chose the defaults."""
    from adapt import datasets

    images, labels = datasets.cifar10_jpg("train").tensors
    return torch.nn.functional.interpolate(images, size=64, mode="bilinear") * 2 - 1, labels


def calibrated(method: Callable, kept: list[Tensor]) -> Callable:
    """The method, which keeps its confidences and whether its answers are right; classes have equal shares."""

    def run(support: Tensor, labels: Tensor, query: Tensor) -> Tensor:
        found = method(support, labels, query)
        right = torch.arange(WAYS).repeat_interleave(query.shape[1] // WAYS)
        kept.append(torch.stack([found.exp().amax(-1), (found.argmax(-1) == right).float()]).flatten(1))
        return found

    return run


def calibration(kept: list[Tensor]) -> str:
    """Expected calibration error in 15 bins, and mean confidence minus accuracy, in points."""
    confidence, right = torch.cat(kept, 1).double()
    gap, place = right - confidence, (15 * confidence).long().clamp(max=14)
    error = torch.zeros(15, dtype=torch.float64).index_add_(0, place, gap).abs().sum() / len(gap)
    return f"{100 * error:.1f} ({-100 * gap.mean():+.1f})"


def accuracy(read: Callable[[], tuple[Tensor, Tensor]], episodes: int, queries: int) -> None:
    """Features of a MobileNet of ImageNet."""
    from torch.utils.data import TensorDataset

    from adapt import encoders, engine

    weights = Path(os.environ["ADAPT_DATA"], "mobilenet025_imagenet", "mobilenet025_224_notop.npz")
    found = engine.features(encoders.mobilenet(0.25, weights), TensorDataset(*read()))
    columns = {}
    kept: dict[tuple[str, int], list[Tensor]] = {(name, shots): [] for name in METHODS for shots in (1, 5)}
    for shots in (1, 5):
        for concentration in (None, 2.0):
            methods: dict = METHODS
            if concentration is None:
                methods = {name: calibrated(method, kept[name, shots]) for name, method in METHODS.items()}
            columns[shots, concentration] = fewshot.evaluate(
                found, methods, shots=shots, queries=queries, episodes=episodes, concentration=concentration
            )
    print(
        f"\n{read.__name__}, 5 classes, {5 * queries} queries, {episodes} episodes: accuracy %, paired difference "
        "to `centroid`; expected calibration error, and confidence minus accuracy, points"
    )
    print("| method | 1 row, equal shares | 1 row, Dirichlet(2) | 5 rows, equal shares | 5 rows, Dirichlet(2) ", end="")
    print("| 1 row, calibration error | 5 rows, calibration error |")
    print("|---|---:|---:|---:|---:|---:|---:|")
    for name in METHODS:
        cells = []
        for evaluation in columns.values():
            gain = evaluation.accuracies[name] - evaluation.accuracies["centroid"]
            half = 196 * gain.std().item() / len(gain) ** 0.5
            cells.append(f"{100 * evaluation.scores[name].value:.1f} ({100 * gain.mean():+.1f} ± {half:.1f})")
        print(f"| {name} | {' | '.join(cells + [calibration(kept[name, shots]) for shots in (1, 5)])} |")


def unknown(draws: int = 5) -> None:
    """Rows of 96 unknown characters that get a name, where 5 % are wanted; pixels as features, 30 known characters."""
    from adapt import datasets, encoders

    images, labels = datasets.omniglot("small2", size=28).images.tensors
    x, y, pixels = images.flatten(1), labels[:, 1], encoders.wrap(torch.nn.Identity(), 784)
    chosen = {"cosine": fewshot.centroid(metric="cosine"), "cl2n": fewshot.cl2n(), "ridge": fewshot.ridge()}
    print("\n| method | rows of a class | named, leave-one-out, % | named, 600 rows of 30 other unknown classes, % |")
    print("|---|---:|---:|---:|")
    for name, method in chosen.items():
        for shots in (1, 5):
            found = []
            for draw in range(draws):
                order = torch.randperm(156, generator=torch.Generator().manual_seed(draw))
                known, others, strange = order[:30], order[30:60], order[60:]
                few = torch.cat([x[y == k][:shots] for k in known])
                names = [str(int(k)) for k in known for _ in range(shots)]
                for rows in ("leave-one-out", x[torch.isin(y, others)]):
                    model = fewshot.fit(pixels, few, names, method=method, unknown=rows)
                    found.append(float((model.predict(x[torch.isin(y, strange)]) != "unknown").mean()))
            first, second = (100 * statistics.mean(found[i::2]) for i in (0, 1))
            print(f"| {name} | {shots} | {first:.1f} | {second:.1f} |", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--episodes", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", choices=["speed", "accuracy", "development", "unknown"])
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    if chosen.only in (None, "speed"):
        speed(chosen.episodes, chosen.rounds)
    if chosen.only in (None, "accuracy") and "ADAPT_DATA" in os.environ:
        accuracy(omniglot, 6 * chosen.episodes, 10)
    if chosen.only in (None, "development") and "ADAPT_DATA" in os.environ:
        accuracy(cifar10, 2 * chosen.episodes, 15)
    if chosen.only in (None, "unknown") and "ADAPT_DATA" in os.environ:
        unknown()
