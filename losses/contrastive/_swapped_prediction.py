"""Swapped assignments between views (SwAV)."""

from torch import Tensor

from losses._gather import gather
from losses.checks import at_least_float32, check_logits, check_same_shape
from losses.options import COUNT, POSITIVE, check


def sinkhorn_assignment(
    scores: Tensor, *, temperature: float = 0.05, iterations: int = 3, global_batch: bool = True
) -> Tensor:
    r"""Soft assignment of rows to prototypes that gives every prototype an equal share, without gradient.

    .. math::
        Q = \mathrm{diag}(u)\, \exp(S / \varepsilon)\, \mathrm{diag}(v), \qquad
        \sum_i Q_{ik} \to \frac{n}{K}, \qquad \sum_k Q_{ik} = 1

    with :math:`u` and :math:`v` found by alternating: columns, then rows, `iterations` times.

    Args:
        scores: ``(n, K)`` products :math:`S` of features and prototypes, each of length one in the paper.
        temperature: :math:`\varepsilon`, 0.05 as in the paper and in the authors' code.
        iterations: 3, as in the paper: rows sum to one exactly, columns to their share about.
        global_batch: the shares are those over the rows of all ranks.

    Returns:
        ``(n, K)``, this rank's rows, not negative, each summing to one. Sees the global batch by one row of K numbers
        for each iteration. float32 inside, whatever comes in.

    Raises:
        ValueError: scores that are not ``(n, K)``, a temperature that is not positive, or no iteration.

    Logarithms are scaled, not their exponentials: no score overflows and no prototype divides by zero.

    Caron et al. (SwAV), 2020, equations 3 to 5, https://arxiv.org/abs/2006.09882

    >>> sinkhorn_assignment(torch.tensor([[0.1, 0.0], [0.1, 0.0]]))  # both rows prefer the first: shared out
    tensor([[0.5000, 0.5000],
            [0.5000, 0.5000]])
    """
    check_logits("scores", scores)
    check(POSITIVE, temperature=temperature)
    check(COUNT, iterations=iterations)
    log_Q = at_least_float32(scores.detach()) / temperature
    for _ in range(iterations):
        share = log_Q.logsumexp(0, keepdim=True)
        if global_batch:
            share = gather(share).logsumexp(0)
        log_Q = (log_Q - share).log_softmax(1)
    return log_Q.exp()


def swapped_prediction(
    first_scores: Tensor,
    second_scores: Tensor,
    *,
    temperature: float = 0.1,
    assignment_temperature: float = 0.05,
    iterations: int = 3,
    global_batch: bool = True,
) -> Tensor:
    r"""Predict each view's balanced assignment to prototypes from the other view.

    .. math::
        -\frac{1}{2n} \sum_i \sum_k \bigl( q^{(2)}_{ik} \log p^{(1)}_{ik} + q^{(1)}_{ik} \log p^{(2)}_{ik} \bigr),
        \qquad p = \mathrm{softmax}(S / T)

    with :math:`q` the :func:`losses.sinkhorn_assignment` of each view's scores, held.

    Args:
        first_scores: ``(n, K)`` products :math:`S^{(1)}` of one view's features and the prototypes, each of length one
            in the paper.
        second_scores: ``(n, K)`` of the other view, in the same order.
        temperature: :math:`T` of the prediction, 0.1 as in the paper.
        assignment_temperature: that of the assignment, 0.05 as in the paper.
        iterations: of the assignment, 3 as in the paper.
        global_batch: the assignments are balanced over the rows of all ranks.

    Returns:
        A scalar, not negative: the mean of the two directions, as in the authors' code; the paper's equation 1 is their
        sum. The assignments see the global batch, gradient accumulation does not enlarge that batch; given these, a
        mean over rows. float32 inside, whatever comes in.

    Raises:
        ValueError: scores that differ in shape, a temperature that is not positive, or no iteration.

    For more than two views, or with a queue of earlier rows, call :func:`losses.sinkhorn_assignment` and take the
    cross-entropy of each view that should predict it.

    Caron et al., Unsupervised Learning of Visual Features by Contrasting Cluster Assignments (SwAV), 2020,
    equations 1 and 2, https://arxiv.org/abs/2006.09882; https://github.com/facebookresearch/swav

    >>> swapped_prediction(torch.zeros(3, 2), torch.zeros(3, 2))
    tensor(0.6931)
    """
    check_logits("first_scores", first_scores)
    check_same_shape(first_scores=first_scores, second_scores=second_scores)
    check(POSITIVE, temperature=temperature, assignment_temperature=assignment_temperature)
    S1, S2 = at_least_float32(first_scores), at_least_float32(second_scores)
    q1, q2 = (
        sinkhorn_assignment(S, temperature=assignment_temperature, iterations=iterations, global_batch=global_batch)
        for S in (S1, S2)
    )
    log_p1, log_p2 = (S1 / temperature).log_softmax(1), (S2 / temperature).log_softmax(1)
    return -(q2 * log_p1 + q1 * log_p2).sum(1).mean() / 2
