"""Any hook of pytorch-adapt as a term."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import partial
from importlib import import_module
from inspect import isfunction, signature
from typing import Any

import torch
from torch import Tensor, nn

from adapt.engine import Step, Term, gather, world_size
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
    r"""A hook of pytorch-adapt as a term: its loss, minimised by the trainer.

    .. math:: \mathcal{L} = \sum_k w_k \, \overline{\ell_k}

    over the losses of a hook without optimizer, each averaged over its rows; of a hook that holds one, what its own
    reducer and weighter make of them: pytorch-adapt's default weighter takes their **mean**, so that ``DANNHook``
    weighs its classifier's loss and the two halves of the domain loss by 1/3 each.

    The hook calls ``"G"`` and gets the features that all terms share: its encoder is the trainer's. Everything else it
    calls is the term's own, trained and saved with it: `models`, and the layers inside the hook with their buffers,
    such as ATDOC's bank.

    Args:
        hook: any hook that minimises one objective. Where it asks for optimizers it gets names,
            ``DANNHook(opts=["G_opt", "C_opt", "D_opt"])``, and the trainer's steps.
        models: its modules by pytorch-adapt's names, a dict or its ``Models``: ``"C"`` classifier, ``"D"`` discriminator,
            ``"feature_combiner"``, ... ``"G"`` may be left out; ``"combined_model"`` is made of G and C.
        source, target: the streams that the hook knows as ``src`` and ``target``. It sees labels where a stream has them.
        weight: of the term.
        weights: :math:`w_k` by the hook's own names, of a hook without optimizer; 1.
        name: of the term; the class's, without ``Hook``.

    Several ranks: the hook sees the rows of all ranks, so every loss is exact (VAT's noise is each rank's own). A loss of
    ours inside a hook must not gather them again: ``partial(losses.coral, global_batch=False)``. Precision: the hook's modules and losses run in float32 on features of the run's precision.

    Around each call `.grad` and the training modes of the encoder and of the hook's modules are put back as they were:
    ``VATLoss`` clears all gradients and unfreezes BatchNorm. What stays as pytorch-adapt has it: a weighter waits for
    the device once a loss; domain labels that are swapped and the linear MMD ask for equal batch sizes; the strength of
    a gradient reversal is constant; ATDOC's bank is random until a row is seen; the clean logits of ``VATLoss`` are those
    of a BatchNorm in training, the disturbed ones of one in evaluation. A bank belongs to one hook: make one a trainer.

    Raises:
        ValueError: a hook that alternates between optimizers, holds real ones, or needs a model that is not given; a
            hook that learns from labels on a stream without; a bank of another size than its stream; ``"G"`` that is not
            the trainer's encoder; on several ranks, a loss of ours that gathers.
        ImportError: no pytorch-adapt; names the pip line.

    Musgrave et al., PyTorch Adapt, 2022, https://arxiv.org/abs/2211.15673
    """
    try:
        import_module("pytorch_adapt.hooks")
    except ImportError as error:
        raise ImportError(
            f'hooks need pytorch-adapt: `pip install "adapt-losses[pytorch-adapt]"`, in an environment of its own, for it '
            f"pins old releases of other libraries ({error})."
        ) from error
    loss = Hook(hook, dict(models or {}), {"src": source, "target": target}, dict(weights or {}))
    name = name or type(hook).__name__.removesuffix("Hook").lower()
    return Term(name, loss, weight, streams=list(loss.streams.values()))


class Hook(nn.Module):
    def __init__(self, hook: Any, models: dict[str, nn.Module], streams: dict[str, str], weights: dict[str, float]):
        from pytorch_adapt.hooks import CLossHook
        from pytorch_adapt.hooks.features import BaseFeaturesHook
        from pytorch_adapt.hooks.optimizer import OptimizerHook

        super().__init__()
        parts = list(dict.fromkeys(_inside(hook)))
        self.steps = [part for part in parts if isinstance(part, OptimizerHook)]
        features = [part for part in parts if isinstance(part, BaseFeaturesHook)]
        _check(hook, parts, self.steps, {f.model_name for f in features} - {"G", *models}, weights)
        domains = {d for f in features for d in f.domains} or set(DOMAINS)
        self.streams = {d: streams[d] for d in DOMAINS if d in domains}
        self.labelled = {d for part in parts if isinstance(part, CLossHook) for d in getattr(part.hook, "domains", ())}
        self.hook, self.weights, self.encoder = hook, weights, (models.get("G"),)  # in a tuple: the trainer owns it
        self.models = nn.ModuleDict({name: model for name, model in models.items() if name != "G"})
        self.layers = nn.ModuleList(part for part in parts if isinstance(part, nn.Module))
        inner = [value for part in parts if not isinstance(part, nn.Module) for value in vars(part).values()]
        self.functions = [value for value in inner if isfunction(value) or isinstance(value, partial)]

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
                f"{gathering[0]} inside {type(self.hook).__name__} would gather the rows of all ranks a second time: pass "
                "`partial(losses.coral, global_batch=False)`, say."
            )
        banks = [m for m in self.layers if hasattr(m, "feat_memory")]
        for bank, rows in ((len(m.get_buffer("feat_memory")), streams[self.streams["target"]].rows) for m in banks):
            if bank != rows:
                raise ValueError(f"{type(self.hook).__name__} holds a bank of {bank} rows for a stream of {rows} rows.")

    def forward(self, step: Step) -> Tensor:
        if self.encoder[0] not in (None, step.encoder):
            raise ValueError('`models["G"]` is not the encoder of this trainer: leave it out, or train that one.')
        objectives: list[Tensor] = []
        with _put_back(step.encoder, self):
            _, found = self.hook({**self.context(step), "custom_backward": objectives.append})
        if self.steps:  # it handed its objective to what it takes for the backward
            found = {k: v for inner in self.steps for k, v in inner.loss_components.items() if k != "total"}
        else:
            found = {k: self.weights.get(k, 1.0) * v.mean() for k, v in found.items()}
            objectives = [torch.stack(list(found.values())).sum()]
        if step.logging and len(found) > 1:
            for name, value in found.items():
                step.report(f"{type(self.hook).__name__}/{name}", value)
        return objectives[0]

    def context(self, step: Step) -> dict[str, Any]:
        """What pytorch-adapt's dataset and containers would hold."""
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
    """The run's encoder for one step: a stream's own inputs give the features that all terms share."""

    def __init__(self, step: Step, inputs: dict[str, Any]):
        super().__init__()
        self.encoder, self.step, self.inputs, self.gradient = step.encoder, step, inputs, torch.is_grad_enabled()

    def forward(self, inputs: Any) -> Tensor:
        stream = next((name for name, own in self.inputs.items() if own is inputs), None)
        with torch.set_grad_enabled(self.gradient):  # the first to ask may want them detached, the next not
            known = None if stream is None else gather(self.step[stream].features)
        features = self.step.call(self.encoder, inputs) if known is None else known
        if not torch.is_grad_enabled():
            return features.detach()
        # hooks insist on a gradient, which a frozen encoder has not
        return features if features.requires_grad else features.detach().requires_grad_()


@contextmanager
def _put_back(*modules: nn.Module) -> Iterator[None]:
    """Leave gradients and training modes as they were."""
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


def _inside(part: Any) -> Iterator[Any]:
    """The hooks and layers inside a hook, itself included, each once for every place it has."""
    from pytorch_adapt.hooks.base import BaseHook

    if isinstance(part, BaseHook | nn.Module):
        yield part
    children = vars(part) if isinstance(part, BaseHook) else part
    if isinstance(children, dict | list | tuple):
        for child in children.values() if isinstance(children, dict) else children:
            yield from _inside(child)


def _check(hook: Any, parts: list, steps: list, missing: set[str], weights: Mapping[str, float]) -> None:
    from pytorch_adapt.hooks import RepeatHook
    from pytorch_adapt.hooks.base import BaseHook

    title = type(hook).__name__
    if not isinstance(hook, BaseHook):
        raise ValueError(
            f"`hook` must be a hook of pytorch-adapt, got {title}. A layer is a loss already: "
            "`Term(name, lambda step: layer(...), modules=[layer])`."
        )
    if len(steps) > 1 or any(s in _inside(r) for r in parts if isinstance(r, RepeatHook) for s in steps):
        raise ValueError(
            f"{title} steps optimizers more than once a batch, and a term has one objective. Give each objective its "
            "term and its phase, `Phase([bridge.hook(CDANDomainHookD(), models)], update=[D])` and so on (docs/bridges.md), "
            "or take the method of `adapt.domain`."
        )
    for step in steps:
        real = [type(o).__name__ for o in step.optimizers if isinstance(o, torch.optim.Optimizer)]
        if real or not step.optimizers:
            raise ValueError(
                f"{title} holds the optimizers {real}: the trainer's would step in their place. Name them as in "
                'pytorch-adapt, `opts=["G_opt", "C_opt"]`, and give `Trainer(optimizer=...)` their settings.'
            )
    if missing:
        raise ValueError(f"{title} calls {sorted(missing)}, which `models` does not hold: add them.")
    if weights and (steps or set(weights) - set(hook.loss_keys)):
        expected = "the hook's own `weighter`, for it holds an optimizer" if steps else f"some of {hook.loss_keys}"
        raise ValueError(f"`weights` of {title} names {sorted(weights)}; expected {expected}.")
