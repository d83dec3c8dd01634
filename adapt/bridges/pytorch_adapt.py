"""Any hook of pytorch-adapt as a term."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import partial
from inspect import isfunction, signature
from typing import Any

import torch
from torch import Tensor, nn

from adapt.bridges._optional import optional
from adapt.engine import Step, Term, gather, world_size
from adapt.engine.description import in_any_process
from adapt.engine.schedule import Schedule
from adapt.streams import Stream

DOMAINS = ("src", "target")  # pytorch-adapt's names; their labels are 0 and 1


def hook(
    hook: Any,
    models: Mapping[str, nn.Module] | None = None,
    *,
    source: str = "source",
    target: str = "target",
    weight: float | Schedule = 1.0,
    weights: Mapping[str, float] | None = None,
    name: str | None = None,
) -> Term:
    r"""Return a hook of pytorch-adapt as a term: the trainer minimises the loss of the hook.

    .. math:: \mathcal{L} = \sum_k w_k \, \overline{\ell_k}

    over the losses of a hook without optimizer, each averaged over its rows. A hook with an optimizer combines its
    losses by its own reducer and weighter. The default weighter of pytorch-adapt takes the **mean** of the losses:
    ``DANNHook`` weighs the loss of the classifier and the two halves of the domain loss by 1/3 each.

    A call of ``"G"`` by the hook returns the shared features of all terms: the encoder of the hook is the encoder of
    the trainer. All other modules belong to the term, and are trained and saved with the term: `models`, and the layers
    inside the hook with their buffers, such as the bank of ATDOC.

    Args:
        hook: any hook with one objective. A hook that asks for optimizers gets names,
            ``DANNHook(opts=["G_opt", "C_opt", "D_opt"])``, and the trainer takes the steps.
        models: modules by the names of pytorch-adapt, a dict or a ``Models``: ``"C"`` classifier, ``"D"``
            discriminator, ``"feature_combiner"``, ... ``"G"`` may be left out; ``"combined_model"`` is made of G and C.
        source, target: the streams for the domains ``src`` and ``target`` of the hook. The hook sees labels where a
            stream has labels.
        weight: of the term.
        weights: :math:`w_k` by the loss names of the hook, for a hook without optimizer; 1.
        name: of the term; default: the class of the hook, without ``Hook``.

    Several ranks: the hook sees the rows of all ranks, so every loss is exact (the noise of VAT differs by rank). A
    loss of this toolkit inside a hook must not gather the rows again: ``partial(losses.coral, global_batch=False)``.
    Precision: the modules and losses of the hook run in float32, on features in the precision of the run.

    After each call, `.grad` and the training modes of the encoder and of the hook's modules are restored, because
    ``VATLoss`` clears all gradients and unfreezes BatchNorm. Some behaviour of pytorch-adapt remains:

    - a weighter waits for the device once per loss;
    - swapped domain labels and the linear MMD ask for equal batch sizes;
    - the strength of a gradient reversal is constant;
    - the bank of ATDOC is random until a row is seen. A bank belongs to one hook: make a hook for each trainer;
    - the clean logits of ``VATLoss`` come from a BatchNorm in training mode, the disturbed logits from a BatchNorm in
      evaluation mode.

    Raises:
        ValueError: a hook that alternates between optimizers, holds real optimizers, or calls a model not given; a hook
            that learns from the labels of a stream without labels; a bank with another size than the stream; a ``"G"``
            other than the encoder of the trainer; on several ranks, a loss of this toolkit that gathers.
        ImportError: no pytorch-adapt; ``pip install "adapt-losses[pytorch-adapt]"``, in a separate environment, because
            pytorch-adapt pins old releases of other libraries.

    Musgrave et al., PyTorch Adapt, 2022, https://arxiv.org/abs/2211.15673
    """
    loss = Hook(hook, dict(models or {}), {"src": source, "target": target}, dict(weights or {}))
    name = name or type(hook).__name__.removesuffix("Hook").lower()
    return Term(name, loss, weight, streams=list(loss.streams.values()))


class Hook(nn.Module):
    """The loss of :func:`hook`."""

    def __init__(self, hook: Any, models: dict[str, nn.Module], streams: dict[str, str], weights: dict[str, float]):
        note = ", in a separate environment, because pytorch-adapt pins old releases of other libraries"
        with optional("pytorch-adapt", "pytorch-adapt", note):
            from pytorch_adapt.hooks import CLossHook
            from pytorch_adapt.hooks.features import BaseFeaturesHook
            from pytorch_adapt.hooks.optimizer import OptimizerHook

        super().__init__()
        parts = list(dict.fromkeys(_parts_of(hook)))
        self.steps = [part for part in parts if isinstance(part, OptimizerHook)]
        features = [part for part in parts if isinstance(part, BaseFeaturesHook)]
        _check(hook, parts, self.steps, {f.model_name for f in features} - {"G", *models}, weights)
        domains = {d for f in features for d in f.domains} or set(DOMAINS)
        self.streams = {d: streams[d] for d in DOMAINS if d in domains}
        classifying = [p for part in parts if isinstance(part, CLossHook) for p in _parts_of(part.hook)]
        self.labelled = {d for part in classifying if isinstance(part, BaseFeaturesHook) for d in part.domains}
        self.hook, self.weights, self.encoder = hook, weights, (models.get("G"),)  # in a tuple: the trainer owns it
        self.models = nn.ModuleDict({name: model for name, model in models.items() if name != "G"})
        self.layers = nn.ModuleList(part for part in parts if isinstance(part, nn.Module))
        inner = [value for part in parts if not isinstance(part, nn.Module) for value in vars(part).values()]
        self.functions = [value for value in inner if isfunction(value) or isinstance(value, partial)]

    @property
    def made_by(self) -> str:
        """The hook in words; pytorch-adapt makes lists of sets."""
        return f"Hook({in_any_process(repr(self.hook))})"

    def check(self, streams: Mapping[str, Stream]) -> None:
        for stream in (self.streams[d] for d in self.labelled if d in self.streams):
            if not streams[stream].labels:
                raise ValueError(
                    f"{type(self.hook).__name__} learns from the labels of stream `{stream}`, which was made with "
                    "`labels=False`: name a labelled stream."
                )
        gathering = [f for f in self.functions if _gathers(f)] if world_size() > 1 else []
        if gathering:
            raise ValueError(
                f"{gathering[0]} inside {type(self.hook).__name__} would gather the rows of all ranks a second time: "
                "pass `partial(losses.coral, global_batch=False)`, say."
            )
        for bank in self._banks():
            rows = streams[self.streams["target"]].rows
            if len(bank) != rows:
                raise ValueError(
                    f"{type(self.hook).__name__} holds a bank of {len(bank)} rows for a stream of {rows} rows: "
                    "make the hook with the size of the target, `dataset_size=len(target)`."
                )

    def _banks(self) -> list[Tensor]:
        from pytorch_adapt.layers import NeighborhoodAggregation

        return [m.get_buffer("feat_memory") for m in self.layers if isinstance(m, NeighborhoodAggregation)]

    def forward(self, step: Step) -> Tensor:
        encoder = step.encoder_of(*self.streams.values())
        if self.encoder[0] not in (None, encoder):
            raise ValueError(
                '`models["G"]` is not the encoder of this trainer: leave `"G"` out, or give the trainer this encoder.'
            )
        objectives: list[Tensor] = []
        with _restored(encoder, self):
            _, parts = self.hook({**self.context(step), "custom_backward": objectives.append})
        if self.steps:  # the hook passed its objective to `custom_backward`
            parts = {k: v for inner in self.steps for k, v in inner.loss_components.items() if k != "total"}
        else:
            parts = {k: self.weights.get(k, 1.0) * v.mean() for k, v in parts.items()}
            objectives = [torch.stack(list(parts.values())).sum()]
        if step.logging and len(parts) > 1:
            for name, value in parts.items():
                step.report(f"{type(self.hook).__name__}/{name}", value)
        return objectives[0]

    def context(self, step: Step) -> dict[str, Any]:
        """Return the context of a hook: the entries of a dataset and of the containers of pytorch-adapt."""
        from pytorch_adapt.layers import DoNothingOptimizer

        names = [name for inner in self.steps for name in inner.optimizers if isinstance(name, str)]
        context: dict[str, Any] = {**dict.fromkeys(names, DoNothingOptimizer()), **self.models}
        for domain, stream in self.streams.items():
            view, index = step[stream], gather(step[stream].index)
            context[f"{domain}_imgs"] = gather(view.inputs) if isinstance(view.inputs, Tensor) else view.inputs
            context[f"{domain}_sample_idx"] = index
            context[f"{domain}_domain"] = torch.full_like(index, DOMAINS.index(domain))
            with suppress(ValueError):  # a stream without labels
                context[f"{domain}_labels"] = gather(view.labels)
        context["G"] = G = Shared(step, {s: context[f"{d}_imgs"] for d, s in self.streams.items()})
        if "C" in self.models:
            context.setdefault("combined_model", nn.Sequential(G, self.models["C"]))
        return context


class Shared(nn.Module):
    """The encoder of the run for one step: the inputs of a stream give the shared features of all terms."""

    def __init__(self, step: Step, inputs: dict[str, Any]):
        super().__init__()
        self.encoder, self.step, self.inputs = step.encoder_of(*inputs), step, inputs
        self.gradient = torch.is_grad_enabled()

    def forward(self, inputs: Any) -> Tensor:
        stream = next((name for name, known in self.inputs.items() if known is inputs), None)
        with torch.set_grad_enabled(self.gradient):  # a first caller without gradient, perhaps a second with gradient
            shared = None if stream is None else gather(self.step[stream].features)
        features = self.step.call(self.encoder, inputs) if shared is None else shared
        if not torch.is_grad_enabled():
            return features.detach()
        # hooks insist on a gradient; a frozen encoder has no gradient
        return features if features.requires_grad else features.detach().requires_grad_()


@contextmanager
def _restored(*modules: nn.Module) -> Iterator[None]:
    """Restore gradients and training modes after the block."""
    modes = [(m, m.training) for module in modules for m in module.modules()]
    gradients = [(p, p.grad) for module in modules for p in module.parameters()]
    for parameter, _ in gradients:
        parameter.grad = None
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training
        for parameter, gradient in gradients:
            parameter.grad = gradient


def _gathers(function: Any) -> bool:
    option = signature(function).parameters.get("global_batch")
    return option is not None and option.default is True


def _parts_of(part: Any) -> Iterator[Any]:
    """Yield a hook and all hooks and layers inside, each once for every place of use."""
    from pytorch_adapt.hooks.base import BaseHook

    if isinstance(part, BaseHook | nn.Module):
        yield part
    children = vars(part) if isinstance(part, BaseHook) else part
    if isinstance(children, dict | list | tuple):
        for child in children.values() if isinstance(children, dict) else children:
            yield from _parts_of(child)


def _check(hook: Any, parts: list, steps: list, missing: set[str], weights: Mapping[str, float]) -> None:
    from pytorch_adapt.hooks import RepeatHook
    from pytorch_adapt.hooks.base import BaseHook

    title = type(hook).__name__
    if not isinstance(hook, BaseHook):
        raise ValueError(
            f"`hook` must be a hook of pytorch-adapt, got {title}. A layer is a loss already: "
            "`Term(name, lambda step: layer(...), modules=[layer])`."
        )
    if len(steps) > 1 or any(s in _parts_of(r) for r in parts if isinstance(r, RepeatHook) for s in steps):
        raise ValueError(
            f"{title} steps optimizers more than once a batch, and a term has one objective. Give each objective its "
            "term and its phase, `Phase([pytorch_adapt.hook(CDANDomainHookD(), models)], update=[D])` and so on "
            "(docs/bridges.md), or take the method of `adapt.domain`."
        )
    for step in steps:
        real = [type(o).__name__ for o in step.optimizers if isinstance(o, torch.optim.Optimizer)]
        if real or not step.optimizers:
            raise ValueError(
                f"{title} holds the optimizers {real}, and the trainer takes the steps: give names instead, "
                '`opts=["G_opt", "C_opt"]`, and the settings to `Trainer(optimizer=...)`.'
            )
    if missing:
        raise ValueError(f"{title} calls {sorted(missing)}, which `models` does not hold: add each to `models`.")
    if weights and (steps or set(weights) - set(hook.loss_keys)):
        expected = "the hook's own `weighter`, for it holds an optimizer" if steps else f"some of {hook.loss_keys}"
        raise ValueError(f"`weights` of {title} names {sorted(weights)}; expected {expected}.")
