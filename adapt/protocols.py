"""What a balancing method is."""

from typing import Protocol

from torch import Tensor


class Balance(Protocol):
    r"""From losses, and where it asks for it the Gramian of the tasks' gradients, to weights of the tasks.

    Any callable will do. It is called once a micro-batch, on every rank with the same numbers.

    Args:
        losses: ``(tasks,)``, detached, the mean over the ranks; NaN for a task that has no labelled row in this batch.
        gram: ``(tasks, tasks)``, :math:`G_{ij} = \langle \nabla L_i, \nabla L_j \rangle`; None unless the method has an attribute
            `at`, which says where the gradients are taken: ``"features"``, ``"parameters"`` (all of the encoder that
            learn), or a module inside of the encoder.

    Returns:
        ``(tasks,)`` weights. The plain sum has weights of 1; what stands at an absent task is not looked at.

    A method with state is an ``nn.Module`` whose state is in buffers; one that must know the number of tasks before its
    first call has a method ``start(tasks)``.
    """

    def __call__(self, losses: Tensor, gram: Tensor | None = None) -> Tensor: ...
