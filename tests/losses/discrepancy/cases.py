from functools import partial

import losses
from tests.losses.case import CLOUDS, Case, features
from tests.losses.discrepancy import references


def both(options):
    return partial(losses.mmd, **options), partial(references.mmd, **options)


def mmd(name, *, zero=False, rows=2, ordered="", derivatives="twice", shift=True, **options):
    loss, reference = both(options)
    return Case(
        f"mmd {name}".strip(),
        loss,
        CLOUDS,
        reference,
        minimum_rows=rows,
        derivatives=derivatives,
        zero_at_equality=zero,
        shift_invariant=shift,
        ordered=ordered,
    )


NEIGHBOURS = "the linear-time estimator takes pairs of neighbouring rows"
WIDE = (features("s", d=17), features("t", d=17, scale=1.5, shift=0.7))  # d > n + m: CORAL's other form
LAYERS = (features("s"), features("s", d=2), features("t", scale=1.5, shift=0.7), features("t", d=2, scale=2.0))


def joint(name, *, reference_options, zero=False, rows=2, ordered="", derivatives="held", **options):
    return Case(
        f"joint_mmd {name}".strip(),
        lambda x1, x2, y1, y2: losses.joint_mmd([x1, x2], [y1, y2], **options),
        LAYERS,
        partial(references.joint_mmd, **reference_options),
        minimum_rows=rows,
        derivatives=derivatives,
        zero_at_equality=zero,
        shift_invariant=True,
        ordered=ordered,
    )


CASES = [
    mmd("", derivatives="held"),
    mmd("biased", estimator="biased", derivatives="held", zero=True, rows=1),
    mmd("fixed bandwidth", bandwidth=3.0, scales=(1.0, 3.0)),
    mmd("median", bandwidth="median", scales=(2.0, 1.0, 0.3), derivatives="held"),
    mmd("source median", bandwidth="source median", derivatives="held", estimator="biased", zero=True, rows=3),
    mmd("linear time", estimator="linear_time", derivatives="held", ordered=NEIGHBOURS),
    mmd("laplacian", kernel="laplacian", derivatives="held"),
    mmd("laplacian biased", kernel="laplacian", estimator="biased", bandwidth=2.0, zero=True, rows=1),
    mmd("energy", kernel="energy"),
    mmd("energy biased", kernel="energy", estimator="biased", zero=True, rows=1),
    mmd("energy linear time", kernel="energy", estimator="linear_time", ordered=NEIGHBOURS),
    mmd("linear", kernel="linear"),
    mmd("linear biased", kernel="linear", estimator="biased", zero=True, rows=1),
    mmd("linear linear time", kernel="linear", estimator="linear_time", ordered=NEIGHBOURS, shift=False),
    joint("", reference_options={}),
    joint(
        "as in JAN",
        scales=[(0.25, 0.5, 1.0, 2.0, 4.0), (1.0,)],
        bandwidth=["mean", 1.68],
        estimator="biased",
        reference_options={
            "scales": [(0.25, 0.5, 1.0, 2.0, 4.0), (1.0,)],
            "bandwidths": ["mean", 1.68],
            "estimator": "biased",
        },
        rows=1,
        zero=True,
    ),
    joint("linear time", estimator="linear_time", reference_options={"estimator": "linear_time"}, ordered=NEIGHBOURS),
    *(
        Case(
            f"coral {scaling} {form}",
            partial(losses.coral, scaling=scaling),
            clouds,
            partial(references.coral, scaling=scaling),
            minimum_rows=2,
            zero_at_equality=True,
            shift_invariant=True,
        )
        for scaling in ("deep_coral", "domainbed", "adatime")
        for form, clouds in (("tall", CLOUDS), ("wide", WIDE))
    ),
]
