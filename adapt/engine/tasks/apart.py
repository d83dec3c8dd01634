"""Features for several tasks: the gradient of each task arrives at a separate row."""

from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor

from adapt.engine.passes import Pass
from adapt.engine.step import Step


class FeaturesApart:
    r"""Makes a step for each of several tasks, and gives the gradient of each task at the features.

    The features of a pass, ``(n, ...)``, become a leaf ``(tasks, n, ...)`` with the same values. Task t reads row t. A
    single backward pass through all heads then gives :math:`D_t = \partial L_t / \partial z` of every task in a single
    tensor, the gradient of the leaf. The encoder does not run again; heads do, once for each task.

    Args:
        step: shared by all tasks.
        tasks: how many.
    """

    def __init__(self, step: Step, tasks: int):
        self._step, self._tasks = step, tasks
        self._leaves: dict[Pass, Tensor] = {}
        self._rows: dict[Pass, Sequence[Tensor]] = {}  # of each leaf
        self.steps = [step.read_by(partial(self._row, number)) for number in range(tasks)]

    def _row(self, task: int, step: Step, made: Pass) -> Tensor:
        if made not in self._leaves:
            features = made.features
            leaf = features.detach().expand(self._tasks, *features.shape).requires_grad_(features.requires_grad)
            # the backward pass of unbind stores the gradients of all tasks behind each other
            self._leaves[made], self._rows[made] = leaf, leaf.unbind()
        return self._rows[made][task]

    @property
    def leaves(self) -> list[Tensor]:
        return list(self._leaves.values())

    def gradients(self) -> Tensor:
        """Return ``(tasks, n d)`` gradients of the tasks at the features of all passes, and free the memory of the
        leaves.
        """
        blocks = []
        for made in self._step.passes:
            if made.features.requires_grad:
                leaf = self._leaves.get(made)  # no task may have read what another term has
                found = None if leaf is None else leaf.grad
                size = made.features.numel()
                blocks.append(made.features.new_zeros(self._tasks, size) if found is None else found.flatten(1))
        for leaf in self.leaves:
            leaf.grad = None  # the gradient would be in memory twice
        return blocks[0] if len(blocks) == 1 else torch.cat(blocks, 1)
