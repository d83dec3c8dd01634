"""Soft Dice beyond the battery."""

import pytest
import torch

import losses

g = torch.Generator().manual_seed(0)
z = torch.randn(4, 3, 5, generator=g, dtype=torch.float64)
y = torch.randint(2, (4, 5), generator=g)  # class 2 is absent
certain = 1e4 * torch.nn.functional.one_hot(y, 3).movedim(-1, 1).double()


@pytest.mark.parametrize("over", ["batch", "image"])
@pytest.mark.parametrize("squared", [True, False])
@pytest.mark.parametrize("classes", ["present", "all", [0, 1]])
def test_the_true_mask_is_perfect(over, squared, classes):
    value = losses.dice(certain, y, over=over, squared=squared, classes=classes)
    assert value.abs() < 1e-12  # an absent class that is predicted nowhere is perfect too


def test_an_absent_class():
    p = z.softmax(1)[:, 2]
    assert losses.dice(z, y, classes=[2]) == 1
    torch.testing.assert_close(losses.dice(z, y, classes=[2], smooth=2.0), 1 - 2 / (p.square().sum() + 2))
    torch.testing.assert_close(losses.dice(z, y, classes=[2], smooth=2.0, squared=False), 1 - 2 / (p.sum() + 2))
    torch.testing.assert_close(losses.dice(z, y), losses.dice(z, y, classes=[0, 1]))
    torch.testing.assert_close(losses.dice(z, y, classes="all"), (2 * losses.dice(z, y) + 1) / 3)
    logits = z.clone().requires_grad_()
    losses.dice(logits, y, classes=[2]).backward()
    assert (logits.grad == 0).all()


@pytest.mark.parametrize("only", [0, 1])
def test_a_class_that_is_present_only_where_nothing_counts_is_absent(only):
    w = y == only
    torch.testing.assert_close(losses.dice(z, y, weights=w), losses.dice(z, y, weights=w, classes=[only]))


def test_labels_where_the_weight_is_zero_may_be_anything():
    mask = torch.arange(5).expand(4, 5) < 3
    marked = torch.where(mask, y, 255)
    for over in ("batch", "image"):
        torch.testing.assert_close(
            losses.dice(z, marked, weights=mask, over=over), losses.dice(z[..., :3], y[:, :3], over=over)
        )


def test_an_image_in_which_nothing_counts_is_left_out_of_the_mean():
    w = torch.ones(4, 5, dtype=torch.float64)
    w[1] = 0
    keep = [0, 2, 3]
    torch.testing.assert_close(losses.dice(z, y, weights=w, over="image"), losses.dice(z[keep], y[keep], over="image"))


@pytest.mark.parametrize("classes", ["present", "all", [1]])
@pytest.mark.parametrize("smooth", [0.0, 1.0])
@pytest.mark.parametrize("over", ["batch", "image"])
def test_an_empty_mask_gives_zero(classes, smooth, over):
    logits = z.clone().requires_grad_()
    value = losses.dice(logits, y, weights=torch.zeros(4, 5), classes=classes, smooth=smooth, over=over)
    value.backward()
    assert value == 0 and (logits.grad == 0).all()


def test_images_of_one_batch_differ_from_the_batch():
    alone = torch.stack([losses.dice(z[i : i + 1], y[i : i + 1]) for i in range(4)])
    torch.testing.assert_close(losses.dice(z, y, over="image"), alone.mean())
    assert (losses.dice(z, y) - alone.mean()).abs() > 1e-3


def test_two_logits_are_a_sigmoid():
    score, mask = z[:, 0], y
    p = score.sigmoid()
    value = losses.dice(torch.stack([0 * score, score], 1), mask, classes=[1])
    torch.testing.assert_close(value, 1 - 2 * (p * mask).sum() / (p.square() + mask).sum())


@pytest.mark.parametrize("loss", [losses.dice, losses.lovasz_softmax])
@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        ((z, y[:, :4]), {}, r"`labels` must hold one class for each row, shape \(4, 5\), got \(4, 4\)"),
        ((z, y.double()), {}, "whole numbers"),
        ((z[0, 0], y), {}, "`logits` must be"),
        (
            (z, y),
            {"weights": torch.ones(4)},
            r"`weights` must hold one number for each row, shape \(4, 5\), got \(4,\)",
        ),
        ((z, y), {"over": "rows"}, '`over` must be "batch" or "image", got \'rows\''),
        ((z, y), {"classes": "some"}, '`classes` must be "present", "all" or a list'),
        ((z, y), {"classes": [3]}, r"`classes` must hold numbers from 0 to 2, got \[3\]"),
        ((z, y), {"classes": [-1]}, "`classes` must be .*at least 0, got"),
        ((z, y), {"classes": []}, "`classes` must be .*at least one"),
    ],
)
def test_bad_arguments(loss, arguments, options, message):
    with pytest.raises(ValueError, match=message):
        loss(*arguments, **options)


def test_negative_smoothing():
    with pytest.raises(ValueError, match="`smooth` must be a number of at least 0, got -1"):
        losses.dice(z, y, smooth=-1)
