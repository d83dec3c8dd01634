"""Small runs on batches of every form: crops of two sizes, padded sound, boxes, mappings, namedtuples, views."""

import os
import signal
from collections import namedtuple
from functools import partial

import numpy
import scipy.sparse
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import Dataset

import adapt
import losses
from adapt import Stream, Term, Trainer, datasets, encoders, heads
from adapt.streams import collate, episodes, jointly

Pair = namedtuple("Pair", ["left", "right", "side"])
ROWS = 24


class Items(Dataset):
    """Items made from the number of the row alone."""

    def __init__(self, make):
        self.make = make

    def __len__(self):
        return ROWS

    def __getitem__(self, index):
        return self.make(index, torch.Generator().manual_seed(index))


def image(i, g):
    return torch.randn(1, 12, 12, generator=g), i % 3


def sound(i, g):
    return torch.randn(3 + i % 5, generator=g) + i % 3, i % 3


def boxes(i, g):
    k = i % 4  # also none
    return torch.randn(1, 12, 12, generator=g), {"boxes": torch.rand(k, 4, generator=g), "classes": torch.arange(k)}


def words(i, g):
    return {"input_ids": list(range(1, 3 + i % 5)), "attention_mask": [1] * (2 + i % 5), "labels": i % 3}


def pair(i, g):
    return Pair(torch.randn(4, generator=g), torch.randn(4, generator=g), i % 2)


def captioned(i, g):
    """An image with words about the image, and a class."""
    return {"image": image(i, g)[0], "words": torch.arange(1, 3 + i % 5), "labels": i % 3}


def street(i, g):
    """An image, and the class of each pixel."""
    x = torch.randn(1, 12, 12, generator=g)
    return x, (x[0] > 0).long()


def mirror(x, mask):
    return (x.flip(-1), mask.flip(-1)) if torch.rand(()) < 0.5 else (x, mask)


def counts():
    drawn = numpy.random.RandomState(0)
    return datasets.arrays(scipy.sparse.csr_array(drawn.poisson(0.3, (ROWS, 30))), drawn.choice(["a", "b", "c"], ROWS))


def named():
    drawn = numpy.random.RandomState(1)
    return datasets.arrays(drawn.normal(size=(ROWS, 30)), drawn.choice(["cat", "dog", "owl"], ROWS))


def crop(size):
    def cropped(x):
        top, left = (int(torch.randint(13 - size, ())) for _ in range(2))
        return x[:, top : top + size, left : left + size]

    return cropped


def noise(x):
    return x + 0.1 * torch.randn_like(x) + 0.1 * numpy.random.rand()


class Net(nn.Module):
    """An encoder of images, of padded sound, of padded words and of pairs."""

    def __init__(self):
        super().__init__()
        self.conv, self.embed, self.pair = nn.Conv2d(1, 8, 3), nn.Embedding(16, 8), nn.Linear(8, 8)
        self.wave, self.wide = nn.Linear(1, 8), nn.Linear(30, 8)
        self.seen: list = []

    def forward(self, x):
        self.seen.append(x)
        if isinstance(x, torch.Tensor):
            return self.wide(x) if x.ndim == 2 else self.conv(x).mean((2, 3))
        if "input_ids" in x:
            return mean(self.embed(x["input_ids"]), x["attention_mask"])
        if "values" in x and x["values"].dtype == torch.long:
            return mean(self.embed(x["values"]), x["mask"])
        if "values" in x:
            return mean(self.wave(x["values"][..., None]), x["mask"])
        return self.pair(torch.cat([x["left"], x["right"]], 1))


def mean(values, mask):
    m = mask.to(values.dtype)[..., None]
    return (values * m).sum(1) / m.sum(1)


class Counting(nn.Module):
    """A head on images: how many boxes, by their mean area."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(8, 1)

    def forward(self, z):
        return self.layer(z)[:, 0]

    def loss(self, output, labels):
        return losses.reduce.mean((output - torch.tensor([float(len(y["boxes"])) for y in labels])).square())

    def check(self, labels):
        if not isinstance(labels, list) or any(y["boxes"].shape[1:] != (4,) for y in labels):
            raise ValueError("boxes must be (k, 4)")

    def measure(self, output, labels):
        return [abs(z - len(y["boxes"])) for z, y in zip(output.tolist(), labels, strict=True)]

    def score(self, measures, units=None):
        return heads.average("error", torch.tensor(measures), higher_is_better=False, units=units)


class Pixels(nn.Module):
    """A head on the input itself: the share of the pixels of class 1."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(8, 1)

    def forward(self, z):
        return self.layer(z)[:, 0]

    def loss(self, output, labels):
        half = labels[:, :, : labels.shape[2] // 2].float().mean((1, 2))  # mirrored images have another left half
        return losses.reduce.mean((output - half).square())

    def check(self, labels):
        if labels.ndim != 3:
            raise ValueError("masks must be (n, h, w)")

    def measure(self, output, labels):
        return (output - labels.float().mean((1, 2))).abs()

    def score(self, measures, units=None):
        return heads.average("error", measures, higher_is_better=False, units=units)


def prototypes(step):
    each = [losses.prototypical(*e, classes=3, global_batch=False) for e in step["rows"].episodes()]
    return torch.stack(each).mean()


def consistency(step):
    views = [step.call(HEAD[0], v.features) for v in step["rows"].views]
    return sum(F.mse_loss(v, views[0].detach()) for v in views[1:])


def captions(step):
    return losses.info_nce(step["rows"].features, step["words"].features, symmetric=True)


HEAD: list = []  # of the present run
WORDS = {"input": "words", "label": "labels", "collate": collate.pad(), "encoder": "text", "rows_of": "rows"}
FORMS = {
    "crops": (image, {"views": [crop(10), crop(10), crop(6), crop(6)]}),
    "three": (image, {"views": [None, noise, noise]}),
    "sound": (sound, {"collate": collate.pad(), "augment": noise}),
    "boxes": (boxes, {"collate": collate.as_lists}),
    "words": (words, {"label": "labels", "collate": collate.pad(value={"input_ids": 0})}),
    "pair": (pair, {"label": "side"}),
    "sparse": (counts(), {"sampling": "balanced"}),
    "texts as labels": (named(), {"augment": noise}),
    "episodes": (
        image,
        {"batch_size": None, "sampling": episodes(3, 2, 2, tasks=2), "by": [i % 3 for i in range(ROWS)]},
    ),
    "masks": (street, {"augment": jointly(mirror)}),
    "captions": (captioned, {"input": "image", "label": "labels", "encoder": "image", "augment": noise}),
    "balanced": (sound, {"collate": collate.pad(), "sampling": "balanced", "by": [i % 3 == 0 for i in range(ROWS)]}),
    "keep": (sound, {"collate": collate.pad(), "batch_size": 10, "last": "keep"}),  # 10, 10 and 4 rows
}


def rows_of(name):
    data, _ = FORMS[name]
    return Items(data) if callable(data) else data


def make(name, *, workers=0, dtype=torch.float32, **options):
    torch.manual_seed(0)
    _, how = FORMS[name]
    encoder = encoders.wrap(Net(), 8).to(dtype)
    head = {"boxes": Counting, "masks": Pixels}.get(name, partial(heads.Classifier, 8, 3))().to(dtype)
    HEAD[:] = [head]
    terms = [adapt.supervised(head, on="rows")]
    if name in ("crops", "three"):
        terms.append(Term("views", consistency, modules=[head]))
    if name == "episodes":
        terms.append(Term("prototypes", prototypes))
    streams = {"rows": Stream(rows_of(name), workers=workers, **{"batch_size": 8} | how)}
    if name == "captions":
        encoder = {"image": encoder, "text": encoders.wrap(Net(), 8).to(dtype)}
        terms.append(Term("captions", captions))
        streams["words"] = Stream(rows_of(name), 8, workers=workers, **WORDS)
    return Trainer(encoder, terms, streams, progress=False, device="cpu", **options), head


def run(folder, *flags):
    """Train the form with two encoders. With ``--die`` the process kills itself in step 4; ``--resume`` goes on."""
    torch.set_num_threads(1)
    made, _ = make("captions", workers=1, log=folder, save_every=3)
    step = made._step

    def dying(*arguments):
        if made.step == 4:
            os.kill(os.getpid(), signal.SIGKILL)
        return step(*arguments)

    if "--die" in flags:
        made._step = dying
    if "--resume" in flags:
        assert made.resume().step == 3
    weights = torch.cat([v.flatten() for v in made.fit(6).network.state_dict().values()])
    if made.rank == 0:
        torch.save(weights, f"{folder}/weights.pt")
