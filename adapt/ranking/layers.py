"""The layer of an encoder that fits a target set best: estimates from features, before any training."""

import statistics
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from adapt import protocols
from adapt.encoders import Encoder, layer_outputs
from adapt.encoders.pooling import pooled
from adapt.engine.flops import counting
from adapt.evaluating import evaluating
from adapt.protocols import expect
from adapt.ranking._cost import Cost, synchronized_time
from adapt.ranking._rank import Pretrained, Scorer
from adapt.ranking._rank import rank as rank_models
from adapt.ranking.table import Ranking
from losses.options import COUNT, check


def rank(
    encoder: Encoder,
    inputs: Tensor,
    labels: Any = None,
    *,
    values: Any = None,
    pool: Callable[[Any], Tensor] | None = None,
    batch_size: int = 256,
    scores: Sequence[Scorer] | None = None,
    by: Scorer | None = None,
    resamples: int = 1000,
    halves: int = 20,
    seed: int = 0,
) -> Ranking:
    """Rank the named layers of an encoder as last layers, by the scores of :func:`adapt.ranking.rank`.

    Args:
        encoder: the candidates are ``encoder.layers``. Runs in evaluation mode; the training mode is put back.
        inputs: ``(n, ...)`` target inputs, prepared for the encoder.
        labels, values, scores, by, resamples, halves, seed: as in :func:`adapt.ranking.rank`. LEEP and NCE need a head
            and are undefined.
        pool: makes ``(n, d)`` of a layer's output; default :func:`pooled`.
        batch_size: inputs at a time.

    Returns:
        A :class:`adapt.ranking.Ranking`. The cost of a layer is the cost from the input to the end of the layer, on a
        batch of `inputs`.

    Raises:
        TypeError: a module that is no encoder.
        ValueError: an encoder without layers, a layer that the forward pass does not reach, and what
            :func:`adapt.ranking.rank` raises.

    >>> from adapt import encoders
    >>> images, classes = torch.randn(8, 3, 28, 28), [0, 1] * 4
    >>> sorted(row.name for row in rank(encoders.small_conv(), images, classes, halves=0).rows)
    ['conv1', 'conv2', 'conv3', 'features']
    """
    return rank_models(
        features(encoder, inputs, pool=pool, batch_size=batch_size), labels, values=values, scores=scores, by=by,
        resamples=resamples, halves=halves, seed=seed,
    )  # fmt: skip


def features(
    encoder: Encoder, inputs: Tensor, *, pool: Callable[[Any], Tensor] | None = None, batch_size: int = 256
) -> dict[str, Pretrained]:
    """Return the pooled output and the cost of each of the encoder's layers, in one pass over `inputs`.

    Returns:
        By name of the layer, ``(n, d)`` features on the CPU and the cost.

    Raises:
        TypeError: as :func:`rank`.
        ValueError: as :func:`rank`.
    """
    found = layer_features(encoder, inputs, pool=pool, batch_size=batch_size)
    costs = layer_costs(encoder, inputs[:batch_size].to(device_of(encoder, inputs)))
    return {name: Pretrained(rows, cost=costs[name]) for name, rows in found.items()}


def layer_features(
    encoder: Encoder, inputs: Tensor, *, pool: Callable[[Any], Tensor] | None = None, batch_size: int = 256
) -> dict[str, Tensor]:
    """Return the pooled output of each of the encoder's layers, as :func:`features` without the costs."""
    expect(encoder, protocols.Encoder, "`encoder`", "wrap the module with `encoders.wrap(module, dim, layers=[...])`")
    check(COUNT, batch_size=batch_size)
    if not encoder.layers:
        raise ValueError("`encoder` names no layers: name them with `encoders.wrap(module, dim, layers=[...])`.")
    pool = pool or pooled

    def copied(name: str, output: Any) -> Tensor:  # at once: a ReLU behind the layer may write over the output
        return pool(output).to("cpu", torch.float32, copy=True)

    device = device_of(encoder, inputs)
    found: dict[str, list[Tensor]] = {name: [] for name in encoder.layers}
    with evaluating(encoder):
        for batch in inputs.split(batch_size):
            with layer_outputs(encoder.layers, keep=copied) as outputs:
                encoder(batch.to(device))
            for name, output in outputs.items():
                found[name].append(output)
        missed = [name for name, batches in found.items() if not batches]
        if missed:
            raise ValueError(
                f"the forward pass does not reach `{', '.join(missed)}`: leave this name out of the encoder's layers."
            )
    features = {name: torch.cat(batches) for name, batches in found.items()}
    for name, rows in features.items():
        if len(rows) != len(inputs):
            raise ValueError(
                f"layer `{name}` gives {len(rows)} rows for {len(inputs)} inputs: leave this name out of the encoder's "
                "layers, or name a layer whose first axis is the inputs."
            )
    return features


def device_of(encoder: nn.Module, inputs: Tensor) -> torch.device:
    """Return the device of the parameters, or of the inputs where there are no parameters."""
    return next((p.device for p in encoder.parameters()), inputs.device)


def layer_costs(encoder: Encoder, inputs: Tensor, *, repeats: int = 5) -> dict[str, Cost]:
    """Return :func:`adapt.ranking.cost` from the input to the end of each layer."""
    met: set[nn.Parameter] = set()
    times: dict[str, list[float]] = {name: [] for name in encoder.layers}

    def arrive(module: nn.Module, *_: Any) -> None:
        met.update(module.parameters(recurse=False))

    def count(name: str, _: Any) -> tuple[int, int]:
        met.update(encoder.layers[name].parameters())  # some modules use children's parameters without calling them
        return sum(p.numel() for p in met), counter.operations

    arrivals = [module.register_forward_pre_hook(arrive) for module in encoder.modules()]
    with evaluating(encoder):
        try:
            with counting() as counter, layer_outputs(encoder.layers, keep=count) as counts:
                encoder(inputs)
        finally:
            for handle in arrivals:
                handle.remove()
        for _ in range(repeats):
            start = synchronized_time(inputs)
            with layer_outputs(encoder.layers, keep=lambda *_: synchronized_time(inputs)) as ends:
                encoder(inputs)
            for name, end in ends.items():
                times[name].append(end - start)
    n = len(inputs)
    return {
        name: Cost(parameters, flops / n, 1000 * statistics.median(times[name]) / n)
        for name, (parameters, flops) in counts.items()
    }
