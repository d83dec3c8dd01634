"""Masked losses: the loss of the rows that have the label, on one rank and on two."""

import pytest
import torch
import torch.nn.functional as F
from torch.utils.data import Dataset, TensorDataset

import adapt
from adapt import Stream, Trainer, heads, multitask
from adapt.engine.step import Step
from adapt.multitask._columns import Columns
from adapt.multitask._task import labelled_rows, natural_scale
from tests.adapt.engine.tiny import Items, weights
from tests.adapt.multitask.cases import METHODS
from tests.adapt.multitask.tiny import DIM, labels, network, three_tasks, trainer
from tests.ranks import run_ranks


def value(term, encoder, data, *, rows=None, streams=None):
    stream = Stream(data, len(data) if rows is None else rows, shuffle=False)
    term.loss.check({"rows": stream})
    step = Step({"rows": next(stream.batches("rows", 0))}, encoder)
    return term(step), step


@pytest.mark.parametrize("column", [0, 1, 2])
def test_exactly_the_loss_of_the_present_rows(column):
    data = labels(missing=0.5)
    encoder, term = network(), three_tasks()[column]
    loss, _ = value(term, encoder, data)
    x, y = multitask.rows_with_label(data, column, classes=column == 1).tensors
    there = ~data.tensors[1][:, column].isnan()
    output = term.loss.head(encoder(data.tensors[0]))[there]
    plain = F.cross_entropy(output, y) if column == 1 else F.mse_loss(output, y)
    torch.testing.assert_close(loss, plain / term.loss.scale, rtol=1e-6, atol=0)
    ours = torch.autograd.grad(loss, list(encoder.parameters()))
    theirs = torch.autograd.grad(plain / term.loss.scale, list(encoder.parameters()))
    torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-8)
    assert len(x) == len(y) == int(there.sum())


def test_what_stands_where_a_label_is_missing_is_never_looked_at():
    data = TensorDataset(torch.randn(6, DIM), torch.tensor([0, -1, 2, -1, 1, 0]))
    term = multitask.task("class", heads.Classifier(6, 3), "rows")
    encoder = network()
    loss, _ = value(term, encoder, data)
    there = data.tensors[1] >= 0
    expected = F.cross_entropy(term.loss.head(encoder(data.tensors[0]))[there], data.tensors[1][there])
    torch.testing.assert_close(loss, expected / torch.tensor(3.0).log())


def test_a_batch_without_the_task():
    data = labels(missing=0.0)
    data.tensors[1][:4, 0] = torch.nan
    term, encoder = three_tasks()[0], network()
    loss, step = value(term, encoder, data, rows=4)
    assert loss == 0 and loss.requires_grad and term.outcome(step).absent
    assert all(g.eq(0).all() for g in torch.autograd.grad(loss, list(encoder.parameters())))


class Named(Dataset):
    def __len__(self):
        return 24

    def __getitem__(self, i):
        g = torch.Generator().manual_seed(i)
        x = torch.randn(DIM, generator=g)
        return x, {"sign": int(x[0] > 0) if i % 3 else -1, "size": x[1].item()}


def test_labels_by_name():
    sign, size = heads.Classifier(6, 2), heads.Regressor(6)
    terms = [
        multitask.task("sign", sign, "rows", label="sign"),
        multitask.task("size", size, "rows", label="size", scale=1.0),
    ]
    made = Trainer(
        network(), terms, {"rows": Stream(Named(), 8)}, balance=multitask.imtl_g(), progress=False, device="cpu"
    )
    before = weights(made)
    assert not torch.equal(before, weights(made.fit(3)))
    with pytest.raises(ValueError, match="do not lie in memory: give `scale`"):
        Trainer(network(), [multitask.task("size", size, "rows", label="size")], {"rows": Stream(Named(), 8)})
    wrong = multitask.task("sign", sign, "rows", label="sing")
    with pytest.raises(ValueError, match="`label` of task `sign` is 'sing' and the labels.*dict of"):
        Trainer(network(), [wrong], {"rows": Stream(Named(), 8)}, progress=False, device="cpu").fit(1)


def test_a_stream_a_task_and_rows_read_one_by_one():
    data = labels(missing=0.3)
    number, kind = heads.Regressor(6), heads.Classifier(6, 3)
    terms = [
        multitask.task("number", number, "a", label=0, scale=2.0),
        multitask.task("class", kind, "b", label=1),
    ]
    streams = {"a": Stream(Items(data), 8), "b": Stream(multitask_only(data), 12)}
    terms[1] = multitask.task("class", kind, "b")
    made = Trainer(network(), terms, streams, balance=multitask.upgrad(), progress=False, device="cpu", log=None)
    assert weights(made.fit(3)).isfinite().all()


def multitask_only(data):
    return multitask.rows_with_label(data, 1, classes=True)


def test_natural_scales():
    y = torch.tensor([1.0, 2.0, 6.0])
    assert natural_scale(heads.Regressor(2), y) == pytest.approx(y.var(correction=0).item())
    assert natural_scale(heads.Classifier(2, 5), None) == pytest.approx(1.6094379)
    assert natural_scale(heads.MultiLabel(2, 5), None) == pytest.approx(0.6931472)
    with pytest.raises(ValueError, match="do not vary"):
        natural_scale(heads.Regressor(2), torch.ones(3))
    assert natural_scale(heads.Regressor(2), torch.tensor([0, 2])) == 1.0
    wrapped = heads.wrap(torch.nn.Linear(2, 3), loss=F.cross_entropy)
    with pytest.raises(ValueError, match="not known for a WrappedHead with integer labels.*give `scale`"):
        natural_scale(wrapped, torch.tensor([0, 1, 2]))


def test_a_row_of_several_numbers_counts_where_all_are_there():
    y = torch.tensor([[1.0, torch.nan], [1.0, 2.0]])
    assert labelled_rows(y, -1).tolist() == [False, True]


def test_doors():
    streams = {"rows": Stream(labels(), 12)}
    make = lambda **options: Trainer(network(), [multitask.task("t", heads.Regressor(6), "rows", **options)], streams)  # noqa: E731
    with pytest.raises(ValueError, match="column of a label matrix"):
        make(label=7)
    with pytest.raises(ValueError, match="`scale` of task"):
        make(label=0, scale=-1.0)
    data = labels()
    data.tensors[1][:, 0] = torch.nan
    with pytest.raises(ValueError, match="no label in stream"):
        Trainer(network(), three_tasks(), {"rows": Stream(data, 12)})
    with pytest.raises(ValueError, match="found 0 to 2"):
        Trainer(network(), [multitask.task("t", heads.Classifier(6, 2), "rows", label=1)], streams)
    with pytest.raises(TypeError, match="`head` must offer.*Classifier"):
        multitask.task("t", torch.nn.Linear(6, 3), "rows")
    with pytest.raises(ValueError, match="labels=False.*, and task `number` learns from its labels"):
        Trainer(network(), three_tasks(), {"rows": Stream(labels(), 12, labels=False)})


@pytest.mark.parametrize("make", ["supervised", "task", "columns"])
def test_labels_in_memory_are_checked_once_and_others_with_each_batch(make, monkeypatch):
    rows, calls = labels(missing=0.0).tensors, []
    for in_memory in (True, False):
        data = TensorDataset(rows[0], rows[1][:, :1] if make == "columns" else rows[1][:, 0])
        head = heads.Regressor(6, scale=None)  # "natural" needs labels in memory
        monkeypatch.setattr(head, "check", calls.append)
        monkeypatch.setattr(Columns, "check_matrix", lambda self, labels: calls.append(labels))
        term = {
            "supervised": lambda head: adapt.supervised(head, "rows"),
            "task": lambda head: multitask.task("t", head, "rows", scale=1.0),
            "columns": lambda head: multitask.columns("t", head, "rows", scale=1.0),
        }[make](head)
        stream = Stream(data if in_memory else Items(data), 12)
        calls.clear()
        Trainer(network(), [term], {"rows": stream}, progress=False, device="cpu").fit(3)
        assert [len(y) for y in calls] == ([48] if in_memory else [12] * 3)


# ---- many by one head ----


def many(balance=None, *, dtype=torch.float64, tasks=3):
    torch.manual_seed(4)
    head = heads.Regressor(6, tasks).to(dtype)
    data = labels(missing=0.5, dtype=dtype)
    term = multitask.columns("all", head, "rows", balance=balance, scale=2.0)
    return Trainer(
        network(dtype=dtype), [term], {"rows": Stream(data, 12)}, progress=False, device="cpu",
        optimizer=lambda groups: torch.optim.SGD(groups, lr=1e-3),
    )  # fmt: skip


@pytest.mark.parametrize("name", [None, "equal", "imtl_l", "uncertainty", "rlw"])
def test_columns_are_tasks_with_one_head(name):
    made = many(None if name is None else METHODS[name]())
    head, balance = made.terms[0].loss.head, made.terms[0].loss.balance
    made.fit(1)
    reference = many()
    batch = next(reference.streams["rows"].batches("rows", 0))
    encoder, head = reference.encoder, reference.terms[0].loss.head
    out, losses = head(encoder(batch.inputs)), []
    for t in range(3):
        there = ~batch.labels[:, t].isnan()
        losses.append(F.mse_loss(out[there, t], batch.labels[there, t]) / 2)
    L = torch.stack(losses)
    b = torch.ones(3) if name is None else METHODS[name]()(L.detach())
    expected = [*torch.autograd.grad((b.to(L) * L).mean(), list(encoder.parameters()), retain_graph=True)]
    expected += torch.autograd.grad(L.mean(), list(head.parameters()))
    found = [*made.encoder.parameters(), *made.terms[0].loss.head.parameters()]
    for p, g in zip(found, expected, strict=True):
        torch.testing.assert_close(p.grad, g)
    assert balance is None or name


def test_columns_look_at_their_scale():
    with pytest.raises(ValueError, match="`scale` of task `all`"):
        multitask.columns("all", heads.Regressor(6, 3), "rows", scale=-1.0)


def test_columns_read_row_by_row_resume(tmp_path):
    def make():
        torch.manual_seed(0)
        term = multitask.columns("all", heads.Regressor(6, 3), "rows", balance=multitask.dwa(window=2), scale=1.0)
        return Trainer(network(), [term], {"rows": Stream(Items(labels()), 12)}, progress=False, device="cpu")

    saved = make().fit(3).save(tmp_path / "half")
    again = make().resume(saved)
    again.planned = 6
    assert again.terms[0].loss.balance.calls == 3
    whole = make()
    whole.fit(6)
    torch.testing.assert_close(weights(again.fit(6)), weights(whole), rtol=0, atol=0)


def test_columns_take_no_gramian():
    with pytest.raises(ValueError, match="mgda.* needs the Gramian: make each column a `task`"):
        many(multitask.mgda())


def test_columns_look_at_their_labels():
    term = lambda outputs: multitask.columns("all", heads.Regressor(6, outputs), "rows", scale=1.0)  # noqa: E731
    quiet = {"progress": False, "device": "cpu"}
    with pytest.raises(ValueError, match=r"must be \(n, 2\) with NaN where missing, got \(48, 3\)"):
        Trainer(network(), [term(2)], {"rows": Stream(labels(), 12)}, **quiet)
    with pytest.raises(ValueError, match=r"must be \(n, 2\) with NaN where missing, got \(12, 3\)"):
        Trainer(network(), [term(2)], {"rows": Stream(Items(labels()), 12)}, **quiet).fit(1)
    with pytest.raises(ValueError, match="labels=False.*, and term `all` learns from its labels"):
        Trainer(network(), [term(3)], {"rows": Stream(labels(), 12, labels=False)}, **quiet)


def test_a_batch_without_a_label_of_any_column():
    data = labels(missing=0.0)
    data.tensors[1][:4] = torch.nan
    term, encoder = multitask.columns("all", heads.Regressor(6, 3), "rows", scale=1.0), network()
    loss, step = value(term, encoder, data, rows=4)
    assert loss == 0 and term.outcome(step).absent
    loss, step = value(term, encoder, data, rows=5)
    assert loss > 0 and not term.outcome(step).absent


def test_one_column_is_one_task():
    data = labels(missing=0.3)
    one = TensorDataset(data.tensors[0], data.tensors[1][:, :1])
    term = multitask.columns("all", heads.Regressor(6, 1), "rows", scale=1.0)
    encoder = network()
    loss, _ = value(term, encoder, one)
    (y,), known = one.tensors[1].T, ~one.tensors[1][:, 0].isnan()
    torch.testing.assert_close(loss, F.mse_loss(term.loss.head(encoder(one.tensors[0]))[known], y[known]))


# ---- two ranks ----

RANKED = [*METHODS, "module", "layer norm"]


def ranked(name):
    options = {"dtype": torch.float64, "missing": 0.7}
    if name == "module":
        first = trainer(**options)
        return Trainer(
            first.encoder, first.terms, first.streams, balance=multitask.upgrad(at=first.encoder.body[3]),
            optimizer=lambda groups: torch.optim.SGD(groups, lr=0.05), progress=False, device="cpu",
        )  # fmt: skip
    if name == "layer norm":
        return trainer(multitask.pcgrad(), norm=True, accumulate=2, **options)
    if name == "auxiliary":
        return trainer(multitask.auxiliary(at="parameters"), **options)
    return trainer(METHODS[name](), **options)


def on_a_rank(rank, world):
    found = {name: weights(ranked(name).fit(6)) for name in RANKED}
    for name in (None, "uncertainty"):
        found["columns", name] = weights(many(None if name is None else METHODS[name]()).fit(6))
    return found


@pytest.fixture(scope="module")
def ranks():
    return run_ranks(on_a_rank, 2)


@pytest.mark.parametrize("name", RANKED)
def test_two_ranks_equal_one(ranks, name):
    whole = weights(ranked(name).fit(6))
    assert torch.equal(ranks[0][name], ranks[1][name]), "the ranks drifted apart"
    assert (ranks[0][name] - whole).norm() / whole.norm() < 1e-6


@pytest.mark.parametrize("name", [None, "uncertainty"])
def test_two_ranks_equal_one_with_many_columns(ranks, name):
    whole = weights(many(None if name is None else METHODS[name]()).fit(6))
    assert (ranks[0]["columns", name] - whole).norm() / whole.norm() < 1e-9
