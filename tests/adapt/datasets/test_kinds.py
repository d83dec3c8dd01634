"""Nine kinds of data of a user, from the builder to a score: the lines of a user beyond loading are few."""

import inspect

import numpy
import pandas
import pytest
import scipy.sparse
import torch
from PIL import Image
from scipy.io import wavfile
from torch import nn

from adapt import Stream, Trainer, datasets, encoders, heads, supervised
from adapt.streams import collate


def learn(body, dim, make_head, data, steps=40, rate=0.02, **options):
    """The lines of a user after loading: encoder, head, stream, trainer, fit."""
    encoder = encoders.wrap(body, dim)
    head = make_head(encoder)
    stream = Stream(data, 8, **options)
    trainer = Trainer(encoder, [supervised(head, on="mine")], {"mine": stream}, optimizer=adam(rate))
    trainer.fit(steps=steps)
    return trainer.evaluate(head, data)


def adam(rate):
    return lambda groups: torch.optim.Adam(groups, lr=rate)


def test_few_lines():
    assert len(inspect.getsource(learn).splitlines()) - 2 <= 10


class MeanOverTime(nn.Module):
    """Padded series: the mean over the places that are there."""

    def forward(self, x):
        return (x["values"].abs() * x["mask"]).sum(1, keepdim=True) / x["lengths"][:, None]


class BagOfWords(nn.Module):
    def __init__(self, key):
        super().__init__()
        self.table, self.key = nn.Embedding(50, 16, padding_idx=0), key

    def forward(self, x):
        return self.table(x[self.key]).mean(1)


def unequal_series(folder, draw):
    for number, name in enumerate(["loud", "soft"]):
        (folder / name).mkdir()
        for i in range(8):
            noise = draw.normal(size=200 + 30 * i).clip(-3, 3) / (4 + 20 * number)
            wavfile.write(folder / name / f"{i}.wav", 8000, noise.astype("float32"))
    data = datasets.audio(folder, rate=8000)
    body = nn.Sequential(MeanOverTime(), nn.BatchNorm1d(1))
    return learn(body, 1, lambda e: heads.Classifier(e, classes=data.names), data, collate=collate.pad())


def rows_as_dicts(folder, draw):
    rows = [{"input_ids": [1 + i % 2] * (1 + i % 5) + [9], "labels": i % 2} for i in range(32)]
    encoder = encoders.wrap(BagOfWords("input_ids"), 16)
    head = heads.Classifier(encoder, classes=["no", "yes"])
    streams = {"mine": Stream(rows, 8, label="labels", collate=collate.pad())}
    trainer = Trainer(encoder, [supervised(head, on="mine")], streams, optimizer=adam(0.05))
    trainer.fit(steps=40)
    return trainer.evaluate(head, rows)


def plain_texts(folder, draw):
    data = datasets.texts(["so good", "very good day", "bad", "a bad day"] * 8, ["plus", "plus", "minus", "minus"] * 8)

    def count(texts):
        return [[text.count(word) for word in ("good", "bad", "day")] for text in texts]

    encoder = encoders.callable(count, 3, name="words", fingerprint="1")
    head = heads.Classifier(encoder, classes=data.names)
    trainer = Trainer(encoder, [supervised(head, on="mine")], {"mine": Stream(data, 8)}, optimizer=adam(0.05))
    trainer.fit(steps=40)
    return trainer.evaluate(head, data)


def folders_of_images(folder, draw):
    for number, name in enumerate(["dark", "light"]):
        (folder / name).mkdir()
        for i in range(8):
            pixels = draw.integers(0, 120, (20 + i, 30, 3)) + 120 * number
            Image.fromarray(pixels.astype("uint8")).save(folder / name / f"{i}.png")
    data = datasets.images(folder, size=8)
    body = nn.Sequential(nn.AvgPool2d(8), nn.Flatten())
    return learn(body, 3, lambda e: heads.Classifier(e, classes=data.names), data, rate=0.1, workers=1)


def table_with_text_labels(folder, draw):
    age = draw.integers(20, 80, 64)
    rows = pandas.DataFrame(
        {"age": age, "town": draw.choice(["Ulm", "Bonn"], 64), "who": numpy.where(age > 50, "o", "y")}
    )
    data = datasets.table(rows, "who")
    return learn(nn.Linear(3, 8), 8, lambda e: heads.Classifier(e, classes=data.names), data)


def regression_targets(folder, draw):
    X = draw.normal(size=(64, 4))
    data = datasets.arrays(X, X @ [1.0, -2.0, 0.5, 0.0])
    return learn(nn.Linear(4, 8), 8, lambda e: heads.Regressor(e), data, steps=150)


def many_binary_tasks(folder, draw):
    X = draw.normal(size=(64, 4))
    data = datasets.arrays(X, pandas.DataFrame(X > 0, columns=["a", "b", "c", "d"]).astype(int))
    return learn(nn.Linear(4, 8), 8, lambda e: heads.MultiLabel(e, data.names), data, steps=80)


def sparse_counts(folder, draw):
    labels = draw.choice(["news", "sport"], 64)
    counts = draw.poisson(0.05, (64, 300))
    counts[:, 7] += 3 * (labels == "news")
    data = datasets.arrays(scipy.sparse.csr_array(counts), labels)
    return learn(nn.Linear(300, 8), 8, lambda e: heads.Classifier(e, classes=data.names), data)


def windows_of_people(folder, draw):
    fast = numpy.arange(640) // 40 % 2 == 1
    series = numpy.sin(numpy.arange(640) * numpy.where(fast, 2.0, 0.3))
    data = datasets.windows(series, 20, labels=numpy.where(fast, "run", "sit"), groups=numpy.arange(640) // 160)
    body = nn.Sequential(nn.Conv1d(1, 8, 3), nn.ReLU(), nn.AdaptiveMaxPool1d(1), nn.Flatten())
    return learn(body, 8, lambda e: heads.Classifier(e, classes=data.names), data, steps=60)


KINDS = [
    unequal_series, rows_as_dicts, plain_texts, folders_of_images, table_with_text_labels, regression_targets,
    many_binary_tasks, sparse_counts, windows_of_people,
]  # fmt: skip


@pytest.mark.parametrize("kind", KINDS, ids=lambda f: f.__name__)
def test_a_kind_of_data_trains(kind, tmp_path):
    torch.manual_seed(0)
    score = kind(tmp_path, numpy.random.default_rng(0))
    assert score.value > 0.9 if score.higher_is_better else score.value < 0.05, score


def test_masks_train(tmp_path):
    draw = numpy.random.default_rng(0)
    for number in range(8):
        pixels = draw.integers(0, 100, (12, 16))
        pixels[:, : 4 + number] += 150
        for name, values in {"images": pixels, "masks": (pixels > 120)}.items():
            (tmp_path / name).mkdir(exist_ok=True)
            Image.fromarray(values.astype("uint8")).save(tmp_path / name / f"{number}.png")
    data = datasets.masks(tmp_path / "images", tmp_path / "masks", size=12, names=["ground", "thing"])
    torch.manual_seed(0)
    encoder = encoders.Encoder(nn.Conv2d(3, 4, 1), 4)
    head = heads.wrap(nn.Conv2d(4, 2, 1), loss=nn.CrossEntropyLoss(ignore_index=-1))
    trainer = Trainer(encoder, [supervised(head, on="mine")], {"mine": Stream(data, 4)}, optimizer=adam(0.05))
    trainer.fit(steps=100)
    found = trainer.predict(head, data)
    assert (found.outputs.argmax(1) == found.labels).float().mean() > 0.95


def test_boxes_train(tmp_path):
    """One box per image at most: the head says where, and the loss takes lists."""
    (tmp_path / "images").mkdir()
    (tmp_path / "boxes").mkdir()
    for number in range(8):
        pixels = numpy.zeros((16, 16, 3), "uint8")
        pixels[2:10, number : number + 8] = 255
        Image.fromarray(pixels).save(tmp_path / "images" / f"{number}.png")
        box = f"<xmin>{number + 1}</xmin><ymin>3</ymin><xmax>{number + 8}</xmax><ymax>10</ymax>"
        thing = f"<object><name>square</name><bndbox>{box}</bndbox></object>" if number else ""
        text = f"<annotation><filename>{number}.png</filename>{thing}</annotation>"
        (tmp_path / "boxes" / f"{number}.xml").write_text(text)
    data = datasets.boxes(tmp_path / "boxes", tmp_path / "images")

    def loss(output, targets):
        pairs = [(row, box / 16) for row, target in zip(output, targets, strict=True) for box in target["boxes"]]
        return torch.stack([(row - box).square().mean() for row, box in pairs]).mean()

    torch.manual_seed(0)
    encoder = encoders.wrap(nn.Sequential(nn.Flatten(), nn.Linear(768, 8)), 8)
    head = heads.wrap(nn.Linear(8, 4), loss=loss)

    def collate_boxes(items):
        images, targets = zip(*items, strict=True)
        return torch.stack(images), list(targets)

    streams = {"mine": Stream(data, 4, collate=collate_boxes)}
    trainer = Trainer(encoder, [supervised(head, on="mine")], streams, optimizer=adam(0.003))
    trainer.fit(steps=150)
    found = trainer.predict(head, data).outputs * 16
    assert max((found[i] - data.boxes[i][0]).abs().max() for i in range(1, 8)) < 1.5
