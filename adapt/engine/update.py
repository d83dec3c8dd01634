"""A phase with what it needs to be run."""

from collections.abc import Callable, Sequence

import torch
from torch import nn

from adapt.engine.term import Phase

OptimizerFactory = Callable[[list[dict]], torch.optim.Optimizer]


class Update:
    """The parameters that a phase updates, and its optimizer.

    Args:
        phase: what is minimised.
        model: ``model["encoder"]`` and, below it, the modules of all terms.
        optimizer: used where the phase names none.
        encoder_scale: learning rate of the encoder relative to the heads'.

    Raises:
        ValueError: nothing to update, or something that the model does not hold.
    """

    def __init__(self, phase: Phase, model: nn.ModuleDict, optimizer: OptimizerFactory, encoder_scale: float):
        self.phase = phase
        encoder = {p for p in model["encoder"].parameters()}
        chosen = (
            phase.update
            if phase.update is not None
            else [model["encoder"], *(m for t in phase.terms for m in t.modules)]
        )
        learning = dict.fromkeys(p for module in chosen for p in module.parameters() if p.requires_grad)
        owned = set(model.parameters())
        if not learning or not owned.issuperset(learning):
            raise ValueError(
                f"phase `{phase.name}` has nothing to update, or something that is neither the encoder nor in a term: "
                "expected modules with parameters that learn."
            )
        self.parameters = list(learning)
        # only a phase that leaves something out pays for the restriction
        everything = all(p in learning for p in owned if p.requires_grad)
        self.inputs = None if everything else self.parameters
        self.encoder_learns = any(p in encoder for p in learning)
        self.keep_graph = False
        groups = {"all": self.parameters}  # a second group costs 40 microseconds a step
        if encoder_scale != 1.0:
            groups = {
                "encoder": [p for p in learning if p in encoder],
                "heads": [p for p in learning if p not in encoder],
            }
        self.optimizer = (phase.optimizer or optimizer)([{"params": p, "name": n} for n, p in groups.items() if p])
        names = [group.get("name") for group in self.optimizer.param_groups]
        if encoder_scale != 1.0 and self.encoder_learns and "encoder" not in names:
            raise ValueError(
                f"`encoder_scale` is {encoder_scale} and the optimizer of phase `{phase.name}` has no parameter group named "
                f"`encoder`, only {names}: pass the groups on as they come, `lambda groups: AdamW(groups, ...)`."
            )
        for group, name in zip(self.optimizer.param_groups, names, strict=True):
            group["initial_lr"] = group["lr"] * (encoder_scale if name == "encoder" else 1.0)


def updates_of(
    phases: Sequence[Phase], model: nn.ModuleDict, optimizer: OptimizerFactory, encoder_scale: float, accumulate: int
) -> list[Update]:
    """One for each phase. A phase without the encoder keeps the graph of its pass where the next one with it goes on from there.

    Not with accumulation: the graphs of all its batches would lie in memory at once, which it is there to avoid.
    """
    updates = [Update(phase, model, optimizer, encoder_scale) for phase in phases]
    for number, update in enumerate(updates):
        later = next((u for u in updates[number:] if u.encoder_learns), None)
        update.keep_graph = accumulate == 1 and later is not None and later.phase.streams == update.phase.streams
    return updates
