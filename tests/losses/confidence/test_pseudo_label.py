"""Pseudo-labels, FixMatch and FlexMatch beyond the battery."""

import math

import pytest
import torch

import losses
from tests.losses.confidence import references

WEAK = torch.tensor([[9.0, 0.0], [1.0, 0.0], [0.0, 9.0], [0.0, 0.5]])
STRONG = torch.tensor([[1.0, 0.0], [3.0, 0.0], [2.0, 0.0], [0.0, 0.0]], dtype=torch.float64)


def test_mean_over_all_rows_and_not_over_the_selected():
    one, three = math.log1p(math.exp(-1)), math.log1p(math.exp(2))
    assert losses.fixmatch(STRONG, WEAK).item() == pytest.approx((one + three) / 4)
    selected = WEAK.softmax(1).amax(1) >= 0.95
    assert losses.fixmatch(STRONG, WEAK, weights=selected).item() == pytest.approx((one + three) / 2)


def test_the_threshold_itself_is_enough():
    z = torch.tensor([[0.0, 0.0]])
    assert losses.pseudo_label(z, z, threshold=0.5) > 0
    assert losses.pseudo_label(z, z, threshold=0.50001) == 0
    assert losses.fixmatch(z, torch.tensor([[math.log(0.951 / 0.049), 0.0]])) > 0
    assert losses.fixmatch(z, torch.tensor([[math.log(0.949 / 0.051), 0.0]])) == 0


@pytest.mark.parametrize("temperature", [None, 0.5])
def test_the_side_that_labels_gets_no_gradient(temperature):
    weak, strong = WEAK.clone().requires_grad_(), STRONG.clone().requires_grad_()
    value = losses.fixmatch(strong, weak, threshold=0.5, temperature=temperature)
    held, moved = torch.autograd.grad(value, (weak, strong), allow_unused=True)
    assert held is None and moved.abs().max() > 0


def test_soft_labels_become_hard_ones():
    soft = losses.pseudo_label(STRONG, WEAK, temperature=1e-3)
    torch.testing.assert_close(soft, losses.pseudo_label(STRONG, WEAK))
    assert losses.pseudo_label(STRONG, WEAK, temperature=1.0) != soft


def test_errors():
    z = torch.zeros(2, 3)
    with pytest.raises(ValueError, match="`logits` and `target_logits` must have the same shape"):
        losses.pseudo_label(z, z[:, :2])
    with pytest.raises(ValueError, match="`strong_logits` and `weak_logits` must have the same shape"):
        losses.fixmatch(z, z[:1])
    with pytest.raises(ValueError, match=r"`threshold` must be in \[0, 1\], got 95"):
        losses.fixmatch(z, z, threshold=95)
    with pytest.raises(ValueError, match="`threshold` must be a number or hold one for each of the 3 classes"):
        losses.pseudo_label(z, z, threshold=torch.zeros(2))
    with pytest.raises(ValueError, match="`temperature` must be a positive number, got 0"):
        losses.pseudo_label(z, z, temperature=0)


def rows(n, classes=3, seed=0, scale=3.0):
    return scale * torch.randn(n, classes, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_flexmatch_equals_the_paper():
    flexmatch = losses.FlexMatch(20, 3, threshold=0.8)
    assert flexmatch.thresholds().tolist() == [0, 0, 0]
    selected = [-1] * 20
    for step in range(6):
        index = torch.randperm(20, generator=torch.Generator().manual_seed(step))[:7]
        weak, strong = rows(7, seed=step), rows(7, seed=step + 50)
        before = flexmatch.thresholds()
        found = flexmatch(strong, weak)
        assert torch.equal(before, flexmatch.thresholds())  # the loss changes nothing
        wanted = references.flexmatch_thresholds(selected, 3, 0.8)
        torch.testing.assert_close(before.tolist(), wanted, rtol=1e-6, atol=0)
        assert found.item() == pytest.approx(
            references.fixmatch(strong.numpy(), weak.numpy(), threshold=before.tolist()), rel=1e-10
        )
        flexmatch.update(index, weak)
        for i, p in zip(index.tolist(), weak.softmax(1).tolist(), strict=True):
            selected[i] = p.index(max(p)) if max(p) >= 0.8 else selected[i]
        assert flexmatch.selected.tolist() == selected
    assert len(set(selected)) == 4


def test_flexmatch_defaults_and_weights():
    flexmatch = losses.FlexMatch(2, 2)
    flexmatch.update(torch.tensor([0, 1]), WEAK[[0, 2]])
    torch.testing.assert_close(flexmatch.thresholds(), torch.tensor([0.95, 0.95]))
    assert flexmatch(STRONG, WEAK) == losses.fixmatch(STRONG, WEAK)
    w = torch.tensor([1.0, 2.0, 3.0, 4.0])
    assert flexmatch(STRONG, WEAK, weights=w) == losses.fixmatch(STRONG, WEAK, weights=w)


def test_flexmatch_survives_a_checkpoint():
    flexmatch, other = losses.FlexMatch(4, 2), losses.FlexMatch(4, 2)
    flexmatch.update(torch.arange(4), WEAK)
    other.load_state_dict(flexmatch.state_dict())
    assert torch.equal(other.thresholds(), flexmatch.thresholds()) and other.thresholds().max() > 0
    assert list(flexmatch.state_dict()) == ["selected"]


def test_flexmatch_errors():
    with pytest.raises(ValueError, match="must be .*at least 1"):
        losses.FlexMatch(0, 2)
    with pytest.raises(ValueError, match="must be .*at least 1"):
        losses.FlexMatch(2, 0)
    with pytest.raises(ValueError, match=r"`threshold` must be in \[0, 1\]"):
        losses.FlexMatch(2, 2, threshold=95)
    with pytest.raises(ValueError, match=r"`weak_logits` \(n, 3\)"):
        losses.FlexMatch(2, 3).update(torch.tensor([0]), torch.zeros(1, 2))
    with pytest.raises(ValueError, match=r"`index` must be \(n,\)"):
        losses.FlexMatch(2, 2).update(torch.tensor([0, 1]), torch.zeros(1, 2))


def test_flexmatch_keeps_the_confident_one_of_an_example_that_comes_twice():
    flexmatch = losses.FlexMatch(4, 2)
    flexmatch.update(torch.tensor([1, 2, 1, 1]), torch.tensor([[0.0, 9.0], [0.0, 0.0], [9.0, 0.0], [0.5, 0.0]]))
    assert flexmatch.selected.tolist() == [-1, 0, -1, -1]  # the last that is confident, not the last


def test_nan_in_the_view_that_labels_is_seen():
    weak = torch.full((3, 2), torch.nan)
    strong = torch.zeros(3, 2)
    flexmatch = losses.FlexMatch(4, 2)
    for value in (
        losses.pseudo_label(strong, weak, threshold=0.9),
        losses.pseudo_label(strong, weak),
        losses.fixmatch(strong, weak),
        losses.fixmatch(strong, weak, temperature=0.5),
        flexmatch(strong, weak),
    ):
        assert value.isnan()
    weights = torch.tensor([0.0, 1.0, 1.0])
    weak = torch.tensor([[torch.nan, 0.0], [9.0, 0.0], [9.0, 0.0]])
    assert losses.fixmatch(strong, weak, weights=weights).item() == pytest.approx(math.log(2))
