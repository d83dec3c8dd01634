"""Rows that the classifier is least sure about."""

from torch import Tensor
from torch.special import entr

from adapt.fewshot.pool import Pool


def margin(pool: Pool) -> Tensor:
    r"""Return the rows with the least difference between the two largest probabilities.

    .. math:: \min_i \; p_{i(1)} - p_{i(2)}

    Scheffer et al., Active Hidden Markov Models for Information Extraction, 2001,
    https://doi.org/10.1007/3-540-44816-0_31
    """
    first, second = pool.need_probabilities("margin").topk(2, dim=1).values.T
    return pool.least(first - second)


def entropy(pool: Pool) -> Tensor:
    r"""Return the rows with the largest entropy.

    .. math:: \max_i \; -\sum_k p_{ik} \log p_{ik}

    Settles, Active Learning Literature Survey, 2009, https://minds.wisconsin.edu/handle/1793/60660
    """
    return pool.least(-entr(pool.need_probabilities("entropy")).sum(1))


def least_confident(pool: Pool) -> Tensor:
    r"""Return the rows with the smallest largest probability.

    .. math:: \min_i \max_k p_{ik}

    Lewis and Gale, A Sequential Algorithm for Training Text Classifiers, 1994, https://arxiv.org/abs/cmp-lg/9407020
    """
    return pool.least(pool.need_probabilities("least_confident").amax(1))
