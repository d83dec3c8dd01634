from functools import partial

import losses
from tests.losses.case import CLOUDS, Case
from tests.losses.discrepancy import references

CASES = [
    Case(
        "mmd",
        losses.mmd,
        CLOUDS,
        references.mmd,
        minimum_rows=2,
        derivatives="held",
        shift_invariant=True,
    ),
    Case(
        "mmd biased",
        partial(losses.mmd, estimator="biased"),
        CLOUDS,
        partial(references.mmd, estimator="biased"),
        derivatives="held",
        zero_at_equality=True,
        shift_invariant=True,
    ),
    Case(
        "mmd fixed bandwidth",
        partial(losses.mmd, bandwidth=3.0, scales=(1.0, 3.0)),
        CLOUDS,
        partial(references.mmd, bandwidth=3.0, scales=(1.0, 3.0)),
        minimum_rows=2,
        shift_invariant=True,
    ),
    Case(
        "coral",
        losses.coral,
        CLOUDS,
        references.coral,
        minimum_rows=2,
        zero_at_equality=True,
        shift_invariant=True,
    ),
]
