"""Protocols of an encoder, a head, a source of batches and a balance, and a check for all."""

from collections.abc import Iterator, Mapping, Sequence
from numbers import Integral
from typing import Any, Protocol, TypeGuard, TypeVar

from torch import Tensor, nn

P = TypeVar("P")


class Encoder(Protocol):
    """Maps inputs to features: ``(n, d)``, ``(n, t, d)`` tokens, a ``(n, c, h, w)`` map, or a mapping of maps.

    Attributes:
        dim: feature size d or c.
        layers: submodules by name, in order from general (near the input) to specific.
    """

    dim: int

    @property
    def layers(self) -> Mapping[str, nn.Module]: ...

    def parameters_of(self) -> Mapping[str, Sequence[nn.Parameter]]:
        """Return the parameters of each layer. Every parameter of the encoder belongs to exactly one layer."""
        ...

    def __call__(self, inputs: Any) -> Any: ...


class TellsStreamsApart(Protocol):
    """An encoder with a separate treatment of each stream: BatchNorm for each domain, adapters for each task."""

    def announce_rows(self, parts: Sequence[tuple[str, int]]) -> None:
        """Take note of the streams of the next pass, in order: the name and the number of rows of each stream."""
        ...


class MapStyle(Protocol):
    """A dataset with a length and with items by number."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> Any: ...


class TellsLabels(Protocol):
    """A dataset with the label of each row in memory, ``(n, ...)``, as the items have the labels."""

    labels: Any


class TellsTargets(Protocol):
    """A dataset with the label of each row under the name of torchvision."""

    targets: Any


class TransformsTargets(Protocol):
    """A dataset of torchvision with a change of the labels in its items; None changes nothing."""

    target_transform: Any


class TellsGroups(Protocol):
    """A dataset with the group of each row, ``(n,)``: rows of one group (windows of one person) belong together."""

    groups: Any


class InMemory(Protocol):
    """A dataset with rows in memory: rows are taken by number at once.

    Attributes:
        kinds: the shape of a row and the dtype of each column: inputs, and labels where there are labels.
    """

    @property
    def kinds(self) -> Sequence[tuple[Any, Any]]: ...

    def take(self, column: int, index: Tensor) -> Tensor:
        """Return the rows `index` of a column, equal to the items of these rows."""
        ...


class Head(Protocol):
    """Maps features to outputs, and knows the loss, the score and the labels of the task.

    An evaluation calls `measure` batch by batch, keeps the measures of all rows, and calls `score` once.
    """

    def __call__(self, features: Tensor) -> Any: ...

    def loss(self, output: Any, labels: Any) -> Tensor:
        """Return a scalar: the mean loss over the labelled rows of all ranks."""
        ...

    def measure(self, output: Any, labels: Any) -> Any:
        """Return the measures of each row of a batch, enough for `score` and smaller than the outputs.

        A tensor with rows as first axis, a list with one entry per row, or a tuple or mapping of tensors and lists.
        """
        ...

    def score(self, measures: Any, units: Any = None) -> Any:
        """Return a :class:`adapt.heads.Score` of the measures of all rows: a value with its 95 % interval.

        Args:
            units: ``(n,)``, the number of the unit of each row where rows belong together, or None. The interval is
                then an interval over units.
        """
        ...

    def check(self, labels: Any) -> None:
        """Raise a ValueError unless the head can learn from `labels`."""
        ...


class TellsOutputs(Protocol):
    """A head that describes its outputs on rows without labels."""

    def observe(self, output: Any) -> Any:
        """Return observations of each row of a batch, enough for `summary`, in the forms that `measure` may return."""
        ...

    def summary(self, observations: Any) -> dict[str, float]:
        """Return numbers about the observations of all rows by name, say ``"entropy"`` or ``"predicted/cat"``."""
        ...


class MasksMissing(Protocol):
    """A head whose loss and score leave missing labels out: the other labels of a row count."""

    def present(self, labels: Tensor) -> Tensor:
        """Return booleans of the shape of `labels`: True where a label is there."""
        ...


class LearnsFromLabels(Protocol):
    """A head with numbers that come from all labels before the first step: class weights, the scale of the labels."""

    def learn_from(self, labels: Any | None) -> None:
        """Compute the numbers, unless the head has the numbers already.

        Args:
            labels: all labels of a stream; None where the labels do not lie in memory.
        """
        ...


class Counts(Protocol):
    """A head whose loss is a mean over something else than rows, such as boxes, labels or weights of classes."""

    def count(self, labels: Any) -> float:
        """Return the number of things that the loss of a batch is a mean over."""
        ...


class HasDim(Protocol):
    """A module with a feature size: an encoder or a head."""

    dim: int


class HasDims(Protocol):
    """An encoder with the channels of each map of a pyramid by name, from coarse to fine; None: no pyramid."""

    dims: Mapping[str, int] | None


class HasClasses(Protocol):
    """A head with logits of exclusive classes."""

    classes: int


class CountsPairs(Protocol):
    """A head with a confusion matrix."""

    names: list[str]

    def confusion(self, measures: Any) -> Tensor:
        """Return ``(classes, classes)`` counts from the measures of all rows; the row is the true class."""
        ...


class HasNames(Protocol):
    """A head with the names of its classes or labels."""

    names: list[str]


class Predicts(Protocol):
    """A head that turns outputs into predictions."""

    def predict(self, output: Any) -> Any:
        """Return numbers of classes, booleans of labels, or values, with one entry per row."""
        ...


class HasProbabilities(Protocol):
    """A head that turns outputs into probabilities."""

    def probabilities(self, output: Any) -> Any:
        """Return the probabilities of the classes or labels, with one entry per row."""
        ...


class Prepares(Protocol):
    """The preparation of a data set: from raw items of the user, such as files, to what the encoder reads."""

    def prepared(self, raw: Any) -> "MapStyle":
        """Return raw items as a data set without labels."""
        ...


class IsPrepared(Protocol):
    """A data set that knows its preparation, or None."""

    preparation: Prepares | None


class HasRecipe(Protocol):
    """An object that a function or class makes again from plain arguments, without weights.

    Attributes:
        recipe: full name of the function or class, and its arguments: numbers, texts, sequences and mappings of these,
            and objects with a recipe. None where nothing makes the object again.
    """

    @property
    def recipe(self) -> tuple[str, Mapping[str, Any]] | None: ...


class Source(Protocol):
    """A named source of batches of fixed size: see :class:`adapt.Stream`."""

    batch_size: int
    labels: bool

    def all_labels(self) -> Any | None:
        """Return all labels, or None where labels are not in memory."""
        ...

    def batches(self, name: str, seed: int, start: int = 0, *, rank: int = 0, world: int = 1) -> Iterator[Any]:
        """Return the batches from number `start` on, without end."""
        ...


class NamesEncoder(Protocol):
    """A source of batches with the name of its encoder, for a trainer with several encoders; None names none."""

    encoder: str | None


class Balance(Protocol):
    r"""Maps the losses of several tasks, and on request the Gramian of the gradients, to weights of the tasks.

    Any callable of this form is a balance. The engine calls the balance once for each micro-batch, with the same
    numbers on every rank.

    Args:
        losses: ``(tasks,)``, detached, the mean over the ranks; NaN for a task without a labelled row in the batch.
        gram: ``(tasks, tasks)``, :math:`G_{ij} = \langle \nabla L_i, \nabla L_j \rangle`; None unless the balance is a
            :class:`GramianBalance`.

    Returns:
        ``(tasks,)`` weights. The plain sum has weights of 1. The weight of an absent task is ignored.

    A balance with state is an ``nn.Module`` with the state in buffers. A balance with a need for the number of tasks
    before the first call is a :class:`StartedBalance` too.
    """

    def __call__(self, losses: Tensor, gram: Tensor | None = None) -> Tensor: ...


class GramianBalance(Balance, Protocol):
    """A balance with a need for the Gramian.

    Attributes:
        at: where gradients are taken: ``"features"``, ``"parameters"`` (all learning parameters of the encoder), or a
            module inside of the encoder.
    """

    at: Any


class StartedBalance(Balance, Protocol):
    """A balance with a call before the first step."""

    def start(self, tasks: int) -> None: ...


def offers(value: object, protocol: type[P]) -> TypeGuard[P]:
    """Whether `value` is callable, where the protocol is, and has every member of `protocol`."""
    return not missing(value, protocol)


def missing(value: object, protocol: type) -> list[str]:
    """Return the members of `protocol` missing in `value`."""
    parts = [
        c for c in protocol.__mro__ if getattr(c, "_is_protocol", False) and c is not Protocol
    ]  # Protocol's own mark
    names = dict.fromkeys(n for c in parts for n in (*vars(c).get("__annotations__", {}), *vars(c)))
    asked = [n for n in names if n == "__call__" or not n.startswith("_")]
    # the single question of this kind: an attribute of a module may be a parameter or a submodule, which isinstance
    # misses
    return [n for n in asked if not (callable(value) if n == "__call__" else hasattr(value, n))]


def expect(value: object, protocol: type[P], what: str, remedy: str) -> P:
    """Return `value`, after a look at the members.

    Args:
        what: the argument in backticks.
        remedy: the line to write instead.

    Raises:
        TypeError: a member of `protocol` is missing.
    """
    if lacking := missing(value, protocol):
        kind = "class" if isinstance(value, type) else type(value).__name__
        raise TypeError(
            f"{what} must offer {', '.join(f'`{n}`' for n in missing(None, protocol) if n != '__call__') or 'a call'}, "
            "got "
            f"a {kind} without {', '.join(f'`{n}`' for n in lacking)}: {remedy}."
        )
    return value  # type: ignore[return-value]  # every member is there


def expect_head(head: object, what: str = "`head`") -> Head:
    """Return `head`, after a look at its `loss`, `measure`, `score` and `check`.

    Raises:
        TypeError: a member is missing; the message has the line for a plain module.
    """
    name = type(head).__name__
    plain = (
        f"`heads.Classifier(encoder, classes=...)` instead of the {name}, or " if isinstance(head, nn.Linear) else ""
    )
    return expect(head, Head, what, f"take {plain}`heads.wrap(module, loss=..., measure=...)`")


def dim_of(encoder: HasDim | int, what: str = "`encoder`") -> int:
    """Return the feature size: the number `encoder`, or `encoder.dim`.

    Raises:
        TypeError: neither a number nor a module with `dim`.
        ValueError: a size below 1.
    """
    size = encoder.dim if offers(encoder, HasDim) else encoder
    if not isinstance(size, Integral) or isinstance(size, bool):
        raise TypeError(
            f"{what} must be a feature size or an encoder with `dim`, got a {type(encoder).__name__}: "
            "wrap the module with `encoders.wrap(module, dim)`."
        )
    if size < 1:
        raise ValueError(f"{what} must have a feature size of at least 1, got {size}.")
    return int(size)


def classes_of(head: object, asker: str, instead: str = "domain.dann, domain.dan or domain.deep_coral") -> int:
    """Return the number of classes of `head`.

    Args:
        asker: who needs classes, for the message.
        instead: methods on features alone.

    Raises:
        TypeError: a head without exclusive classes.
    """
    if not offers(head, HasClasses) or not isinstance(head.classes, int):
        raise TypeError(
            f"`head` of {asker} must tell exclusive classes apart, got a {type(head).__name__} without `classes`: "
            f"use {instead}, which look at features alone."
        )
    return head.classes


def reads_as(dataset: Any, kind: type[P]) -> TypeGuard[P]:
    """Whether the items and the length of a dataset are those of `kind`, and not of a subclass."""
    own: Any = type(dataset)
    known: Any = kind
    return isinstance(dataset, kind) and own.__getitem__ is known.__getitem__ and own.__len__ is known.__len__
