"""A step has the same gradient however it is cut: rows 8 and 17 of the inputs that failed."""

import pytest
import torch
from torch import nn
from torch.nn.utils import parameters_to_vector
from torch.utils.data import TensorDataset

import adapt
from adapt import Stream, Term, Trainer, encoders, heads, multitask
from adapt.streams import collate
from tests.ranks import run_ranks

ROWS, DIM, LENGTH = 32, 4, 6


class PerToken(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(DIM, DIM)

    def forward(self, x):
        return self.linear(x).tanh()


def numbers(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def gone(*shape, seed=1, share=0.5):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed)) < share


def classes(*shape, seed=2):
    return torch.randint(3, shape, generator=torch.Generator().manual_seed(seed))


def tokens():
    """Sentences of 1 to 6 tokens."""
    lengths = torch.arange(ROWS) % LENGTH + 1
    labels = classes(ROWS, LENGTH).masked_fill(torch.arange(LENGTH) >= lengths[:, None], -1)
    return [adapt.supervised(heads.TokenClassifier(DIM, 3), "rows")], TensorDataset(numbers(ROWS, LENGTH, DIM), labels)


def texts():
    """Texts of 0 to 5 known words and their end; half of the words are unknown, and the last rows have no text."""
    words = torch.cat([classes(ROWS, LENGTH - 1).masked_fill(gone(ROWS, LENGTH - 1), -1), torch.zeros(ROWS, 1)], 1)
    words[-ROWS // 4 :] = -1
    head = heads.Sequence(DIM, ["", "a", "b"], length=LENGTH, width=8, label_smoothing=0.1)
    return [adapt.supervised(head, "rows")], TensorDataset(numbers(ROWS, LENGTH, DIM), words.long())


def absent():
    return [adapt.supervised(heads.Classifier(DIM, 3), "rows")], TensorDataset(
        numbers(ROWS, DIM), classes(ROWS).masked_fill(gone(ROWS), -1)
    )


def weighted():
    head = heads.Classifier(DIM, 3, weight=[0.2, 1.0, 3.0], label_smoothing=0.1)
    return [adapt.supervised(head, "rows")], TensorDataset(
        numbers(ROWS, DIM), classes(ROWS).masked_fill(gone(ROWS), -1)
    )


def balanced():
    return [adapt.supervised(heads.Classifier(DIM, 3, weight="balanced"), "rows")], TensorDataset(
        numbers(ROWS, DIM), classes(ROWS)
    )


def absent_numbers():
    labels = numbers(ROWS, 3, seed=3).masked_fill(gone(ROWS, 3), torch.nan)
    return [adapt.supervised(heads.Regressor(DIM, 3), "rows")], TensorDataset(numbers(ROWS, DIM), labels)


def absent_yes_or_no():
    labels = (classes(ROWS, 3) > 0).long().masked_fill(gone(ROWS, 3), -1)
    return [adapt.supervised(heads.MultiLabel(DIM, 3), "rows")], TensorDataset(numbers(ROWS, DIM), labels)


def several_tasks():
    """Half of the labels of two tasks are missing; the third is in two rows alone."""
    labels = torch.cat([classes(ROWS, 1).double(), numbers(ROWS, 2, seed=3)], 1).masked_fill(gone(ROWS, 3), torch.nan)
    labels[2:, 2] = torch.nan
    labels[:2, 2] = 1.0
    one = multitask.task("class", heads.Classifier(DIM, 3), "rows", label=0)
    two = multitask.task("number", heads.Regressor(DIM), "rows", label=1)
    rare = multitask.task("rare", heads.Regressor(DIM), "rows", label=2, scale=2.0, weight=3.0)
    return [one, two, rare, Term("norm", lambda step: step["rows"].features.square().mean())], TensorDataset(
        numbers(ROWS, DIM), labels
    )


class Boxes:
    """Rows with 0 to 4 boxes each."""

    def __len__(self):
        return ROWS

    def __getitem__(self, i):
        return numbers(DIM, seed=i), {"boxes": numbers(i % 5, DIM, seed=100 + i)}


def box_loss(output, labels):
    parts = [(z - y["boxes"]).square().sum() / DIM for z, y in zip(output, labels, strict=True)]
    return torch.stack(parts).sum() / max(1, sum(len(y["boxes"]) for y in labels))


def boxes():
    head = heads.wrap(
        nn.Linear(DIM, DIM), loss=box_loss, measure=lambda z, y: z.new_zeros(len(z)),
        count=lambda labels: sum(len(y["boxes"]) for y in labels),
    )  # fmt: skip
    return [adapt.supervised(head, "rows")], Boxes()


KINDS = [tokens, texts, absent, weighted, balanced, absent_numbers, absent_yes_or_no, several_tasks, boxes]


def one_step(kind, accumulate, balance=None):
    torch.manual_seed(0)
    encoder = encoders.Encoder(PerToken(), DIM)
    terms, data = kind()
    stream = Stream(data, ROWS // accumulate, shuffle=False, collate=collate.as_lists if kind is boxes else None)
    for module in [encoder, *(m for t in terms for m in t.modules)]:
        module.double()
    options = {"accumulate": accumulate, "progress": False, "balance": balance}
    made = Trainer(encoder, terms, {"rows": stream}, optimizer=lambda g: torch.optim.SGD(g, lr=0.1), **options).fit(1)
    return parameters_to_vector(made.network.parameters()).detach()


@pytest.mark.parametrize("accumulate", [2, 4, 8])
@pytest.mark.parametrize("kind", KINDS)
def test_micro_batches(kind, accumulate):
    whole = one_step(kind, 1)
    torch.testing.assert_close(one_step(kind, accumulate), whole, rtol=1e-10, atol=1e-12)


def on_a_rank(rank, world):
    found = {(k.__name__, a): one_step(k, a) for k in KINDS for a in (1, 2, 4) if ROWS // a % world == 0}
    return found | {"heads of one rank": different_heads(rank)}


def different_heads(rank):
    """Head A learns on rank 0 alone, head B on rank 1 alone, head C nowhere."""
    torch.manual_seed(0)
    encoder, parts = encoders.Encoder(PerToken(), DIM), nn.ModuleList(nn.Linear(DIM, 1) for _ in range(3))
    term = Term(
        "t", lambda step: step.call(parts[min(rank, 1)], step["rows"].features).square().mean(), modules=[parts]
    )
    for module in (encoder, parts):
        module.double()
    stream = Stream(TensorDataset(numbers(ROWS, DIM)), ROWS, labels=False, shuffle=False)
    sgd = lambda g: torch.optim.SGD(g, lr=0.1, weight_decay=0.5)  # noqa: E731
    made = Trainer(encoder, [term], {"rows": stream}, optimizer=sgd, progress=False).fit(1)
    return [parameters_to_vector(part.parameters()).detach() for part in (made.network, *parts)]


@pytest.mark.parametrize("world", [2, 4])
def test_ranks_and_micro_batches(world):
    everywhere = run_ranks(on_a_rank, world)
    for kind in KINDS:
        whole = one_step(kind, 1)
        for accumulate in (1, 2, 4):
            for found in everywhere:
                torch.testing.assert_close(found[kind.__name__, accumulate], whole, rtol=1e-10, atol=1e-12)
    networks = [found["heads of one rank"] for found in everywhere]
    assert all(torch.equal(networks[0][0], other[0]) for other in networks), "the ranks drifted apart"

    torch.manual_seed(0)
    encoder, parts = (
        encoders.Encoder(PerToken(), DIM).double(),
        nn.ModuleList(nn.Linear(DIM, 1) for _ in range(3)).double(),
    )
    rows = numbers(ROWS, DIM).split(ROWS // world)
    loss = sum(parts[min(r, 1)](encoder(x)).square().mean() for r, x in enumerate(rows)) / world
    loss.backward()
    for part, found in zip(parts, networks[0][1:], strict=True):
        start = parameters_to_vector(part.parameters()).detach()
        if part is parts[2]:
            expected = start  # no rank has a gradient: no weight decay either
        else:
            expected = start - 0.1 * (parameters_to_vector([p.grad for p in part.parameters()]) + 0.5 * start)
        torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-12)
