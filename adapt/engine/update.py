"""The optimizer and the parameters of a phase."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import nn

from adapt.engine.description import describe, plain
from adapt.engine.readers import Encoders
from adapt.engine.schedule import Schedule
from adapt.engine.term import Phase, Term
from adapt.protocols import Encoder, expect

OptimizerFactory = Callable[[list[dict]], torch.optim.Optimizer]
EncoderScale = float | Mapping[str, float | Schedule | Mapping[str, float | Schedule]]
Groups = dict[str, list[nn.Parameter]]
Scales = dict[str, float | Schedule]


class Update:
    """The learning parameters of a phase, and the optimizer.

    Args:
        phase: terms and options.
        model: ``model["encoder"]`` and the modules of all terms.
        optimizer: used where the phase names none.
        encoder_scale: learning rate of the encoder relative to the rate of the heads: a number, or for each layer of
            the encoder a number or a function of the progress.

    Attributes:
        parameters: the learning parameters of the phase.
        inputs: parameters to compute gradients for; None means all learning parameters of the model.
        encoder_learns: whether a parameter of the encoder learns in the phase.
        keep_graph: whether a later phase with a learning encoder continues from a pass of this phase.
        weighs: whether a balance weighs the tasks of the phase.
        scales: for each group of the optimizer, the factor on the learning rate: 1, or a function of the progress.

    Raises:
        TypeError: a factory that returns no optimizer.
        ValueError: nothing learns, or a module outside of the model; a scale for layers unknown to the encoder.
    """

    def __init__(self, phase: Phase, model: nn.ModuleDict, optimizer: OptimizerFactory, encoder_scale: EncoderScale):
        self.phase = phase
        self.parameters = learning_parameters(phase, model)
        learning, encoder = set(self.parameters), set(model["encoder"].parameters())
        # only a phase that leaves a parameter out pays for the restriction
        everything = all(p in learning for p in model.parameters() if p.requires_grad)
        self.inputs = None if everything else self.parameters
        self.encoder_learns = not learning.isdisjoint(encoder)
        self.keep_graph = self.weighs = False
        groups: Groups = {"all": self.parameters}  # a second group costs 40 microseconds for each step
        scales: Scales = {}
        if encoder_scale != 1.0:
            groups, scales = groups_of(model["encoder"], self.parameters, encoder_scale)
        made = (phase.optimizer or optimizer)([{"params": p, "name": n} for n, p in groups.items() if p])
        if not isinstance(made, torch.optim.Optimizer):
            raise TypeError(
                f"`optimizer` must return an optimizer of torch, got {made!r} for phase `{phase.name}`: give "
                "`optimizer=lambda groups: AdamW(groups, ...)`."
            )
        self.optimizer = made
        self.scales = self._scaled(groups, scales)

    def _scaled(self, groups: Groups, scales: Scales) -> list[float | Schedule]:
        """Put numbers into the rates of the groups; return functions of the progress, and 1 in place of numbers."""
        names = [str(group.get("name")) for group in self.optimizer.param_groups]
        lost = [name for name in scales if groups[name] and name not in names]
        if lost:
            raise ValueError(
                f"`encoder_scale` is given and the optimizer of phase `{self.phase.name}` has no parameter group named "
                f"`{lost[0]}`, only {names}: pass the groups on as they come, `lambda groups: AdamW(groups, ...)`."
            )
        found = []
        for group, name in zip(self.optimizer.param_groups, names, strict=True):
            scale = scales.get(name, 1.0)
            group["initial_lr"] = group["lr"] * (1.0 if callable(scale) else scale)
            found.append(scale if callable(scale) else 1.0)
        return found


def learning_parameters(phase: Phase, model: nn.ModuleDict) -> list[nn.Parameter]:
    """Return the learning parameters of a phase, once each.

    Raises:
        ValueError: no parameter, or a parameter outside of the model.
    """
    chosen = phase.update
    if chosen is None:
        chosen = [model["encoder"], *(module for term in phase.terms for module in term.modules)]
    learning = dict.fromkeys(p for module in chosen for p in module.parameters() if p.requires_grad)
    if not learning or not set(model.parameters()).issuperset(learning):
        raise ValueError(
            f"phase `{phase.name}` has nothing to update, or something that is neither the encoder nor in a term: "
            "expected modules with parameters that learn."
        )
    return list(learning)


def groups_of(encoder: nn.Module, learning: Sequence[nn.Parameter], scale: EncoderScale) -> tuple[Groups, Scales]:
    """Return parameter groups by name, with the scale of each group of the encoder.

    Raises:
        ValueError: layers unknown to the encoder, or other names than the names of the encoders.
        TypeError: a scale for each layer, and an encoder without named layers.
    """
    owned, scales = _owned("encoder", encoder, scale)
    wanted, inside = set(learning), set(encoder.parameters())
    groups = {name: [p for p in parameters if p in wanted] for name, parameters in owned.items()}
    groups["heads"] = [p for p in learning if p not in inside]
    return groups, scales


def _owned(name: str, encoder: nn.Module, scale: Any) -> tuple[Mapping[str, Sequence[nn.Parameter]], Scales]:
    """Return the parameters of each group of an encoder, or of several encoders, and the scales of the groups."""
    if not isinstance(scale, Mapping):
        return {name: list(encoder.parameters())}, {name: scale}
    if isinstance(encoder, Encoders):
        if encoder.keys() != scale.keys():
            raise ValueError(f"`encoder_scale` must name the encoders {list(encoder)}, got {list(scale)}.")
        owned: dict[str, Sequence[nn.Parameter]] = {}
        scales: Scales = {}
        for part, each in encoder.items():
            groups, rates = _owned(f"{name}.{part}", each, scale[part])
            owned |= groups
            scales |= rates
        return owned, scales
    named = expect(
        encoder, Encoder, "`encoder` under an `encoder_scale` for each layer", "take `encoders.wrap(module)`"
    )
    layers = named.parameters_of()
    if layers.keys() != scale.keys():
        raise ValueError(f"`encoder_scale` must name the encoder's layers {list(layers)}, got {list(scale)}.")
    return {f"{name}.{n}": parameters for n, parameters in layers.items()}, {f"{name}.{n}": scale[n] for n in layers}


def updates_of(
    phases: Sequence[Phase],
    model: nn.ModuleDict,
    optimizer: OptimizerFactory,
    encoder_scale: EncoderScale,
    accumulate: int,
) -> list[Update]:
    """Return an :class:`Update` for each phase.

    A phase without the encoder keeps the graph of a pass where the next phase with the encoder continues from the pass.
    With accumulation the phase keeps no graph, since accumulation must not have the graphs of all micro-batches in
    memory at once.
    """
    updates = [Update(phase, model, optimizer, encoder_scale) for phase in phases]
    for number, update in enumerate(updates):
        later = next((u for u in updates[number:] if u.encoder_learns), None)
        update.keep_graph = accumulate == 1 and later is not None and later.phase.streams == update.phase.streams
    return updates


def shown(scale: EncoderScale) -> str:
    """Return the scales as text, for the comparison of a resumed run."""
    return describe(dict(scale) if isinstance(scale, Mapping) else scale)


def described(terms: Sequence[Term], streams: Mapping[str, Any], updates: Sequence[Update]) -> dict[str, str]:
    """Return the blocks of a run in words, for TensorBoard and for the comparison of a resumed run."""
    return {
        "terms": ", ".join(f"{t.name} ({t!r})" for t in terms),
        "streams": ", ".join(f"{n} ({s!r})" for n, s in streams.items()),
        "phases": ", ".join(f"{u.phase.name}: {u.phase.repeat} x {len(u.parameters)} tensors" for u in updates),
        "optimizers": ", ".join(_optimizer(u.optimizer) for u in updates),
    }


def _optimizer(optimizer: torch.optim.Optimizer) -> str:
    """Return the options of an optimizer, and for each group the name, the number of tensors and other options."""
    groups = []
    for group in optimizer.param_groups:
        own = {**group, "lr": group["initial_lr"]}
        other = {k: v for k, v in own.items() if k in optimizer.defaults and v != optimizer.defaults[k]}
        shown = f" {plain(other)}" if other else ""
        groups.append(f"{group.get('name', 'group')}: {len(group['params'])} tensors{shown}")
    return f"{type(optimizer).__name__} {plain(optimizer.defaults)} ({', '.join(groups)})"


def averaged(model: nn.Module, decay: float | None) -> torch.optim.swa_utils.AveragedModel | None:
    """Return a copy of `model` under an exponential moving average of weights and buffers; None without a decay."""
    if decay is None:
        return None
    step = torch.optim.swa_utils.get_ema_multi_avg_fn(decay)
    return torch.optim.swa_utils.AveragedModel(model, multi_avg_fn=step, use_buffers=True)
