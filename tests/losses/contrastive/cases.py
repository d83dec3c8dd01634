from dataclasses import replace
from functools import partial

import torch

import losses
from tests.losses.case import Case, Input, constant, features, labels, logits, weights
from tests.losses.contrastive import references
from tests.losses.transport.cases import DIRECTIONS, DRAWS, drawn_directions

VIEWS = [features("s"), features("s", scale=1.5, shift=0.3)]
ROWS = [features("s"), labels("s", classes=3)]
SMALL = [features("s", scale=0.3), labels("s", classes=3)]  # distances of the size of the margin
HELD = replace(features("s"), moves=False)
CENTRE = Input("constant", "", lambda n, g: 0.05 * torch.randn(4, generator=g, dtype=torch.float64), moves=False)
TEACHER = [logits("s", scale=0.2), replace(logits("s", scale=0.1), moves=False), CENTRE]


def case(name, loss, inputs, reference, *, options=None, **about):
    """A loss and its reference at the same options."""
    options = options or {}
    return Case(name, partial(loss, **options), inputs, partial(reference, **options), **about)


def weighted(loss):
    """`loss` with its last argument given as `weights`."""
    return lambda *arguments, **options: loss(*arguments[:-1], weights=arguments[-1], **options)


CASES = [
    case("info_nce", losses.info_nce, VIEWS, references.info_nce),
    case("info_nce symmetric", losses.info_nce, VIEWS, references.info_nce, options={"symmetric": True}),
    Case(
        "info_nce inner product",
        partial(losses.info_nce, cosine=False, temperature=0.8),
        VIEWS,
        partial(references.info_nce, similarity=references.dot, temperature=0.8),
    ),
    case("info_nce bank", losses.info_nce, [*VIEWS, constant(6, 3)], references.info_nce, options={"temperature": 0.3}),
    Case(
        "info_nce bank, inner product",
        partial(losses.info_nce, cosine=False, temperature=1.5),
        [*VIEWS, constant(6, 3)],
        partial(references.info_nce, similarity=references.dot, temperature=1.5),
    ),
    case("nt_xent", losses.nt_xent, VIEWS, references.nt_xent),
    case("nt_xent temperature", losses.nt_xent, VIEWS, references.nt_xent, options={"temperature": 0.1}),
    case("supervised_contrastive", losses.supervised_contrastive, ROWS, references.supervised_contrastive),
    case(
        "supervised_contrastive temperature",
        losses.supervised_contrastive,
        ROWS,
        references.supervised_contrastive,
        options={"temperature": 0.7},
    ),
    case("neighbourhood_components", losses.neighbourhood_components, ROWS, references.neighbourhood_components),
    case(
        "neighbourhood_components temperature",
        losses.neighbourhood_components,
        ROWS,
        references.neighbourhood_components,
        options={"temperature": 3.0},
        shift_invariant=True,
    ),
    *(
        case(
            " ".join(["triplet", *map(str, options.values())]),
            losses.triplet,
            SMALL,
            references.triplet,
            options=options,
        )
        for options in (
            {},
            {"margin": 0.5, "mining": "all", "average": "all"},
            {"margin": 0.4, "mining": "hard"},
            {"margin": 0.1, "mining": "hard", "average": "all"},
            {"mining": "semihard", "margin": 0.4},
            {"mining": "semihard", "margin": 0.4, "squared": True},
            {"margin": None},
            {"margin": None, "mining": "hard"},
            {"squared": True, "mining": "all", "margin": 0.3},
        )
    ),
    *(
        case(
            name,
            losses.semantic_alignment,
            [
                features("s", scale=0.4),
                features("t", scale=0.3, shift=0.2),
                labels("s", classes=3),
                labels("t", classes=3),
            ],
            references.semantic_alignment,
            options=options,
        )
        for name, options in (("semantic_alignment", {}), ("semantic_alignment margin", {"margin": 2.0}))
    ),
    case(
        "vicreg",
        losses.vicreg,
        [features("s", scale=0.8), features("s", scale=0.9, shift=0.2)],
        references.vicreg,
        minimum_rows=2,
    ),
    case(
        "vicreg other constants",
        losses.vicreg,
        VIEWS,
        references.vicreg,
        options={"invariance": 0.5, "variance": 3.0, "covariance": 2.0, "epsilon": 0.1},
        minimum_rows=2,
    ),
    case("barlow_twins", losses.barlow_twins, VIEWS, references.barlow_twins, minimum_rows=2),
    case(
        "barlow_twins other constants",
        losses.barlow_twins,
        VIEWS,
        references.barlow_twins,
        options={"redundancy": 0.3, "epsilon": 0.1},
        minimum_rows=2,
    ),
    case("sigreg", losses.sigreg, [features("s")], references.sigreg, options={"directions": DIRECTIONS}),
    Case(
        "sigreg drawn, other constants",
        lambda x: losses.sigreg(x, directions=6, generator=torch.Generator().manual_seed(3), knots=5, reach=2.0),
        [features("s", scale=0.3, shift=0.5)],
        partial(references.sigreg, directions=drawn_directions(), knots=5, reach=2.0),
        compiles=DRAWS,
        batches=DRAWS,
    ),
    case("byol", losses.byol, [features("s"), HELD], references.byol),
    case("byol weighted", weighted(losses.byol), [features("s"), HELD, weights("s")], references.byol),
    case(
        "swapped_prediction",
        losses.swapped_prediction,
        [logits("s", scale=0.15), logits("s", scale=0.1)],
        references.swapped_prediction,
        derivatives="held",
    ),
    case(
        "swapped_prediction other constants",
        losses.swapped_prediction,
        [logits("s"), logits("s", scale=1.0)],
        references.swapped_prediction,
        options={"temperature": 0.8, "assignment_temperature": 0.5, "iterations": 1},
        derivatives="held",
    ),
    case("self_distillation", losses.self_distillation, TEACHER, references.self_distillation),
    case(
        "self_distillation weighted, other constants",
        weighted(losses.self_distillation),
        [*TEACHER, weights("s")],
        references.self_distillation,
        options={"student_temperature": 0.3, "teacher_temperature": 0.2},
    ),
    case("alignment", losses.alignment, VIEWS, references.alignment),
    case(
        "alignment weighted",
        weighted(losses.alignment),
        [*VIEWS, weights("s")],
        references.alignment,
        options={"power": 1.5},
    ),
    case("uniformity", losses.uniformity, [features("s")], references.uniformity, minimum_rows=2),
    case(
        "uniformity scale",
        losses.uniformity,
        [features("s")],
        references.uniformity,
        options={"scale": 0.5},
        minimum_rows=2,
    ),
]

#: public, and no losses: they have tests of their own
BLOCKS = {"Centre", "sinkhorn_assignment"}
