"""Tasks with a label a token: features (n, length, dim), padding, several ranks."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import Dataset, TensorDataset

import adapt
from adapt import Stream, Trainer, encoders, heads, multitask
from adapt.engine.step import Step
from tests.adapt.engine.tiny import weights
from tests.ranks import run_ranks

ROWS, LENGTH, DIM = 24, 5, 6
DOUBLE = torch.float64


def sentences(*, seed=0):
    """Numbers of words, and labels ``(n, 2, length)``: a class of each word, and a yes or no of every second one."""
    g = torch.Generator().manual_seed(seed)
    words = torch.randint(1, 9, (ROWS, LENGTH), generator=g)
    words[torch.arange(LENGTH) >= torch.randint(1, LENGTH + 1, (ROWS, 1), generator=g)] = 0
    classes = (words % 3).masked_fill(words == 0, -1)
    rare = (words > 4).long().masked_fill((words == 0) | (torch.arange(LENGTH) % 2 == 1), -1)
    rare[torch.rand(ROWS, generator=g) < 0.5] = -1  # sentences without this task
    return TensorDataset(words, torch.stack([classes, rare], 1))


class Words(nn.Module):
    def __init__(self):
        super().__init__()
        self.table, self.mix, self.last = nn.Embedding(9, DIM), nn.GRU(DIM, DIM, batch_first=True), nn.Linear(DIM, DIM)

    def forward(self, words):
        return self.last(self.mix(self.table(words))[0]).tanh()


def make(balance=None, *, dtype=DOUBLE, dataset=None, label=(0, 1), batch=8, **options):
    torch.manual_seed(0)
    encoder = encoders.Encoder(Words(), DIM).to(dtype)
    many, two = heads.TokenClassifier(DIM, 3).to(dtype), heads.TokenClassifier(DIM, 2).to(dtype)
    bottleneck = heads.WithTaskLayers(heads.Bottleneck(DIM, hidden=4), two).to(dtype)
    terms = [
        multitask.task("many", many, "rows", label=label[0]),
        multitask.task("two", bottleneck, "rows", label=label[1]),
    ]
    options = {"optimizer": lambda groups: torch.optim.SGD(groups, lr=0.5)} | options
    return Trainer(
        encoder, terms, {"rows": Stream(dataset or sentences(), batch)}, balance=balance, progress=False, device="cpu",
        **options,
    )  # fmt: skip


def slow_losses(made, batch):
    """Each task's loss, token by token."""
    z, losses = made.encoder(batch.inputs), []
    for t, term in enumerate(made.terms):
        out, y = term.loss.head(z), batch.labels[:, t]
        found = [F.cross_entropy(out[i, j], y[i, j]) for i, j in (y != -1).nonzero().tolist()]
        losses.append(torch.stack(found).mean() / torch.tensor(3.0 if t == 0 else 2.0, dtype=DOUBLE).log())
    return z, losses


def test_masked_loss_is_that_of_the_labelled_tokens():
    made = make()
    batch = next(made.streams["rows"].batches("rows", 0))
    step = Step({"rows": batch}, made.encoder)
    _, expected = slow_losses(made, batch)
    for term, loss in zip(made.terms, expected, strict=True):
        torch.testing.assert_close(term(step), loss, rtol=1e-12, atol=0)
    assert made.terms[0].loss.complete and not made.terms[1].loss.complete


def test_what_stands_where_a_token_has_no_label_is_never_looked_at():
    made, data = make(), sentences()
    there = data.tensors[1][:, 1] != -1
    output = torch.randn(ROWS, LENGTH, 2, dtype=DOUBLE)
    other = torch.where(there[..., None], output, 1e6 * torch.randn_like(output))
    head = made.terms[1].loss.head
    assert torch.equal(head.loss(output, data.tensors[1][:, 1]), head.loss(other, data.tensors[1][:, 1]))


class Weigh:
    def __init__(self, at):
        self.at, self.seen = at, []

    def __call__(self, losses, gram=None):
        self.seen.append((losses, gram))
        return torch.tensor([0.5, 3.0])


@pytest.mark.parametrize("at", ["features", "parameters"])
def test_gradients_and_gramian_of_token_features(at):
    slow, balance = make(), Weigh(at)
    batch = next(slow.streams["rows"].batches("rows", 0))
    z, losses = slow_losses(slow, batch)
    shared = list(slow.encoder.parameters())
    J = [
        torch.cat(
            [g.flatten() for g in torch.autograd.grad(loss, [z] if at == "features" else shared, retain_graph=True)]
        )
        for loss in losses
    ]
    J = torch.stack(J)
    encoder = torch.autograd.grad(0.5 * losses[0] + 3.0 * losses[1], shared, retain_graph=True)
    of_heads = [p for term in slow.terms for p in term.loss.parameters()]
    expected = dict(zip([*shared, *of_heads], [*encoder, *torch.autograd.grad(sum(losses), of_heads)], strict=True))
    made = make(balance)
    made.fit(1)
    for (name, p), q in zip(made.network.named_parameters(), slow.network.parameters(), strict=True):
        torch.testing.assert_close(p.grad, expected[q], rtol=1e-9, atol=1e-12, msg=name)
    ((seen, gram),) = balance.seen
    torch.testing.assert_close(seen, torch.stack(losses).detach(), rtol=1e-12, atol=0)
    torch.testing.assert_close(gram, J @ J.T, rtol=1e-9, atol=1e-14)


def test_a_batch_without_a_label_of_the_task():
    data, balance = sentences(), Weigh("features")
    data.tensors[1][:8, 1] = -1
    made = make(balance, dataset=data)
    made.streams["rows"].order.shuffle = False
    made.fit(1)
    ((losses, gram),) = balance.seen
    assert losses[0].isfinite() and losses[1].isnan() and gram[1].eq(0).all()


class Named(Dataset):
    def __len__(self):
        return ROWS

    def __getitem__(self, i):
        words, labels = sentences()[i]
        return words, {"many": labels[0], "two": labels[1]}


def test_labels_by_name_are_the_same_labels():
    whole = make(multitask.imtl_g()).fit(3)
    named = make(multitask.imtl_g(), dataset=Named(), label=("many", "two")).fit(3)
    torch.testing.assert_close(weights(named), weights(whole), rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("balance", [None, multitask.imtl_g, multitask.upgrad])
def test_half_precision(balance):
    made = make(balance and balance(), dtype=torch.float32, precision="bf16")
    assert weights(made.fit(3)).isfinite().all()
    assert 0 <= made.evaluate(made.terms[0].loss.head, only(0)).value <= 1


def only(task):
    words, labels = sentences().tensors
    return TensorDataset(words, labels[:, task])


def test_evaluation_and_tensorboard_know_padding(tmp_path):
    made = make(dtype=torch.float32)
    head = made.terms[0].loss.head
    made = Trainer(
        made.encoder, made.terms, made.streams, watch={"train": (head, only(0))}, log=tmp_path, progress=False,
        device="cpu",
    )  # fmt: skip
    made.fit(2)
    score, (output, _, labels) = made.evaluate(head, only(0)), made.predict(head, only(0))
    assert score.value == pytest.approx((output.argmax(2) == labels)[labels != -1].float().mean().item())
    assert score.n == ROWS


def test_one_task_learns_as_supervised_does():
    made, (words, labels) = make(), sentences().tensors
    streams, options = {"rows": Stream(TensorDataset(words, labels[:, 0]), 8)}, {"progress": False, "device": "cpu"}
    found = []
    for term in (
        lambda head: multitask.task("t", head, "rows", scale=1.0),
        lambda head: adapt.supervised(head, "rows"),
    ):
        made = make()
        trainer = Trainer(
            made.encoder, [term(made.terms[0].loss.head)], streams,
            optimizer=lambda groups: torch.optim.SGD(groups, lr=0.5), **options,
        )  # fmt: skip
        found.append(weights(trainer.fit(3)))
    torch.testing.assert_close(found[0], found[1], rtol=1e-12, atol=1e-14)


def test_doors():
    with pytest.raises(ValueError, match="`missing` of task `t` is -7, and -1 for its head"):
        multitask.task("t", heads.TokenClassifier(DIM, 3), "rows", missing=-7)
    words, labels = sentences().tensors
    for wrong, message in (
        (labels[:, 0, 0], "n, length. integers"),
        (labels[:, 0] + 7, "in .0, 3.*another `missing`"),
        (torch.full((ROWS, LENGTH), -1), "has no label in stream"),
    ):
        with pytest.raises(ValueError, match=message):
            term = multitask.task("t", heads.TokenClassifier(DIM, 3), "rows")
            Trainer(make().encoder, [term], {"rows": Stream(TensorDataset(words, wrong), 8)}, device="cpu")
    with pytest.raises(ValueError, match="label 0 is known for some tokens of a row and -1 for others"):
        multitask.rows_with_label(sentences(), 0)
    # read row by row: looked at in each batch
    with pytest.raises(ValueError, match="n, length. integers"):
        make(dataset=Flat(), label=("many", "two")).fit(1)


class Flat(Named):
    def __getitem__(self, i):
        words, labels = super().__getitem__(i)
        return words, {"many": labels["many"][0], "two": labels["two"]}


RUNS = {
    "plain": None,
    "imtl_g": multitask.imtl_g,
    "upgrad": multitask.upgrad,
    "at features": lambda: multitask.upgrad(at="features"),
}


def on_a_rank(rank, world):
    # two rows a rank: their numbers of tokens differ
    return {name: weights(make(kind and kind(), batch=4).fit(6)) for name, kind in RUNS.items()}


@pytest.fixture(scope="module")
def ranks():
    return run_ranks(on_a_rank, 2)


@pytest.mark.parametrize("name", RUNS)
def test_two_ranks_equal_one(ranks, name):
    kind = RUNS[name]
    start, whole = weights(make(kind and kind(), batch=4)), weights(make(kind and kind(), batch=4).fit(6))
    assert torch.equal(ranks[0][name], ranks[1][name]), "the ranks drifted apart"
    assert (ranks[0][name] - whole).norm() / whole.norm() < 1e-10
    assert (whole - start).norm() / start.norm() > 1e-2, "nothing was learned"
