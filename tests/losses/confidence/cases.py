from dataclasses import replace
from functools import partial

import torch

import losses
from tests.losses.case import Case, Input, constant, features, logits, weights
from tests.losses.confidence import references

BLOCKS = {"FlexMatch", "NeighbourhoodBank"}  # the losses that they feed are in the table

PLACES = 12  # of the banks


def held(argument):
    """The same argument without a gradient."""
    return replace(argument, moves=False)


def probabilities(n, g):
    return torch.rand(PLACES, 4, generator=g, dtype=torch.float64).softmax(1)


def index(n, g):
    return torch.randint(PLACES, (n,), generator=g)


BANK = [held(constant(PLACES, 3)), Input("bank", "", probabilities, moves=False)]
INDEX = Input("index", "s", index, moves=False)
BELOW = "rows whose label is below the threshold count as zero"
PER_CLASS = [0.3, 0.35, 0.32, 0.28]


def network(V, W):
    """Two layers without a matrix product, which a caller's autocast would round."""
    return lambda x: ((x[:, :, None] * V.to(x)).sum(1).tanh()[:, :, None] * W.to(x)).sum(1)


def virtual_adversarial(x, V, W, direction, weights=None, **options):
    return losses.virtual_adversarial(network(V, W), x, direction=direction, weights=weights, **options)


def vat(name, *more, **options):
    return Case(
        name,
        partial(virtual_adversarial, **options),
        [features("s"), constant(3, 5), constant(5, 4), held(features("s")), *more],
        partial(references.virtual_adversarial, **options),
        derivatives="held",
        compiles="torch.compile traces torch.autograd.grad only where torch._dynamo.config.trace_autograd_ops is set",
        batches="torch.autograd.grad on a tensor made inside is not allowed under vmap",
        forward="torch.autograd.grad on a tensor made inside is not allowed under torch.func.jvp",
    )


CASES = [
    Case("entropy", losses.entropy, [logits("s")], references.entropy),
    Case(
        "entropy dense, weighted",
        lambda z, w: losses.entropy(z, weights=w),
        [logits("s", 4, 2, 3), weights("s", 2, 3)],
        references.entropy,
    ),
    Case("diversity", losses.diversity, [logits("s")], references.diversity),
    Case(
        "information_maximization", losses.information_maximization, [logits("s")], references.information_maximization
    ),
    Case(
        "minimum_class_confusion",
        losses.minimum_class_confusion,
        [logits("s")],
        references.minimum_class_confusion,
        derivatives="held",
    ),
    Case("batch_nuclear_norm", losses.batch_nuclear_norm, [logits("s")], references.batch_nuclear_norm),
    Case(
        "batch_nuclear_norm more classes than rows",
        losses.batch_nuclear_norm,
        [logits("s", 9)],
        references.batch_nuclear_norm,
    ),
    Case("batch_frobenius_norm", losses.batch_frobenius_norm, [logits("s")], references.batch_frobenius_norm),
    Case("fast_batch_nuclear_norm", losses.fast_batch_nuclear_norm, [logits("s")], references.fast_batch_nuclear_norm),
    Case(
        "fast_batch_nuclear_norm more classes than rows",
        losses.fast_batch_nuclear_norm,
        [logits("s", 9)],
        references.fast_batch_nuclear_norm,
    ),
    Case(
        "consistency", losses.consistency, [logits("s"), held(logits("s"))], references.consistency, derivatives="held"
    ),
    Case(
        "consistency weighted",
        lambda z, t, w: losses.consistency(z, t, weights=w),
        [logits("s"), held(logits("s")), weights("s")],
        references.consistency,
        derivatives="held",
    ),
    Case(
        "consistency both sides",
        partial(losses.consistency, hold_teacher=False, temperature=2.0),
        [logits("s"), logits("s")],
        partial(references.consistency, held=False, temperature=2.0),
    ),
    Case(
        "consistency kl, dense, weighted",
        lambda z, t, w: losses.consistency(z, t, kind="kl", temperature=0.5, weights=w),
        [logits("s", 4, 2), held(logits("s", 4, 2)), weights("s", 2)],
        partial(references.consistency, kind="kl", temperature=0.5),
        derivatives="held",
    ),
    Case(
        "consistency kl, both sides",
        partial(losses.consistency, kind="kl", hold_teacher=False),
        [logits("s"), logits("s")],
        partial(references.consistency, kind="kl", held=False),
    ),
    Case(
        "pseudo_label",
        losses.pseudo_label,
        [logits("s"), held(logits("s", scale=0.3))],
        references.pseudo_label,
        derivatives="held",
    ),
    Case(
        "pseudo_label of itself, threshold",
        lambda z: losses.pseudo_label(z, z, threshold=0.6),
        [logits("s")],
        partial(references.self_training, threshold=0.6),
        derivatives="held",
        selects=BELOW,
    ),
    Case(
        "pseudo_label soft, of itself, dense, weighted",
        lambda z, w: losses.pseudo_label(z, z, temperature=0.5, threshold=0.6, weights=w),
        [logits("s", 4, 2), weights("s", 2)],
        partial(references.self_training, temperature=0.5, threshold=0.6),
        derivatives="held",
        selects=BELOW,
    ),
    Case(
        "pseudo_label threshold for each class",
        lambda z, t: losses.pseudo_label(z, t, threshold=torch.tensor(PER_CLASS, device=z.device)),
        [logits("s"), held(logits("s", scale=0.2))],
        partial(references.pseudo_label, threshold=PER_CLASS),
        derivatives="held",
        selects=BELOW,
    ),
    Case(
        "fixmatch",
        losses.fixmatch,
        [logits("s"), held(logits("s", scale=3.8))],  # a row crosses 0.95 when it moves a little
        references.fixmatch,
        derivatives="held",
        selects=BELOW,
    ),
    Case(
        "fixmatch soft, dense, weighted",
        lambda strong, weak, w: losses.fixmatch(strong, weak, threshold=0.5, temperature=0.7, weights=w),
        [logits("s", 4, 2), held(logits("s", 4, 2)), weights("s", 2)],
        partial(references.fixmatch, threshold=0.5, temperature=0.7),
        derivatives="held",
        selects=BELOW,
    ),
    Case(
        "neighbourhood_aggregation",
        losses.neighbourhood_aggregation,
        [held(features("s")), logits("s"), *BANK, INDEX],
        references.neighbourhood_aggregation,
        derivatives="held",
    ),
    Case(
        "neighbourhood_aggregation not in the bank, weighted",
        lambda x, z, bank, q, w: losses.neighbourhood_aggregation(x, z, bank, q, neighbours=3, weights=w),
        [held(features("s")), logits("s"), *BANK, weights("s")],
        lambda x, z, bank, q, w, frozen=None: references.neighbourhood_aggregation(
            x, z, bank, q, None, w, neighbours=3
        ),
        derivatives="held",
    ),
    vat("virtual_adversarial", radius=0.8, xi=0.3, iterations=1),
    vat("virtual_adversarial two iterations, weighted", weights("s"), radius=2.0, xi=0.5, iterations=2),
]
