"""What a detector of points learns: heat maps of the centres of boxes, and a box for the points near a centre."""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from adapt.heads.box_labels import Objects

SPREAD = 0.54  # the part of a box that learns, per side, as in TTFNet


class Targets(NamedTuple):
    """The targets of an image.

    Attributes:
        heat: ``(classes, h, w)`` in [0, 1], 1 at the centres.
        known: ``(h, w)``, False at points in regions of unknown content.
        boxes: ``(4, h, w)``, the box that each point learns.
        shares: ``(h, w)``, the weights of the points: the points of a box weigh 1 together, the other points 0.
    """

    heat: Tensor
    known: Tensor
    boxes: Tensor
    shares: Tensor


def points_of(size: Tensor, height: int, width: int) -> Tensor:
    """Return ``(2, height, width)``, x and y of the centre of each cell in pixels.

    Args:
        size: ``(2,)``, width and height of the image.
    """
    x = (torch.arange(width, device=size.device) + 0.5) * (size[0] / width)
    y = (torch.arange(height, device=size.device) + 0.5) * (size[1] / height)
    return torch.stack([x.expand(height, width), y[:, None].expand(height, width)])


def targets_of(objects: Objects, classes: int, size: Tensor, height: int, width: int) -> Targets:
    r"""Return the targets of an image with a map of ``height * width`` points.

    A box of :math:`w \times h` cells with the centre in the cell c has the heat

    .. math:: g_p = \exp\Bigl( -\frac{(p_x - c_x)^2}{2 \sigma_x^2} - \frac{(p_y - c_y)^2}{2 \sigma_y^2} \Bigr), \qquad
        \sigma_x = \frac{2 r_x + 1}{6}, \quad r_x = \lfloor 0.27\, w \rfloor

    within :math:`r_x` and :math:`r_y` cells of the centre. A class takes the largest heat of its boxes. A point within
    several boxes learns the smallest box, with a share in proportion to the heat.

    Liu et al., Training-Time-Friendly Network for Real-Time Object Detection, 2020, https://arxiv.org/abs/1909.00700
    """
    boxes, kinds = objects
    if not len(boxes):
        unit = boxes.new_tensor([0.0, 0.0, 1.0, 1.0])[:, None, None].expand(4, height, width)
        empty = boxes.new_zeros(height, width)
        return Targets(boxes.new_zeros(classes, height, width), empty == 0, unit, empty)
    real, (x, y) = (kinds >= 0)[:, None, None], points_of(size, height, width)
    left, top, right, bottom = boxes[:, :, None, None].unbind(1)
    inside = (x >= left) & (x < right) & (y >= top) & (y < bottom)
    cell, last = size / size.new_tensor([width, height]), size.new_tensor([width - 1, height - 1])
    sides = boxes[:, 2:] - boxes[:, :2]
    centre = torch.minimum(((boxes[:, :2] + boxes[:, 2:]) / 2 / cell).floor().clamp_min(0), last)
    radius = (SPREAD / 2 * sides / cell).floor()
    across, down = (_bell(centre[:, i], radius[:, i], length) for i, length in enumerate((width, height)))
    bell = down[:, :, None] * across[:, None, :] * real
    where = kinds.clamp_min(0)[:, None, None].expand_as(bell)
    heat = boxes.new_zeros(classes, height, width).scatter_reduce(0, where, bell, "amax")
    owner = torch.where(bell > 0, sides.prod(1)[:, None, None], float("inf")).argmin(0)  # the smallest box
    shares = bell.gather(0, owner[None])[0]
    sums = boxes.new_zeros(len(boxes)).index_add(0, owner.flatten(), shares.flatten())
    shares = shares / torch.where(sums > 0, sums, 1)[owner]
    return Targets(heat, ~(inside & ~real).any(0), boxes[owner].movedim(-1, 0), shares)


def _bell(centre: Tensor, radius: Tensor, length: int) -> Tensor:
    """Return ``(k, length)``, the heat along an axis."""
    far = torch.arange(length, device=centre.device) - centre[:, None]
    sigma = (2 * radius[:, None] + 1) / 6
    return torch.exp(-far.square() / (2 * sigma.square())) * (far.abs() <= radius[:, None])


def focal_sum(logits: Tensor, heat: Tensor, known: Tensor) -> Tensor:
    r"""Return the penalty-reduced focal loss of centres, summed over points and classes.

    .. math:: \sum_i \begin{cases} -(1 - p_i)^2 \log p_i & g_i = 1 \\
        -(1 - g_i)^4\, p_i^2 \log(1 - p_i) & g_i < 1 \end{cases}

    with p the sigmoid of the logits and g the heat. Points of unknown content count at centres alone.

    Args:
        logits, heat: ``(n, classes, h, w)``.
        known: ``(n, h, w)``.

    Zhou et al., Objects as Points, 2019, https://arxiv.org/abs/1904.07850
    """
    p, centre = logits.sigmoid(), heat == 1
    near = (1 - p).square() * F.logsigmoid(logits)
    rest = (1 - heat).pow(4) * p.square() * F.logsigmoid(-logits) * known[:, None]
    return -torch.where(centre, near, rest).sum()
