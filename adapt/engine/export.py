"""A trained model as one program of ``torch.export``, or as an ONNX graph."""

import contextlib
import io
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram

from adapt import store
from adapt.engine.programs import ROWS, check_equal, made_up, program_of, read_program, write_program
from adapt.evaluating import evaluating
from adapt.streams.tree import map_tensors, tensors

INSTALL = 'pip install "adapt-losses[onnx]"  (or: pip install onnx onnxscript onnxruntime)'


class Together(nn.Module):
    """The head behind the encoder.

    Args:
        encoder: from inputs to features.
        head: from features to outputs.
    """

    def __init__(self, encoder: nn.Module, head: nn.Module):
        super().__init__()
        self.encoder, self.head = encoder, head

    def forward(self, inputs: Any) -> Any:
        return self.head(self.encoder(inputs))


def export_program(module: nn.Module, form: Any, path: Path) -> None:
    """Write a program of ``torch.export`` for any number of rows, after a comparison of the written file.

    Args:
        module: the model, from inputs to outputs.
        form: of a row of the inputs, as json.
        path: of the file.
    """
    inputs = made_up(form)
    program = program_of(module, inputs)
    with store.whole_file(path) as temporary:
        write_program(program, temporary)
        again: ExportedProgram = read_program(temporary)
        more = made_up(form, 2 * ROWS)
        with evaluating(module):
            check_equal(again.module()(more), module(more), f"the program in `{path}`")


def export_onnx(module: nn.Module, form: Any, path: Path) -> None:
    """Write an ONNX graph for any number of rows, after a comparison of the written file through onnxruntime.

    Args:
        module, form, path: as in :func:`export_program`.

    Raises:
        ModuleNotFoundError: without onnx, onnxscript and onnxruntime.
    """
    try:
        import onnxruntime
        import onnxscript  # noqa: F401  # torch.onnx asks for it later, with another message
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(f'`format="onnx"` needs {error.name}: {INSTALL}', name=error.name) from None
    inputs, more = made_up(form), made_up(form, 2 * ROWS)
    every = map_tensors(inputs, lambda _: {0: Dim.DYNAMIC})  # type: ignore[arg-type, return-value]  # a tree of the same form
    with evaluating(module), torch.no_grad(), store.whole_file(path) as temporary:
        with contextlib.redirect_stdout(io.StringIO()):  # torch.onnx prints its progress
            torch.onnx.export(
                module, (inputs,), str(temporary), dynamo=True, dynamic_shapes=(every,), external_data=False,
                verbose=False,
            )  # fmt: skip
        session = onnxruntime.InferenceSession(str(temporary), providers=["CPUExecutionProvider"])
        names = [i.name for i in session.get_inputs()]
        values = [t.numpy() for t in tensors(more)]
        found = session.run(None, dict(zip(names, values, strict=True)))
        expected: list[Tensor] = list(tensors(module(more)))
        check_equal([torch.from_numpy(x) for x in found], expected, f"the graph in `{path}`")
