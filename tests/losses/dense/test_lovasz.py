"""Lovasz losses beyond the battery."""

import pytest
import torch

import losses

g = torch.Generator().manual_seed(0)
z = torch.randn(4, 3, 5, generator=g, dtype=torch.float64)
y = torch.randint(2, (4, 5), generator=g)  # class 2 is absent


def jaccard(found, truth, c):
    return ((found == c) & (truth == c)).sum() / ((found == c) | (truth == c)).sum()


def test_hard_predictions_have_the_jaccard_loss():
    found = torch.randint(2, (4, 5), generator=g)
    certain = 1e4 * torch.nn.functional.one_hot(found, 3).movedim(-1, 1).double()
    expected = 1 - (jaccard(found, y, 0) + jaccard(found, y, 1)) / 2
    torch.testing.assert_close(losses.lovasz_softmax(certain, y).float(), expected)
    images = [1 - sum(jaccard(f, t, c) for c in t.unique()) / len(t.unique()) for f, t in zip(found, y, strict=True)]
    torch.testing.assert_close(losses.lovasz_softmax(certain, y, over="image").float(), torch.stack(images).mean())


def test_an_absent_class_costs_its_largest_error():
    torch.testing.assert_close(losses.lovasz_softmax(z, y, classes=[2]), z.softmax(1)[:, 2].max())
    largest = z.softmax(1)[:, 2].amax(1).mean()
    torch.testing.assert_close(losses.lovasz_softmax(z, y, classes=[2], over="image"), largest)
    both = losses.lovasz_softmax(z, y, classes=[0, 1])
    torch.testing.assert_close(losses.lovasz_softmax(z, y), both)
    torch.testing.assert_close(
        losses.lovasz_softmax(z, y, classes="all"), (2 * both + losses.lovasz_softmax(z, y, classes=[2])) / 3
    )


def test_no_truth_where_the_largest_errors_do_not_count():
    w = torch.ones(4, 5, dtype=torch.float64)
    w[z.softmax(1)[:, 2] > 0.3] = 0
    largest = z.softmax(1)[:, 2][w > 0].max()
    torch.testing.assert_close(losses.lovasz_softmax(z, y, weights=w, classes=[2]), largest)


@pytest.mark.parametrize("only", [0, 1])
def test_a_class_that_is_present_only_where_nothing_counts_is_absent(only):
    w = y == only
    torch.testing.assert_close(
        losses.lovasz_softmax(z, y, weights=w), losses.lovasz_softmax(z, y, weights=w, classes=[only])
    )


def test_the_hinge_of_an_empty_mask_is_the_largest_error():
    score = z[:, 0]
    none = torch.zeros(4, 5, dtype=torch.bool)
    torch.testing.assert_close(losses.lovasz_hinge(score, none), (1 + score.max()).clamp_min(0))
    torch.testing.assert_close(losses.lovasz_hinge(score, none, over="image"), (1 + score.amax(1)).clamp_min(0).mean())


def test_the_hinge_is_zero_where_every_margin_is_kept_and_not_before():
    score = 1.5 * (2.0 * y - 1)
    assert losses.lovasz_hinge(score, y) == 0
    assert losses.lovasz_hinge(score / 2, y) > 0
    torch.testing.assert_close(losses.lovasz_hinge(0 * score, y), torch.tensor(1.0))  # all wrong, errors of one


@pytest.mark.parametrize("over", ["batch", "image"])
def test_labels_where_the_weight_is_zero_may_be_anything(over):
    mask = torch.arange(5).expand(4, 5) < 3
    marked = torch.where(mask, y, 255)
    torch.testing.assert_close(
        losses.lovasz_softmax(z, marked, weights=mask, over=over),
        losses.lovasz_softmax(z[..., :3], y[:, :3], over=over),
    )
    marked = torch.where(mask, y, 1)
    torch.testing.assert_close(
        losses.lovasz_hinge(z[:, 0], marked, weights=mask, over=over),
        losses.lovasz_hinge(z[:, 0, :3], y[:, :3], over=over),
    )


def test_a_place_of_size_two_is_two_places():
    w = torch.ones(4, 5, dtype=torch.float64)
    w[:, -1] = 2
    twice = losses.lovasz_softmax(torch.cat([z, z[..., -1:]], 2), torch.cat([y, y[:, -1:]], 1))
    torch.testing.assert_close(losses.lovasz_softmax(z, y, weights=w), twice)


@pytest.mark.parametrize("over", ["batch", "image"])
@pytest.mark.parametrize("classes", ["present", "all", [2]])
def test_an_empty_mask_gives_zero(over, classes):
    logits, zeros = z.clone().requires_grad_(), torch.zeros(4, 5, dtype=torch.bool)
    value = losses.lovasz_softmax(logits, y, weights=zeros, over=over, classes=classes)
    value = value + losses.lovasz_hinge(logits[:, 0], y, weights=zeros, over=over)
    value.backward()
    assert value == 0 and (logits.grad == 0).all()


def test_many_places_in_float32():
    many = torch.randn(1, 2, 400_000, generator=g)
    truth = (torch.rand(1, 400_000, generator=g) < 0.1).long()
    found = []
    for dtype in (torch.float32, torch.float64):
        leaf = many.detach().to(dtype, copy=True).requires_grad_()
        losses.lovasz_softmax(leaf, truth).backward()
        found.append(leaf.grad.double())
    # the differences of the Jaccard losses are about 1e-6: float32 would lose them in a subtraction
    assert (found[0] - found[1]).norm() < 1e-4 * found[1].norm()


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        ((z, y), {}, r"`labels` must have the shape of the logits, \(4, 3, 5\)"),
        ((z[:, 0], y.double()), {}, r"use `labels.bool\(\)`"),
        ((z[:, 0], y), {"over": "rows"}, "`over` must be"),
        ((z[:, 0], y), {"weights": torch.ones(4)}, "`weights` must hold one number for each row"),
    ],
)
def test_bad_arguments_of_the_hinge(arguments, options, message):
    with pytest.raises(ValueError, match=message):
        losses.lovasz_hinge(*arguments, **options)
