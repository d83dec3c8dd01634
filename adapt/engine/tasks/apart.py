"""Features for several tasks: the gradient of each task arrives at a separate row."""

from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor

from adapt.engine.passes import Pass
from adapt.engine.step import Step
from adapt.streams.tree import map_tensors, tensors


class FeaturesApart:
    r"""Makes a step for each of several tasks, and gives the gradient of each task at the features.

    The features of a pass, ``(n, ...)``, become a leaf ``(tasks, n, ...)`` with the same values; of a pyramid each map
    becomes a leaf. Task t reads row t. A single backward pass through all heads then gives
    :math:`D_t = \partial L_t / \partial z` of every task in a single tensor, the gradient of the leaf. The encoder does
    not run again; heads do, once for each task.

    Args:
        step: shared by all tasks.
        tasks: how many.
    """

    def __init__(self, step: Step, tasks: int):
        self._step, self._tasks = step, tasks
        self._leaves: dict[Pass, Any] = {}
        self._rows: dict[Pass, Sequence[Any]] = {}  # of each leaf
        self.steps = [step.read_by(partial(self._row, number)) for number in range(tasks)]

    def _row(self, task: int, step: Step, made: Pass) -> Any:
        if made not in self._leaves:
            leaf = self._leaves[made] = map_tensors(made.features, self._leaf)
            # the backward pass of unbind stores the gradients of all tasks behind each other
            if isinstance(leaf, Tensor):
                self._rows[made] = leaf.unbind()
            else:
                rows = {name: part.unbind() for name, part in leaf.items()}
                self._rows[made] = [{name: row[t] for name, row in rows.items()} for t in range(self._tasks)]
        return self._rows[made][task]

    def _leaf(self, features: Tensor) -> Tensor:
        return features.detach().expand(self._tasks, *features.shape).requires_grad_(features.requires_grad)

    @property
    def leaves(self) -> list[Tensor]:
        return [leaf for part in self._leaves.values() for leaf in tensors(part)]

    def gradients(self) -> Tensor:
        """Return ``(tasks, n d)`` gradients of the tasks at the features of all passes, and free the memory of the
        leaves.
        """
        blocks = []
        for made in self._step.passes:
            # no task may have read what another term has
            leaves: list[Any] = list(tensors(self._leaves.get(made))) or [None] * len(made.parts)
            for part, leaf in zip(made.parts, leaves, strict=True):
                if part.requires_grad:
                    there = leaf is not None and leaf.grad is not None
                    blocks.append(leaf.grad.flatten(1) if there else part.new_zeros(self._tasks, part.numel()))
        for leaf in self.leaves:
            leaf.grad = None  # the gradient would be in memory twice
        return blocks[0] if len(blocks) == 1 else torch.cat(blocks, 1)
