from dataclasses import replace
from functools import partial

import losses
from tests.losses.case import Case, Input, constant, features, labels, logits, weights
from tests.losses.fine_tuning import references

BLOCKS = {"calibrate_temperature", "learn_relationship"}


def held(drawn: Input) -> Input:
    """An argument that carries no gradient."""
    return replace(drawn, moves=False)


def maps(rows: str, *shape: int) -> Input:
    """``(n, *shape)`` feature maps."""
    return replace(logits(rows, *shape), kind="features")


def l2_sp(w, b, w0, b0):
    return losses.l2_sp({"w": w, "b": b}, {"b": b0, "w": w0})


def l2_sp_weighted(w, b, w0, b0, f, g):
    return losses.l2_sp([w, b], [w0, b0], importance=[f, g])


PARAMETERS = [constant(3, 2), constant(4), constant(3, 2, moves=False), constant(4, moves=False)]
CONSTANT = "the distance from one step further out is always the step"

CASES = [
    Case("l2_sp", l2_sp, PARAMETERS, references.l2_sp),
    Case(
        "l2_sp importance",
        l2_sp_weighted,
        [*PARAMETERS, constant(3, 2, moves=False), constant(4, moves=False)],
        partial(references.l2_sp, importance=True),
    ),
    Case("delta", losses.delta, [features("s"), held(features("s"))], references.delta),
    Case(
        "delta maps",
        lambda f, s, a, w: losses.delta(f, s, channel_weights=a, weights=w),
        [maps("s", 3, 2, 2), held(maps("s", 3, 2, 2)), held(constant(3)), weights("s", 2, 2)],
        references.delta,
    ),
    Case(
        "batch_spectral_shrinkage",
        losses.batch_spectral_shrinkage,
        [features("s")],
        references.batch_spectral_shrinkage,
    ),
    Case(
        "batch_spectral_shrinkage two",
        lambda x: losses.batch_spectral_shrinkage(x, count=2),
        [features("s", d=5)],
        partial(references.batch_spectral_shrinkage, count=2),
        minimum_rows=2,
    ),
    Case(
        "batch_spectral_shrinkage wide",
        lambda x: losses.batch_spectral_shrinkage(x, count=2),
        [features("s", d=9)],
        partial(references.batch_spectral_shrinkage, count=2),
        minimum_rows=2,
    ),
    Case("co_tuning", losses.co_tuning, [logits("s", 5), labels("s"), constant(4, 5)], references.co_tuning),
    Case(
        "co_tuning dense",
        lambda z, y, r, w: losses.co_tuning(z, y, r, weights=w),
        [logits("s", 5, 2, 3), labels("s", 2, 3), constant(4, 5), weights("s", 2, 3)],
        references.co_tuning,
    ),
    Case("distillation", losses.distillation, [logits("s"), held(logits("s"))], references.distillation),
    Case(
        "distillation dense",
        lambda z, t, w: losses.distillation(z, t, temperature=2.0, weights=w),
        [logits("s", 4, 3), held(logits("s", 4, 3)), weights("s", 3)],
        partial(references.distillation, temperature=2.0),
    ),
    Case(
        "feature_distillation",
        losses.feature_distillation,
        [features("s"), held(features("s"))],
        references.feature_distillation,
    ),
    Case(
        "feature_distillation maps",
        lambda s, t, w: losses.feature_distillation(s, t, weights=w),
        [maps("s", 3, 2), held(maps("s", 3, 2)), weights("s", 2)],
        references.feature_distillation,
    ),
    Case(
        "feature_distillation cosine",
        lambda s, t, w: losses.feature_distillation(s, t, kind="cosine", weights=w),
        [maps("s", 3, 2), held(maps("s", 3, 2)), weights("s", 2)],
        partial(references.feature_distillation, kind="cosine"),
    ),
    Case(
        "attention_transfer",
        losses.attention_transfer,
        [maps("s", 3, 2, 2), held(maps("s", 2, 2, 2))],
        references.attention_transfer,
    ),
    Case(
        "attention_transfer weights",
        lambda s, t, w: losses.attention_transfer(s, t, weights=w),
        [maps("s", 3, 4), held(maps("s", 2, 4)), weights("s")],
        references.attention_transfer,
    ),
    Case(
        "relational_distillation",
        losses.relational_distillation,
        [features("s"), held(features("s", d=4))],
        references.relational_distillation,
        minimum_rows=2,
        shift_invariant=True,
    ),
    Case(
        "relational_distillation angle",
        lambda s, t: losses.relational_distillation(s, t, kind="angle"),
        [features("s"), held(features("s", d=4))],
        partial(references.relational_distillation, kind="angle"),
        minimum_rows=3,
        shift_invariant=True,
    ),
    Case("hard_feature_norm", losses.hard_feature_norm, [features("s")], references.hard_feature_norm),
    Case(
        "hard_feature_norm near",
        lambda x: losses.hard_feature_norm(x, radius=1.5),
        [features("s")],
        partial(references.hard_feature_norm, radius=1.5),
    ),
    Case(
        "stepwise_feature_norm",
        losses.stepwise_feature_norm,
        [features("s")],
        references.stepwise_feature_norm,
        derivatives="held",
        constant_value=CONSTANT,
    ),
    Case(
        "stepwise_feature_norm weights",
        lambda x, w: losses.stepwise_feature_norm(x, step=0.3, weights=w),
        [features("s"), weights("s")],
        partial(references.stepwise_feature_norm, step=0.3),
        derivatives="held",
        constant_value=CONSTANT,
    ),
]
