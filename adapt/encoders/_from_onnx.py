"""Networks in ONNX files as trainable encoders."""

from collections.abc import Sequence
from operator import attrgetter
from pathlib import Path
from typing import Any

import numpy
import torch
from torch import Tensor

from adapt.encoders.encoder import Encoder
from adapt.evaluating import evaluating

INSTALL = 'pip install "adapt-losses[onnx]"  (or: pip install onnx onnx2torch onnxruntime)'
FROZEN = "`encoders.callable` around a session of onnxruntime makes a frozen encoder of any graph."
CLOSE = 1e-4  # of the largest number: float32 in another order of sums


def from_onnx(file: str | Path, *, example: Tensor, layers: Sequence[str] | None = None) -> Encoder:
    """Return the network of an ONNX file as a trainable module of torch, with weights and for any number of rows.

    The conversion is by onnx2torch, after three changes that keep the meaning of the graph: nodes without inputs that
    hold a constant become weights of the graph; an absent bound of ``Clip`` becomes an infinite bound; and where the
    file was written for one row, a ``Reshape`` to ``(1, ...)`` keeps the number of rows, so that a normalisation over
    the whole input becomes a normalisation of each row.

    Args:
        file: an ONNX graph with one input and one output, for one row or for any number of rows. Read files that you
            trust alone: the file says what is computed.
        example: ``(n, ...)`` two inputs or more. onnxruntime computes the features of each row alone, and the module
            computes all rows at once: both must agree.
        layers: names of children of the module, from general to specific. None takes the children that have
            parameters, in the order of the graph.

    Returns:
        An :class:`Encoder`. A graph written for inference has no dropout, and often no BatchNorm: a converter folds
        BatchNorm layers into the convolutions before. ``Model.save`` keeps such an encoder as a program that
        predicts and does not learn.

    Precision: features agree with onnxruntime to 1e-4 of the largest feature. Follows autocast.

    Raises:
        ImportError: onnx, onnx2torch or onnxruntime is not installed.
        FileNotFoundError: no such file.
        ValueError: no ONNX graph; several inputs or outputs; a graph for another fixed number of rows than 1; an
            operation that onnx2torch does not know; an `example` of fewer than two rows; features that are not
            ``(n, d)``, or that differ from the features of onnxruntime, for example where rows of a batch mix.

    https://onnx.ai/onnx/operators
    """
    try:
        import onnx
        import onnx2torch
        import onnxruntime
    except ImportError as error:
        raise ImportError(f"`from_onnx` needs onnx, onnx2torch and onnxruntime: {INSTALL}") from error
    if not Path(file).is_file():
        raise FileNotFoundError(f"expected an ONNX graph at `{file}`, and there is no file.")
    if not isinstance(example, Tensor) or example.ndim < 2 or len(example) < 2:
        raise ValueError(
            "`example` must be (n, ...) at least two inputs: one row does not show whether the rows of a batch mix, "
            f"got {tuple(example.shape) if isinstance(example, Tensor) else type(example).__name__}."
        )
    try:
        model = onnx.load(file)
        onnx.checker.check_model(model)
        session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    except Exception as error:  # onnx, protobuf and onnxruntime have errors of their own
        raise ValueError(f"`{file}` is no complete ONNX graph: {error}") from error
    if len(session.get_inputs()) != 1 or len(session.get_outputs()) != 1:
        ends = [x.name for x in session.get_inputs()], [x.name for x in session.get_outputs()]
        raise ValueError(
            f"the graph must have one input and one output, got {ends[0]} and {ends[1]}: cut a part out with "
            "`onnx.utils.extract_model`."
        )
    rows = session.get_inputs()[0].shape[0]
    if isinstance(rows, int) and rows != 1:
        raise ValueError(
            f"the graph must be for one row or for any number of rows, got {rows}: write the file again with a free "
            f"first axis. {FROZEN}"
        )
    _prepare(model, free_rows=rows == 1)
    try:
        body = onnx2torch.convert(model)
    except Exception as error:  # mostly a NotImplementedError
        raise ValueError(f"onnx2torch cannot take the graph `{file}`: {error}. {FROZEN}") from error
    _plain_shapes(body)
    dim = _checked(body, session, example, file)
    encoder = Encoder(body, dim, layers=layers, source=str(file))
    return encoder.train()


def _prepare(model: Any, free_rows: bool) -> None:
    """Change the graph in place so that onnx2torch can take the graph, for any number of rows."""
    from onnx import numpy_helper

    graph = model.graph
    for node in [n for n in graph.node if n.op_type == "Constant" and n.attribute[0].name == "value"]:
        tensor = node.attribute[0].t
        tensor.name = node.output[0]
        graph.initializer.append(tensor)
        graph.node.remove(node)
    known = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    for number, node in enumerate(graph.node):
        if node.op_type == "Clip" and "" in node.input:
            bounds = [numpy.float32(-numpy.inf), numpy.float32(numpy.inf)]
            for place, bound in enumerate(bounds[: len(node.input) - 1], 1):
                if not node.input[place]:
                    node.input[place] = f"adapt_bound_{number}_{place}"
                    graph.initializer.append(numpy_helper.from_array(numpy.array(bound), node.input[place]))
        if free_rows and node.op_type == "Reshape" and node.input[1] in known and known[node.input[1]].size:
            shape = known[node.input[1]].copy()
            if shape[0] == 1:
                shape[0] = 0  # the size of the input
                node.input[1] = f"adapt_shape_{number}"  # the old shape may be shared
                graph.initializer.append(numpy_helper.from_array(shape, node.input[1]))


def _plain_shapes(body: Any) -> None:
    """Write constant shapes into the graph of torch as plain numbers: `torch.export` reads no shape from a tensor, and
    on a GPU a shape in a tensor is a host synchronisation."""
    from onnx2torch.node_converters.expand import OnnxExpand
    from onnx2torch.node_converters.reshape import OnnxReshape

    for node in body.graph.nodes:
        kind = type(body.get_submodule(node.target)) if node.op == "call_module" else None
        if kind in (OnnxReshape, OnnxExpand) and node.args[1].op == "get_attr":
            node.args = (node.args[0], tuple(attrgetter(node.args[1].target)(body).tolist()))
            if kind is OnnxReshape:
                node.op, node.target = "call_function", _reshape
    body.graph.eliminate_dead_code()
    body.recompile()


def _reshape(x: Tensor, shape: Sequence[int]) -> Tensor:
    """Return `x` with another shape; 0 keeps the size of the axis, as in ONNX."""
    return x.reshape([x.shape[axis] if size == 0 else size for axis, size in enumerate(shape)])


def _checked(body: Any, session: Any, example: Tensor, file: str | Path) -> int:
    """Return the feature size, after a comparison of all rows at once with onnxruntime row by row."""
    name = session.get_inputs()[0].name
    try:
        wanted = numpy.concatenate([session.run(None, {name: row[None].cpu().numpy()})[0] for row in example])
    except Exception as error:  # onnxruntime has errors of its own
        raise ValueError(
            f"`example` must be inputs of the graph, {session.get_inputs()[0].shape} of "
            f"{session.get_inputs()[0].type}, got {tuple(example.shape)} of {example.dtype}: {error}"
        ) from error
    try:
        with evaluating(body), torch.no_grad():
            found = body(example)
    except Exception as error:  # any shape that does not fit
        raise ValueError(
            f"the module of `{file}` fails with {len(example)} rows: the graph holds the number of rows in a way that "
            f"is not known here: {error}. {FROZEN}"
        ) from error
    if wanted.ndim != 2 or len(wanted) != len(example):
        raise ValueError(f"the graph must return (n, d) features, got {wanted.shape} for {len(example)} rows.")
    if found.shape != wanted.shape or not _close(found.numpy(force=True), wanted):
        raise ValueError(
            f"the module of `{file}` with {len(example)} rows differs from onnxruntime row by row: rows of a batch "
            f"mix, or an operation has another meaning in onnx2torch. {FROZEN}"
        )
    return wanted.shape[1]


def _close(found: numpy.ndarray, wanted: numpy.ndarray) -> bool:
    return bool(numpy.abs(found - wanted).max() <= CLOSE * max(numpy.abs(wanted).max(), numpy.finfo("float32").tiny))
