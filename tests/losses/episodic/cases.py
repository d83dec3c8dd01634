from functools import partial

import losses
from tests.losses.case import Case, features, labels, weights
from tests.losses.episodic import references

BLOCKS = {"prototypes", "ridge_weights"}

EPISODE = [features("s"), labels("s"), features("t", scale=1.5, shift=0.7), labels("t")]
WIDE = [features("s", d=8), labels("s"), features("t", d=8), labels("t")]

CASES = [
    Case(
        "prototypical",
        partial(losses.prototypical, classes=4),
        EPISODE,
        references.prototypical,
        shift_invariant=True,
    ),
    Case(
        "prototypical weights",
        lambda q, y, x, z, w: losses.prototypical(q, y, x, z, classes=4, temperature=3.0, weights=w),
        [*EPISODE, weights("s")],
        partial(references.prototypical, temperature=3.0),
    ),
    Case(
        "prototypical cosine",
        partial(losses.prototypical, classes=4, distance="cosine"),
        EPISODE,
        partial(references.prototypical, distance="cosine"),
    ),
    Case(
        "prototypical cosine weights",
        lambda q, y, x, z, w: losses.prototypical(q, y, x, z, classes=4, distance="cosine", temperature=0.5, weights=w),
        [*EPISODE, weights("s")],
        partial(references.prototypical, distance="cosine", temperature=0.5),
    ),
    Case("ridge", partial(losses.ridge, classes=4), EPISODE, references.ridge),
    Case(
        "ridge wide",
        partial(losses.ridge, classes=4, penalty=2.0, scale=4.0),
        WIDE,
        partial(references.ridge, penalty=2.0, scale=4.0),
    ),
    Case(
        "ridge weights",
        lambda q, y, x, z, w: losses.ridge(q, y, x, z, classes=4, scale=3.0, weights=w),
        [*WIDE, weights("s")],
        partial(references.ridge, scale=3.0),
    ),
]
