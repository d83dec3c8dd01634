"""Likeness of drawings: published figures, references written plainly, and hostile drawings."""

import math

import numpy
import pytest
import torch

from adapt import datasets, fewshot
from adapt.fewshot._drawings import strokes

METHODS = [fewshot.modified_hausdorff, fewshot.aligned_strokes]


def drawing(turn=0.0, wide=1.0, bend=0.0, size=60):
    """A hook: a bar, and an arm at the end, turned, stretched and bent about the middle."""
    image = torch.zeros(1, size, size)
    t = torch.linspace(-1, 1, 300)
    x, y = torch.cat([t * 0.3, 0.3 + 0 * t]), torch.cat([0 * t, (t + 1) * 0.12])
    y = wide * y + bend * x**2
    row, column = (math.cos(turn) * y - math.sin(turn) * x), (math.sin(turn) * y + math.cos(turn) * x)
    for down in (0, 1):
        for right in (0, 1):
            image[0, (row * size + size / 2).long() + down, (column * size + size / 2).long() + right] = 1
    return image


def cross(size=60):
    image = torch.zeros(1, size, size)
    image[0, 29:31, 10:50] = image[0, 10:50, 29:31] = 1
    return image


def test_modified_hausdorff_is_the_equation():
    generator = torch.Generator().manual_seed(0)
    queries, support = ((torch.rand(n, 1, 7, 9, generator=generator) > 0.7).float() for n in (2, 3))
    found = fewshot.modified_hausdorff(queries, support)
    for i in range(2):
        for j in range(3):
            A, B = ([p.tolist() for p in x[0].nonzero().double()] for x in (queries[i], support[j]))
            A, B = (
                [[v - sum(c) / len(c) for v, c in zip(p, zip(*P, strict=True), strict=True)] for p in P] for P in (A, B)
            )
            one, other = (sum(min(math.dist(p, q) for q in Q) for p in P) / len(P) for P, Q in ((A, B), (B, A)))
            assert found[i, j].item() == pytest.approx(-max(one, other), abs=1e-5)


def test_strokes_of_another_hand_are_nearer_than_another_character():
    support = torch.stack([drawing(), cross()])
    queries = torch.stack([drawing(turn=0.3, wide=1.3, bend=0.3), cross().roll(4, 1)])
    found = fewshot.aligned_strokes(queries, support)
    assert found.argmax(1).tolist() == [0, 1]
    again = fewshot.aligned_strokes(support, support)
    assert (again.diagonal() > -0.05).all() and (found[0, 0] > 2 * found[0, 1])
    # the map takes the turn away, which the plain distance cannot
    plain = fewshot.modified_hausdorff(queries[:1], support)
    assert found[0, 0] / found[0, 1] < 0.7 * plain[0, 0] / plain[0, 1]


def slow(a, b):
    """The distance after the map of `a` onto `b`: each round is one least-squares problem over all pairs of places."""
    p, d, q, e = (numpy.asarray(x, "f8") for x in (*a.double().split(2, 1), *b.double().split(2, 1)))

    def terms(x):
        return numpy.stack([numpy.ones(len(x)), x[:, 0], x[:, 1], x[:, 0] ** 2, x[:, 1] ** 2, x[:, 0] * x[:, 1]], 1)

    still = numpy.eye(6)[:, 1:3]
    found, pull = still, numpy.sqrt(64 * numpy.array([0.01, 0.2, 0.2, 0.5, 0.5, 0.5]))
    for temperature in [0.16, 0.128, 0.096, 0.064, 0.04, None]:
        turned = (terms(p + 0.01 * d) - terms(p)) @ found
        turned /= numpy.linalg.norm(turned, axis=1, keepdims=True)
        D = ((terms(p) @ found)[:, None] - q) ** 2
        D = D.sum(2) + 0.5 * (1 - (turned @ e.T) ** 2)
        if temperature is None:
            return max(D.min(1).mean(), D.min(0).mean())
        soft = numpy.exp(-D / temperature)
        root = numpy.sqrt(soft / soft.sum(1, keepdims=True) + soft / soft.sum(0)).reshape(-1, 1)
        rows = (
            [root * numpy.repeat(terms(p), 64, 0), numpy.diag(pull)],
            [root * numpy.tile(q, (64, 1)), pull[:, None] * still],
        )
        found = numpy.linalg.lstsq(*(numpy.concatenate(r) for r in rows), rcond=None)[0]


def test_aligned_strokes_is_the_sum_over_both_maps():
    a, b = torch.stack([drawing(0.3, 1.2, 0.4), cross()]), torch.stack([drawing(), cross(), drawing(-0.5)])
    found, x, y = fewshot.aligned_strokes(a, b), strokes("a", a), strokes("b", b)
    expected = [[-slow(p, q) - slow(q, p) for q in y] for p in x]
    torch.testing.assert_close(found, torch.tensor(expected).float(), rtol=1e-2, atol=1e-4)


def test_strokes_are_spread_over_the_ink_with_the_direction_of_the_line():
    bar = torch.zeros(1, 1, 40, 90)
    bar[..., 18:21, 10:80] = 1
    (found,) = strokes("bar", bar)
    assert found.shape == (64, 4) and found[:, :2].mean(0).abs().max() < 1e-5
    assert found[:, :2].square().sum(1).mean().item() == pytest.approx(1)
    assert found[:, 1].sort().values.diff().max() < 0.2  # places all along the line
    assert (found[:, 3].abs() > 0.9).double().mean() > 0.9 and (found[:, 2:].norm(dim=1) - 1).abs().max() < 1e-5
    (turned,) = strokes("bar", bar.transpose(2, 3))
    assert (turned[:, 2].abs() > 0.9).double().mean() > 0.9


def test_both_directions_count_alike():
    a, b = torch.stack([drawing(0.2), cross()]), torch.stack([drawing(-0.2)])
    for method in METHODS:
        torch.testing.assert_close(method(a, b), method(b, a).T, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("method", METHODS)
def test_ink_alone_counts_in_any_type_and_scale(method):
    x = torch.stack([drawing(), drawing(0.3), cross()])
    expected, state = method(x, x), torch.get_rng_state()
    for other in (x * 1e20, x * 1e-20, x.half(), x.bfloat16(), x.bool(), x.long(), x - 1e-9 * (x == 0)):
        assert torch.equal(method(other, x), expected)
    assert torch.equal(method(x.transpose(2, 3).contiguous().transpose(2, 3), x), expected)
    assert torch.equal(method(x.clone().requires_grad_(), x), expected) and torch.equal(torch.get_rng_state(), state)
    torch.testing.assert_close(method(x[[2, 0]], x[[1]]), expected[[2, 0]][:, [1]])
    assert method(x[:0], x).shape == (0, 3) and method(x, x[:0]).shape == (3, 0)


@pytest.mark.parametrize("method", METHODS)
def test_dots_and_lines_are_finite(method):
    dot, line = torch.zeros(1, 20, 20), torch.zeros(1, 20, 20)
    dot[0, 3, 4], line[0, 2] = 1, 1
    x = torch.stack([dot, line, torch.ones(1, 20, 20)])
    assert method(x, x).isfinite().all()


@pytest.mark.parametrize("method", METHODS)
def test_what_is_no_drawing(method):
    x = cross()[None]
    with pytest.raises(
        ValueError, match=r"`queries` must be \(n, 1, h, w\) drawings of one channel, got \(1, 60, 60\)"
    ):
        method(x[0], x)
    with pytest.raises(ValueError, match=r"`support` must be \(n, 1, h, w\)"):
        method(x, x.repeat(1, 3, 1, 1))
    for bad in (math.nan, math.inf):
        with pytest.raises(ValueError, match="`support` must be finite"):
            method(x, x * bad)
    with pytest.raises(ValueError, match="`queries` must have ink above 0 in each drawing, drawing 1 has none"):
        method(torch.cat([x, 0 * x]), x)
    with pytest.raises(TypeError, match="`queries` must be a tensor, got ndarray"):
        method(x.numpy(), x)


@pytest.mark.data
def test_omniglot():
    runs = datasets.omniglot_runs(size=105)
    found = fewshot.modified_hausdorff(runs.queries[0], runs.support[0]).argmax(1)
    assert (found != runs.answers[0]).sum() == 9, "a run; all runs together have 155 of 400, the published 38.8 %"
    assert (fewshot.aligned_strokes(runs.queries[0], runs.support[0]).argmax(1) != runs.answers[0]).sum() <= 3
