"""Encoder and head of a checkpoint: what a trainer writes about both, and how both come back."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import Tensor, nn

from adapt.engine import checkpoint
from adapt.engine.card import card_of_run
from adapt.engine.evaluate import form_of
from adapt.engine.model_data import of_streams, precision_of
from adapt.engine.model_folder import Parts, load_tensors
from adapt.engine.programs import form_of_inputs
from adapt.engine.recipes import NoRecipe, describe_module, describe_or_lose, make_module
from adapt.protocols import Head, Source, offers

if TYPE_CHECKING:
    from adapt.engine._trainer import Trainer


def facts_of_run(trainer: "Trainer") -> dict[str, Any]:
    """Return what a checkpoint says about encoders and heads: descriptions, without weights and without code."""
    network, names = trainer.network, trainer.readers.names
    encoders = ["encoder"] if names is None else [f"encoder.{name}" for name in dict.fromkeys(names.values())]
    streams = {name: _facts_of_data(trainer.streams, name) for name in trainer.streams}
    for name, facts in streams.items():
        facts["encoder"] = trainer.readers.path(name)
    return {
        "encoders": {path: _described(network.get_submodule(path)) for path in encoders},
        "heads": {path: _described(head) for path, head in heads_of(network).items()},
        "streams": streams,
        "shared": _facts_of_data(trainer.streams, None),
        "precision": precision_of(trainer.autocast),
        "card": card_of_run(trainer),
    }


def _facts_of_data(streams: Mapping[str, Source], stream: str | None) -> dict[str, Any]:
    form = form_of(streams, stream)
    inputs, preparation = of_streams(streams, stream, form)
    return {
        "preparation": describe_or_lose(preparation), "inputs": form_of_inputs(inputs), "label": form.label,
        "input": form.input, "collate": describe_or_lose(form.collate),
    }  # fmt: skip


def heads_of(network: nn.Module) -> dict[str, nn.Module]:
    """Return the heads of the terms by their path, without heads inside of heads."""
    inside = dict(network.named_modules())
    found = [path for path, m in inside.items() if path.startswith("terms.") and offers(m, Head)]
    return {path: inside[path] for path in found if not any(path.startswith(f"{other}.") for other in found)}


def _described(module: nn.Module) -> dict[str, Any]:
    try:
        return describe_module(module)
    except (NoRecipe, TypeError) as error:
        return {"none": str(error), "kind": type(module).__name__}


def parts_of_checkpoint(
    folder: Path, head: str | nn.Module | None, encoder: nn.Module | None, stream: str | None
) -> tuple[Parts, dict[str, Any]]:
    """Return encoder, head and facts of a checkpoint, or of the newest checkpoint of a log folder."""
    where, weights, state = _read(folder)
    plain = state.get("model")
    if plain is None:
        raise checkpoint.CheckpointError(f"`{where}` says nothing about its model: it is of another version.")
    known = plain["streams"]
    if (stream is None and len(plain["encoders"]) > 1) or (stream is not None and stream not in known):
        raise ValueError(
            f"`stream` must be one of {list(known)}, got {stream!r}: the run has the encoders "
            f"{', '.join(plain['encoders'])}."
        )
    data = plain["shared"] if stream is None else known[stream]
    reader = data.get("encoder", next(iter(plain["encoders"])))
    path, made = _head(plain["heads"], head, where)
    if encoder is None:
        encoder = _made("encoder", plain["encoders"][reader], where)
    if state["ema"] is not None:
        weights = {n.removeprefix("module."): t for n, t in state["ema"].items() if n.startswith("module.")}
    _load(encoder, weights, reader, where)
    _load(made, weights, path, where)
    return Parts(encoder, made), {**data, "precision": plain["precision"], "stream": stream, "card": plain["card"]}


def _read(folder: Path) -> tuple[Path, dict[str, Tensor], dict[str, Any]]:
    inner = folder / "checkpoints"
    for place in (inner, folder):
        if checkpoint.newest_first(place):
            return checkpoint.newest(place)
    return folder, *checkpoint.read(folder)


def _head(known: Mapping[str, Mapping[str, Any]], head: str | nn.Module | None, where: Path) -> tuple[str, nn.Module]:
    """Return the path and the module of the head."""
    names = {path: path.split(".")[1] for path in known}
    paths = [path for path in known if not isinstance(head, str) or names[path] == head]
    if isinstance(head, nn.Module) and len(paths) > 1:
        own = {n: t.shape for n, t in head.state_dict().items()}
        paths = [path for path in paths if _shapes(known[path]) in (None, sorted(_lines(own)))]
    if len(paths) != 1:
        raise ValueError(
            f"`head` must name one of the terms {sorted(set(names.values()))} of `{where}` with one head, got "
            f"{head if isinstance(head, str) or head is None else type(head).__name__}: "
            "`Model.from_checkpoint(folder, head=name)`."
        )
    (path,) = paths
    return path, head if isinstance(head, nn.Module) else _made("head", known[path], where)


def _lines(shapes: Mapping[str, Any]) -> list[str]:
    return [f"{name}: {tuple(shape)}" for name, shape in shapes.items()]


def _shapes(plain: Mapping[str, Any]) -> list[str] | None:
    """Return the lines of the tensors of a description; None where there is no description."""
    if "structure" not in plain:
        return None
    return sorted(line for line in plain["structure"] if line.endswith(")") and ": (" in line)


def _made(part: str, plain: Mapping[str, Any], where: Path) -> nn.Module:
    if "none" in plain:
        raise ValueError(
            f"`{where}` does not describe its {part} ({plain['kind']}: {plain['none']}): give a module of the same "
            f"tensors, `Model.from_checkpoint(folder, {part}=...)`."
        )
    return make_module(plain)


def _load(module: nn.Module, weights: Mapping[str, Tensor], path: str, where: Path) -> None:
    own = checkpoint.tensors(module)
    prefix = f"{path}."
    there = {n.removeprefix(prefix): t for n, t in weights.items() if n.startswith(prefix)}
    # averaged weights have all names of a tensor, weights the first name alone
    load_tensors(module, {n: t for n, t in there.items() if n in own or n not in module.state_dict()}, str(where))
