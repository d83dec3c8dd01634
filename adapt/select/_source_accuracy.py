"""Accuracy on the labelled source."""

from typing import Any

from adapt.ranking import arrays


def source_accuracy(source_logits: Any, source_labels: Any) -> float:
    r"""Compute the share of held-out source rows with the right predicted class.

    .. math:: \frac1n \sum_i \mathbb 1[\arg\max_c z_{ic} = y_i]

    Args:
        source_logits: ``(n, classes)`` of source rows that were not trained on.
        source_labels: ``(n,)``.

    Returns:
        A number in [0, 1]; higher is better.

    Raises:
        ValueError: shapes, labels out of range, logits that are not finite.

    Source accuracy is blind to the target. In the largest study source accuracy is still the hardest validator to beat,
    because a model that lost the source seldom gained the target.

    Musgrave et al., Three New Validators and a Large-Scale Benchmark Ranking for Unsupervised Domain Adaptation, 2022,
    https://arxiv.org/abs/2208.07360

    >>> source_accuracy([[2.0, 0.0], [0.0, 1.0]], [0, 0])
    0.5
    """
    z = arrays.logits("source_logits", source_logits)
    y = arrays.labels("source_labels", source_labels, *z.shape)
    return (z.argmax(1) == y).double().mean().item()
