"""What learns is what was asked: a comparison before the first step, and with the gradients of the first step."""

import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.dropout import _DropoutNd

from adapt.encoders import GlobalBatchNorm
from adapt.engine.term import Term
from adapt.engine.update import Update, learning_parameters

STATISTICS = (_BatchNorm, GlobalBatchNorm)
SHOWN = 4  # names in a message
ADAPTERS = ("lora_", "ia3_")


class Learning:
    """Compares the parameters that require grad, the parameters in optimizers, and the parameters that terms reach.

    Args:
        updates: of the trainer.
        model: encoder and modules of all terms.
        encoders: of the trainer.

    Attributes:
        unseen: the updates of the first step of a run before their backward pass; empty afterwards.
    """

    def __init__(self, updates: Sequence[Update], model: nn.ModuleDict, encoders: Sequence[nn.Module]):
        self.updates, self.model, self.encoders = updates, model, encoders
        self.unseen: list[Update] = []
        self.reached: set[nn.Parameter] = set()

    def start(self) -> None:
        """Put the model into training mode for a run, after a look at the optimizers.

        Raises:
            ValueError: a parameter that learns and is in no optimizer; a parameter in an optimizer that does not learn
                or is no longer in the model; a scheduler of torch on an optimizer.
        """
        self.unseen, self.reached = list(self.updates), set()
        for update in self.updates:
            self._check(update)
        modes = [{part: part.training for part in encoder.modules()} for encoder in self.encoders]
        self.model.train()
        for encoder, mode in zip(self.encoders, modes, strict=True):
            say_what_is_not_held(encoder, mode)
        half = [name for name, p in self.model.named_parameters() if p.requires_grad and p.itemsize < 4]
        if half:
            warnings.warn(
                f"{len(half)} parameters that learn are in half precision, {_shown(half)}: most steps of an optimizer "
                "are lost in their rounding. Expected float32: call `encoder.float()` before the trainer is made; "
                '`precision="bf16"` computes in half precision all the same.',
                stacklevel=2,
            )

    def _check(self, update: Update) -> None:
        names = {p: name for name, p in self.model.named_parameters()}
        where = f"phase `{update.phase.name}`"
        was, now = set(update.parameters), set(learning_parameters(update.phase, self.model))
        if gone := was.difference(names):
            raise ValueError(
                f"{where}: {len(gone)} parameters of the optimizer are no longer in the model, expected all: a layer "
                "was replaced, or adapters were merged, after the trainer was made. Call `encoders.unmerge`, or make "
                "the trainer again."
            )
        if changed := [names[p] for p in names if p in now - was] or [names[p] for p in names if p in was - now]:
            found = "learn now, and did not" if now - was else "do not learn now, and did"
            raise ValueError(
                f"{where}: {len(changed)} parameters {found} when the trainer was made: {_shown(changed)}. Freeze, "
                "unfreeze and add adapters first, and make the trainer afterwards."
            )
        held = {p for group in update.optimizer.param_groups for p in group["params"]}
        if left_out := [names[p] for p in names if p in was - held]:
            raise ValueError(
                f"{where}: the optimizer leaves out {len(left_out)} of {len(was)} parameters that learn: "
                f"{_shown(left_out)}. Pass the groups on as they come, `optimizer=lambda groups: AdamW(groups, ...)`, "
                "or freeze these parameters before the trainer is made."
            )
        if extra := held - was:
            raise ValueError(
                f"{where}: the optimizer holds {len(extra)} parameters that this phase does not update: "
                f"{_shown([names.get(p, f'one of shape {tuple(p.shape)}') for p in extra])}. Pass the groups on as "
                "they come, `optimizer=lambda groups: AdamW(groups, ...)`; modules of a term go into its `modules`."
            )
        # the mark of torch's schedulers on the method that they replace
        if getattr(vars(update.optimizer).get("step"), "_wrapped_by_lr_sched", False):
            raise ValueError(
                f"{where}: a scheduler of torch is attached to the optimizer, and the trainer sets the rate in every "
                "step: give `Trainer(..., schedule=...)` a function of the progress, such as `engine.cosine()`."
            )

    def look(self, update: Update, losses: Sequence[Mapping[Term, Tensor]]) -> None:
        """Note the parameters with a gradient. After the last update of a step, tell the parameters without.

        Args:
            update: after the backward pass, before the step of the optimizer.
            losses: the terms of each micro-batch, with their graphs.

        Raises:
            ValueError: a term reaches a parameter outside of the model; adapters without a gradient.
        """
        if not self.unseen:  # every step but the first
            return
        known = set(self.model.parameters())
        for term, loss in losses[0].items():
            if foreign := [p for p in leaves(loss) if p not in known]:
                raise ValueError(
                    f"term `{term.name}` uses {len(foreign)} parameters that no term owns, the first of shape "
                    f"{tuple(foreign[0].shape)}: they would not be trained or saved. Pass their module to the term, "
                    "`Term(..., modules=[head])`, or freeze them."
                )
        self.reached.update(p for p in update.parameters if p.grad is not None)
        self.unseen = [other for other in self.unseen if other is not update]
        if not self.unseen:
            self._tell()

    def _tell(self) -> None:
        learning = {p for update in self.updates for p in update.parameters}
        lost = [n for n, p in self.model.named_parameters() if p in learning and p not in self.reached]
        if dead := [name for name in lost if is_adapter(name)]:
            raise ValueError(
                f"{len(dead)} adapters are reached by no term: {_shown(dead)}. Their layers are not called in a pass, "
                "or no term uses what they compute. Leave these layers out, `encoders.lora(encoder, only=[...])`, or "
                "freeze these parameters, and make the trainer again."
            )
        if lost:
            warnings.warn(
                f"{len(lost)} of {len(learning)} parameters that learn were reached by no term in the first step: "
                f"{_shown(lost)}. Nothing trains them until a term uses them: call their module in a term, or take "
                "the module out of the model, or freeze them with `requires_grad_(False)`.",
                stacklevel=2,
            )


def say_what_is_not_held(encoder: nn.Module, before: Mapping[nn.Module, bool]) -> None:
    """Warn where BatchNorm or dropout is at work in training against the will of the user.

    Args:
        encoder: in training mode.
        before: the mode of each part before. A whole encoder in evaluation mode comes from a loader or an evaluation,
            and says nothing.
    """
    active = [name for name, part in encoder.named_modules() if part.training and _depends_on_mode(part)]
    remedy = "`encoders.wrap(module, dim)` once, then `encoder.keep_in_eval([names inside encoder.body])`"
    if any(training for part, training in before.items() if not any(True for _ in part.children())):
        if set_by_user := [name for name in active if not before[encoder.get_submodule(name)]]:
            warnings.warn(
                f"{len(set_by_user)} modules of the encoder were in evaluation mode and train from now on: "
                f"{_shown(set_by_user)}. Expected one mode: to hold them, {remedy}.",
                stacklevel=3,
            )
    adapters = any(is_adapter(name) and p.requires_grad for name, p in encoder.named_parameters())
    frozen = [
        name
        for name in active
        if _is_frozen(encoder, name) and (not adapters or isinstance(encoder.get_submodule(name), STATISTICS))
    ]
    if frozen:
        warnings.warn(
            f"{len(frozen)} modules in frozen parts of the encoder change the features: {_shown(frozen)}. Statistics "
            "of BatchNorm move, or dropout draws. Expected frozen features: take "
            f"`inductive.strategy(encoder, {'adapters' if adapters else 'probe'!r})` instead of `requires_grad_`, or "
            f"{remedy}.",
            stacklevel=3,
        )


def is_adapter(name: str) -> bool:
    """Whether a parameter of this name belongs to an adapter, of this toolkit or of peft."""
    return any(part.startswith(ADAPTERS) for part in name.split("."))


def leaves(loss: Tensor) -> Iterator[nn.Parameter]:
    """Yield the parameters in the graph of a loss, once each."""
    stack: list[Any] = [loss.grad_fn]  # the nodes of leaves have a `variable`, which torch does not declare
    seen = {None}
    while stack:
        node = stack.pop()
        if node in seen:
            continue
        seen.add(node)
        if type(node).__name__ == "AccumulateGrad" and isinstance(node.variable, nn.Parameter):
            yield node.variable
        stack += [following for following, _ in node.next_functions]


def _depends_on_mode(part: nn.Module) -> bool:
    if isinstance(part, STATISTICS):
        return part.running_mean is not None
    if isinstance(part, _DropoutNd):
        return part.p > 0
    # of torchvision (`p`), timm and transformers (`drop_prob`), which are not imported for a look
    names = type(part).__name__ in ("StochasticDepth", "DropPath")
    return names and vars(part).get("p", vars(part).get("drop_prob")) != 0


def _is_frozen(encoder: nn.Module, name: str) -> bool:
    """Whether the smallest part with parameters around a module has parameters, and none of them learns."""
    while True:
        learning = [p.requires_grad for p in encoder.get_submodule(name).parameters()]
        if learning or not name:
            return bool(learning) and not any(learning)
        name = name.rpartition(".")[0]


def _shown(names: Sequence[str]) -> str:
    listed = ", ".join(f"`{name}`" for name in names[:SHOWN])
    return listed + (f" and {len(names) - SHOWN} more" if len(names) > SHOWN else "")
