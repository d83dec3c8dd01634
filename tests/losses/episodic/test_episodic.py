"""Episodes beyond the battery: classes without support, padding, one shot, prediction."""

import sys

import pytest
import torch
import torch.nn.functional as F

import losses


def drawn(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


q, y = drawn(6, 3), torch.tensor([0, 1, 2, 0, 1, 2])
x, z = drawn(7, 3, seed=1), torch.tensor([0, 1, 2, 0, 1, 2, 1])

EVERY = [
    pytest.param(lambda *a, **o: losses.prototypical(*a, **{"classes": 3, **o}), id="euclidean"),
    pytest.param(lambda *a, **o: losses.prototypical(*a, distance="cosine", **{"classes": 3, **o}), id="cosine"),
    pytest.param(lambda *a, **o: losses.ridge(*a, **{"classes": 3, **o}), id="ridge"),
]
every = pytest.mark.parametrize("loss", EVERY)


@every
def test_a_class_without_support_is_never_predicted(loss):
    torch.testing.assert_close(loss(q, y, x, z, classes=9), loss(q, y, x, z))


@every
def test_queries_of_a_class_without_support_are_left_out(loss):
    some = z != 2
    query, support = q.clone().requires_grad_(), x.clone().requires_grad_()
    value = loss(query, y, support, torch.where(some, z, -1))
    torch.testing.assert_close(value, loss(q[y != 2], y[y != 2], x[some], z[some]))
    value.backward()
    assert (query.grad[y == 2] == 0).all() and (support.grad[~some] == 0).all()
    assert query.grad[y == 0].abs().sum() > 0 and support.grad[some].abs().sum() > 0


@every
def test_rows_of_padding_are_left_out(loss):
    def pad(rows, labels, label):
        return torch.cat([rows, 9 + rows[:2]]), torch.cat([labels, labels.new_full((2,), label)])

    for label in (-1, 3):
        torch.testing.assert_close(loss(*pad(q, y, label), *pad(x, z, label)), loss(q, y, x, z))


@every
def test_nothing_but_padding_is_zero(loss):
    query, support = q.clone().requires_grad_(), x.clone().requires_grad_()
    value = loss(query, y, support, torch.full_like(z, -1))
    value.backward()
    assert value == 0 and (query.grad == 0).all() and (support.grad == 0).all()


@every
def test_the_labels_matter(loss):
    assert (loss(q, y.roll(1), x, z) - loss(q, y, x, z)).abs() > 1e-3
    assert (loss(q, y, x, z.roll(1)) - loss(q, y, x, z)).abs() > 1e-3


@every
def test_names_of_classes_do_not_matter(loss):
    name = torch.tensor([2, 0, 1])
    torch.testing.assert_close(loss(q, name[y], x, name[z]), loss(q, y, x, z))


@every
def test_support_rows_of_other_ranks(loss, monkeypatch):
    elsewhere = lambda rows: torch.cat([rows, rows.flip(0) + (1 if rows.is_floating_point() else 0)])  # noqa: E731
    alone = loss(q, y, x, z, classes=4)
    for file in ("_prototypical", "_ridge"):
        monkeypatch.setattr(sys.modules[f"losses.episodic.{file}"], "gather", elsewhere)
    torch.testing.assert_close(loss(q, y, x, z, classes=4, global_batch=False), alone)
    together = loss(q, y, x, z, classes=4)
    monkeypatch.undo()
    torch.testing.assert_close(together, loss(q, y, elsewhere(x), elsewhere(z), classes=4))
    assert (together - alone).abs() > 1e-3


def test_one_shot_is_the_nearest_row():
    shot = torch.arange(3)
    theirs = F.cross_entropy(-torch.cdist(q, x[:3]).square() / 2, y)
    torch.testing.assert_close(losses.prototypical(q, y, x[:3], shot, classes=3, temperature=2.0), theirs)


def test_far_rows_saturate_without_harm():
    query = (1e4 * q).float().requires_grad_()
    value = losses.prototypical(query, y, (1e4 * x).float(), z, classes=5)
    value.backward()
    assert value.isfinite() and query.grad.isfinite().all()


def test_cosine_of_a_zero_vector():
    query, support = q.clone(), x.clone()
    query[0], support[z == 1] = 0, 0
    query.requires_grad_(), support.requires_grad_()
    losses.prototypical(query, y, support, z, classes=3, distance="cosine").backward()
    assert query.grad.isfinite().all() and support.grad.isfinite().all()
    assert (query.grad[0] == 0).all() and (support.grad[z == 1] == 0).all()


def test_numbers_that_are_trained_get_a_gradient():
    temperature, penalty, scale = (torch.tensor(v, dtype=torch.float64, requires_grad=True) for v in (2.0, 0.5, 3.0))
    losses.prototypical(q, y, x, z, classes=3, temperature=temperature).backward()
    losses.ridge(q, y, x, z, classes=3, penalty=penalty, scale=scale).backward()
    assert all(number.grad.abs() > 1e-4 for number in (temperature, penalty, scale))
    torch.testing.assert_close(
        losses.ridge(q, y, x, z, classes=3, penalty=penalty, scale=scale),
        losses.ridge(q, y, x, z, classes=3, penalty=0.5, scale=3.0),
    )


def test_prototypes_are_means_and_say_how_many():
    c, count = losses.prototypes(x, torch.tensor([0, 0, 2, 2, 2, -1, 7]), classes=4)
    torch.testing.assert_close(c[0], x[:2].mean(0))
    torch.testing.assert_close(c[2], x[2:5].mean(0))
    assert (c[[1, 3]] == 0).all() and count.tolist() == [2, 0, 3, 0]
    assert losses.prototypes(x.bfloat16(), z, classes=3)[0].dtype == torch.float32


@pytest.mark.parametrize("d", [3, 7, 20])
def test_both_forms_of_the_ridge_are_the_same_solution(d):
    X = drawn(7, d, seed=2)
    W = losses.ridge_weights(X, z, classes=3, penalty=0.3)
    Y = F.one_hot(z, 3).double()
    torch.testing.assert_close(X.T @ (X @ W - Y) + 0.3 * W, torch.zeros(d, 3).double(), atol=1e-12, rtol=0)


def test_a_ridge_on_large_equal_rows():
    X = torch.full((4, 3), 1e4, requires_grad=True)  # float32 holds no penalty of 1 beside 1e8
    W = losses.ridge_weights(X, torch.tensor([0, 0, 0, 1]), classes=2)
    W.sum().backward()
    torch.testing.assert_close(W, torch.tensor([[0.75, 0.25]]).repeat(3, 1) / 3e4, rtol=1e-5, atol=0)
    assert W.dtype == torch.float32 and X.grad.isfinite().all()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: losses.prototypical(q[:, :2], y, x, z, classes=3), "the same feature size, got 2 and 3"),
        (lambda: losses.prototypical(q, y[:2], x, z, classes=3), "one class for each row"),
        (lambda: losses.prototypical(q, y, x, z[:2], classes=3), "one class for each row"),
        (lambda: losses.prototypical(q, y, x[0], z, classes=3), "`support` must be"),
        (lambda: losses.prototypical(q, y, x, z, classes=3, distance="l1"), "`distance` must be .* got 'l1'"),
        (
            lambda: losses.prototypical(q, y, x, z, classes=3, temperature=0),
            "`temperature` must be a positive number, got 0",
        ),
        (lambda: losses.prototypes(x, z[:2], classes=3), "one class for each row"),
        (lambda: losses.prototypes(x[0], z, classes=3), "`support` must be"),
        (lambda: losses.ridge(q[0], y, x, z, classes=3), "`queries` must be"),
        (lambda: losses.ridge(q, y, x, z, classes=3, penalty=0), "`penalty` must be a positive number, got 0"),
        (lambda: losses.ridge_weights(x, z.double(), classes=3), "whole numbers"),
        (lambda: losses.ridge_weights(x[0], z, classes=3), "`support` must be"),
    ],
)
def test_bad_arguments(call, message):
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.parametrize("fill", [1e8, float("nan")])
@pytest.mark.parametrize("distance", ["squared_euclidean", "cosine"])
def test_what_stands_in_padding_or_in_rows_of_weight_zero_is_never_looked_at(fill, distance):
    g = torch.Generator().manual_seed(0)
    q, x = torch.randn(6, 3, generator=g), torch.randn(8, 3, generator=g)
    asked, known = torch.arange(6) % 2, torch.arange(8) % 2
    options = {"classes": 2, "distance": distance}
    value = losses.prototypical(q, asked, x, known, **options)
    junk = torch.full((2, 3), fill)
    more_q, more_x = torch.cat([q, junk]).requires_grad_(), torch.cat([x, junk]).requires_grad_()
    out = torch.tensor([-1, 2])
    padded = losses.prototypical(more_q, torch.cat([asked, out]), more_x, torch.cat([known, out]), **options)
    weights = torch.tensor([1.0] * 6 + [0.0] * 2)
    labels = torch.cat([asked, torch.tensor([0, 1])])
    silent = losses.prototypical(more_q, labels, x, known, weights=weights, **options)
    torch.testing.assert_close(torch.stack([padded, silent]), torch.stack([value, value]))
    for gradient in torch.autograd.grad(padded + silent, [more_q, more_x]):
        assert gradient.isfinite().all()


@pytest.mark.parametrize("fill", [1e8, float("nan")])
def test_ridge_never_looks_at_padding_either(fill):
    g = torch.Generator().manual_seed(0)
    q, x, labels = torch.randn(6, 3, generator=g), torch.randn(8, 3, generator=g), torch.arange(8) % 2
    junk, out = torch.full((2, 3), fill), torch.tensor([-1, 2])
    more_q, more_x = torch.cat([q, junk]).requires_grad_(), torch.cat([x, junk]).requires_grad_()
    padded = losses.ridge(more_q, torch.cat([labels[:6], out]), more_x, torch.cat([labels, out]), classes=2)
    torch.testing.assert_close(padded, losses.ridge(q, labels[:6], x, labels, classes=2))
    assert all(v.isfinite().all() for v in torch.autograd.grad(padded, [more_q, more_x]))


def test_one_far_query_does_not_cost_the_others_their_accuracy():
    g = torch.Generator().manual_seed(0)
    q, x, labels = torch.randn(6, 3, generator=g), torch.randn(8, 3, generator=g), torch.arange(8) % 2
    q[0] = 1e5
    found = []
    for dtype in (torch.float32, torch.float64):
        leaf = q.clone().to(dtype).requires_grad_()
        loss = losses.prototypical(leaf, labels[:6], x.to(dtype), labels, classes=2)
        found.append(torch.autograd.grad(loss, leaf)[0][1:].double())
    torch.testing.assert_close(*found, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("loss", [losses.prototypical, losses.ridge])
def test_weights_of_another_shape(loss):
    x, labels = torch.eye(2), torch.tensor([0, 1])
    with pytest.raises(ValueError, match="`weights` must hold one number for each row"):
        loss(x, labels, x, labels, classes=2, weights=torch.ones(1))
