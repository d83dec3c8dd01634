"""A model that adapts while it predicts."""

import time
from collections.abc import Mapping
from copy import deepcopy
from typing import Any

import torch
from torch import Tensor

from adapt.engine import Model
from adapt.engine.answers import named
from adapt.engine.model_data import BatchRows
from adapt.engine.model_folder import own_copy
from adapt.protocols import HasClasses, offers
from adapt.streams.tree import tensors
from adapt.transductive._adabn import adabn
from adapt.transductive._clock import Clock
from adapt.transductive._guard import Guard
from adapt.transductive.method import OnlineMethod
from adapt.transductive.network import Network, plain

DEFAULT = {"share": 0.6, "window": 32}
GUARD = Guard()


class Online:
    """A trained model that adapts to each batch while it predicts the batch, without labels.

    Args:
        model: of exclusive classes. The model itself is copied and stays as it is.
        method: such as :func:`tent`. None is :func:`adabn` with 0.6 of a running window of 32 rows and 0.4 of the
            source's statistics: our choice, fixed on training images with corruptions. The method works
            for batches of any size and changes no weight.
        guard: falls back to the source model, at the price of a forward pass of the source model for each batch. None:
            no guard, for a comparison.
        clock: drops the adaptation that takes too long. None: no clock.

    Two copies of the model and the memory of the method are all that is kept, however long the stream is. On several
    ranks each rank adapts to its own rows.

    Attributes:
        model: as given.
        method: the method.
        adapted, dropped: batches with adaptation, and batches without because the clock was behind.
        fallbacks: batches whose answers are the source model's, or more the source model's than the adapted model's.
        restarts: how often the guard, or numbers that are not finite, started the method again.

    Raises:
        TypeError: no model; a model without exclusive classes; a method, guard or clock of another type.
        ValueError: a method that finds nothing to change in the model; a guard with a method that changes the scale of
            the answers (:func:`roid`, :func:`t3a`).

    >>> from adapt import encoders, heads
    >>> encoder = encoders.small_conv()
    >>> adapter = Online(Model(encoder, heads.Classifier(encoder, 10)))
    >>> adapter(torch.rand(1, 3, 32, 32)).shape, adapter(torch.rand(16, 3, 32, 32)).shape
    (torch.Size([1, 10]), torch.Size([16, 10]))
    """

    def __init__(
        self,
        model: Model,
        method: OnlineMethod | None = None,
        *,
        guard: Guard | None = GUARD,
        clock: Clock | None = None,
    ):
        method = adabn(**DEFAULT) if method is None else method  # type: ignore[arg-type]  # a dict of both kinds
        for what, value, kind, example in (
            ("model", model, Model, "`adapt.Model(encoder, head)`"),
            ("method", method, OnlineMethod, "`transductive.tent()`"),
            ("guard", guard, Guard | None, "`transductive.Guard()` or None"),
            ("clock", clock, Clock | None, "`transductive.Clock(cost=3)` or None"),
        ):
            if not isinstance(value, kind):
                raise TypeError(f"`{what}` must be {example}, got a {type(value).__name__}.")
        if guard is not None and not method.comparable:
            raise ValueError(
                f"`guard` compares the confidence of both models, and {method.name} gives less sure answers by its "
                "formula: the source model would always answer. Give `guard=None`, or take `transductive.tent()`."
            )
        head = model.head
        if not offers(head, HasClasses):
            raise TypeError(
                f"`model` must have a head of exclusive classes, got a {type(head).__name__} without `classes`: take "
                "`heads.Classifier`."
            )
        self.classes = head.classes
        self.model, self.method, self.guard, self.clock = model, method, guard, clock
        bf16 = model.device.type if model.precision == "bf16" else None
        self._source = Network(own_copy(model.encoder), own_copy(model.head), self.classes, model.stream, bf16)
        self.reset()

    def __repr__(self) -> str:
        return f"Online({self.method.name}, guard={self.guard}, clock={self.clock}, {self.adapted} batches adapted)"

    def reset(self) -> None:
        """Start again from the model as given: weights, memory, guard, clock and counts."""
        self._learner = self.method.start(deepcopy(self._source))
        self._watch = None if self.guard is None else self.guard.start(self.classes).to(self.model.device)
        self._behind = 0.0  # time, in units of the time between two batches
        self.adapted = self.dropped = self.fallbacks = self.restarts = 0

    @torch.no_grad()
    def __call__(self, batch: Any) -> Tensor:
        """Return ``(n, classes)`` log-probabilities of a batch, and adapt.

        Args:
            batch: ``(n, ...)`` of any size, a tensor, a numpy array, or a tree of tensors as the encoder reads.

        Raises:
            ValueError: a batch without rows, or with numbers that are not finite: nothing has changed then.
        """
        rows = BatchRows(batch, self.model.inputs)
        x = rows.part(0, rows.count).map(lambda t: t.to(self.model.device)).inputs
        _check_finite(x)
        if self._behind >= 1:
            self._behind -= 1
            self.dropped += 1
            trusts = self._watch is None or self._watch.trusts
            self.fallbacks += not trusts
            return self._learner(x, False) if trusts else plain(self._source, x)
        start = time.perf_counter()
        answer = self._adapted(x)
        self.adapted += 1
        if self.clock is not None:
            self._behind += max(0.0, self.clock.spent(time.perf_counter() - start) - 1)
        return answer

    def predict(self, batch: Any) -> Any:
        """Return the predictions of a batch in the words of the user, as :meth:`adapt.Model.predict`, and adapt."""
        return named(self.model.head, self(batch).argmax(1).cpu())

    def _adapted(self, x: Any) -> Tensor:
        adapted = self._learner(x)
        finite = bool(adapted.isfinite().all())  # a host synchronisation, as the look at the inputs
        if self._watch is None and finite:
            return adapted
        source = plain(self._source, x)
        if not source.isfinite().all():
            self._restart()
            raise ValueError("the model gives NaN or infinity for `batch`: scale the inputs as in training.")
        if not finite:
            self._restart()
            self.fallbacks += 1
            return source
        assert self._watch is not None
        answer = self._watch(adapted, source)
        self.fallbacks += not self._watch.trusts
        if self._watch.collapsed:
            self._restart()
        return answer

    def _restart(self) -> None:
        self.restarts += 1
        self._learner = self.method.start(deepcopy(self._source))
        if self.guard is not None:
            self._watch = self.guard.start(self.classes).to(self.model.device)

    # ---- state ----

    def state_dict(self) -> dict[str, Any]:
        """Return the whole state, for ``torch.save``: an adapter of the same model, method and guard goes on exactly.

        The weights of the source model are not a part of the state.
        """
        return {
            "kind": self._kind(),
            "learner": deepcopy(self._learner.state_dict()),
            "guard": None if self._watch is None else deepcopy(self._watch.state_dict()),
            "behind": self._behind,
            "counts": [self.adapted, self.dropped, self.fallbacks, self.restarts],
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a state that :meth:`state_dict` returned.

        Raises:
            ValueError: a state of another method, other options or another guard, or of another network.
        """
        if state.keys() != self.state_dict().keys() or state["kind"] != self._kind():
            raise ValueError(
                f"`state` must be the state of an adapter of {self._kind()}, got {state.get('kind', list(state))}: "
                "make the adapter with the same method and guard."
            )
        learner = self.method.start(deepcopy(self._source))
        try:
            learner.load_state_dict(deepcopy(state["learner"]))
        except (RuntimeError, KeyError) as error:
            raise ValueError(f"`state` is of another network: {error}") from error
        self._learner = learner
        if self._watch is not None:
            self._watch.load_state_dict(deepcopy(state["guard"]))
        self._behind = float(state["behind"])
        self.adapted, self.dropped, self.fallbacks, self.restarts = state["counts"]

    def _kind(self) -> str:
        return f"{self.method}, guard={self.guard}"


def _check_finite(x: Any) -> None:
    for tensor in tensors(x):
        if tensor.is_floating_point() and not tensor.isfinite().all():
            raise ValueError(
                "`batch` has NaN or infinity: leave broken rows out. The adapter has not changed, and one broken row "
                "would stay in its memory."
            )
