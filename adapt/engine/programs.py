"""Modules as programs of ``torch.export``, with any number of rows: what no description tells can still be computed."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.export import ExportedProgram

from adapt import store
from adapt.engine.recipes import NoRecipe
from adapt.evaluating import evaluating
from adapt.randomness import keyed_seed
from adapt.streams.tree import map_tensors, tensors

ROWS = 3  # of made-up inputs; torch.export treats 0 and 1 rows apart


class Program(nn.Module):
    """A module that computes a program of ``torch.export``, in evaluation alone.

    Args:
        program: the program, which keeps its weights.
        device: where the program runs.
    """

    def __init__(self, program: ExportedProgram, device: torch.device | str = "cpu"):
        super().__init__()
        if torch.device(device).type != "cpu":
            from torch.export.passes import move_to_device_pass

            program = move_to_device_pass(program, device)
        # in a list, not a part: the module of a program refuses `train` and `eval`
        self.kept: list[Any] = [program, program.module()]

    def forward(self, inputs: Any) -> Any:
        return self.kept[1](inputs)


class ProgramHead(Program):
    """A head that computes a program: outputs and names, without loss and score.

    Args:
        program, device: as in :class:`Program`.
        kind: the class of the head, for messages.
        names, classes: of the head, or None.
    """

    def __init__(
        self, program: ExportedProgram, device: torch.device | str, kind: str, names: list[str] | None,
        classes: int | None,
    ):  # fmt: skip
        super().__init__(program, device)
        self.kind = kind
        if names is not None:  # else no attribute: a head without names
            self.names: Any = names
        if classes is not None:
            self.classes: Any = classes

    def loss(self, output: Any, labels: Any) -> Tensor:
        raise self._lost("loss")

    def measure(self, output: Any, labels: Any) -> Any:
        raise self._lost("measure")

    def score(self, measures: Any, units: Any = None) -> Any:
        raise self._lost("score")

    def check(self, labels: Any) -> None:
        raise self._lost("check")

    def _lost(self, what: str) -> NoRecipe:
        return NoRecipe(
            f"`{what}` of the head {self.kind} is code, which a folder does not hold: give the head, "
            "`Model.load(folder, head=...)`."
        )


def form_of_inputs(inputs: Any) -> Any:
    """Return shape and dtype of a row of each tensor of a batch as json; None where a part is no tensor."""
    if isinstance(inputs, Tensor):
        return {"shape": list(inputs.shape[1:]), "dtype": str(inputs.dtype).removeprefix("torch.")}
    if isinstance(inputs, Mapping):
        parts = {k: form_of_inputs(v) for k, v in inputs.items()}
        return {"parts": parts} if None not in parts.values() and all(isinstance(k, str) for k in parts) else None
    if type(inputs) is tuple:
        rows = [form_of_inputs(v) for v in inputs]
        return {"tuple": rows} if None not in rows else None
    return None


def made_up(form: Any, rows: int = ROWS) -> Any:
    """Return a batch of made-up inputs: normal numbers, zeros for integers, True for booleans."""
    if "parts" in form:
        return {k: made_up(v, rows) for k, v in form["parts"].items()}
    if "tuple" in form:
        return tuple(made_up(v, rows) for v in form["tuple"])
    dtype, shape = getattr(torch, form["dtype"]), (rows, *form["shape"])  # torch has no table of its dtypes
    if dtype.is_floating_point:
        return torch.randn(shape, generator=torch.Generator().manual_seed(keyed_seed("made-up"))).to(dtype)
    return torch.ones(shape, dtype=dtype) if dtype == torch.bool else torch.zeros(shape, dtype=dtype)


def program_of(module: nn.Module, inputs: Any) -> ExportedProgram:
    """Return the program of a module in evaluation mode for any number of rows.

    Raises:
        NoRecipe: ``torch.export`` cannot trace the module, or traces it for one number of rows alone.
    """
    every = map_tensors(inputs, lambda _: {0: torch.export.Dim.DYNAMIC})  # type: ignore[arg-type, return-value]  # a tree of the same form
    with evaluating(module):
        try:
            program = torch.export.export(module, (inputs,), dynamic_shapes=(every,))
        except Exception as error:  # torch.export raises many kinds
            first = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
            raise NoRecipe(f"torch.export cannot trace a {type(module).__name__}: {first}") from error
        again, wanted = program.module()(two_rows(inputs)), module(two_rows(inputs))
    check_equal(again, wanted, f"the program of a {type(module).__name__}")
    return program


def two_rows(inputs: Any) -> Any:
    """Return the first two rows of made-up inputs: another number of rows than :data:`ROWS`."""
    return map_tensors(inputs, lambda t: t[:2])


def check_equal(found: Any, expected: Any, what: str, tolerance: float = 1e-5) -> None:
    """Raise a NoRecipe unless all tensors of two trees are equal up to `tolerance`, relative to the largest number."""
    pairs = list(zip(tensors(found), tensors(expected), strict=True))
    for one, other in pairs:
        one, other = one.detach().cpu().double(), other.detach().cpu().double()
        gap = (one - other).abs().max().item() if one.shape == other.shape and one.numel() else float("inf")
        if not gap <= tolerance * max(1.0, other.abs().max().item()):
            raise NoRecipe(f"{what} computes something else: the outputs differ by {gap:.3g}")


def write_program(program: ExportedProgram, path: Path) -> None:
    """Write a program without the inputs that the program was traced with."""
    program.example_inputs = None
    torch.export.save(program, path)


def read_program(path: Path) -> ExportedProgram:
    """Return the program of a file.

    ``torch.export.load`` would unpickle parts of a foreign file. A file with such a part is refused before it is read;
    :func:`write_program` writes none.

    Raises:
        ValueError: a file with a pickled part.
    """
    with store.open_zip(path) as archive:
        for name in archive.names:
            if name.endswith("_config.json"):
                config = json.loads(archive.read(name)).get("config", {})
                pickled = [part for part, facts in config.items() if facts.get("use_pickle", True)]
            elif "/sample_inputs/" in name:
                pickled = [name] if archive.read(name) else []
            else:
                continue
            if pickled:
                raise ValueError(f"`{path}` holds the pickled parts {pickled[:3]}, which could run code: not read.")
    return torch.export.load(path)
