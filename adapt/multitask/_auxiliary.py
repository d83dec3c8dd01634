"""A main task, and tasks whose only purpose is to help the main task."""

import torch
from torch import Tensor

from adapt.engine.description import call_text
from adapt.multitask._from_gramian import At, check_at
from losses.options import FROM_0, check


def auxiliary(*, main: int = 0, hard: bool = False, at: At = "features") -> "Auxiliary":
    r"""Return weights by the cosine with the gradient of the main task.

    .. math::
        w_{\text{main}} = 1, \qquad w_i = \max \bigl( 0, \cos(\nabla L_i, \nabla L_{\text{main}}) \bigr)

    An auxiliary task with a gradient against the main task has no weight in the step. In a batch without the main task
    no cosine is known: all auxiliary tasks have weight 1.

    Args:
        main: number of the main task, in the order of the terms.
        hard: weight 1 wherever the cosine is positive: the unweighted version of the paper.
        at: where gradients are taken. At ``"features"`` tasks on different rows are orthogonal and have weight 0.

    Raises:
        ValueError: a number that no task has, or an unknown `at`.

    Du et al., Adapting Auxiliary Losses Using Gradient Similarity, 2018, https://arxiv.org/abs/1812.02224

    >>> auxiliary()(torch.ones(3), torch.tensor([[1.0, 1.0, -1.0], [1.0, 4.0, 0.0], [-1.0, 0.0, 2.0]]))
    tensor([1.0000, 0.5000, 0.0000])
    """
    return Auxiliary(main, hard, at)


class Auxiliary:
    """The balance of :func:`auxiliary`."""

    def __init__(self, main: int, hard: bool, at: At):
        check(FROM_0, main=main)
        check_at(at)
        self.main, self.hard, self.at = main, hard, at
        self.made_by = call_text("auxiliary", main=main, hard=hard, at=at)

    def __repr__(self) -> str:
        return self.made_by

    def __call__(self, losses: Tensor, gram: Tensor | None = None) -> Tensor:
        if gram is None or self.main >= len(losses):
            raise ValueError(
                f"`gram` and a main task are needed: expected the Gramian of {len(losses)} tasks with number "
                f"{self.main} among the tasks, got {'no Gramian' if gram is None else tuple(gram.shape)}: "
                "choose another `main`."
            )
        if losses[self.main].isnan():
            return torch.ones_like(losses)
        squares = gram.diagonal()
        product = (squares * squares[self.main]).sqrt()
        cosines = torch.where(product > 0, gram[self.main] / product, 0.0)
        weights = (cosines > 0).to(losses) if self.hard else cosines.clamp_min(0).to(losses)
        weights[self.main] = 1.0
        return weights
