"""The terms of a phase on a batch, and the plain backward pass through the weighted sum."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from torch import Tensor, nn

from adapt.engine.step import Step
from adapt.engine.term import Phase, Term


@dataclass(slots=True)
class Objective:
    """The terms of a phase on a batch.

    Args:
        phase: the name of the phase, for messages.
        losses: of the terms.
        weights: of the terms, at the progress of the step.
        shares: of this micro-batch in the step, for each term.
        absent: for terms with missing labels: True where no row of any rank had a label.
        features: of all passes; the log compares the gradients of the terms with respect to `features`.
    """

    phase: str
    losses: Mapping[Term, Tensor]
    weights: Mapping[Term, float]
    shares: Mapping[Term, float]
    absent: Mapping[Term, Tensor]
    features: Sequence[Tensor]

    def each_weighted(self) -> dict[Term, Tensor]:
        """Return the weighted value of each term."""
        return {term: self.weights[term] * loss for term, loss in self.losses.items()}

    def detached(self) -> "Objective":
        """Return the values without graph and features, for a reader after the backward pass."""
        values = {term: loss.detach() for term, loss in self.losses.items()}
        return Objective(self.phase, values, self.weights, self.shares, self.absent, ())

    def factor(self, term: Term) -> float:
        """Return the weight of a term, times the share of this micro-batch."""
        return self.weights[term] * self.shares[term]

    def weighted(self, terms: Sequence[Term]) -> Tensor:
        """Return the weighted sum of some terms: the part of this micro-batch in the objective.

        A product costs 10 microseconds: a factor of 1 multiplies nothing.
        """
        parts = [self.losses[t] if (w := self.factor(t)) == 1.0 else w * self.losses[t] for t in terms]
        return sum(parts[1:], start=parts[0])

    def backward(self, inputs: Sequence[nn.Parameter] | None) -> Tensor:
        """Fill ``.grad`` of `inputs` (None: of all learning parameters) and return the detached objective."""
        loss = self.weighted(list(self.losses))
        loss.backward(inputs=inputs)
        return loss.detach()


def evaluate(
    phase: Phase, step: Step, shares: Mapping[Term, float], step_of: Callable[[Term], Step] | None = None
) -> Objective:
    """Return the terms of a phase on the batch of `step`.

    Args:
        shares: of this micro-batch in the step, for each term.
        step_of: the step that a term reads; None: all terms read `step`.

    Raises:
        ValueError: no term depends on a learning parameter.
    """
    losses: dict[Term, Tensor] = {}
    absent: dict[Term, Tensor] = {}
    for term in phase.terms:
        losses[term], missing = term.outcome(step if step_of is None else step_of(term))
        if missing is not None:
            absent[term] = missing
    if not any([loss.requires_grad for loss in losses.values()]):
        raise ValueError(f"no term of phase `{phase.name}` depends on what it updates: nothing would be learned.")
    # a constant does not ask for the progress: a run of constants has no plan to keep
    weights = {term: term.weight(step.progress) if callable(term.weight) else term.weight for term in phase.terms}
    features = [part for made in step.passes for part in made.parts]
    return Objective(phase.name, losses, weights, shares, absent, features)
