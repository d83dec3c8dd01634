"""Signs without labels that an adapted model is harmed."""

from typing import Any

import torch

from adapt.ranking import arrays
from adapt.select import collapse
from adapt.select._guard import LEAST_KAPPA, kappa


def harm(adapted: Any, source: Any) -> list[str]:
    r"""Return reasons to believe that an adapted model is worse than the source model; an empty list without a sign.

    :func:`adapt.select.collapse` with the predictions of the source model in place of the labels of the source, and a
    further sign:

    - too few classes: :math:`e^{H(q)} - 1 < \tfrac14 (e^{H(q^0)} - 1)`, with :math:`q` and :math:`q^0` the shares of
      the classes that the adapted and the source model predict;
    - other shares: :math:`\mathrm{TV}(q, q^0) > \tfrac12`;
    - agreement with the source model as by chance: Cohen's kappa below 0.1;
    - outputs that are not finite.

    The signs are wide on purpose and find a failed adaptation, not a loss of some points: a model that corrects half of
    the predictions of the source model must pass.

    Args:
        adapted, source: ``(m, classes)`` logits of the same target rows.

    Returns:
        Sentences.

    Raises:
        ValueError: shapes that differ; logits of the source model that are not finite.

    >>> harm([[9.0, 0.0]] * 4, [[1.0, 0.0], [0.0, 1.0]] * 2)[0]
    'target predictions spread over 1.0 effective classes, the source has 2.0'
    """
    z0 = arrays.logits("source", source)
    if (found := tuple(torch.as_tensor(adapted).shape)) != tuple(z0.shape):
        raise ValueError(f"`adapted` and `source` must be logits of the same rows, got {found} and {tuple(z0.shape)}.")
    before = z0.argmax(1)
    signs = collapse(adapted, before)
    after = torch.as_tensor(adapted)
    if not after.isfinite().all() or len(before.unique()) == 1:
        return signs
    agreement = kappa(after.argmax(1).cpu(), before, z0.shape[1])
    if agreement < LEAST_KAPPA:
        signs.append(f"the predictions agree with the source model as by chance: kappa {agreement:.2f}")
    return signs
