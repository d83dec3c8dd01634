"""One call for a first result: on the bundled digits, and on small made-up rows."""

import re

import numpy
import pytest
import torch
from torch import nn
from torch.utils.data import TensorDataset

from adapt import Model, datasets, domain, encoders, report

QUICK = {"steps": 6, "seeds": 1, "progress": False}


def small():
    draw = torch.Generator().manual_seed(0)
    y = torch.arange(60) % 2
    X = torch.randn(60, 4, generator=draw) + 3 * y[:, None]
    return TensorDataset(X, y), TensorDataset(X + 1, 1 - y)


def network():
    return encoders.wrap(nn.Sequential(nn.Linear(4, 8), nn.ReLU()), 8)


def test_the_bundled_digits(tmp_path, capsys):
    digits = datasets.digits()
    model = report.first_look(
        digits.paper.train, digits.photo.train, encoders.small_conv, test=digits.photo.test, folder=tmp_path, **QUICK
    )
    out = capsys.readouterr().out
    assert re.search(r"^first look: 5 methods x 1 seeds x 6 steps = 30 steps, about \d+ s", out)
    assert "chosen: " in out and (tmp_path / "report.html").exists() and f"page: {tmp_path / 'report.html'}" in out
    answer = model.predict(digits.photo.test[0][0][None])
    assert answer.shape == (1,) and str(answer[0]) in map(str, range(10))


def test_labels_of_the_target_change_nothing(tmp_path, capsys):
    source, target = small()
    shuffled = TensorDataset(target.tensors[0], target.tensors[1].roll(1))
    alone = TensorDataset(target.tensors[0])
    found = []
    for number, rows in enumerate((target, shuffled, alone)):
        model = report.first_look(source, rows, network, folder=tmp_path / str(number), **QUICK)
        found.append(model.probabilities(target.tensors[0]))
    assert numpy.array_equal(found[0], found[1]) and numpy.array_equal(found[0], found[2])
    assert capsys.readouterr().out.count("no page") == 3 and not (tmp_path / "0" / "report.html").exists()


def test_the_same_call_goes_on_and_gives_the_same_model(tmp_path, capsys):
    source, target = small()
    encoder = network()
    before = [p.clone() for p in encoder.parameters()]
    torch.manual_seed(5)
    state = torch.get_rng_state()
    one, two = (report.first_look(source, target, encoder, folder=tmp_path, **QUICK) for _ in range(2))
    assert torch.equal(state, torch.get_rng_state())
    assert numpy.array_equal(one.probabilities(target.tensors[0]), two.probabilities(target.tensors[0]))
    assert all(torch.equal(a, b) for a, b in zip(before, encoder.parameters(), strict=True))
    one.save(tmp_path / "model")
    assert Model.load(tmp_path / "model").names == ["0", "1"]
    with pytest.raises(ValueError, match="differs in"):
        report.first_look(source, target, encoder, folder=tmp_path, **QUICK | {"steps": 7})


def test_methods_of_your_own_and_errors(tmp_path, capsys):
    source, target = small()
    own = {"bnm": lambda encoder, head: domain.bnm(head), "two": lambda e, h: [domain.dann(e), domain.im(h)]}
    report.first_look(source, target, network, methods=own, folder=tmp_path, **QUICK)
    assert "3 methods" in capsys.readouterr().out
    with pytest.raises(ValueError, match="a class for each row"):
        report.first_look(TensorDataset(torch.zeros(4, 2), torch.zeros(4)), target, network, folder=tmp_path / "n")
