"""Neighbouring queries get alike labels."""

from torch import Tensor

from adapt.fewshot._centroid import means
from adapt.fewshot._label_propagation import nearest
from adapt.fewshot.method import Transductive, centre_like, check_centre, prepared
from losses.options import COUNT, POSITIVE, check


def laplacian_shot(
    *, neighbours: int = 3, smoothing: float = 0.3, steps: int = 20, centre: Tensor | None = None
) -> Transductive:
    r"""Return the nearest prototype of each query, smoothed over neighbouring queries: LaplacianShot.

    .. math:: z_i \leftarrow \mathrm{softmax}\Bigl( -\bigl( \lVert x_i - c_k \rVert^2 \bigr)_k + \lambda
        \sum_{j \in N(i)} z_j \Bigr)

    with centred rows x of unit length as in :func:`cl2n`, the class means c of the support, and N the nearest
    neighbours of a query among the other queries.

    Args:
        neighbours: k, 3 as in the paper; at most all other queries.
        smoothing: :math:`\lambda`, 0.3; the paper chooses from 0.1 to 1.5 on validation classes.
        steps: updates, 20 as in the paper. The graph of neighbours is directed, as in the authors' code: the objective
            of the paper need not fall at each update.
        centre: ``(d,)``, subtracted from the features; None is the mean of the support rows.

    No share of the classes is assumed.

    Raises:
        ValueError: options outside of the ranges; a centre that is not ``(d,)`` finite numbers.

    The paper's second variant rectifies the prototypes first (:func:`bd_cspn`). easyfsl always does, and takes k - 1
    neighbours.

    Ziko et al., Laplacian Regularized Few-Shot Learning, 2020, https://arxiv.org/abs/2006.15486
    """
    check(COUNT, neighbours=neighbours, steps=steps)
    check(POSITIVE, smoothing=smoothing)
    check_centre(centre)

    def solve(S: Tensor, Y: Tensor, Q: Tensor) -> Tensor:
        m = S.mean(-2, keepdim=True) if centre is None else centre_like(centre, S)
        S, Q = prepared(S, m, True), prepared(Q, m, True)
        c = means(S, Y)
        logits = Q @ (2 * c).mT - c.square().sum(-1).unsqueeze(-2)  # the length of a query is equal for all classes
        near = nearest(Q, neighbours)[1]
        W = Q.new_zeros(*Q.shape[:-1], Q.shape[-2]).scatter_(-1, near, smoothing)
        log_z = logits.log_softmax(-1)
        for _ in range(steps):
            log_z = (logits + W @ log_z.exp()).log_softmax(-1)
        return log_z

    options = {"neighbours": neighbours, "smoothing": smoothing, "steps": steps, "centre": centre}
    return Transductive("laplacian_shot", options, solve)
