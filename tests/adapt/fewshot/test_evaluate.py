"""`fewshot.evaluate`: accuracy over episodes with intervals."""

import pytest
import torch
from torch.utils.data import TensorDataset

from adapt import fewshot


def rows(classes=6, each=40, d=8, spread=1.0, seed=0):
    generator = torch.Generator().manual_seed(seed)
    y = torch.arange(classes).repeat_interleave(each)
    middles = spread * torch.randn(classes, d, generator=generator)
    return TensorDataset(middles[y] + torch.randn(len(y), d, generator=generator), y)


class Noted:
    """A method that keeps what it was asked."""

    def __init__(self):
        self.asked = []

    def solve(self, S, Y, Q):
        self.asked.append((S, Y, Q))
        return torch.zeros(*Q.shape[:-1], Y.shape[-1]).log_softmax(-1)


@pytest.mark.parametrize("concentration", [None, 2.0])
def test_episodes_hold_rows_of_the_right_classes_and_no_row_twice(concentration):
    """The features are the numbers of the rows: the class of each row is known."""
    noted = Noted()
    y = torch.arange(6).repeat_interleave(60)
    data = TensorDataset(torch.arange(360.0)[:, None], y)
    found = fewshot.evaluate(
        data, {"noted": fewshot.Transductive("noted", {}, noted.solve)},
        ways=3, shots=2, queries=5, episodes=40, concentration=concentration,
    )  # fmt: skip
    support, query = (torch.cat([asked[i] for asked in noted.asked]).squeeze(-1).long() for i in (0, 2))
    assert support.shape == (40, 6) and query.shape == (40, 15)
    shares = []
    for s, q in zip(support, query, strict=True):
        assert len({*s.tolist(), *q.tolist()}) == 21
        classes = y[s].view(3, 2)
        assert (classes[:, 0] == classes[:, 1]).all() and len(classes[:, 0].unique()) == 3
        shares.append((y[q][:, None] == classes[:, 0]).sum(0))
    shares = torch.stack(shares)
    assert (shares.sum(1) == 15).all()
    if concentration is None:
        assert (shares == 5).all()
    else:
        # the variance of a Dirichlet-multinomial: n p (1 - p) (n + 3 a) / (1 + 3 a) = 10, of a multinomial 3.3
        assert 6 < shares.double().var() < 15
    # every answer is class 0 of the episode
    torch.testing.assert_close(found.accuracies["noted"], shares[:, 0].double() / 15)


def test_blocks_of_episodes_have_other_episodes(monkeypatch):
    noted = Noted()
    monkeypatch.setattr(fewshot._evaluate, "NUMBERS", 1)
    data = TensorDataset(torch.arange(240.0)[:, None], torch.arange(6).repeat_interleave(40))
    found = fewshot.evaluate(data, {"noted": fewshot.Transductive("noted", {}, noted.solve)}, episodes=9)
    assert len(noted.asked) == len({tuple(S.flatten().tolist()) for S, *_ in noted.asked}) == 9
    assert found.accuracies["noted"].shape == (9,)


def test_scores_have_intervals_over_episodes_and_methods_share_episodes():
    methods = {"cl2n": fewshot.cl2n(), "again": fewshot.cl2n(), "tim": fewshot.alpha_tim(steps=2)}
    found = fewshot.evaluate(rows(), methods, episodes=100)
    values = found.accuracies["cl2n"]
    assert torch.equal(values, found.accuracies["again"]) and values.shape == (100,)
    score = found.scores["cl2n"]
    assert score.n == 100 and score.value == pytest.approx(values.mean().item())
    assert score.high - score.low == pytest.approx(2 * 1.96 * values.std().item() / 10, rel=1e-3)
    assert str(found).splitlines()[0] == f"cl2n   {score}"
    assert torch.equal(fewshot.evaluate(rows(), methods, episodes=100).accuracies["cl2n"], values)
    assert not torch.equal(fewshot.evaluate(rows(), methods, episodes=100, seed=1).accuracies["cl2n"], values)
    assert fewshot.evaluate(rows(spread=20.0), methods, episodes=5).scores["cl2n"].value == 1


def test_what_cannot_be_evaluated_is_refused():
    methods = {"cl2n": fewshot.cl2n()}
    for call, message in [
        (lambda: fewshot.evaluate(TensorDataset(torch.zeros(3, 2)), methods), "must be a TensorDataset of"),
        (lambda: fewshot.evaluate(rows(classes=3), methods), "at most the 3 classes"),
        (lambda: fewshot.evaluate(rows(each=10), methods), "needs 16 rows of each class"),
        (lambda: fewshot.evaluate(rows(each=9), methods, concentration=2.0), "Take fewer `queries`"),
        (lambda: fewshot.evaluate(rows(), {}), "must be methods by name"),
        (lambda: fewshot.evaluate(rows(), [fewshot.cl2n()]), "must be methods by name"),
        (lambda: fewshot.evaluate(rows(), {"cl2n": "cl2n"}), "must be methods by name"),
        (
            lambda: fewshot.evaluate(
                TensorDataset(torch.zeros(9, 2), torch.full((9,), -1)), methods, concentration=2.0
            ),
            "at most the 0 classes",
        ),
        (lambda: fewshot.evaluate(rows(), {"text": fewshot.text_probe(torch.eye(8))}), "must not know their classes"),
    ]:
        with pytest.raises(ValueError, match=message):
            call()
