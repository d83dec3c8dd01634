"""A regressor learns the same in metres and in millimetres, and predicts in the units of its labels."""

import pytest
import torch
from torch import nn
from torch.utils.data import Dataset, TensorDataset

import adapt
from adapt import Stream, Trainer, domain, encoders, heads, inductive, multitask
from adapt.multitask._task import natural_scale

ROWS = 64  # batches of 12 rows: fewer than half of the features, else RSD aligns angles of 0, where rounding decides
TERMS = {
    "supervised": lambda head: [],
    "dd": lambda head: [domain.dd(head, hidden=16, strength=1.0)],
    "rsd": lambda head: [domain.rsd(weight=0.1)],
    "dan": lambda head: [domain.dan()],
}


def draw(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def rows(unit=1.0, offset=0.0, outputs=1):
    x = draw(ROWS, 4)
    y = x[:, :outputs].sin() + 0.1 * draw(ROWS, outputs, seed=1) + 3
    return TensorDataset(x, (y[:, 0] if outputs == 1 else y) * unit + offset)


def trained(data, terms, *, steps=60, head=None, **options):
    torch.manual_seed(0)
    encoder = encoders.wrap(nn.Sequential(nn.Linear(4, 32), nn.Tanh()), 32)
    head = head or heads.Regressor(encoder)
    made = [adapt.supervised(head, "source"), *terms(head)]
    for module in (encoder, head, *(m for t in made for m in t.modules)):
        module.double()
    target = Stream(TensorDataset(draw(ROWS, 4, seed=2) + 1), 12, labels=False)
    optimizer = lambda groups: torch.optim.Adam(groups, lr=1e-2)  # noqa: E731
    streams = {"source": Stream(data, 12)} | ({"target": target} if len(made) > 1 else {})
    return Trainer(encoder, made, streams, optimizer=optimizer, progress=False, **options).fit(steps), head


@pytest.mark.parametrize("method", TERMS)
def test_metres_and_millimetres_agree(method):
    data = {unit: rows(unit, 10 * unit) for unit in (1.0, 1000.0)}
    runs = {unit: trained(rows_, TERMS[method]) for unit, rows_ in data.items()}
    metres, millimetres = (run.predict(head, data[unit]).outputs for unit, (run, head) in runs.items())
    torch.testing.assert_close(millimetres, 1000 * metres, rtol=1e-7, atol=1e-6)
    score = runs[1000.0][0].evaluate(runs[1000.0][1], data[1000.0])
    assert score.value == pytest.approx(1000 * runs[1.0][0].evaluate(runs[1.0][1], data[1.0]).value, rel=1e-6)
    assert score.value < 400 and score.further["R2"] > 0.5, "in the units of the labels"


def test_the_loss_is_that_of_labels_that_a_user_standardised():
    data = rows(1000.0, -5.0, outputs=2)
    y = data.tensors[1]
    mean, deviation = y.mean(0), y.std(0, correction=0)
    alone = trained(TensorDataset(data.tensors[0], (y - mean) / deviation), TERMS["supervised"], head=plain(2))
    inside = trained(data, TERMS["supervised"], head=plain(2, scale="natural"))
    torch.testing.assert_close(inside[1].mean, mean, rtol=1e-7, atol=0)
    torch.testing.assert_close(inside[1].deviation, deviation, rtol=1e-7, atol=0)
    found = [run.predict(head, data).outputs for run, head in (alone, inside)]
    torch.testing.assert_close(found[1], found[0] * deviation + mean, rtol=1e-6, atol=1e-4)
    torch.testing.assert_close(inside[1].standardized(found[1]), found[0], rtol=1e-6, atol=1e-6)


def plain(outputs, scale=None):
    torch.manual_seed(1)
    return heads.Regressor(32, outputs, scale=scale)


def test_missing_labels_and_constant_labels_have_a_scale():
    head = heads.Regressor(3, 3).double()
    labels = torch.stack([draw(40) * 5 + 9, torch.full((40,), 0.1).double(), torch.full((40,), torch.nan)], 1)
    labels[::3, 0] = torch.nan
    head.learn_from(labels)
    kept = labels[~labels[:, 0].isnan(), 0]
    expected = torch.stack([kept.std(correction=0), *torch.ones(2).double()])
    torch.testing.assert_close(head.deviation, expected, rtol=1e-12, atol=0)
    assert head.mean[2] == 0 and head.loss(head(draw(40, 3)), labels).isfinite()
    whole = heads.Regressor(3)
    whole.learn_from(torch.tensor([1, 2, 3]))
    assert whole.mean == 2, "whole numbers are numbers too"


def test_the_scale_stays_is_saved_and_is_loaded(tmp_path):
    run, head = trained(rows(1000.0), TERMS["supervised"], steps=3)
    scale = head.mean.item(), head.deviation.item()
    head.learn_from(draw(9))
    assert (head.mean.item(), head.deviation.item()) == scale, "a trained head would become another function"
    fresh = heads.Regressor(32).double()
    fresh.load_state_dict(head.state_dict())
    fresh.learn_from(draw(9))
    assert fresh.mean.item() == scale[0]
    x = rows(1000.0)
    expected = run.predict(head, x).outputs
    run.model(head).save(tmp_path / "model")
    loaded = adapt.Model.load(tmp_path / "model")
    torch.testing.assert_close(loaded.outputs(x), expected)
    path = run.save(tmp_path / "checkpoint")
    again, other = trained(rows(1000.0), TERMS["supervised"], steps=1)
    again.resume(path)
    torch.testing.assert_close(again.predict(other, x).outputs, expected, rtol=0, atol=0)


def test_an_average_of_the_weights_has_the_scale():
    run, head = trained(rows(1000.0), TERMS["supervised"], ema=0.5)
    assert run.evaluate(head, rows(1000.0)).value < 400


class OneByOne(Dataset):
    """Labels that do not lie in memory."""

    def __len__(self):
        return ROWS

    def __getitem__(self, i):
        x, y = rows(1000.0)[i]
        return x, y


def test_labels_outside_of_memory_need_a_scale():
    with pytest.raises(ValueError, match=r"do not lie in memory: give the data set an attribute `labels`, or give"):
        trained(OneByOne(), TERMS["supervised"], steps=1)
    run, head = trained(OneByOne(), TERMS["supervised"], steps=30, head=heads.Regressor(32, scale=(3000, 700)))
    assert run.evaluate(head, rows(1000.0)).value < 500
    trained(OneByOne(), TERMS["supervised"], steps=1, head=heads.Regressor(32, scale=None))


@pytest.mark.parametrize("scale", ["unit", 3.0, (1.0, 0.0), (1.0, -1.0), (torch.nan, 1.0), (1.0,), ([1, 2, 3], 1.0)])
def test_bad_scales(scale):
    with pytest.raises(ValueError, match='`scale` must be "natural", None or'):
        heads.Regressor(3, 2, scale=scale)


def test_a_task_does_not_divide_twice():
    labels = rows(1000.0).tensors[1]
    head = heads.Regressor(32, scale=(labels.mean(), labels.std(correction=0)))
    term = multitask.task("t", head, "rows")
    term.loss.check({"rows": Stream(rows(1000.0), 8)})
    assert term.loss.scale == pytest.approx(1.0)
    assert natural_scale(heads.Regressor(2), labels) == pytest.approx(labels.var(correction=0).item())


def test_a_developed_model_beats_the_mean_in_any_unit():
    torch.manual_seed(0)
    encoder = encoders.wrap(nn.Sequential(nn.Linear(4, 32), nn.Tanh()), 32)
    data = TensorDataset(*(t.float() for t in rows(1000.0, 1e5).tensors))
    assert inductive.develop(encoder, heads.Regressor(encoder), data, data, steps=300).better
