"""Folders of models: weights as safetensors, everything else as json, nothing pickled."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from copy import deepcopy
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from adapt import store
from adapt.encoders import Encoder
from adapt.engine import checkpoint
from adapt.engine.answers import names_of_head
from adapt.engine.programs import (
    Program,
    ProgramHead,
    check_equal,
    made_up,
    program_of,
    read_program,
    write_program,
)
from adapt.engine.recipes import NoRecipe, Refused, describe_module, make_module
from adapt.evaluating import evaluating
from adapt.protocols import HasClasses, HasProbabilities, Predicts, offers

FORMAT = "adapt-losses model 1"
NAME = 64  # bytes of a text
WEIGHTS, FACTS, README = "weights.safetensors", "model.json", "README.md"
PARTS = ("encoder", "head")
REMEDY = (
    "Save the weights alone, `model.save(folder, architecture=False)`, and give the {part} again, "
    "`Model.load(folder, {part}=...)`."
)


class Parts(NamedTuple):
    """An encoder and a head."""

    encoder: nn.Module
    head: nn.Module


def described(parts: Parts, inputs: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the architecture of each part as json, and the program of each part that no description tells.

    A description makes the part once more here, and both must compute the same.

    Args:
        inputs: the form of a row of the inputs, or None where the form is not known.

    Raises:
        TypeError: neither a description nor a program tells a part.
    """
    plain: dict[str, Any] = {}
    programs: dict[str, Any] = {}
    copies = Parts(*(own_copy(part).cpu().eval() for part in parts))
    batch = None if inputs is None else made_up(inputs)
    for part, module in zip(PARTS, copies, strict=True):
        if part == "head" and batch is not None:
            with torch.no_grad():
                batch = copies.encoder(batch)
        try:
            plain[part] = described_and_tried(module, batch)
        except NoRecipe as reason:
            plain[part], programs[part] = _as_program(part, module, batch, reason)
    return plain, programs


def described_and_tried(module: nn.Module, batch: Any) -> dict[str, Any]:
    """Return the architecture of a module as json, after a look at a module made from it.

    Raises:
        NoRecipe: no description tells the module; another structure; other outputs on `batch`.
    """
    plain = json.loads(json.dumps(describe_module(module)))
    again = make_module(plain)
    load_tensors(again, checkpoint.tensors(module))
    if batch is not None:
        with evaluating(module):
            check_equal(again(batch), module(batch), "the module made from its description")
    return plain


def _as_program(part: str, module: nn.Module, batch: Any, reason: Exception) -> tuple[dict[str, Any], Any]:
    """Return the facts about a part that is saved as a program, and the program.

    Raises:
        TypeError: the part cannot be saved as a program.
    """
    remedy = REMEDY.format(part=part)
    inner = module.body if isinstance(module, Encoder) else module
    try:
        if isinstance(reason, Refused):
            raise reason
        if part == "head" and (offers(module, Predicts) or offers(module, HasProbabilities)):
            if not isinstance(module, ProgramHead):
                raise NoRecipe("the head has a `predict` or `probabilities` of its own, which is code")
        if isinstance(inner, Program):
            program = inner.kept[0]
        elif batch is None:
            raise NoRecipe("the form of the inputs is not known: give `Model(..., inputs=batch)` a batch")
        else:
            program = program_of(inner, batch)
    except NoRecipe as error:
        why = f"{reason}" if error is reason else f"{reason}; {error}"
        raise TypeError(
            f"the {part} ({type(module).__name__}) cannot be saved: {why}. Nothing was written. {remedy}"
        ) from error
    facts: dict[str, Any] = {"program": f"{part}.pt2", "kind": type(module).__name__}
    if isinstance(module, Encoder):
        facts |= {"dim": module.dim, "source": module.source, "licence": module.licence}
    if part == "head":
        facts |= {"names": names_of_head(module), "classes": module.classes if offers(module, HasClasses) else None}
    return facts, program


def write(folder: Path, parts: Parts, plain: Mapping[str, Any], programs: Mapping[str, Any], page: str) -> None:
    """Write a folder, complete or not at all.

    Raises:
        FileExistsError: `folder` exists already.
    """
    from safetensors.torch import save_file

    kept = nn.ModuleDict({n: m for n, m in zip(PARTS, parts, strict=True) if n not in programs})
    weights = {n: t.detach().cpu().contiguous() for n, t in checkpoint.tensors(kept).items()}
    with store.whole_folder(folder) as temporary:
        save_file(weights, temporary / WEIGHTS)
        (temporary / FACTS).write_text(json.dumps(plain, indent=1))
        for part, program in programs.items():
            write_program(program, temporary / f"{part}.pt2")
        store.seal(temporary, FORMAT)
        (temporary / README).write_text(page)  # after the seal: a user may write on


def read(
    folder: Path, device: torch.device | str, given: Mapping[str, nn.Module | None]
) -> tuple[Parts, dict[str, Any]]:
    """Return encoder, head and facts of a folder.

    Args:
        given: a part of the user in place of the saved architecture; None takes the saved architecture.

    Raises:
        FileNotFoundError: nothing at `folder`.
        Torn: a file is missing or was changed.
        Foreign: no folder of a model, or of another version.
        NoRecipe: a description that names other code than this toolkit, torch and torchvision, or another structure.
        ValueError: a part that was saved without its architecture and is not given; weights that do not fit; a file
            that no `Model.save` wrote, and a description of tensors of more than 4 times the files and 64 MiB.
    """
    if not folder.exists():
        raise FileNotFoundError(f"expected a folder of a model at `{folder}`, and there is none: check the path.")
    try:
        store.check(folder, FORMAT, (WEIGHTS, FACTS))
    except store.Torn as error:
        raise store.Torn(f"{error} Save the model again, or copy the folder again.") from error
    except store.Foreign as error:
        raise store.Foreign(
            f"{error} `Model.load` expects a folder that `Model.save` wrote; for a checkpoint take "
            "`Model.from_checkpoint`."
        ) from error
    with readable(folder):
        return _read(folder, device, given)


@contextmanager
def readable(where: str | Path) -> Iterator[None]:
    """Raise a ValueError for damage that the seal does not show: a file changed by hand, and sealed again."""
    try:
        yield
    except (ValueError, NoRecipe, OSError, MemoryError):
        raise
    except Exception as error:  # each kind of damage has another class
        raise ValueError(
            f"`{where}` cannot be read as a model ({type(error).__name__}: {error}): save the model again."
        ) from error


def _read(
    folder: Path, device: torch.device | str, given: Mapping[str, nn.Module | None]
) -> tuple[Parts, dict[str, Any]]:
    from safetensors.torch import load_file

    plain, tensors = json.loads((folder / FACTS).read_text()), load_file(folder / WEIGHTS)
    found, files = {}, (folder / FACTS, folder / WEIGHTS)
    budget = store.Budget.of(sum(path.stat().st_size for path in files))
    for part in PARTS:
        facts, module = plain[part], given[part]
        if module is None and "given" in facts:
            raise ValueError(
                f"the {part} ({facts['given']}) was saved without its architecture: give it, "
                f"`Model.load(folder, {part}=...)`."
            )
        if "program" in facts:
            program = read_program(folder / facts["program"])
            tensors |= {f"{part}.{inside}{n}": t for n, t in program.state_dict.items() for inside in [_inside(module)]}
            module = _program_part(part, facts, program, device) if module is None else module
        if module is None:
            budget.allow(NAME * _named_classes(facts), "the names of the classes")
            with store.LimitedTensors(budget):
                module = make_module(facts)
        found[part] = module
    kept = nn.ModuleDict({n: m for n, m in found.items() if not isinstance(_inner(m), Program)})
    load_tensors(kept, {n: t for n, t in tensors.items() if n.split(".")[0] in kept}, str(folder))
    return Parts(*(found[part].to(device).eval() for part in PARTS)), plain


def _named_classes(plain: Any) -> int:
    """Return the largest number of classes in a description: a head makes a name for each class."""
    if isinstance(plain, list):
        return max(map(_named_classes, plain), default=0)
    if not isinstance(plain, dict):
        return 0
    own = plain.get("classes")
    return max(own if isinstance(own, int) else 0, *map(_named_classes, plain.values()), 0)


def _inner(module: nn.Module) -> nn.Module:
    return module.body if isinstance(module, Encoder) else module


def _inside(module: nn.Module | None) -> str:
    return "body." if isinstance(module, Encoder) else ""


def _program_part(part: str, facts: Mapping[str, Any], program: Any, device: torch.device | str) -> nn.Module:
    if part == "head":
        return ProgramHead(program, device, facts["kind"], facts["names"], facts["classes"])
    if "dim" not in facts:
        return Program(program, device)
    return Encoder(Program(program, device), facts["dim"], source=facts["source"], licence=facts["licence"])


def load_tensors(module: nn.Module, tensors: Mapping[str, Tensor], where: str = "the weights") -> None:
    """Put all tensors into `module`, in the dtype of the tensors: a tensor for each name, and nothing else.

    Raises:
        ValueError: other names or shapes.
    """
    own = checkpoint.tensors(module)
    wrong = sorted(own.keys() ^ tensors.keys()) or [
        n for n in own if own[n].shape != tensors[n].shape or _kind(own[n]) != _kind(tensors[n])
    ]
    if wrong:
        raise ValueError(
            f"`{where}` and the module must have the same tensors, and they differ in {wrong[:3]}: make the module as "
            "it was when the weights were saved."
        )
    holders: dict[str, Tensor] = dict(module.named_buffers(remove_duplicate=False))
    holders.update(module.named_parameters(remove_duplicate=False))
    for name, tensor in tensors.items():
        holders[name].data = tensor.detach().clone().to(holders[name].device)


def _kind(tensor: Tensor) -> tuple[bool, bool]:
    return tensor.is_floating_point(), tensor.is_complex()


def own_copy(module: nn.Module) -> nn.Module:
    """Return a copy of a module, without the hooks that a trainer's balance reads gradients with."""
    from adapt.engine.tasks.parameter_gramian import ParameterGramian

    copy = deepcopy(module)
    for part in copy.modules():
        for key, hook in list(part._forward_hooks.items()):
            if isinstance(getattr(hook, "__self__", None), ParameterGramian):  # a bound method, else no such attribute
                del part._forward_hooks[key]
    return copy
