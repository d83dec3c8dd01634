"""What a method of attributes is: options, and a linear classifier of any class whose signature is known."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from adapt.zeroshot._mixture import checked_rows
from losses.checks import at_least_float32, check_labels, full_precision, one_hot

Weights = tuple[Tensor, Tensor]
Classify = Callable[[Tensor], Weights]


@dataclass(frozen=True)
class Semantic:
    """A method that learns from seen classes how features and signatures belong together.

    :func:`eszsl`, :func:`sae` and :func:`dap` make methods. A method of your own is ``Semantic("mine", {}, solve)``.

    Args:
        name: of the method.
        options: by name, as the method was made.
        solve: from ``(n, d)`` features, ``(n, seen)`` labels of 0 and 1 and ``(seen, a)`` signatures, all in float64,
            to a function from ``(classes, a)`` signatures to ``(classes, d)`` weights and ``(classes,)`` biases.

    ``method(features, labels, signatures, query, others)`` returns ``(q, classes)`` scores of the classes of `others`:

    - features: ``(n, d)`` of labelled rows of the seen classes, as they are: neither centred nor scaled.
    - labels: ``(n,)`` row numbers of `signatures`.
    - signatures: ``(seen, a)``, a description of each seen class as numbers, such as attributes or encoded texts.
    - query: ``(q, d)`` features, q may be 0.
    - others: ``(classes, a)`` signatures of the classes to tell apart; a single class may be given.

    The scores have the precision of the features, at least float32; float64 inside. No gradient goes through the
    solution. Each rank sees its own rows.

    Raises:
        ValueError: shapes that do not fit, no rows, NaN or infinity, labels outside of the signatures.
    """

    name: str
    options: Mapping[str, Any] = field(hash=False)
    solve: Callable[[Tensor, Tensor, Tensor], Classify] = field(repr=False, hash=False)

    def __repr__(self) -> str:
        return f"{self.name}({', '.join(f'{k}={v!r}' for k, v in self.options.items())})"

    def __call__(self, features: Tensor, labels: Tensor, signatures: Tensor, query: Tensor, others: Tensor) -> Tensor:
        W, b = self.fit(features, labels, signatures)(others)
        if query.ndim != 2 or query.shape[1] != W.shape[1]:
            raise ValueError(f"`query` must be (q, {W.shape[1]}) as the features, got {tuple(query.shape)}.")
        x = at_least_float32(query)
        with full_precision(x):
            return x @ W.to(x).mT + b.to(x)

    def fit(self, features: Tensor, labels: Tensor, signatures: Tensor) -> Classify:
        """Return a function from ``(classes, a)`` signatures to ``(classes, d)`` weights and ``(classes,)`` biases."""
        x, S = checked_rows("features", features), checked_rows("signatures", signatures).to(features.device)
        check_labels(labels, (len(x),))
        low, high = int(labels.min()), int(labels.max())
        if low < 0 or high >= len(S):
            raise ValueError(
                f"`labels` must be row numbers of the {len(S)} `signatures`, found {low} to {high}: leave rows without "
                "a label out."
            )
        with full_precision(x):
            solved = self.solve(x, one_hot(labels.long(), len(S), x), S)

        def classify(others: Tensor) -> Weights:
            Z = checked_rows("others", others).to(x.device)
            if Z.shape[1] != S.shape[1]:
                raise ValueError(
                    f"`others` must have the {S.shape[1]} numbers of the `signatures` for each class, got {Z.shape[1]}."
                )
            with full_precision(x):
                return solved(Z)

        return classify


def eye(n: int, like: Tensor) -> Tensor:
    """Return the identity in the precision and on the device of a tensor."""
    return torch.eye(n, dtype=like.dtype, device=like.device)
