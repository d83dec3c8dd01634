"""Networks of ONNX files as modules of torch."""

import sys
from copy import deepcopy
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import TensorDataset

import adapt
from adapt import Model, Stream, Trainer, encoders, heads

onnx = pytest.importorskip("onnx", reason="extra `onnx`: pip install onnx onnx2torch onnxruntime")
pytest.importorskip("onnx2torch", reason="extra `onnx`: pip install onnx onnx2torch onnxruntime")
pytest.importorskip("onnxruntime", reason="extra `onnx`: pip install onnx onnx2torch onnxruntime")
from onnx import TensorProto, helper, numpy_helper  # noqa: E402  # after the skip

W, B = np.random.default_rng(0).normal(size=(12, 5)), np.linspace(-1, 1, 5)
X = (
    torch.randn(6, 3, 4, generator=torch.Generator().manual_seed(1))
    * torch.tensor([1.0, 9, 0.1, 1, 1, 1])[:, None, None]
)


def node(kind, inputs, output, **attributes):
    return helper.make_node(kind, inputs, [output], **attributes)


def constant(name, values, kind="int64"):
    return node("Constant", [], name, value=numpy_helper.from_array(np.array(values, kind)))


def written(path: Path, nodes, rows=1, inputs=("x",), outputs=("y",), features=5) -> Path:
    weights = [numpy_helper.from_array(a.astype("float32"), n) for n, a in (("W", W), ("B", B))]
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [rows, 3, 4]) for name in inputs]
    found = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [rows, features]) for name in outputs]
    graph = helper.make_graph(nodes, "graph", ends, found, weights)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 14)], ir_version=8), path)
    return path


def ranged(shape=(1, -1), last="Relu"):
    """The input from 0 to 1, over the whole input, as the packaged word encoder does; then a layer, and a `Clip`."""
    return [
        constant("flat", shape), constant("one", [1, 1]), constant("square", [1, 3, 4]), constant("rows", [1, 12]),
        constant("low", -0.5, "float32"), constant("wide", [1, 5]),
        node("Reshape", ["x", "flat"], "a"),
        node("ReduceMin", ["a"], "l", axes=[1], keepdims=0), node("ReduceMax", ["a"], "h", axes=[1], keepdims=0),
        node("Reshape", ["l", "one"], "low_of"), node("Reshape", ["h", "one"], "high_of"),
        node("Sub", ["a", "low_of"], "b"), node("Sub", ["high_of", "low_of"], "c"), node("Div", ["b", "c"], "d"),
        node("Reshape", ["d", "square"], "e"), node("Reshape", ["e", "rows"], "f"),
        node("Gemm", ["f", "W", "B"], "g"), node("Clip", ["g", "low", ""], "i"), node("Expand", ["i", "wide"], "j"),
        node(last, ["j"], "y"),
    ]  # fmt: skip


def by_hand(x):
    """Slow float64 reference, a row at a time."""
    found = []
    for row in x.double().numpy().reshape(len(x), -1):
        scaled = (row - row.min()) / (row.max() - row.min())
        found.append(np.maximum(np.maximum(scaled @ W + B, -0.5), 0))
    return np.stack(found)


@pytest.fixture
def encoder(tmp_path):
    return encoders.from_onnx(written(tmp_path / "g.onnx", ranged()), example=X)


def test_rows_of_a_batch_are_normalised_one_by_one(encoder):
    assert encoder.dim == 5 and encoder.training
    encoder.eval()
    together, alone = encoder(X), torch.cat([encoder(row[None]) for row in X])
    np.testing.assert_allclose(together.detach(), by_hand(X), atol=1e-5)
    assert torch.allclose(together, alone, atol=1e-6)


def test_a_bound_may_be_absent_on_either_side(tmp_path):
    nodes = [constant("r", [1, 12]), constant("top", 0.25, "float32"), node("Reshape", ["x", "r"], "a")]
    nodes += [node("Gemm", ["a", "W", "B"], "g"), node("Clip", ["g", "", "top"], "y")]
    found = encoders.from_onnx(written(tmp_path / "g.onnx", nodes), example=X)
    np.testing.assert_allclose(found(X).detach(), (X.flatten(1).double().numpy() @ W + B).clip(max=0.25), atol=1e-5)


def test_a_graph_for_any_number_of_rows_stays_as_it_is(tmp_path):
    nodes = [constant("r", [-1, 12]), node("Reshape", ["x", "r"], "a"), node("Gemm", ["a", "W", "B"], "y")]
    found = encoders.from_onnx(written(tmp_path / "g.onnx", nodes, rows="n"), example=X)
    np.testing.assert_allclose(found(X).detach(), X.flatten(1).double().numpy() @ W + B, rtol=1e-4, atol=1e-5)


def test_the_module_learns_and_resumes(encoder, tmp_path):
    labels = torch.arange(6) % 2

    def trainer(folder):
        torch.manual_seed(0)
        body = deepcopy(encoder)
        head = heads.Classifier(body, 2)
        streams = {"source": Stream(TensorDataset(X, labels), 3)}
        return Trainer(body, adapt.supervised(head, "source"), streams, log=folder, save_every=2, progress=False)

    first = trainer(tmp_path / "a")
    before = [p.clone() for p in first.encoder.parameters()]
    assert before
    first.fit(steps=4)
    assert all(not torch.equal(a, b) for a, b in zip(before, first.encoder.parameters(), strict=True))
    trainer(tmp_path / "b").fit(steps=2)
    second = trainer(tmp_path / "b")
    second.fit(steps=4)
    for a, b in zip(first.encoder.state_dict().values(), second.encoder.state_dict().values(), strict=True):
        assert torch.equal(a, b)


def test_bf16_keeps_finite_features(encoder):
    with torch.autocast("cpu", torch.bfloat16):
        found = encoder(X)
    assert found.isfinite().all() and torch.allclose(found.float(), encoder(X), atol=0.1)


def test_a_saved_model_predicts(encoder, tmp_path):
    model = Model(encoder, heads.Classifier(encoder, 2), inputs=X[:2])
    model.save(tmp_path / "model")
    loaded = Model.load(tmp_path / "model")
    for rows in (1, 4, 6):
        np.testing.assert_allclose(loaded.probabilities(X[:rows]), model.probabilities(X[:rows]), atol=1e-6)


def mixed(axis):
    return [
        constant("r", [-1, 12]), node("Reshape", ["x", "r"], "a"), node("ReduceMean", ["a"], "m", axes=[axis]),
        node("Sub", ["a", "m"], "b"), node("Gemm", ["b", "W", "B"], "y"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("nodes", "options", "message"),
    [
        (mixed(0), {"rows": "n"}, "rows of a batch mix"),
        (ranged(last="LpNormalization"), {}, "onnx2torch cannot take the graph .*LpNormalization"),
        (ranged(), {"rows": 4}, "for one row or for any number of rows, got 4"),
        ([node("Add", ["x", "z"], "y")], {"inputs": ("x", "z"), "features": 4}, r"one input and one output, got \['x'"),
        ([node("Neg", ["x"], "y"), node("Neg", ["x"], "v")], {"outputs": ("y", "v")}, "one input and one output"),
    ],
)
def test_graphs_that_are_refused(tmp_path, nodes, options, message):
    with pytest.raises(ValueError, match=message):
        encoders.from_onnx(written(tmp_path / "g.onnx", nodes, **options), example=X)


def test_maps_and_foreign_files_are_refused(tmp_path):
    path = written(tmp_path / "g.onnx", ranged())
    with pytest.raises(ValueError, match="`example` must be inputs of the graph"):
        encoders.from_onnx(path, example=X[:, :2])
    with pytest.raises(ValueError, match=r"at least two inputs.*got \(1, 3, 4\)"):
        encoders.from_onnx(path, example=X[:1])
    with pytest.raises(FileNotFoundError, match="there is no file"):
        encoders.from_onnx(tmp_path / "none.onnx", example=X)
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(ValueError, match="no complete ONNX graph"):
        encoders.from_onnx(path, example=X)
    graph = helper.make_graph(
        [node("Neg", ["x"], "y")], "map", [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 3, 4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 3, 4])],
    )  # fmt: skip
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 14)], ir_version=8), path)
    with pytest.raises(ValueError, match=r"must return \(n, d\) features, got \(6, 3, 4\)"):
        encoders.from_onnx(path, example=X)


def test_an_absent_package_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnx2torch", None)
    with pytest.raises(ImportError, match=r"pip install .*onnx2torch"):
        encoders.from_onnx(tmp_path / "g.onnx", example=X)


def test_weights_of_a_layer_are_weights_of_the_graph(encoder):
    shapes = sorted(tuple(p.shape) for p in encoder.parameters())
    assert shapes == [(5,), (5, 12)] and isinstance(next(iter(encoder.layers.values())), nn.Module)
