"""The ordinal head: probabilities, order, learning, scores and hostile inputs."""

import pytest
import torch
from sklearn.metrics import cohen_kappa_score
from torch.utils.data import TensorDataset

from adapt import Model, Stream, Trainer, encoders, heads, supervised


def test_probabilities_are_differences_of_sigmoids():
    torch.manual_seed(0)
    head = heads.Ordinal(3, 4).double()
    x = torch.randn(6, 3, dtype=torch.float64)
    above = (head.linear(x) - head.thresholds).sigmoid()
    edges = torch.cat([torch.ones(6, 1), above, torch.zeros(6, 1)], 1)
    torch.testing.assert_close(head(x).exp(), edges[:, :-1] - edges[:, 1:], atol=1e-12, rtol=0)
    torch.testing.assert_close(head(torch.zeros(1, 3, dtype=torch.float64)).exp(), torch.full((1, 4), 0.25).double())
    assert torch.autograd.gradcheck(head, x.requires_grad_())


@pytest.mark.parametrize("classes", [2, 3, 5000])
def test_extreme_features_give_finite_losses_and_gradients(classes):
    head = heads.Ordinal(2, classes)
    for scale in (1e-20, 1.0, 1e20):
        found = head(torch.tensor([[scale, -scale], [-scale, scale]]))
        head.zero_grad()
        head.loss(found, torch.tensor([0, classes - 1])).backward()
        assert found.shape == (2, classes) and found.isfinite().all()
        assert all(p.grad.isfinite().all() for p in head.parameters())
    assert head.bfloat16()(torch.ones(1, 2, dtype=torch.bfloat16)).dtype == torch.float32


def test_learns_an_order_and_is_saved(tmp_path):
    torch.manual_seed(0)
    x = torch.randn(600, 2)
    y = torch.bucketize(x[:, 0].contiguous(), torch.tensor([-1.0, 0.0, 1.5]))
    encoder = encoders.wrap(torch.nn.Identity(), 2)
    head = heads.Ordinal(encoder, ["a", "b", "c", "d"])
    trainer = Trainer(encoder, [supervised(head, "s")], {"s": Stream(TensorDataset(x, y), 100)}, progress=False,
                      optimizer=lambda groups: torch.optim.Adam(groups, 0.1))  # fmt: skip
    trainer.fit(300)
    assert (head.thresholds.diff() > 0).all()
    model = trainer.model(head)
    score = model.evaluate(TensorDataset(x, y))
    assert score.metric == "mean absolute error" and score.value < 0.05 and score.further["quadratic kappa"] > 0.95
    model.save(tmp_path / "model")
    again = Model.load(tmp_path / "model")
    assert (again.probabilities(x) == model.probabilities(x)).all() and set(again.predict(x)) == {"a", "b", "c", "d"}


def test_scores_against_scikit_learn_and_missing_labels():
    torch.manual_seed(0)
    label, predicted = torch.randint(0, 5, (200,)), torch.randint(0, 5, (200,))
    label[:7] = -1
    found = heads.Ordinal(2, 5).score({"label": label, "predicted": predicted})
    there = label >= 0
    kappa = cohen_kappa_score(label[there], predicted[there], weights="quadratic")
    assert found.further["quadratic kappa"] == pytest.approx(kappa, abs=1e-12)
    assert found.value == pytest.approx((label - predicted)[there].abs().double().mean().item()) and found.n == 193
    assert not found.higher_is_better
    one = heads.Ordinal(2, 5).score({"label": torch.ones(3).long(), "predicted": torch.ones(3).long()})
    assert one.value == 0 and "quadratic kappa" not in one.further


def test_predicts_the_median_and_refuses_other_labels():
    head = heads.Ordinal(2, 3)
    assert head.predict(torch.tensor([[0.4, 0.25, 0.35], [0.6, 0.2, 0.2]]).log()).tolist() == [1, 0]
    assert head.loss(torch.zeros(2, 3), torch.tensor([-1, -1])) == 0
    with pytest.raises(ValueError, match=r"must be in \[0, 3\)"):
        head.check(torch.tensor([3]))
    with pytest.raises(ValueError, match="whole numbers"):
        head.check(torch.tensor([1.0]))
    with pytest.raises(ValueError, match="at least 2"):
        heads.Ordinal(2, 1)
