"""BatchNorm with the statistics of the batches that arrive."""

from typing import Any

from torch import Tensor, nn

from adapt.transductive.method import OnlineMethod
from adapt.transductive.network import Network, plain, use_target_statistics
from losses.options import AT_LEAST_0, COUNT, SHARE, check, or_none


def adabn(*, share: float = 1.0, prior: float = 0.0, window: int | None = None) -> OnlineMethod:
    r"""Return BatchNorm with the statistics of the target: AdaBN, alpha-BN, BN with a prior, or a running window.

    .. math:: \mu = (1 - s)\, \mu_S + s\, \mu_T, \qquad v = (1 - s)\, v_S + s\, v_T, \qquad
        s = \alpha \frac{n}{n + N}

    with the statistics of the source (S) and of the target (T), and n rows of the batch. No weight changes.

    Args:
        share: :math:`\alpha`, 1: the batch alone, AdaBN. You et al. take 0.9 to 0.95 for batches of 200.
        prior: N, rows that the source counts for, 0. Schneider et al. recommend 16 for batches of 8 to 32.
        window: None takes :math:`\mu_T, v_T` of the batch. A number W takes a running mean and variance over about W
            rows, with the batch: the memory keeps the part :math:`(1 - 1/W)^n`. It starts at the source's statistics,
            so batches of one row work.

    The method fails where the rows of a batch are of few classes: the shares of the classes are taken for a shift. A
    batch with one value of each channel keeps the source's statistics.

    Raises:
        ValueError: options outside of the ranges; when the adapter is made: a model without BatchNorm statistics.

    For a whole data set at once: :func:`adapt.domain.adabn`.

    Li et al., Revisiting Batch Normalization, 2017, https://arxiv.org/abs/1603.04779; Schneider et al., Improving
    Robustness by Covariate Shift Adaptation, 2020, https://arxiv.org/abs/2006.16971; You et al., Test-time Batch
    Statistics Calibration, 2021, https://arxiv.org/abs/2110.04065
    """
    check(SHARE, share=share)
    check(AT_LEAST_0, prior=prior)
    check(or_none(COUNT), window=window)
    return OnlineMethod("adabn", {"share": share, "prior": prior, "window": window}, _AdaBN)


class _AdaBN(nn.Module):
    def __init__(self, network: Network, share: float, prior: float, window: int | None):
        super().__init__()
        if not use_target_statistics(network, share, prior, window):
            raise ValueError(
                "adabn replaces the statistics of BatchNorm layers, and the model has none: take "
                "`transductive.tent()` for LayerNorm or GroupNorm, or `transductive.t3a()` for any encoder."
            )
        self.network = network

    def forward(self, x: Any, learn: bool = True) -> Tensor:
        return self.network(x).log_softmax(1) if learn else plain(self.network, x)
