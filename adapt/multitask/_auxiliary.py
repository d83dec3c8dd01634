"""Tasks that are there to help another one."""

import torch
from torch import Tensor

from adapt.multitask._from_gramian import At


def auxiliary(main: int = 0, *, hard: bool = False, at: At = "features") -> "Auxiliary":
    r"""The main task has weight 1, each auxiliary one the cosine of its gradient with the main one's, never below 0.

    .. math:: w_{\text{main}} = 1, \qquad w_i = \max \bigl( 0, \cos(\nabla L_i, \nabla L_{\text{main}}) \bigr)

    So an auxiliary task whose gradient hurts the main one has no say in that step. In a batch without the main task nothing is
    known against the others: they have weight 1.

    Args:
        main: number of the main task, in the order of the terms.
        hard: weight 1 wherever the cosine is positive: the paper's unweighted version.
        at: where gradients are taken. At ``"features"`` tasks on different rows are orthogonal: their weights would be 0.

    Raises:
        ValueError: a main task that is not there.

    Du et al., Adapting Auxiliary Losses Using Gradient Similarity, 2018, https://arxiv.org/abs/1812.02224

    >>> auxiliary()(torch.ones(3), torch.tensor([[1.0, 1.0, -1.0], [1.0, 4.0, 0.0], [-1.0, 0.0, 2.0]]))
    tensor([1.0000, 0.5000, 0.0000])
    """
    if main < 0:
        raise ValueError(f"`main` must be the number of a task, from 0 on, got {main}.")
    return Auxiliary(main, hard, at)


class Auxiliary:
    def __init__(self, main: int, hard: bool, at: At):
        self.main, self.hard, self.at = main, hard, at

    def __call__(self, losses: Tensor, gram: Tensor | None = None) -> Tensor:
        if gram is None or self.main >= len(losses):
            raise ValueError(
                f"`gram` and a main task are needed: expected {len(losses)} tasks with number {self.main} among them and "
                f"their Gramian, got {'none' if gram is None else tuple(gram.shape)}."
            )
        if losses[self.main].isnan():
            return torch.ones_like(losses)
        squares = gram.diagonal()
        product = (squares * squares[self.main]).sqrt()
        cosines = torch.where(product > 0, gram[self.main] / product, 0.0)
        weights = (cosines > 0).to(losses) if self.hard else cosines.clamp_min(0).to(losses)
        weights[self.main] = 1.0
        return weights
