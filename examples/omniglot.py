"""Read a character that one drawing has shown: the 20 official one-shot runs of Omniglot.

    ADAPT_DATA=... python examples/omniglot.py    # 9 minutes of processor time; --quick: its numbers mean nothing

Error, mean of three seeds: modified Hausdorff distance 38.8 %, trained encoder 14.1, whitened 10.3; strokes that are
moved onto each other, without training, 5.8; both together 4.0 (docs/fewshot.md).

A run shows 20 characters of one alphabet by one person, and asks for the same 20 by another person. The encoder learns
from the 136 characters of `images_background_small1` alone, turned by 0, 90, 180 and 270 degrees as characters of their
own. Settings were fixed on three other alphabets (Katakana, Sanskrit and Tagalog of `images_background_small2`).
"""

import argparse
from dataclasses import dataclass
from functools import cache, partial

import torch
import torch.nn.functional as F
from scipy.optimize import linear_sum_assignment
from torch import Tensor, nn
from torch.utils.data import TensorDataset

import losses
from adapt import Trainer, datasets, encoders, engine, fewshot, heads, inductive, report, streams


@dataclass(frozen=True)
class Settings:
    seeds: int = 3
    steps: int = 500
    runs: int = 20


def vary(images: Tensor, strength: float = 1.0) -> Tensor:
    """Return drawings of other hands: turned, stretched, slanted, moved and bent, with a thinner or thicker pen."""
    n, change = len(images), strength * torch.tensor([[0.15, 0.3, 0.08], [0.3, 0.15, 0.08]])
    maps = torch.eye(2, 3) + change * (2 * torch.rand(n, 2, 3) - 1)
    bend = F.interpolate(torch.randn(n, 2, 4, 4), images.shape[2:], mode="bicubic", align_corners=True)
    places = F.affine_grid(maps, list(images.shape), False) + 0.06 * strength * bend.permute(0, 2, 3, 1)
    drawn = F.grid_sample(images, places, align_corners=False)
    thick = F.max_pool2d(F.pad(drawn, (0, 1, 0, 1)), 2, 1)
    return drawn.lerp(thick, strength * (1.2 * torch.rand(n, 1, 1, 1) - 0.4).clamp_min(0))


def network() -> encoders.Encoder:
    layers: list[nn.Module] = []
    for before, after, stride, pool in (1, 32, 2, 1), (32, 64, 1, 1), (64, 64, 1, 2), (64, 128, 1, 2), (128, 128, 1, 1):
        convolution = nn.Conv2d(before, after, 2 * stride + 1, stride, padding=stride, bias=False)
        layers += [convolution, nn.BatchNorm2d(after), nn.ReLU(), nn.MaxPool2d(pool)]
    body = nn.Sequential(*layers, nn.Flatten()).to(memory_format=torch.channels_last)
    return encoders.wrap(body, example=torch.zeros(2, 1, 28, 28))


def turned() -> TensorDataset:
    """Return the 136 characters in four positions: 544 characters."""
    images, labels = datasets.omniglot("small1").images.tensors
    x = torch.cat([torch.rot90(images, turn, (2, 3)) for turn in range(4)])
    return TensorDataset(x, torch.cat([labels[:, 1] + 136 * turn for turn in range(4)]))


@cache
def trained(loss: str, seed: int, settings: Settings) -> nn.Module:
    torch.manual_seed(seed)
    encoder = network()
    tasks = streams.Stream(
        turned(), sampling=streams.episodes(ways=64, shots=1, queries=3),
        collate=lambda items: (vary(torch.stack([x for x, _ in items])), torch.stack([y for _, y in items])),
    )  # fmt: skip
    term = fewshot.episodic("tasks", loss=partial(losses.prototypical, distance="cosine", temperature=0.1))
    if loss == "contrastive":
        term = inductive.supervised_contrastive(encoder, on="tasks", projection=None)
    return Trainer(
        encoder, [term], {"tasks": tasks}, schedule=engine.cosine(warmup=0.1), precision="bf16", seed=seed,
        optimizer=partial(torch.optim.AdamW, lr=2e-3, weight_decay=1e-2), progress=False,
    ).fit(settings.steps).encoder  # fmt: skip


def cosines(encoder: nn.Module, runs: list[Tensor], *, views: int = 0) -> Tensor:
    """Return ``(runs, queries, support)``; with `views`, of whitened features that are the mean of varied drawings."""
    layer, found = fewshot.whitening(engine.features(encoder, turned())) if views else nn.Identity(), []
    for images in (runs[1], runs[0]):
        looks = [images.flatten(0, 1), *(vary(images.flatten(0, 1), 0.7) for _ in range(views))]
        x = sum(F.normalize(engine.features(encoder, TensorDataset(look)).tensors[0]) for look in looks)
        found.append(F.normalize(layer(x)).unflatten(0, images.shape[:2]))
    return found[0] @ found[1].mT


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="two runs and two steps: does everything run?")
    parser.add_argument("--out", default="runs/omniglot", help="folder for what is written (default: %(default)s)")
    arguments = parser.parse_args()
    now = Settings(seeds=1, steps=2, runs=2) if arguments.quick else Settings()
    small, large = ([x[: now.runs] for x in datasets.omniglot_runs(size=size)] for size in (28, 105))
    untrained = cache(lambda of: torch.stack([of(*run) for run in zip(large[1], large[0], strict=True)]))
    rows = {
        "pixels": lambda seed: cosines(nn.Flatten(), small),
        "modified Hausdorff distance": lambda seed: untrained(fewshot.modified_hausdorff),
        "random encoder": lambda seed: cosines(network(), small),
        "prototypes": lambda seed: cosines(trained("prototypes", seed, now), small),
        "contrastive": lambda seed: cosines(trained("contrastive", seed, now), small),
        "whitened": lambda seed: cosines(trained("contrastive", seed, now), small, views=8),
        "aligned strokes": lambda seed: untrained(fewshot.aligned_strokes),
        "whitened + aligned": lambda seed: rows["aligned strokes"](seed) + 0.2 * rows["whitened"](seed),
        "test images read together, one per class": lambda seed: rows["whitened + aligned"](seed),
    }

    def wrong(cell: report.Cell) -> heads.Score:
        found, units = rows[cell.method](cell.seed), torch.arange(now.runs).repeat_interleave(20)
        best = [linear_sum_assignment(-x)[1] if "together" in cell.method else x.argmax(1) for x in found]
        missed = torch.stack([torch.as_tensor(x) for x in best]) != small[2]
        return heads.average("error", missed.flatten(), higher_is_better=False, units=units)

    cells = dict.fromkeys(rows, wrong)
    result = report.experiment(arguments.out, cells, now.seeds, settings=now, quick=arguments.quick)
    print(f"{result.table()}\n\npage {result.page()}, picture {result.figure()}, numbers {result.json()}")


if __name__ == "__main__":
    main()
