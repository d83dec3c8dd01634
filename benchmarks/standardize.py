"""Which scale for the inputs of two domains: as read, of the source, of each domain, of each image?

    ADAPT_DATA=... python benchmarks/standardize.py [tables] [images] [chest]

Accuracy on the target in %: for tables of a linear probe solved on the source, for images of a small convolutional
network, mean over three seeds; for the chest X-rays also with `domain.dan`.
"""

import argparse
import sys
import warnings
from collections import defaultdict
from pathlib import Path

import numpy
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import TensorDataset

sys.path[0] = str(Path(__file__).parents[1])  # benchmarks/losses.py would hide the package
import adapt
from adapt import Stream, Trainer, datasets, domain, encoders, heads, inductive

STEPS, ROWS, SEEDS = 200, 1500, 3
NETWORKS = ("network", lambda: []), ("network with dan", lambda: [domain.dan()])


def tables():
    hospitals = datasets.heart_disease()._asdict()
    for a in hospitals:
        yield from (("heart disease", hospitals[a], hospitals[b]) for b in hospitals if a != b)
    users = datasets.wisdm_transformed()
    yield from (("WISDM", users[a], users[b]) for a, b in datasets.adaptation_pairs(users, 10))


def grey(data, size):
    x = data.tensors[0].float().mean(1, keepdim=True)
    some = torch.randperm(len(x), generator=torch.Generator().manual_seed(0))[:ROWS]
    return TensorDataset(F.adaptive_avg_pool2d(x[some], size), data.tensors[1][some])


def images():
    digits = datasets.digits()
    yield "paper to photo", digits.paper.train, digits.photo.train
    mnist, usps, blended = (grey(d, 16) for d in (datasets.mnist(), datasets.usps(), datasets.mnist_m()))
    yield "MNIST to USPS", mnist, usps
    yield "USPS to MNIST", usps, mnist
    yield "MNIST to MNIST-M", mnist, blended


def chest():
    a = numpy.load(datasets.data_file("chest_xray_two_sites", "pneumoniamnist_rebuilt.npz"))
    b = numpy.load(datasets.data_file("chest_xray_two_sites", "nih_pneumonia_64.npz"))
    sites = [
        grey(TensorDataset(torch.from_numpy(x)[:, None].float() / 255, torch.from_numpy(y).long().flatten()), 16)
        for x, y in ((a["train_images"], a["train_labels"]), (b["images"], b["labels"]))
    ]
    yield "chest: children to adults", sites[0], sites[1]
    yield "chest: adults to children", sites[1], sites[0]


def score(source, target, terms, seed):
    torch.manual_seed(seed)
    x = source.tensors[0]
    if x.ndim == 2:
        encoder = encoders.wrap(nn.Sequential(nn.Linear(x.shape[1], 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU()), 64)
    else:
        convolve = nn.Conv2d(x.shape[1], 16, 3, 2, 1), nn.ReLU(), nn.Conv2d(16, 32, 3, 2, 1), nn.ReLU()
        encoder = encoders.wrap(nn.Sequential(*convolve, nn.AdaptiveAvgPool2d(2), nn.Flatten()), 128)
    classify = heads.Classifier(encoder, int(source.tensors[1].max()) + 1)
    streams = {"source": Stream(source, 64)}
    if terms:
        streams["target"] = Stream(target, min(64, len(target)), labels=False)
    adam = lambda groups: torch.optim.Adam(groups, lr=1e-3)  # noqa: E731
    trainer = Trainer(
        encoder, [adapt.supervised(classify, "source"), *terms], streams, seed=seed, optimizer=adam, progress=False
    )
    return 100 * trainer.fit(STEPS).evaluate(classify, target).value


def probe_score(source, target):
    (x, y), (new, truth) = ((d.tensors[0].flatten(1), d.tensors[1]) for d in (source, target))
    head = inductive.probe(x, y, int(max(y.max(), truth.max())) + 1, penalties=[1.0, 0.1, 0.01]).head
    return 100 * head.score(head.measure(head(new), truth)).value


def clipped(data):
    return TensorDataset(data.tensors[0].clamp(-5, 5), data.tensors[1])


def main(groups):
    warnings.simplefilter("ignore")
    for group in groups:
        found = defaultdict(list)
        for name, source, target in {"tables": tables, "images": images, "chest": chest}[group]():
            scales = ["source", "domain"] if group == "tables" else ["as read", "source", "domain", "row"]
            for by in scales:
                pair = (source, target) if by == "as read" else datasets.standardize(source, target, by=by)
                a, b = map(clipped, pair)
                if group == "tables":
                    found[name, by, "probe"].append(probe_score(a, b))
                    continue
                for method, make in NETWORKS[: 1 + (group == "chest")]:
                    values = [score(a, b, make(), seed) for seed in range(SEEDS)]
                    found[name, by, method].append(sum(values) / SEEDS)
        for (name, by, method), values in found.items():
            print(f"{name} | {by} | {method} | {sum(values) / len(values):.1f} | pairs {len(values)}", flush=True)
        for (name, by, method), values in found.items():
            if by == "domain" and len(values) > 1:
                gains = [v - w for v, w in zip(values, found[name, "source", method], strict=True)]
                shown = ", ".join(f"{g:+.1f}" for g in sorted(gains))
                print(f"{name} | {method} | by domain minus by source, each pair: {shown}", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("groups", nargs="*", help="tables, images, chest; all where none is named")
    main(parser.parse_args().groups or ["tables", "images", "chest"])
