"""Likeness of drawings without an encoder: distances between the places of ink."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from losses.checks import check_real

POINTS, ITERATIONS = 64, 5


def modified_hausdorff(queries: Tensor, support: Tensor) -> Tensor:
    r"""Return minus the modified Hausdorff distance between the ink of each query and each support drawing.

    .. math:: -\max\Big(\frac1{|A|} \sum_{a \in A} \min_{b \in B} \|a - b\|,\;
        \frac1{|B|} \sum_{b \in B} \min_{a \in A} \|a - b\|\Big)

    A and B are the places of all ink, in pixels, after the mean place of each drawing is subtracted.

    Args:
        queries: ``(q, 1, h, w)`` drawings, ink above 0.
        support: ``(s, 1, h, w)`` drawings, one or more of each class.

    Returns:
        ``(q, s)`` float32, larger is more alike: the nearest drawing is ``argmax(1)``.

    Raises:
        TypeError, ValueError: no drawings of one channel; NaN or infinity; a drawing without ink.

    Related: :func:`aligned_strokes`, which is the better of the two on Omniglot.

    Dubuisson and Jain, A Modified Hausdorff Distance for Object Matching, 1994,
    https://doi.org/10.1109/ICPR.1994.576361

    >>> lines = torch.zeros(2, 1, 5, 5)
    >>> lines[0, 0, 2], lines[1, 0, :, 2] = 1, 1
    >>> modified_hausdorff(lines, lines).argmax(1)
    tensor([0, 1])
    """
    a, b = ([ink - ink.mean(0) for ink in places(n, x)] for n, x in (("queries", queries), ("support", support)))
    found = torch.zeros(len(a), len(b))
    for i, p in enumerate(a):
        for j, q in enumerate(b):
            D = torch.cdist(p, q)
            found[i, j] = -torch.maximum(D.amin(1).mean(), D.amin(0).mean())
    return found


def aligned_strokes(queries: Tensor, support: Tensor) -> Tensor:
    """Return minus a distance between the strokes of each query and each support drawing, moved onto each other.

    A drawing is 64 places of ink that lie far apart, and the direction of the stroke at each place. The mean of the
    places is subtracted, and the places are divided by the root of their mean square. A quadratic map moves the places
    of one drawing onto the places of another drawing: five rounds of soft neighbours in both directions and a ridge
    regression towards the identity. Two places are near where place and direction agree: the squared distance plus half
    the squared sine of the angle. The distance is the modified Hausdorff distance of these numbers, summed over the map
    of the first drawing and the map of the second drawing. Nothing is learned.

    Args:
        queries, support: as in :func:`modified_hausdorff`; the lines should be some pixels thick.

    Returns:
        ``(q, s)`` float32, larger is more alike. A drawing does not get exactly 0 with a copy of the drawing.

    The numbers of places, of rounds and of the ridge were fixed on three alphabets that are not in the runs of
    ``examples/omniglot.py``; other numbers changed the error by about a point there, an affine map too.

    Raises:
        TypeError, ValueError: as in :func:`modified_hausdorff`.

    The ridge regression on soft neighbours is Chui and Rangarajan, A new point matching algorithm for non-rigid
    registration, 2003, https://doi.org/10.1016/S1077-3142(03)00009-2, with a quadratic map in place of a spline.

    >>> lines = torch.zeros(2, 1, 9, 9)
    >>> lines[0, 0, 4], lines[1, 0, [2, 6]] = 1, 1
    >>> aligned_strokes(lines, lines).argmax(1)
    tensor([0, 1])
    """
    a, b = strokes("queries", queries), strokes("support", support)
    if len(a) == 0 or len(b) == 0:
        return torch.zeros(len(a), len(b))
    return torch.stack([move(p.expand_as(b), b) + move(b, p.expand_as(b)) for p in a.split(1)])


def places(name: str, images: Tensor) -> list[Tensor]:
    """Return the ``(ink, 2)`` rows and columns of the ink of each drawing."""
    check_real(name, images)
    if images.ndim != 4 or images.shape[1] != 1:
        raise ValueError(f"`{name}` must be (n, 1, h, w) drawings of one channel, got {tuple(images.shape)}.")
    if not images.isfinite().all():
        raise ValueError(f"`{name}` must be finite, got NaN or infinity: leave such drawings out.")
    found = [(image[0] > 0).nonzero().float() for image in images.cpu()]
    empty = [number for number, ink in enumerate(found) if len(ink) == 0]
    if empty:
        raise ValueError(f"`{name}` must have ink above 0 in each drawing, drawing {empty[0]} has none: leave it out.")
    return found


def strokes(name: str, images: Tensor) -> Tensor:
    """Return ``(n, 64, 4)``: places of ink that lie far apart, and the direction of the stroke at each place."""
    inks = places(name, images)
    smooth = (images > 0).float().cpu()
    for _ in range(2):
        smooth = F.avg_pool2d(smooth, 3, 1, 1)
    down, right = torch.gradient(smooth, dim=(2, 3))
    twice = F.avg_pool2d(torch.cat([down**2 - right**2, -2 * down * right], 1), 7, 1, 3)  # of the doubled angles
    angles, found = torch.atan2(twice[:, 1], twice[:, 0]) / 2, []
    for ink, angle in zip(inks, angles, strict=True):
        chosen, far = [0], torch.full([len(ink)], math.inf)
        while len(chosen) < POINTS:
            far = torch.minimum(far, (ink - ink[chosen[-1]]).square().sum(1))
            chosen.append(int(far.argmax()))
        row, column = ink[chosen].long().T
        centred, turn = ink[chosen] - ink[chosen].mean(0), angle[row, column]
        length = centred.square().sum(1).mean().sqrt().clamp_min(1)  # 1 pixel: a dot
        found.append(torch.cat([centred / length, torch.stack([turn.sin(), turn.cos()], 1)], 1))
    return torch.stack(found) if found else torch.zeros(0, POINTS, 4)


def terms(p: Tensor) -> Tensor:
    """Return ``(n, points, 6)``, the terms of a quadratic map."""
    return torch.cat([torch.ones_like(p[..., :1]), p, p**2, p.prod(-1, keepdim=True)], -1)


def move(a: Tensor, b: Tensor) -> Tensor:
    """Return ``(n,)``, minus the distances of ``(n, 64, 4)`` strokes after the map that moves `a` onto `b`."""
    x, still = terms(a[..., :2]), torch.eye(6)[:, 1:3]
    ridge = POINTS * torch.tensor([0.01, 0.2, 0.2, 0.5, 0.5, 0.5])
    slope, moved = terms(a[..., :2] + 0.01 * a[..., 2:]) - x, still.expand(len(a), 6, 2)
    for k in range(ITERATIONS + 1):
        cosine = F.normalize(slope @ moved, dim=-1) @ b[..., 2:].mT
        D = torch.cdist(x @ moved, b[..., :2]).square() + 0.5 * (1 - cosine.square())
        if k == ITERATIONS:
            break
        soft = -D / max(0.04, 0.16 * (1 - k / ITERATIONS))
        W = soft.softmax(1) + soft.softmax(2)
        left = x.mT @ (W.sum(2, keepdim=True) * x) + ridge.diag()
        moved = torch.linalg.solve(left, x.mT @ (W @ b[..., :2]) + ridge[:, None] * still)
    return -torch.maximum(D.amin(2).mean(1), D.amin(1).mean(1))
