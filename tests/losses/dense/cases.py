from functools import partial

import losses
from tests.losses.case import Case, features, labels, logits, scores, weights
from tests.losses.dense import references

MASK = [logits("s", 3, 2, 2), labels("s", 2, 2, classes=3)]
WEIGHED = [logits("s", 3, 2), labels("s", 2, classes=3), weights("s", 2)]


def mask_case(name, loss, reference, inputs=MASK, **options):
    """A case with these options; the third argument, if there is one, is the weights."""
    here = lambda z, y, *w: loss(z, y, weights=w[0] if w else None, **options)  # noqa: E731
    return Case(name, here, inputs, partial(reference, **options))


dice = partial(mask_case, loss=losses.dice, reference=references.dice)
lovasz_softmax = partial(mask_case, loss=losses.lovasz_softmax, reference=references.lovasz_softmax)
lovasz_hinge = partial(mask_case, loss=losses.lovasz_hinge, reference=references.lovasz_hinge)
BINARY = [logits("s", 2, 2), labels("s", 2, 2, classes=2)]
WEIGHED_BINARY = [logits("s", 3), labels("s", 3, classes=2), weights("s", 3)]
FORECAST = [features("s", 3), logits("s", 3), features("s", 3)]

CASES = [
    dice("dice"),
    dice("dice rows", inputs=[logits("s", 3), labels("s", classes=3)]),
    dice("dice weighted, not squared", inputs=WEIGHED, squared=False, smooth=1.0),
    dice("dice all classes", inputs=WEIGHED, smooth=0.5, classes="all"),
    dice("dice one class", smooth=1.0, classes=[1]),
    dice("dice images", over="image"),
    dice("dice images weighted", inputs=WEIGHED, over="image", classes="all", squared=False),
    lovasz_softmax("lovasz_softmax"),
    lovasz_softmax("lovasz_softmax rows", inputs=[logits("s", 3), labels("s", classes=3)]),
    lovasz_softmax("lovasz_softmax weighted", inputs=WEIGHED),
    lovasz_softmax("lovasz_softmax images", over="image"),
    lovasz_softmax("lovasz_softmax images weighted, all classes", inputs=WEIGHED, over="image", classes="all"),
    lovasz_softmax("lovasz_softmax two classes", inputs=WEIGHED, classes=(0, 2)),
    lovasz_hinge("lovasz_hinge", inputs=BINARY),
    lovasz_hinge("lovasz_hinge weighted", inputs=WEIGHED_BINARY),
    lovasz_hinge("lovasz_hinge images", inputs=BINARY, over="image"),
    lovasz_hinge("lovasz_hinge images weighted", inputs=WEIGHED_BINARY, over="image"),
    Case(
        "quantile",
        partial(losses.quantile, quantiles=(0.1, 0.5, 0.8)),
        [logits("s", 4, 3), features("s", 4)],
        partial(references.quantile, quantiles=(0.1, 0.5, 0.8)),
    ),
    Case(
        "quantile weights",
        lambda p, y, w: losses.quantile(p, y, quantiles=[0.3, 0.95], weights=w),
        [logits("s", 2), scores("s"), weights("s")],
        partial(references.quantile, quantiles=[0.3, 0.95]),
    ),
    Case("gaussian_likelihood", losses.gaussian_likelihood, FORECAST, references.gaussian_likelihood),
    Case(
        "gaussian_likelihood weights",
        lambda mu, s, y, w: losses.gaussian_likelihood(mu, s, y, weights=w),
        [*FORECAST, weights("s", 3)],
        references.gaussian_likelihood,
    ),
    Case(
        "gaussian_likelihood beta",
        partial(losses.gaussian_likelihood, beta=0.5),
        FORECAST,
        partial(references.gaussian_likelihood, beta=0.5),
        derivatives="held",
    ),
]
