"""Higher-order moment matching."""

from torch import Tensor

from losses._gather import gather
from losses.checks import at_least_float32, check_clouds, full_precision
from losses.options import check, whole


def higher_order_moment_matching(
    source: Tensor, target: Tensor, *, order: int = 3, centred: bool = False, global_batch: bool = True
) -> Tensor:
    r"""Mean squared difference between the moment tensors of two clouds (HoMM), exact, without forming the tensors.

    .. math::
        \frac{1}{d^p} \Bigl\lVert \frac1n \sum_i x_i^{\otimes p} - \frac1m \sum_j y_j^{\otimes p} \Bigr\rVert_F^2
        = \mathbb{E}\, k(x, x') + \mathbb{E}\, k(y, y') - 2\, \mathbb{E}\, k(x, y), \qquad
        k(x, y) = \Bigl( \frac{x^\top y}{d} \Bigr)^p

    since :math:`\langle x^{\otimes p}, y^{\otimes p} \rangle = (x^\top y)^p`. The tensors hold :math:`d^p` numbers; the
    right side needs :math:`(n + m)^2`.

    Args:
        source: ``(n, d)`` features :math:`x`.
        target: ``(m, d)`` features :math:`y`; n and m may differ.
        order: p. 1 compares the means, 2 the matrices of second moments, 3 is the paper's HoMM.
        centred: take each cloud's own mean off first. The paper's equation does not; the authors' code does.
        global_batch: gather the rows of all ranks first.

    Returns:
        A scalar. Sees the global batch; gradient accumulation does not enlarge that batch.
        float32 inside, whatever comes in. Its rounding is that of k, not of the difference: clouds that nearly agree
        have a value that is rounding, and it may be negative by as much.

    Raises:
        ValueError: shapes that do not fit; an order below 1; order 1 of centred clouds, which is 0 whatever they are.

    The authors' code computes order 3 exactly, as here with ``centred=True``; for higher orders it takes three
    or six blocks of 30 features, or compares randomly drawn entries of the tensors.

    Related: :func:`losses.coral` is order 2, centred, with another scaling.

    Chen et al., HoMM: Higher-order Moment Matching for Unsupervised Domain Adaptation, 2020,
    https://arxiv.org/abs/1912.11976

    >>> x = torch.tensor([[1.0, 0.0]])
    >>> higher_order_moment_matching(x, -x)              # one entry of eight differs, by 2
    tensor(0.5000)
    """
    check_clouds(source, target)
    check(whole(2 if centred else 1), order=order)
    x, y = at_least_float32(source), at_least_float32(target)
    if global_batch:
        x, y = gather(x), gather(y)
    if centred:
        x, y = x - x.mean(0), y - y.mean(0)
    d = x.shape[1]
    with full_precision(x):
        Kxx, Kyy, Kxy = (x @ x.T / d) ** order, (y @ y.T / d) ** order, (x @ y.T / d) ** order
    return Kxx.mean() + Kyy.mean() - 2 * Kxy.mean()
