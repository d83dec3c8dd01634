"""Section 4 of the small inputs that failed: an error says expected, found and remedy, and the remedy works.

Each row gives a wrong call, words of the message, and the call that follows the remedy of the message.
"""

import copy
from functools import partial
from typing import NamedTuple

import numpy
import pytest
import torch
from PIL import Image
from torch import nn
from torch.utils.data import DataLoader, IterableDataset, TensorDataset

import adapt
import losses
from adapt import Phase, Stream, Term, Trainer, datasets, encoders, engine, heads, inductive, multitask, streams
from adapt.bridges import skada

G = torch.Generator().manual_seed(0)
X, Y = torch.randn(24, 8, generator=G), torch.arange(24) % 3
ROWS = TensorDataset(X, Y)
IMAGES = torch.rand(24, 3, 28, 28, generator=G)


class Rows:
    """Items as a user gives them."""

    def __init__(self, items):
        self.items = list(items)

    def __len__(self):
        return len(self.items)

    def __getitem__(self, index):
        return self.items[index]


class Endless(IterableDataset):
    def __iter__(self):
        return iter([(x, int(y)) for x, y in zip(X, Y, strict=True)])


def labelled(change):
    return Rows((x, change(y)) for x, y in zip(X, Y.tolist(), strict=True))


def wide():
    torch.manual_seed(0)
    return encoders.wrap(nn.Sequential(nn.Linear(8, 16), nn.ReLU()), 16)


def conv(channels=3):
    return encoders.small_conv(channels=channels, dim=16)


def made(data=ROWS, *, encoder=None, head=None, terms=None, named=None, **options):
    """Return a trainer, with the head that it trains."""
    head = heads.Classifier(16, 3) if head is None else head
    terms = [adapt.supervised(head, "s")] if terms is None else terms
    named = {"s": data if isinstance(data, Stream) else Stream(data, 6)} if named is None else named
    trainer = Trainer(encoder or wide(), terms, named, progress=False, **{"device": "cpu"} | options)
    return trainer, head


def run(data=ROWS, *, scored=None, **options):
    """Train two steps and score."""
    trainer, head = made(data, **options)
    trainer.fit(2)
    score = trainer.evaluate(head, (data.dataset if isinstance(data, Stream) else data) if scored is None else scored)
    assert score.n == 24
    return score


def term():
    return adapt.supervised(heads.Classifier(16, 3), "s")


def function(step):
    return step["s"].features.square().mean()


def images(change):
    return TensorDataset(change(IMAGES), Y)


def pictures(change=lambda picture: picture):
    found = [Image.fromarray((x.permute(1, 2, 0) * 255).byte().numpy()) for x in IMAGES]
    return Rows((change(picture), int(y)) for picture, y in zip(found, Y, strict=True))


def to_tensor(picture):
    return torch.from_numpy(numpy.array(picture)).permute(2, 0, 1).float() / 255


NAMED = Rows({"x": x, "labels": int(y)} for x, y in zip(X, Y, strict=True))
UNEQUAL = [(torch.randn(3 + i % 4, 8), int(y)) for i, y in enumerate(Y)]
DICTS = labelled(lambda y: {"a": y})
STEP = torch.optim.lr_scheduler.StepLR
SGD = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=0.1)
REAL, IMAGINARY = X + 0.5, X + 1j


class Mean(nn.Module):
    """The mean over the places of a padded batch."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(8, 16)

    def forward(self, inputs):
        return self.layer(inputs["values"]).mean(1)


class Row(NamedTuple):
    """`wrong` raises an error with all `words`; `remedy` follows the message and works."""

    wrong: object
    words: list
    remedy: object


TABLE = {
    "labels: lists": Row(
        lambda: run(labelled(lambda y: [y])), ["(n,) integers", "(6, 1)", "`labels[..., 0]`"],
        lambda: run(labelled(lambda y: torch.tensor([y])[..., 0])),
    ),
    "labels: texts": Row(
        lambda: run(labelled(str)), ["(n,) integers", "list of str", "`datasets.arrays(inputs, labels)`"],
        lambda: run(datasets.arrays(X, [f"c{y}" for y in Y.tolist()])),
    ),
    "labels: decimal": Row(
        lambda: run(labelled(float)), ["integers", "float64", "`labels.long()`"],
        lambda: run(TensorDataset(X, Y.float().long())),
    ),
    "labels: NaN": Row(
        lambda: run(TensorDataset(X, Y.float().masked_fill(Y == 0, torch.nan))),
        ["integers", "float32", "missing class is -1", "`labels.nan_to_num(-1).long()`"],
        lambda: made(TensorDataset(X, Y.float().masked_fill(Y == 0, torch.nan).nan_to_num(-1).long()))[0].fit(2),
    ),
    "labels: a dict": Row(
        lambda: run(ROWS, scored=DICTS), ["(n,) integers", "dict with the keys ['a']", "label of one key"],
        lambda: run(ROWS, scored=labelled(lambda y: {"a": y}["a"])),
    ),
    "labels: a dict, in training": Row(
        lambda: run(DICTS), ["keys ['a']", "`multitask.task(name, head, on, label=key)`"],
        lambda: made(DICTS, terms=[multitask.task("t", heads.Classifier(16, 3), "s", label="a")])[0].fit(2),
    ),
    "classes: too few": Row(
        lambda: run(head=heads.Classifier(16, int(Y.max()))), ["[0, 2)", "0 to 2", "give the head more classes"],
        lambda: run(head=heads.Classifier(16, int(Y.max()) + 1)),
    ),
    "classes: decimal": Row(
        lambda: heads.Classifier(16, 3.0), ["`classes`", "whole number or a list of names", "3.0"],
        lambda: heads.Classifier(16, 3),
    ),
    "inputs: float64": Row(
        lambda: run(TensorDataset(X.double(), Y)), ["stream `s`", "torch.float64", "weights are torch.float32", ".to("],
        lambda: run(TensorDataset(X.double().to(torch.float32), Y)),
    ),
    "inputs: float64 arrays": Row(
        lambda: run(Rows(zip(X.double().numpy(), Y.tolist(), strict=True))), ["float64", "`inputs.to(torch.float32)`"],
        lambda: run(datasets.arrays(X.double().numpy(), Y.numpy())),
    ),
    "inputs: uint8": Row(
        lambda: run(images(lambda x: (x * 255).byte()), encoder=conv()), ["torch.uint8", "`images.float() / 255`"],
        lambda: run(images(lambda x: (x * 255).byte().float() / 255), encoder=conv()),
    ),
    "inputs: uint8 in features": Row(
        lambda: engine.features(conv(), images(lambda x: (x * 255).byte())), ["torch.uint8", "`images.float() / 255`"],
        lambda: engine.features(conv(), images(lambda x: (x * 255).byte().float() / 255)),
    ),
    "inputs: pictures": Row(
        lambda: run(pictures(), encoder=conv()), ["tensors", "a Image", "ToTensor()"],
        lambda: run(pictures(to_tensor), encoder=conv()),
    ),
    "inputs: unequal lengths": Row(
        lambda: run(Rows(UNEQUAL)), ["one shape", "(3, 8), (6, 8)", "`collate=streams.collate.pad()`"],
        lambda: run(Stream(Rows(UNEQUAL), 6, collate=streams.collate.pad()), encoder=encoders.wrap(Mean(), 16)),
    ),
    "inputs: one channel": Row(
        lambda: run(images(lambda x: x[:, :1]), encoder=conv()), ["3 channels", "(6, 1, 28, 28)", "`row.expand(3, "],
        lambda: run(Rows((x[:1].expand(3, -1, -1), int(y)) for x, y in zip(IMAGES, Y, strict=True)), encoder=conv()),
    ),
    "inputs: three channels": Row(
        lambda: run(images(lambda x: x), encoder=conv(1)), ["1 channels", "(6, 3, 28, 28)", "small_conv(channels=3)"],
        lambda: run(images(lambda x: x), encoder=encoders.small_conv(channels=3, dim=16)),
    ),
    "inputs: columns": Row(
        lambda: run(TensorDataset(X[:, :5], Y)), ["(6, 5)", "takes 8 numbers per row"], lambda: run(),
    ),
    "stream: a pair of arrays": Row(
        lambda: Stream((X.numpy(), Y.numpy()), 6), ["`dataset`", "tuple of 2 arrays", "`datasets.arrays(inputs, "],
        lambda: run(datasets.arrays(X.numpy(), Y.numpy())),
    ),
    "stream: an array": Row(
        lambda: Stream(X.numpy(), 6), ["inputs without labels", "`labels=False`", "`datasets.arrays(inputs, labels)`"],
        lambda: (Stream(X.numpy(), 6, labels=False), run(datasets.arrays(X.numpy(), Y.numpy()))),
    ),
    "stream: a loader": Row(
        lambda: Stream(DataLoader(ROWS, 6), 6), ["a DataLoader", "`Stream(loader.dataset, loader.batch_size)`"],
        lambda: run(Stream(DataLoader(ROWS, 6).dataset, DataLoader(ROWS, 6).batch_size)),
    ),
    "stream: without a length": Row(
        lambda: Stream(Endless(), 6), ["with a length", "a Endless", "`Stream(list(dataset), ...)`"],
        lambda: run(list(Endless())),
    ),
    "stream: named rows": Row(
        lambda: run(NAMED), ["keys ['labels', 'x']", '`label="labels"`', "`input=...`"],
        lambda: run(Stream(NAMED, 6, label="labels", input="x")),
    ),
    "stream: another key": Row(
        lambda: Stream(NAMED, 6, label="label"), ["'label'", "['labels', 'x']", "name the key"],
        lambda: Stream(NAMED, 6, label="labels"),
    ),
    "stream: too large a batch": Row(
        lambda: Stream(ROWS, 25), ["between 1 and the 24 rows", "25", "smaller batch"], lambda: Stream(ROWS, 24),
    ),
    "streams: a loader": Row(
        lambda: made(named={"s": DataLoader(ROWS, 6)}), ["`streams['s']`", "a DataLoader", "loader.dataset"],
        lambda: run(Stream(DataLoader(ROWS, 6).dataset, 6)),
    ),
    "streams: a data set": Row(
        lambda: made(named={"s": ROWS}), ["`streams['s']`", "a TensorDataset", "`Stream(dataset, batch_size)`"],
        lambda: made(named={"s": Stream(ROWS, 6)}),
    ),
    "streams: a pair": Row(
        lambda: made(named={"s": (X.numpy(), Y.numpy())}), ["a tuple", "`Stream(datasets.arrays(inputs, labels), "],
        lambda: made(named={"s": Stream(datasets.arrays(X.numpy(), Y.numpy()), 6)}),
    ),
    "streams: without a length": Row(
        lambda: made(named={"s": Endless()}), ["a Endless", "`Stream(list(dataset), batch_size)`"],
        lambda: made(named={"s": Stream(list(Endless()), 6)}),
    ),
    "streams: without a name": Row(
        lambda: made(named=Stream(ROWS, 6)), ["`streams`", "by name", "a Stream", "Stream(...)}`"],
        lambda: made(named={"s": Stream(ROWS, 6)}),
    ),
    "head: a linear layer": Row(
        lambda: adapt.supervised(nn.Linear(16, 3), "s"), ["`head`", "a Linear", "heads.Classifier("],
        lambda: adapt.supervised(heads.Classifier(wide(), classes=3), "s"),
    ),
    "terms: phases": Row(
        lambda: made(terms=[Phase([term()])]), ["`terms`", "a Phase", "`phases=[...]`"],
        lambda: Trainer(wide(), phases=[Phase([term()])], streams={"s": Stream(ROWS, 6)}, progress=False).fit(1),
    ),
    "terms: a dict": Row(
        lambda: made(terms={"a": term()}), ["`terms`", "a dict", "`list(terms.values())`"],
        lambda: made(terms=list({"a": term()}.values()))[0].fit(1),
    ),
    "terms: a function": Row(
        lambda: made(terms=[function]), ["a function", '`[Term("name", function)]`'],
        lambda: made(terms=[Term("name", function)])[0].fit(1),
    ),
    "terms: a head": Row(
        lambda: made(terms=[heads.Classifier(16, 3)]), ["a Classifier", "adapt.supervised(head, on="],
        lambda: made(terms=[term()])[0].fit(1),
    ),
    "phases: terms": Row(
        lambda: Trainer(wide(), phases=[term()], streams={"s": Stream(ROWS, 6)}), ["`phases`", "a Term", "Phase(terms"],
        lambda: Trainer(wide(), phases=[Phase([term()])], streams={"s": Stream(ROWS, 6)}),
    ),
    "phases: an optimizer": Row(
        lambda: Trainer(wide(), phases=[Phase([term()], optimizer=SGD)], streams={"s": Stream(ROWS, 6)}),
        ["`optimizer` of phase `main`", "a SGD", "`partial(torch.optim.SGD, lr=1e-3)`"],
        lambda: Trainer(
            wide(), phases=[Phase([term()], optimizer=partial(torch.optim.SGD, lr=1e-3))],
            streams={"s": Stream(ROWS, 6)}, progress=False,
        ).fit(1),
    ),
    "optimizer: an object": Row(
        lambda: made(optimizer=SGD), ["`optimizer`", "a SGD", "`partial(torch.optim.SGD, lr=1e-3)`"],
        lambda: run(optimizer=partial(torch.optim.SGD, lr=1e-3)),
    ),
    "optimizer: a factory that returns nothing": Row(
        lambda: made(optimizer=lambda groups: None), ["`optimizer`", "got None", "`optimizer=lambda groups: AdamW("],
        lambda: run(optimizer=lambda groups: torch.optim.AdamW(groups, lr=1e-3)),
    ),
    "optimizer: a name": Row(
        lambda: made(optimizer="adamw"), ["`optimizer`", "'adamw'", "`partial(torch.optim.AdamW, lr=1e-3)`"],
        lambda: run(optimizer=partial(torch.optim.AdamW, lr=1e-3)),
    ),
    "schedule: a name": Row(
        lambda: made(schedule="cosine"), ["`schedule`", "'cosine'", "`engine.cosine()`"],
        lambda: run(schedule=engine.cosine()),
    ),
    "schedule: without a call": Row(
        lambda: made(schedule=engine.cosine), ["`schedule`", "`cosine`", "`engine.cosine()`"],
        lambda: run(schedule=engine.cosine()),
    ),
    "schedule: a class of torch": Row(
        lambda: made(schedule=STEP), ["the class StepLR", "`lambda progress: ...`"],
        lambda: run(schedule=lambda progress: 0.1 ** (3 * progress)),
    ),
    "schedule: of torch": Row(
        lambda: made(schedule=STEP(SGD, 1)), ["a StepLR", "`lambda progress: ...`"],
        lambda: run(schedule=lambda progress: 0.1 ** (3 * progress)),
    ),
    "schedule: negative": Row(
        lambda: made(schedule=lambda progress: progress - 1), ["`schedule`", "at least 0", "-1.0"],
        lambda: run(schedule=lambda progress: 1 - progress),
    ),
    "weight: without a call": Row(
        lambda: made(terms=[Term("t", function, weight=adapt.ramp)]), ["`weight`", "term `t`", "at progress 0"],
        lambda: made(terms=[Term("t", function, weight=adapt.ramp())])[0].fit(1),
    ),
    "accumulate: 0": Row(
        lambda: made(accumulate=0), ["`accumulate`", "at least 1", "got 0", "1 is a step"], lambda: run(accumulate=1),
    ),
    "log_every: 0": Row(
        lambda: made(log_every=0), ["`log_every`", "got 0", "`10**9`"], lambda: run(log_every=10**9),
    ),
    "save_every: None": Row(
        lambda: made(save_every=None), ["`save_every`", "got None", "`10**9`"], lambda: run(save_every=10**9),
    ),
    "device: a name": Row(
        lambda: made(device="gpu"), ["`device`", "'gpu'", '"cpu"'], lambda: run(device="cpu"),
    ),
    "standardize: a tensor": Row(
        lambda: datasets.standardize(X), ["TensorDataset", "a Tensor", "`TensorDataset(inputs)`"],
        lambda: datasets.standardize(TensorDataset(X), TensorDataset(X, Y)),
    ),
    "loss: two precisions": Row(
        lambda: losses.mmd(X, REAL.double()), ["both be float64 or neither", "torch.float64", "`.float()`"],
        lambda: losses.mmd(X, REAL.double().float()),
    ),
    "loss: complex": Row(
        lambda: losses.mmd(IMAGINARY, X), ["`source`", "real numbers", "complex64", "`.abs()`"],
        lambda: losses.mmd(IMAGINARY.abs(), X),
    ),
    "loss: an array": Row(
        lambda: losses.mmd(X.numpy(), X), ["`source`", "a tensor", "ndarray", "`torch.as_tensor(...)`"],
        lambda: losses.mmd(torch.as_tensor(X.numpy()), X),
    ),
    "loss: labels in an array": Row(
        lambda: losses.supervised_contrastive(X, Y.numpy()), ["`labels`", "ndarray", "`torch.as_tensor(...)`"],
        lambda: losses.supervised_contrastive(X, torch.as_tensor(Y.numpy())),
    ),
    "loss: decimal labels": Row(
        lambda: losses.supervised_contrastive(X, Y.float()), ["`labels`", "whole numbers", "float32", "`.long()`"],
        lambda: losses.supervised_contrastive(X, Y.float().long()),
    ),
    "classical: texts": Row(
        lambda: skada.run(["coral"], X, [str(y) for y in Y.tolist()], REAL),
        ["`source_labels`", "a list", "`datasets.arrays(inputs, labels)`"],
        lambda: skada.run(["coral"], X, datasets.arrays(X, [str(y) for y in Y.tolist()]).labels, REAL),
    ),
    "classical: constant features": Row(
        lambda: skada.run(["coral"], torch.ones(24, 8), Y, X), ["`source_features`", "column that varies", "encoder"],
        lambda: skada.run(["coral"], torch.cat([torch.ones(24, 1), X], 1), Y, torch.cat([torch.ones(24, 1), REAL], 1)),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", TABLE)
def test_the_message_names_a_remedy_that_works(name):
    if name.startswith("classical"):
        pytest.importorskip("skada")
    wrong, words, remedy = TABLE[name]
    with pytest.raises((ValueError, TypeError)) as caught:
        wrong()
    message = str(caught.value)
    assert all(word in message for word in words), (message, [word for word in words if word not in message])
    remedy()


@pytest.mark.parametrize("device", ["cuda:0", "cuda"])
@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
def test_a_gpu_that_is_not_there(device):
    for call in (
        lambda device: made(device=device),
        lambda device: engine.features(wide(), ROWS, device=device),
        lambda device: inductive.transfer(wide(), ROWS, classes=3, device=device),
    ):
        with pytest.raises(ValueError, match=f"`device` must be .*got '{device}'.*0 GPUs: leave `device` out"):
            call(device)
        call("cpu")


KINDS = [torch.int8, torch.int16, torch.int32, torch.int64, torch.uint8, torch.uint16, torch.bool]


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_labels_of_any_whole_kind_give_the_result_of_int64(kind):
    y = Y % 2
    head = heads.Classifier(16, 2)
    start = copy.deepcopy(head)
    expected = run(TensorDataset(X, y), head=head)
    assert run(TensorDataset(X, y.to(kind)), head=copy.deepcopy(start)) == expected
    if kind != torch.uint16:  # numpy knows each kind; a list of items as a user's data set gives them
        items = Rows((x, v) for x, v in zip(X, y.to(kind).numpy(), strict=True))
        assert run(items, head=copy.deepcopy(start)).value == pytest.approx(expected.value)


@pytest.mark.parametrize("classes", [3, numpy.int64(3), numpy.array(3), Y.max() + 1, Y.numpy().max() + 1])
def test_a_number_of_classes_of_any_whole_kind(classes):
    for head in (heads.Classifier(16, classes), heads.OneVsAll(16, classes), heads.TokenClassifier(16, classes)):
        assert type(head.classes) is int and head.classes == 3
    assert heads.MultiLabel(16, classes).names == ["0", "1", "2"]
    assert heads.Classifier(numpy.int64(16), classes).dim == 16


def test_a_single_term_and_a_single_phase_are_taken():
    assert [t.name for t in made(terms=term())[0].terms] == ["supervised_s"]
    phase = Phase(term())
    assert Trainer(wide(), phases=phase, streams={"s": Stream(ROWS, 6)}, progress=False).phases == [phase]


def test_a_copy_of_a_trainer_goes_on_as_the_trainer():
    first, head = made()
    first.fit(2, planned=4)
    second = copy.deepcopy(first)
    first.fit(4), second.fit(4)
    for a, b in zip(first.network.state_dict().values(), second.network.state_dict().values(), strict=True):
        assert torch.equal(a, b)
    assert not torch.equal(next(wide().parameters()), next(first.encoder.parameters()))
    assert first.encoder is not second.encoder


def test_a_folder_of_images_is_split(tmp_path):
    from torchvision.datasets import ImageFolder

    for number in range(10):
        folder = tmp_path / "ab"[number % 2]
        folder.mkdir(exist_ok=True)
        Image.new("RGB", (4, 4), (number, 0, 0)).save(folder / f"{number}.png")
    parts = datasets.splits(ImageFolder(tmp_path), "folder")
    assert [len(part) for part in parts] == [6, 2, 2] and parts.train[0][1] in (0, 1)


@pytest.mark.parametrize("kind", ["pipeline", "search"])
def test_classical_methods_take_arrays_pipelines_and_searches(kind):
    pytest.importorskip("skada")
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import GridSearchCV
    from sklearn.pipeline import make_pipeline

    plain, methods = LogisticRegression(max_iter=1000), skada.METHODS[:5]  # these weigh no rows
    around = make_pipeline(plain) if kind == "pipeline" else GridSearchCV(plain, {"C": [1.0]}, cv=2)
    expected = skada.run(methods, X, Y, REAL, estimator=plain)
    found = skada.run(methods, X.numpy(), Y.numpy(), REAL.numpy(), estimator=around)
    for name in methods:
        assert torch.equal(found[name], expected[name])
    with pytest.raises(ValueError, match="takes no `sample_weight`: choose another `estimator`"):
        skada.run(["density_reweighting"], X, Y, REAL, estimator=around)
