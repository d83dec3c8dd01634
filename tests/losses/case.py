"""One row of the common battery: a loss, how its arguments are drawn, and its reference."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Input:
    """One tensor argument.

    kind: what it is; arguments of one kind are interchangeable.
    rows: ``"s"`` it has n rows, ``"t"`` m rows, ``""`` it has no rows and is the same on every rank. Inputs with
        the same letter belong together row by row: they are permuted and split over the ranks together.
    draw: from the number of rows and a generator.
    moves: it has a gradient, and the scale and precision tests change it.
    """

    kind: str
    rows: str
    draw: Callable[[int, torch.Generator], Tensor]
    moves: bool = True


def features(rows: str, d: int = 3, scale: float = 1.0, shift: float = 0.0) -> Input:
    """``(n, d)``."""
    return Input("features", rows, lambda n, g: scale * torch.randn(n, d, generator=g, dtype=torch.float64) + shift)


def logits(rows: str, *shape: int, scale: float = 2.0) -> Input:
    """``(n, *shape)``, ``(n, 4)`` unless said otherwise."""
    shape = shape or (4,)
    return Input("logits", rows, lambda n, g: scale * torch.randn(n, *shape, generator=g, dtype=torch.float64))


def scores(rows: str) -> Input:
    """``(n,)`` numbers, such as a discriminator's logits or a critic's values."""
    return Input("scores", rows, lambda n, g: torch.randn(n, generator=g, dtype=torch.float64))


def labels(rows: str, *shape: int, classes: int = 4) -> Input:
    """``(n, *shape)`` class indices."""
    return Input("labels", rows, lambda n, g: torch.randint(classes, (n, *shape), generator=g), moves=False)


def weights(rows: str, *shape: int) -> Input:
    """``(n, *shape)`` positive numbers."""
    draw = lambda n, g: torch.rand(n, *shape, generator=g, dtype=torch.float64) + 0.1  # noqa: E731
    return Input("weights", rows, draw, moves=False)


def constant(*shape: int, moves: bool = True) -> Input:
    """``shape`` numbers that are the same on every rank: prototypes, weights of a network, a matrix."""
    return Input("constant", "", lambda n, g: torch.randn(*shape, generator=g, dtype=torch.float64), moves=moves)


CLOUDS = (features("s"), features("t", scale=1.5, shift=0.7))


@dataclass(frozen=True)
class Case:
    """One loss at one setting.

    name: the public name, then a space and what is special.
    reference: the same arguments as arrays, and ``frozen=`` a copy of the arguments from which quantities that carry no
        gradient by definition are taken. Slow, obvious, float64, and sharing no code with `losses`.
    minimum_rows: fewer raise ValueError.
    derivatives: ``"twice"`` gradcheck and gradgradcheck apply; ``"held"`` something is kept out of the gradient, and
        what remains is differentiable twice; else a sentence says why only the first derivative exists.
    zero_at_equality: zero, with zero gradient, where source and target are equal.
    shift_invariant: moving all features by one vector changes nothing.
    constant_value: empty, or the sentence that says why the value never changes although the gradient acts.
    ordered: empty, or the sentence that says why the order of the rows matters.
    selects: empty, or the sentence that says which rows do not enter the value.
    compiles, batches, forward, exports: empty, or the sentence that says why not ``torch.compile(fullgraph=True)``, not
        ``vmap``, not ``torch.func.jvp``, not ``torch.export`` with any number of rows.
    """

    name: str
    loss: Callable[..., Tensor]
    inputs: Sequence[Input]
    reference: Callable[..., float]
    minimum_rows: int = 1
    derivatives: str = "twice"
    zero_at_equality: bool = False
    shift_invariant: bool = False
    constant_value: str = ""
    ordered: str = ""
    selects: str = ""
    compiles: str = ""
    batches: str = ""
    forward: str = ""
    exports: str = ""

    def draw(self, n: int = 7, m: int = 5, *, seed: int = 0) -> list[Tensor]:
        g = torch.Generator().manual_seed(seed)
        return [i.draw({"s": n, "t": m, "": 0}[i.rows], g) for i in self.inputs]

    def map(self, change: Callable[[Tensor], Tensor], inputs: Sequence[Tensor]) -> list[Tensor]:
        """`change` applied to the arguments that move."""
        return [change(x) if i.moves else x for i, x in zip(self.inputs, inputs, strict=True)]

    @property
    def between_clouds(self) -> bool:
        """Source and target hold the same kinds of arguments, so that they can be made equal."""
        kinds = {r: [i.kind for i in self.inputs if i.rows == r] for r in "st"}
        return bool(kinds["t"]) and kinds["s"] == kinds["t"]
