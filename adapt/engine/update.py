"""A phase with what it needs to be run."""

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import nn

from adapt.engine.schedule import Schedule
from adapt.engine.term import Phase

OptimizerFactory = Callable[[list[dict]], torch.optim.Optimizer]
EncoderScale = float | Mapping[str, float | Schedule]


class Update:
    """The parameters that a phase updates, and its optimizer.

    Args:
        phase: what is minimised.
        model: ``model["encoder"]`` and, below it, the modules of all terms.
        optimizer: used where the phase names none.
        encoder_scale: learning rate of the encoder relative to the heads': a number, or for each of its layers a number
            or a function of the progress.

    Raises:
        ValueError: nothing to update, or something that the model does not hold; a scale for other layers than the
            encoder's.
    """

    def __init__(self, phase: Phase, model: nn.ModuleDict, optimizer: OptimizerFactory, encoder_scale: EncoderScale):
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
        scales: dict[str, float | Schedule] = {}
        if encoder_scale != 1.0:
            parts = _parts(model["encoder"], encoder_scale)
            scales = {name: scale for name, (scale, _) in parts.items()}
            groups = {name: [p for p in owned if p in learning] for name, (_, owned) in parts.items()}
            groups["heads"] = [p for p in learning if p not in encoder]
        self.optimizer = (phase.optimizer or optimizer)([{"params": p, "name": n} for n, p in groups.items() if p])
        names = [str(group.get("name")) for group in self.optimizer.param_groups]
        lost = [name for name in scales if groups[name] and name not in names]
        if lost:
            raise ValueError(
                f"`encoder_scale` is given and the optimizer of phase `{phase.name}` has no parameter group named "
                f"`{lost[0]}`, only {names}: pass the groups on as they come, `lambda groups: AdamW(groups, ...)`."
            )
        # numbers are part of the group's own rate; functions are asked in every step
        for group, name in zip(self.optimizer.param_groups, names, strict=True):
            scale = scales.get(name, 1.0)
            group["initial_lr"] = group["lr"] * (1.0 if callable(scale) else scale)
        self.scales = [scale if callable(scale := scales.get(name, 1.0)) else 1.0 for name in names]


def updates_of(
    phases: Sequence[Phase],
    model: nn.ModuleDict,
    optimizer: OptimizerFactory,
    encoder_scale: "EncoderScale",
    accumulate: int,
) -> list[Update]:
    """One for each phase. A phase without the encoder keeps the graph of its pass where the next one with it goes on from there.

    Not with accumulation: the graphs of all its batches would lie in memory at once, which it is there to avoid.
    """
    updates = [Update(phase, model, optimizer, encoder_scale) for phase in phases]
    for number, update in enumerate(updates):
        later = next((u for u in updates[number:] if u.encoder_learns), None)
        update.keep_graph = accumulate == 1 and later is not None and later.phase.streams == update.phase.streams
    return updates


def _parts(encoder: nn.Module, scale: EncoderScale) -> dict[str, tuple[float | Schedule, list[nn.Parameter]]]:
    """Group names of the encoder, each with its scale and its parameters."""
    if not isinstance(scale, Mapping):
        return {"encoder": (scale, list(encoder.parameters()))}
    if not hasattr(encoder, "parameters_of"):
        raise ValueError(
            f"`encoder_scale` for each layer needs an encoder that names its layers, got a {type(encoder).__name__}: "
            "wrap it with `encoders.wrap`."
        )
    layers = encoder.parameters_of()  # type: ignore[operator]
    if layers.keys() != scale.keys():
        raise ValueError(f"`encoder_scale` must name the encoder's layers {list(layers)}, got {list(scale)}.")
    return {f"encoder.{name}": (scale[name], parameters) for name, parameters in layers.items()}


def describe(scale: EncoderScale) -> float | str:
    """What a resumed run must agree on: functions have no name that lasts."""
    if not isinstance(scale, Mapping):
        return scale
    return ", ".join(f"{name} {'scheduled' if callable(value) else value}" for name, value in scale.items())
