"""Weights of an encoder in a checkpoint folder of a trainer."""

from collections.abc import Mapping
from pathlib import Path

from safetensors.torch import load_file
from torch import Tensor, nn

from adapt import store

FORMAT = "adapt-losses checkpoint 1"
WEIGHTS, STATE = "weights.safetensors", "state.pt"
ENCODER, AVERAGE = "encoder.", "module."


def read_checkpoint(folder: Path) -> dict[str, Tensor]:
    """Return the weights of the encoder in a checkpoint folder by name, averaged weights where the run kept an average.

    Several encoders have their names in front: ``image.layer.weight``.

    Raises:
        ValueError: no checkpoint, a torn checkpoint, or a checkpoint without an encoder.
    """
    try:
        store.check(folder, FORMAT, (WEIGHTS, STATE))
    except ValueError as error:
        raise ValueError(
            f"expected a weight file, or the folder of one checkpoint as `{folder}/checkpoints/step-000000500`: {error}"
        ) from error
    weights, average = load_file(folder / WEIGHTS), store.load_torch(folder / STATE)["ema"]
    if average is not None:
        weights = {name.removeprefix(AVERAGE): value for name, value in average.items() if name.startswith(AVERAGE)}
    found = {name.removeprefix(ENCODER): value for name, value in weights.items() if name.startswith(ENCODER)}
    if not found:
        raise ValueError(f"`{folder}` holds no weights of an encoder.")
    return {name: value for name, value in found.items() if isinstance(value, Tensor)}


def fitted(weights: Mapping[str, Tensor], module: nn.Module) -> dict[str, Tensor]:
    """Return the weights of a checkpoint under the names of `module`: of one encoder of several, and of tied tensors.

    A checkpoint holds a tensor with two names once, under the first name.
    """
    own = module.state_dict(keep_vars=True)
    prefixes = ["", *dict.fromkeys(f"{name.split('.')[0]}." for name in weights)]
    matching = [prefix for prefix in prefixes if any(prefix + name in weights for name in own)]
    prefix = max(matching, key=lambda p: sum(p + name in weights for name in own), default="")
    there = {name.removeprefix(prefix): value for name, value in weights.items() if name.startswith(prefix)}
    first = {id(own[name]): there[name] for name in own if name in there}
    return {**there, **{name: first[id(own[name])] for name in own if name not in there and id(own[name]) in first}}
