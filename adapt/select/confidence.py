"""Validators that read the target's predictions alone: the confidence losses with the opposite sign."""

from typing import Any

import losses
from adapt.ranking import arrays


def entropy(target_logits: Any) -> float:
    r"""Compute the negative mean entropy of the predictions.

    .. math:: -\frac1n \sum_i H(p_i) = \frac1n \sum_{ic} p_{ic} \log p_{ic}, \qquad p_i = \mathrm{softmax}(z_i)

    Args:
        target_logits: ``(n, classes)``.

    Returns:
        A number in [-log classes, 0]; higher is better. float64.

    Raises:
        ValueError: shapes, logits that are not finite.

    Entropy fails where methods differ in confidence rather than in accuracy: a single confident class for everything
    scores 0, the best possible value. Never use entropy alone.

    Morerio et al., Minimal-Entropy Correlation Alignment for Unsupervised Deep Domain Adaptation, 2018,
    https://arxiv.org/abs/1711.10288

    >>> round(entropy([[0.0, 0.0]]), 4)
    -0.6931
    """
    return -losses.entropy(arrays.logits("target_logits", target_logits)).item()


def diversity(target_logits: Any) -> float:
    r"""Compute the entropy of the mean prediction.

    .. math:: H(\bar p) = -\sum_c \bar p_c \log \bar p_c, \qquad \bar p = \frac1n \sum_i p_i

    Args:
        target_logits: ``(n, classes)``.

    Returns:
        A number in [0, log classes]; higher is better. float64, and no number added inside the logarithm.

    Raises:
        ValueError: shapes, logits that are not finite.

    Diversity fails by design where the classes of the target are not balanced, and says nothing about single rows:
    uniform predictions have the best possible value.

    pytorch-adapt's validator returns the same value. (The documentation there says "the negative of the diversity", and
    means the negative of the diversity *loss*.)

    Shi and Sha, Information-Theoretical Learning of Discriminative Clusters for Unsupervised Domain Adaptation, 2012,
    https://arxiv.org/abs/1206.6438

    >>> round(diversity([[9.0, 0.0], [0.0, 9.0]]), 4)
    0.6931
    """
    return -losses.diversity(arrays.logits("target_logits", target_logits), global_batch=False).item()


def information_maximization(target_logits: Any) -> float:
    r"""Compute the mutual information between row and predicted class: each row certain, the mean prediction uniform.

    .. math:: H(\bar p) - \frac1n \sum_i H(p_i)

    Args:
        target_logits: ``(n, classes)``.

    Returns:
        A number in [0, log classes]; higher is better. A single class for everything has 0. float64.

    Raises:
        ValueError: shapes, logits that are not finite.

    The score fails under label shift, and where information maximisation was the training loss: the model then scores
    high, right or wrong.

    Shi and Sha, 2012, https://arxiv.org/abs/1206.6438; as a validator, Musgrave et al., 2022,
    https://arxiv.org/abs/2208.07360

    >>> round(information_maximization([[9.0, 0.0], [9.0, 0.0]]), 4)
    0.0
    """
    z = arrays.logits("target_logits", target_logits)
    return max(0.0, -losses.information_maximization(z, global_batch=False).item())


def batch_nuclear_norm(target_logits: Any) -> float:
    r"""Compute the nuclear norm of the matrix of predictions, as a share of the largest possible norm.

    .. math:: \frac{\lVert P \rVert_*}{\sqrt{n \min(n, |C|)}}, \qquad P_{i \cdot} = \mathrm{softmax}(z_i)

    Args:
        target_logits: ``(n, classes)``.

    Returns:
        A number in (0, 1]; higher is better: 1 for confident rows that spread evenly over the classes. float64.

    Raises:
        ValueError: shapes, logits that are not finite.

    Musgrave et al. and pytorch-adapt divide by n: the same order of models on the same rows, but a value that shrinks
    as :math:`1/\sqrt n`. pytorch-adapt takes a singular value decomposition of the ``(n, classes)`` matrix; this
    function takes the values from the ``(classes, classes)`` matrix.

    The score fails like :func:`information_maximization`.

    Cui et al., 2020, https://arxiv.org/abs/2003.12237; as a validator, Musgrave et al., 2022,
    https://arxiv.org/abs/2208.07360

    >>> round(batch_nuclear_norm([[50.0, 0.0], [0.0, 50.0]]), 4)
    1.0
    """
    z = arrays.logits("target_logits", target_logits)
    n, classes = z.shape
    return -losses.batch_nuclear_norm(z, global_batch=False).item() * n / (n * min(n, classes)) ** 0.5
