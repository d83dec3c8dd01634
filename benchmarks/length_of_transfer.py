"""Test accuracy by the number of steps of fine-tuning, on scikit-learn's small data: why `inductive.transfer` counts
steps and not epochs alone.

    python -P benchmarks/length_of_transfer.py            3 seeds; docs/inductive.md has the table
    python -P benchmarks/length_of_transfer.py wine 60    one case

Each network trains as `inductive.transfer(encoder, train, "full")` does: AdamW at 1e-3, a cosine over the whole length,
batches of 32, every epoch in another order. All seeds and all lengths of a case train side by side in batched products.
Two layers of 64 units from random weights; "pretrained" are the digits 5 to 9 with layers that learned the digits 0 to
4, at a tenth of the rate, behind a head that the probe has solved.
"""

import argparse
import math

import numpy
import torch
import torch.nn.functional as F
from sklearn.datasets import load_breast_cancer, load_digits, load_wine
from torch import Tensor, nn

from adapt import inductive

LENGTHS, SEEDS, BATCH = [20, 60, 100, 200, 300, 500, 1000], 3, 32
LOAD = {"digits": load_digits, "wine": load_wine, "breast cancer": load_breast_cancer, "pretrained": load_digits}
CASES = [
    ("digits", 60), ("wine", 60), ("breast cancer", 60), ("pretrained", 20), ("pretrained", 60), ("pretrained", 200),
    ("digits", 400), ("breast cancer", 400),
]  # fmt: skip


def networks(inputs: int, classes: int) -> list[Tensor]:
    """Weights and biases of all seeds."""
    found = []
    for seed in range(SEEDS):
        torch.manual_seed(seed)
        layers = nn.Linear(inputs, 64), nn.Linear(64, 64), nn.Linear(64, classes)
        found.append([p.detach().clone() for layer in layers for p in (layer.weight.T, layer.bias[None])])
    return [torch.stack(parts) for parts in zip(*found, strict=True)]


def features(weights: list[Tensor], x: Tensor) -> Tensor:
    hidden = torch.relu(torch.baddbmm(weights[1], x, weights[0]))
    return torch.relu(torch.baddbmm(weights[3], hidden, weights[2]))


def outputs(weights: list[Tensor], x: Tensor) -> Tensor:
    return torch.baddbmm(weights[5], features(weights, x), weights[4])


def trained(weights: list[Tensor], x: Tensor, y: Tensor, lengths: list[int], encoder_scale: float) -> list[Tensor]:
    """AdamW for all seeds and lengths; the networks of a seed stand behind each other."""
    each, n = len(lengths), x.shape[1]
    batch, rows = min(BATCH, n), torch.arange(SEEDS)[:, None]
    orders = torch.stack([order(n, batch, max(lengths), seed) for seed in range(SEEDS)])
    p = [w.repeat_interleave(each, 0).requires_grad_() for w in weights]
    m, v = ([torch.zeros_like(w) for w in p] for _ in range(2))
    until = torch.tensor(lengths).repeat(SEEDS).float()
    for t in range(max(lengths)):
        taken = orders[:, t * batch : (t + 1) * batch]
        inputs, labels = (part[rows, taken].repeat_interleave(each, 0) for part in (x, y))
        loss = F.cross_entropy(outputs(p, inputs).flatten(0, 1), labels.flatten(), reduction="sum") / batch
        gradients = torch.autograd.grad(loss, p)
        rate = 1e-3 * 0.5 * (1 + torch.cos(math.pi * t / until)) * (t < until)
        with torch.no_grad():
            for k, g in enumerate(gradients):
                own = rate.view(-1, 1, 1) * (encoder_scale if k < 4 else 1.0)
                p[k].mul_(1 - own * 0.01)
                m[k].lerp_(g, 0.1)
                v[k].lerp_(g * g, 0.001)
                p[k].sub_(own * (m[k] / (1 - 0.9 ** (t + 1))) / ((v[k] / (1 - 0.999 ** (t + 1))).sqrt() + 1e-8))
    return [w.detach() for w in p]


def order(n: int, batch: int, steps: int, seed: int) -> Tensor:
    generator, in_epoch = torch.Generator().manual_seed(seed), max(1, n // batch)
    epochs = [torch.randperm(n, generator=generator)[: in_epoch * batch] for _ in range(-(-steps // in_epoch))]
    return torch.cat(epochs)[: steps * batch]


def pretrained() -> list[Tensor]:
    x, y = load_digits(return_X_y=True)
    known = y < 5
    x, y = torch.from_numpy(x[known]).float() / 4 - 1, torch.from_numpy(y[known])
    return trained(networks(64, 5), x.expand(SEEDS, -1, -1), y.expand(SEEDS, -1), [1000], 1.0)


def split(name: str, n: int) -> list[Tensor]:
    """Training and test rows of all seeds."""
    parts = []
    for seed in range(SEEDS):
        x, y = LOAD[name](return_X_y=True)
        if name == "pretrained":
            x, y = x[y >= 5], y[y >= 5] - 5
        drawn = numpy.random.default_rng(seed).permutation(len(y))
        x, y = torch.from_numpy(x[drawn]).float(), torch.from_numpy(y[drawn])
        images = name in ("digits", "pretrained")
        x = x / 4 - 1 if images else (x - x[:n].mean(0)) / x[:n].std(0).clamp_min(1e-3)
        parts.append((x[:n], y[:n], x[n:], y[n:]))
    return [torch.stack(part) for part in zip(*parts, strict=True)]


def run(name: str, n: int) -> str:
    x, y, test, truth = split(name, n)
    classes, scale = int(truth.max()) + 1, 1.0
    start = networks(x.shape[2], classes)
    if name == "pretrained":
        scale, start[:4] = 0.1, pretrained()[:4]
        known = features(start, x)
        for seed in range(SEEDS):
            linear = inductive.probe(known[seed], y[seed], classes, seed=seed).head.linear
            start[4][seed], start[5][seed] = linear.weight.T.detach(), linear.bias.detach()[None]
    ends = trained(start, x, y, LENGTHS, scale)
    right = [
        (outputs([w[k :: len(LENGTHS)] for w in ends], test).argmax(2) == truth).float().mean().item()
        for k in range(len(LENGTHS))
    ]
    shown = " | ".join(f"{100 * value:.1f}" for value in right)
    return f"| {name}, {n} rows | {20 * max(1, n // BATCH)} | {shown} |"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("case", nargs="*", help="the name and the number of rows of one case; none: all cases")
    case = parser.parse_args().case
    torch.set_num_threads(1)
    print(f"| case | steps of 20 epochs | {' | '.join(f'{length} steps' for length in LENGTHS)} |")
    print("|---" * (2 + len(LENGTHS)) + "|")
    for each in [(case[0], int(case[1]))] if len(case) > 1 else CASES:
        print(run(*each), flush=True)
