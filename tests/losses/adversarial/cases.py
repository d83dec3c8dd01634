from dataclasses import replace
from functools import partial

import torch

import losses
from losses.checks import at_least_float32
from tests.losses.adversarial import references
from tests.losses.case import Case, Input, constant, features, labels, logits, scores, weights

RANDOM_MAP = losses.RandomMultilinearMap(3, 4, 6, generator=torch.Generator().manual_seed(0)).double()
RANDOM_MAP_LIVE = losses.RandomMultilinearMap(
    3, 4, 6, generator=torch.Generator().manual_seed(1), detach=False
).double()


def matrices(module):
    return module.feature_matrix.numpy(), module.class_matrix.numpy()


def held(given: Input) -> Input:
    """An argument without gradient."""
    return replace(given, moves=False)


def weighted_domains(loss):
    return lambda s, t, u, v: loss(s, t, source_weights=u, target_weights=v)


def weighted_rows(loss):
    return lambda *arguments: loss(*arguments[:-1], weights=arguments[-1])


def conditional(map, f_s, z_s, f_t, z_t, discriminator):
    w = at_least_float32(discriminator)
    return losses.domain_adversarial((map(f_s, z_s) * w).sum(1), (map(f_t, z_t) * w).sum(1))


def entropy_weighted(s, z_s, t, z_t, detach=True):
    u, v = (losses.entropy_weights(z, detach=detach) for z in (z_s, z_t))
    return losses.domain_adversarial(s, t, source_weights=u, target_weights=v)


def disparity(loss, **options):
    def with_weights(f_s, a_s, f_t, a_t, u, v):
        return loss(f_s, a_s, f_t, a_t, source_weights=u, target_weights=v, **options)

    return with_weights


def penalty(source, target, mix, W, v, **options):
    W, v = at_least_float32(W), at_least_float32(v)
    return losses.gradient_penalty(lambda x: (torch.tanh(x @ W) * v).sum(1), source, target, mix=mix, **options)


# close logits, so that the battery's small changes move the largest one
MAIN_S, MAIN_T = held(logits("s", scale=0.1)), held(logits("t", scale=0.1))
DENSE_S, DENSE_T = held(logits("s", 4, 2, scale=0.1)), held(logits("t", 4, 2, scale=0.1))
# rows whose losses differ much, so that a weight that moves a little is seen
WIDE_S, WIDE_T = logits("s", 1, scale=4.0), logits("t", 1, scale=4.0)
MIX = Input("mix", "s", lambda n, g: torch.rand(n, generator=g, dtype=torch.float64), moves=False)
INNER = "torch.export holds the number of rows where a loss takes a derivative inside"
PENALTY = [features("s"), features("s", scale=1.5, shift=0.7), MIX, constant(3, 4), constant(4)]
WEIGHTED_SCORES = [scores("s"), scores("t"), weights("s"), weights("t")]

CASES = [
    Case("domain_adversarial", losses.domain_adversarial, [scores("s"), scores("t")], references.domain_adversarial),
    Case(
        "domain_adversarial weighted",
        weighted_domains(losses.domain_adversarial),
        WEIGHTED_SCORES,
        references.domain_adversarial,
    ),
    Case(
        "domain_adversarial smoothed",
        partial(losses.domain_adversarial, label_smoothing=0.2),
        [scores("s"), scores("t")],
        partial(references.domain_adversarial, smoothing=0.2),
    ),
    Case(
        "domain_adversarial least squares",
        weighted_domains(partial(losses.domain_adversarial, kind="least_squares", label_smoothing=0.1)),
        WEIGHTED_SCORES,
        partial(references.domain_least_squares, smoothing=0.1),
    ),
    Case(
        "multi_domain_adversarial",
        losses.multi_domain_adversarial,
        [logits("s"), labels("s")],
        references.multi_domain_adversarial,
    ),
    Case(
        "multi_domain_adversarial weighted and smoothed",
        weighted_rows(partial(losses.multi_domain_adversarial, label_smoothing=0.1)),
        [logits("s"), labels("s"), weights("s")],
        partial(references.multi_domain_adversarial, smoothing=0.1),
    ),
    Case("domain_confusion", losses.domain_confusion, [logits("s")], references.domain_confusion),
    Case(
        "domain_confusion weighted",
        weighted_rows(losses.domain_confusion),
        [logits("s"), weights("s")],
        references.domain_confusion,
    ),
    Case("domain_confusion binary", losses.domain_confusion, [scores("s")], references.domain_confusion),
    Case(
        "domain_confusion binary weighted",
        weighted_rows(losses.domain_confusion),
        [scores("s"), weights("s")],
        references.domain_confusion,
    ),
    Case("inverted_domain", losses.inverted_domain, [scores("t")], references.inverted_domain),
    Case(
        "inverted_domain weighted",
        weighted_rows(losses.inverted_domain),
        [scores("t"), weights("t")],
        references.inverted_domain,
    ),
    Case(
        "inverted_domain least squares",
        weighted_rows(partial(losses.inverted_domain, kind="least_squares")),
        [scores("t"), weights("t")],
        references.inverted_least_squares,
    ),
    Case(
        "multilinear_map before a linear discriminator",
        partial(conditional, losses.multilinear_map),
        [features("s"), held(logits("s")), features("t"), held(logits("t")), constant(12)],
        references.conditional,
    ),
    Case(
        "multilinear_map with gradient through the probabilities",
        partial(conditional, partial(losses.multilinear_map, detach=False)),
        [features("s"), logits("s"), features("t"), logits("t"), constant(12)],
        partial(references.conditional, detach=False),
    ),
    Case(
        "RandomMultilinearMap before a linear discriminator",
        partial(conditional, RANDOM_MAP),
        [features("s"), held(logits("s")), features("t"), held(logits("t")), constant(6)],
        partial(references.conditional, matrices=matrices(RANDOM_MAP)),
    ),
    Case(
        "RandomMultilinearMap with gradient through the probabilities",
        partial(conditional, RANDOM_MAP_LIVE),
        [features("s"), logits("s"), features("t"), logits("t"), constant(6)],
        partial(references.conditional, matrices=matrices(RANDOM_MAP_LIVE), detach=False),
    ),
    Case(
        "entropy_weights in domain_adversarial",
        entropy_weighted,
        [WIDE_S, held(logits("s")), WIDE_T, held(logits("t"))],
        references.entropy_weighted,
    ),
    Case(
        "entropy_weights with gradient",
        partial(entropy_weighted, detach=False),
        [WIDE_S, logits("s"), WIDE_T, logits("t")],
        partial(references.entropy_weighted, detach=False),
    ),
    Case(
        "margin_disparity",
        losses.margin_disparity,
        [MAIN_S, logits("s"), MAIN_T, logits("t")],
        references.margin_disparity,
    ),
    Case(
        "margin_disparity weighted",
        disparity(losses.margin_disparity, margin=2.0),
        [MAIN_S, logits("s"), MAIN_T, logits("t"), weights("s"), weights("t")],
        partial(references.margin_disparity, margin=2.0),
    ),
    Case(
        "margin_disparity dense",
        disparity(losses.margin_disparity),
        [DENSE_S, logits("s", 4, 2), DENSE_T, logits("t", 4, 2), weights("s", 2), weights("t", 2)],
        references.margin_disparity,
    ),
    Case(
        "regression_disparity",
        losses.regression_disparity,
        [held(features("s")), features("s"), held(features("t")), features("t")],
        references.regression_disparity,
    ),
    Case(
        "regression_disparity weighted",
        disparity(losses.regression_disparity, margin=2.0),
        [held(features("s")), features("s"), held(features("t")), features("t"), weights("s"), weights("t")],
        partial(references.regression_disparity, margin=2.0),
    ),
    Case(
        "classifier_discrepancy",
        losses.classifier_discrepancy,
        [logits("t"), logits("t")],
        references.classifier_discrepancy,
    ),
    Case(
        "classifier_discrepancy dense and weighted",
        weighted_rows(losses.classifier_discrepancy),
        [logits("t", 4, 2), logits("t", 4, 2), weights("t", 2)],
        references.classifier_discrepancy,
    ),
    Case(
        "classifier_discrepancy symmetric kl",
        weighted_rows(partial(losses.classifier_discrepancy, kind="symmetric_kl")),
        [logits("t"), logits("t"), weights("t")],
        references.symmetric_kl,
    ),
    Case(
        "sliced_wasserstein_discrepancy",
        lambda p, q, theta: losses.sliced_wasserstein_discrepancy(p, q, directions=theta),
        [logits("t"), logits("t"), constant(6, 4, moves=False)],
        references.sliced_wasserstein_discrepancy,
    ),
    Case("wasserstein_critic", losses.wasserstein_critic, [scores("s"), scores("t")], references.wasserstein_critic),
    Case(
        "wasserstein_critic weighted",
        weighted_domains(losses.wasserstein_critic),
        WEIGHTED_SCORES,
        references.wasserstein_critic,
    ),
    Case("gradient_penalty", penalty, PENALTY, references.gradient_penalty, exports=INNER),
    Case(
        "gradient_penalty with the ends",
        partial(penalty, ends=True),
        PENALTY,
        partial(references.gradient_penalty, ends=True),
        exports=INNER,
    ),
]

#: public, and no losses: they have tests of their own
BLOCKS = {"reverse"}
