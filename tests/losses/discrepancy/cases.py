from dataclasses import replace
from functools import partial

import losses
from tests.losses.case import CLOUDS, Case, features, labels, logits
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

BY_CLASS = (*CLOUDS, labels("s", classes=3), replace(logits("t"), moves=False))  # the weights carry no gradient
LABELLED = (*CLOUDS, labels("s", classes=3), labels("t", classes=3))
WIDER = (features("s", d=230), features("t", d=230, scale=1.5, shift=0.7))  # more features than rows, on 8 ranks too

CASES += [
    Case("local_mmd", losses.local_mmd, BY_CLASS, references.local_mmd, derivatives="held", shift_invariant=True),
    Case(
        "local_mmd of the classes in both",
        partial(losses.local_mmd, present="both"),
        BY_CLASS,
        partial(references.local_mmd, present="both"),
        derivatives="held",
        shift_invariant=True,
    ),
    Case(
        "local_mmd fixed bandwidth",
        partial(losses.local_mmd, bandwidth=3.0, scales=(1.0, 3.0)),
        BY_CLASS,
        partial(references.local_mmd, bandwidth=3.0, scales=(1.0, 3.0)),
        shift_invariant=True,
    ),
    Case(
        "contrastive_domain_discrepancy",
        partial(losses.contrastive_domain_discrepancy, classes=4),
        LABELLED,
        partial(references.contrastive_domain_discrepancy, classes=4),
        derivatives="held",
        shift_invariant=True,
    ),
    Case(
        "contrastive_domain_discrepancy fixed bandwidth",
        partial(losses.contrastive_domain_discrepancy, classes=3, bandwidth=3.0, scales=(1.0, 3.0)),
        LABELLED,
        partial(references.contrastive_domain_discrepancy, classes=3, bandwidth=3.0, scales=(1.0, 3.0)),
        shift_invariant=True,
    ),
    Case(
        "central_moment_discrepancy",
        losses.central_moment_discrepancy,
        CLOUDS,
        references.central_moment_discrepancy,
        zero_at_equality=True,
        shift_invariant=True,
    ),
    Case(
        "central_moment_discrepancy of two moments",
        partial(losses.central_moment_discrepancy, moments=2, interval=(-1.0, 2.0)),
        CLOUDS,
        partial(references.central_moment_discrepancy, moments=2, interval=(-1, 2)),
        zero_at_equality=True,
        shift_invariant=True,
    ),
    Case(
        "higher_order_moment_matching",
        losses.higher_order_moment_matching,
        CLOUDS,
        references.higher_order_moment_matching,
        zero_at_equality=True,
    ),
    Case(
        "higher_order_moment_matching centred",
        partial(losses.higher_order_moment_matching, centred=True),
        CLOUDS,
        partial(references.higher_order_moment_matching, centred=True),
        zero_at_equality=True,
        shift_invariant=True,
    ),
    Case(
        "higher_order_moment_matching order 4",
        partial(losses.higher_order_moment_matching, order=4),
        CLOUDS,
        partial(references.higher_order_moment_matching, order=4),
        zero_at_equality=True,
    ),
    Case(
        "batch_spectral_penalization",
        losses.batch_spectral_penalization,
        CLOUDS,
        references.batch_spectral_penalization,
    ),
    Case(
        "batch_spectral_penalization count 2",
        partial(losses.batch_spectral_penalization, count=2),
        CLOUDS,
        partial(references.batch_spectral_penalization, count=2),
        minimum_rows=2,
    ),
    # twice differentiable: test_representation_subspace_distance.py has gradgradcheck with fewer features
    Case(
        "representation_subspace_distance",
        losses.representation_subspace_distance,
        WIDER,
        references.representation_subspace_distance,
        derivatives="held",
        zero_at_equality=True,
    ),
    Case(
        "representation_subspace_distance without the bases",
        partial(losses.representation_subspace_distance, tradeoff=0.0),
        WIDER,
        partial(references.representation_subspace_distance, tradeoff=0),
        derivatives="held",
        zero_at_equality=True,
    ),
]
