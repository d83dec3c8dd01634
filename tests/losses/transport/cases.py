from functools import partial
from importlib.util import find_spec

import torch

import losses
from tests.losses.case import CLOUDS, Case, features, labels, logits, weights
from tests.losses.transport import references

DIRECTIONS = torch.from_numpy(references.DIRECTIONS)
DRAWS = "drawing from a generator is not compiled; with the directions as a tensor the loss compiles"
INNER = "torch.export holds the number of rows where a loss takes a derivative inside"
ON_THE_HOST = "the plan is found by a solver on the host"
ONCE = "the solver is not differentiated: by the envelope theorem the first derivative does not need it"
WEIGHTED = (*CLOUDS, weights("s"), weights("t"))
JOINT = (features("s"), features("t", scale=1.5, shift=0.7), labels("s"), logits("t"))


def drawn_directions():
    g = torch.Generator().manual_seed(3)
    return torch.nn.functional.normalize(torch.randn(6, 3, generator=g).double(), dim=1).numpy()


def with_weights(loss, **options):
    return lambda x, y, a, b: loss(x, y, source_weights=a, target_weights=b, **options)


sinkhorn = losses.sinkhorn_divergence
CASES = [
    Case(
        "sliced_wasserstein",
        partial(losses.sliced_wasserstein, directions=DIRECTIONS),
        CLOUDS,
        references.sliced_wasserstein,
        zero_at_equality=True,
        shift_invariant=True,
    ),
    Case(
        "sliced_wasserstein drawn, power 1",
        lambda x, y: losses.sliced_wasserstein(x, y, directions=6, generator=torch.Generator().manual_seed(3), power=1),
        CLOUDS,
        partial(references.sliced_wasserstein, directions=drawn_directions(), power=1),
        zero_at_equality=True,
        shift_invariant=True,
        compiles=DRAWS,
        batches=DRAWS,
    ),
    Case(
        "sliced_wasserstein weighted, power 3",
        with_weights(losses.sliced_wasserstein, directions=DIRECTIONS, power=3),
        WEIGHTED,
        partial(references.sliced_wasserstein, power=3),
    ),
    Case(
        "max_sliced_wasserstein",
        partial(losses.max_sliced_wasserstein, directions=DIRECTIONS),
        CLOUDS,
        references.max_sliced_wasserstein,
        derivatives="held",
        zero_at_equality=True,
        shift_invariant=True,
        exports=INNER,
    ),
    Case(
        "max_sliced_wasserstein no ascent, power 1.5",
        partial(losses.max_sliced_wasserstein, directions=DIRECTIONS, steps=0, power=1.5),
        CLOUDS,
        partial(references.max_sliced_wasserstein, steps=0, power=1.5),
        derivatives="held",
        zero_at_equality=True,
        shift_invariant=True,
    ),
    Case(
        "sinkhorn_divergence",
        sinkhorn,
        CLOUDS,
        references.sinkhorn_divergence,
        derivatives=ONCE,
        zero_at_equality=True,
        shift_invariant=True,
    ),
    Case(
        "sinkhorn_divergence fixed blur",
        partial(sinkhorn, blur=0.8, annealing=1, steps=60),
        CLOUDS,
        partial(references.sinkhorn_divergence, blur=0.8),
        derivatives=ONCE,
        shift_invariant=True,
        compiles="compiles, and takes long to; the case before shows it",
    ),
    Case(
        "sinkhorn_divergence biased, power 1",
        partial(sinkhorn, debias=False, power=1),
        CLOUDS,
        partial(references.sinkhorn_divergence, debias=False, power=1),
        derivatives=ONCE,
        shift_invariant=True,
        compiles="compiles, and takes long to; the case before shows it",
    ),
    Case(
        "sinkhorn_divergence soft marginals",
        partial(sinkhorn, blur=0.7, reach=1.5, annealing=1, steps=40),
        CLOUDS,
        partial(references.sinkhorn_divergence, blur=0.7, reach=1.5),
        derivatives=ONCE,
        shift_invariant=True,
    ),
    Case(
        "sinkhorn_divergence soft marginals, power 1, biased",
        partial(sinkhorn, blur=0.7, reach=1.5, power=1, debias=False, annealing=1, steps=40),
        CLOUDS,
        partial(references.sinkhorn_divergence, blur=0.7, reach=1.5, power=1, debias=False),
        derivatives=ONCE,
        shift_invariant=True,
        compiles="compiles, and takes long to; the case before shows it",
    ),
    Case(
        "sinkhorn_divergence weighted",
        with_weights(sinkhorn),
        WEIGHTED,
        references.sinkhorn_divergence,
        derivatives=ONCE,
        compiles="compiles, and takes long to; the case before shows it",
    ),
    Case(
        "sinkhorn_divergence weighted, power 1",
        with_weights(sinkhorn, power=1),
        WEIGHTED,
        partial(references.sinkhorn_divergence, power=1),
        derivatives=ONCE,
        compiles="compiles, and takes long to; the case before shows it",
    ),
    Case(
        "exact_transport",
        losses.exact_transport,
        CLOUDS,
        references.exact_transport,
        derivatives="held",
        zero_at_equality=True,
        shift_invariant=True,
        compiles=ON_THE_HOST,
        batches=ON_THE_HOST,
        forward=ON_THE_HOST,
    ),
    Case(
        "exact_transport weighted, power 1",
        with_weights(losses.exact_transport, power=1),
        WEIGHTED,
        partial(references.exact_transport, power=1),
        derivatives="held",
        compiles=ON_THE_HOST,
        batches=ON_THE_HOST,
        forward=ON_THE_HOST,
    ),
    Case(
        "joint_transport",
        losses.joint_transport,
        JOINT,
        references.joint_transport,
        derivatives="held",
        compiles=ON_THE_HOST,
        batches=ON_THE_HOST,
        forward=ON_THE_HOST,
    ),
    Case(
        "joint_transport entropic",
        partial(losses.joint_transport, plan="sinkhorn", feature_weight=0.5, label_weight=2.0),
        JOINT,
        partial(references.joint_transport, plan="sinkhorn", feature_weight=0.5, label_weight=2.0),
        derivatives="held",
    ),
    Case(
        "gaussian_wasserstein",
        losses.gaussian_wasserstein,
        CLOUDS,
        references.gaussian_wasserstein,
        minimum_rows=2,
        derivatives="the singular vectors are not differentiated: their derivative needs gaps between the values",
        zero_at_equality=True,
        shift_invariant=True,
    ),
]

if find_spec("ot") is None:  # the exact solver is an extra: without it its cases cannot run
    CASES = [case for case in CASES if case.compiles != ON_THE_HOST]
    BLOCKS = ("exact_transport",)
