"""The digit tasks of benchmarks/domain_adaptation.py: a convolutional network, varied views, methods with two views.

MNIST to USPS, USPS to MNIST, MNIST to MNIST-M, USPS to Semeion, all as three channels of 28 x 28. Methods learn from
90 % of the source's rows, the rest being its validation, and from the target's training rows without labels; they are
scored on target rows that no method has seen: USPS's own test split, and 20 % of the others. MNIST is its 10,000 test
digits; those behind MNIST-M's images are not in that task's source.

Settings are the same for all tasks. They were fixed on digits of scikit-learn, drawn over photographs, thick, thin and
slanted (`development`), which are not in the benchmark; after a first run of it the augmentation was changed, on
MNIST's digits over photographs: benchmarks/domain_adaptation.md tells that.

    python benchmarks/domain_digits.py      # the table of those trials
"""

import argparse
import math
import os
import sys
import time
from functools import partial
from pathlib import Path

import numpy
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import TensorDataset

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).parents[1])  # benchmarks/losses.py would hide the package
import adapt
from adapt import Stream, Trainer, datasets, domain, encoders, heads, ramp
from adapt.datasets._digits import blend, enlarge
from adapt.engine import cosine

SIZE, DIM, BATCH, RATE, STEPS = 28, 128, 64, 2e-3, 800
BASELINE, ORACLE = "source only", "target only"


# data ----------------------------------------------------------------------------------------------------------------


def coloured(data: TensorDataset) -> TensorDataset:
    images = F.interpolate(data.tensors[0], size=(SIZE, SIZE), mode="bilinear", antialias=True)
    return TensorDataset(images.expand(-1, 3, -1, -1).contiguous(), data.tensors[1])


def read(name: str) -> tuple[TensorDataset, TensorDataset, TensorDataset]:
    """Source, the target to learn from, and the target to score on."""
    mnist, usps = (coloured(d) for d in (datasets.mnist(), datasets.usps()))
    if name == "mnist to usps":
        return mnist, usps, coloured(datasets.usps("test"))
    source, target = {
        "usps to mnist": lambda: (usps, mnist),
        "mnist to mnist-m": lambda: (TensorDataset(*mnist[5000:]), coloured(datasets.mnist_m())),
        "usps to semeion": lambda: (usps, coloured(datasets.semeion())),
    }[name]()
    parts = datasets.splits(target, f"{name}, target", validation=0.0)
    return source, parts.train, parts.test


NAMES = ("mnist to usps", "usps to mnist", "mnist to mnist-m", "usps to semeion")


# views ---------------------------------------------------------------------------------------------------------------

CENTRES = (2 * torch.arange(SIZE) + 1) / SIZE - 1
GRID = torch.stack([CENTRES.repeat(SIZE), CENTRES.repeat_interleave(SIZE), torch.ones(SIZE * SIZE)], 1)


def moved(image: Tensor, degrees: float, scale: float, shear: float, shift: float) -> Tensor:
    """Turned, scaled, sheared and shifted by up to that much; `scale` and `shift` are shares of the image."""
    angle, size, slant, x, y = (2 * torch.rand(5) - 1).tolist()
    angle, size = math.radians(degrees * angle), 1 + scale * size
    c, s = size * math.cos(angle), size * math.sin(angle)
    matrix = torch.tensor([[c, s], [shear * slant - s, c], [2 * shift * x, 2 * shift * y]])
    return F.grid_sample(image[None], (GRID @ matrix).view(1, SIZE, SIZE, 2), align_corners=False)[0]


def relit(image: Tensor) -> Tensor:
    """Each channel by itself: inverted with equal chance, contrast 0.5 to 1.5, an offset up to 0.3. Noise up to 0.1."""
    contrast, offset, inverted, noise = torch.rand(10).split((3, 3, 3, 1))
    contrast = (contrast + 0.5) * torch.where(inverted < 0.5, -1.0, 1.0)
    offset = 0.5 - 0.5 * contrast + 0.6 * (offset - 0.5)
    image = torch.addcmul(offset[:, None, None], image, contrast[:, None, None])
    return image.add_(torch.randn_like(image), alpha=0.1 * float(noise))


def weak(image: Tensor) -> Tensor:
    return moved(image, 5, 0.05, 0.05, 0.05)


def strong(image: Tensor) -> Tensor:
    """Changes of place and of intensity as in French et al., 2018, https://arxiv.org/abs/1706.05208."""
    return relit(moved(image, 15, 0.2, 0.15, 0.1))


# methods -------------------------------------------------------------------------------------------------------------


def network(seed: int) -> tuple[encoders.Encoder, heads.Classifier]:
    def block(before: int, after: int, kernel: int) -> nn.Sequential:
        convolution = nn.Conv2d(before, after, kernel, padding=kernel // 2, bias=False)
        return nn.Sequential(convolution, nn.BatchNorm2d(after), nn.ReLU(), nn.MaxPool2d(2))

    torch.manual_seed(seed)
    body = nn.Sequential(
        block(3, 16, 5), block(16, 32, 3), block(32, 64, 3),
        nn.Flatten(), nn.Linear(576, DIM), nn.BatchNorm1d(DIM), nn.ReLU(),
    )  # fmt: skip
    return encoders.Encoder(body.to(memory_format=torch.channels_last), DIM), heads.Classifier(DIM, 10)


def terms(method: str, head: nn.Module) -> list:
    parts = {
        "dann": lambda: domain.dann(DIM),
        "mcc": lambda: domain.mcc(head, weight=ramp(1.0)),
        "fixmatch": lambda: domain.fixmatch(head, weight=ramp(1.0)),
    }
    return [adapt.supervised(head, on="source")] + [parts[p]() for p in method.split(" + ") if p in parts]


METHODS = [BASELINE, "dann", "mcc", "fixmatch + dsbn", "mcc + fixmatch + dsbn", ORACLE]


def train(
    method: str, source: TensorDataset, target: TensorDataset, seed: int, steps: int
) -> tuple[Trainer, heads.Classifier]:
    encoder, head = network(seed)
    if "dsbn" in method:
        encoder = domain.DomainNorm(encoder)
    data = {"source": Stream(source, BATCH, augment=strong)}
    if method not in (BASELINE, ORACLE):
        views = {"views": [weak, strong]} if "fixmatch" in method else {"augment": strong}
        data["target"] = Stream(TensorDataset(target.tensors[0]), BATCH, labels=False, **views)
    trainer = Trainer(
        encoder, terms(method, head), data, optimizer=partial(torch.optim.AdamW, lr=RATE, fused=True),
        schedule=cosine(), seed=seed, progress=False,
    )  # fmt: skip
    return trainer.fit(steps), head


def run(method: str, name: str, seed: int, steps: int) -> dict[str, numpy.ndarray]:
    """What the model says of held-out source rows and of the target's test rows, and how often it is right there."""
    source, target, test = read(name)
    parts = datasets.splits(source, name, validation=0.1, test=0.0, seed=seed)
    start = time.perf_counter()
    trainer, head = train(method, target if method == ORACLE else parts.train, target, seed, steps)
    on_target = trainer.predict(head, test)
    arrays = {
        "accuracy": (on_target.outputs.argmax(1) == test.tensors[1]).float().mean(),
        "seconds": torch.tensor(time.perf_counter() - start),
    }
    if method != ORACLE:
        if isinstance(trainer.encoder, domain.DomainNorm):
            trainer.encoder.evaluate_as = "source"
        on_source = trainer.predict(head, parts.validation)
        arrays |= {
            "source_outputs": on_source.outputs, "source_features": on_source.features,
            "source_labels": on_source.labels, "target_outputs": on_target.outputs,
            "target_features": on_target.features, "target_labels": test.tensors[1],
        }  # fmt: skip
    return {key: value.numpy() for key, value in arrays.items()}


# trials --------------------------------------------------------------------------------------------------------------


def development() -> dict[str, tuple[TensorDataset, TensorDataset]]:
    """900 digits of scikit-learn; 897 others on photographs, thick, slanted and to the edge, thin with hard lines."""
    from sklearn.datasets import load_digits, load_sample_images

    bunch, generator = load_digits(), torch.Generator().manual_seed(0)
    order = torch.randperm(len(bunch.target), generator=generator)
    small = torch.tensor(bunch.images, dtype=torch.float32)[order, None] / 16
    labels = torch.tensor(bunch.target)[order]
    paper = TensorDataset(enlarge(small[:900]).contiguous(), labels[:900])
    photos = [torch.tensor(photo).permute(2, 0, 1) / 255 for photo in load_sample_images().images]
    thick = F.max_pool2d(F.interpolate(small[900:], size=(SIZE, SIZE), mode="bicubic").clamp(0, 1), 3, 1, 1)
    slant = torch.tensor([[1.0, 0.25, 0.0], [0.1, 0.95, 0.0]]).expand(len(thick), 2, 3)
    thick = F.grid_sample(thick, F.affine_grid(slant, list(thick.shape), align_corners=False), align_corners=False)
    images = {
        "photographs": blend(enlarge(small[900:]), photos, generator),
        "thick": F.avg_pool2d(thick, 3, 1, 1).expand(-1, 3, -1, -1).contiguous(),
        "thin": -F.max_pool2d(-(enlarge(small[900:]) > 0.6).float(), 3, 1, 1),
    }
    others = {name: TensorDataset(x, labels[900:]) for name, x in images.items()}
    return {**{name: (paper, other) for name, other in others.items()}, "from thick": (others["thick"], paper)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=500)
    parser.add_argument("--methods", nargs="+", default=[m for m in METHODS if m != ORACLE], choices=METHODS)
    options = parser.parse_args()
    if "OMP_NUM_THREADS" not in os.environ:
        torch.set_num_threads(1)
    pairs = development()
    print(f"| method | {' | '.join(pairs)} |\n|---|{'---:|' * len(pairs)}")
    for method in options.methods:
        found = []
        for source, target in pairs.values():
            trainer, head = train(method, source, target, 0, options.steps)
            found.append(100 * trainer.evaluate(head, target).value)
        print(f"| {method} | {' | '.join(f'{v:.1f}' for v in found)} |", flush=True)


if __name__ == "__main__":
    main()
