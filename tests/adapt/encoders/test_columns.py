"""A transformer over the columns of a table."""

import numpy
import pytest
import torch

from adapt import encoders

nan = float("nan")


def table(rows=5, number=4):
    x = torch.randn(rows, number, generator=torch.Generator().manual_seed(0))
    x[0, 1], x[2], x[3, 3] = nan, nan, nan
    return x


def network(**options):
    torch.manual_seed(0)
    return encoders.columns(4, dim=8, heads=2, **options)


def reference(encoder, rows):
    """The equations in float64, one row and one head at a time."""
    p = {name: value.detach().double().numpy() for name, value in encoder.body.named_parameters()}

    def norm(x, name):
        centred = x - x.mean(-1, keepdims=True)
        return centred / numpy.sqrt(x.var(-1, keepdims=True) + 1e-5) * p[f"{name}.weight"] + p[f"{name}.bias"]

    def linear(x, name):
        return x @ p[f"{name}.weight"].T + p[f"{name}.bias"]

    features = []
    for row in rows.double().numpy():
        tokens = [p["tokens.first"][0, 0]]
        for j, value in enumerate(row):
            here = value * p["tokens.weight"][j] + p["tokens.bias"][j]
            tokens.append(p["tokens.missing"][j] if numpy.isnan(value) else here)
        x = numpy.stack(tokens)
        for layer in encoder.body.names:
            q, k, v = numpy.split(linear(norm(x, f"{layer}.before"), f"{layer}.qkv"), 3, 1)
            seen = []
            for part in (slice(0, 4), slice(4, 8)):
                a = numpy.exp(q[:, part] @ k[:, part].T / 2)
                seen.append(a / a.sum(1, keepdims=True) @ v[:, part])
            x = x + linear(numpy.concatenate(seen, 1), f"{layer}.out")
            inner = numpy.maximum(linear(norm(x, f"{layer}.between"), f"{layer}.inner"), 0)
            x = x + linear(inner, f"{layer}.outer")
        features.append(norm(x, "norm")[0])
    return torch.tensor(numpy.stack(features))


def test_features_are_those_of_the_equations():
    encode, x = network(layers=2).eval(), table()
    assert encode.dim == 8 and list(encode.layers) == ["tokens", "layer1", "layer2"]
    torch.testing.assert_close(encode(x).double(), reference(encode, x), rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(encode.double()(x.double()), reference(encode, x), rtol=1e-12, atol=1e-12)


def test_a_row_is_alone_and_a_missing_value_is_no_zero():
    encode, x = network().eval(), table()
    torch.testing.assert_close(encode(x[1:2]), encode(x)[1:2])
    assert (encode(x[:1]) - encode(x[:1].nan_to_num())).abs().max() > 1e-3
    assert encode(x[:0]).shape == (0, 8)
    torch.testing.assert_close(encode(x[2:3]), encode(torch.full((1, 4), nan)))


def test_a_share_of_the_values_is_hidden_in_training_alone():
    encode = network(dropout=0.0, column_dropout=0.3)
    found, x = [], torch.ones(2000, 4)
    encode.body.layer1.register_forward_pre_hook(lambda module, given: found.append(given[0]))
    encode(x), encode.eval()(x)
    hidden = (found[0][:, 1:] == encode.body.tokens.missing).all(2).double().mean(0)
    assert ((hidden - 0.3).abs() < 0.04).all()
    assert not (found[1][:, 1:] == encode.body.tokens.missing).all(2).any()


def test_half_precision_gradients_and_export():
    encode, x = network(dropout=0.0), table()
    plain = encode.eval()(x)
    with torch.autocast("cpu", torch.bfloat16):
        torch.testing.assert_close(encode(x).float(), plain, rtol=0.1, atol=0.1)
    assert encode(x.bfloat16()).isfinite().all()
    plain.square().sum().backward()
    assert all(p.grad.isfinite().all() for p in encode.parameters()) and encode.body.tokens.missing.grad.any()
    program = torch.export.export(encode, (x,), dynamic_shapes=({0: torch.export.Dim.DYNAMIC},))
    torch.testing.assert_close(program.module()(table(9)), encode(table(9)))


def test_other_sizes_and_inputs():
    with pytest.raises(ValueError, match="`dim` must be a multiple of `heads`, got 6 and 4"):
        encoders.columns(3, dim=6)
    for x in (torch.ones(2, 3), torch.ones(4), torch.ones(2, 4, dtype=torch.long)):
        with pytest.raises(ValueError, match=r"must be \(n, 4\) numbers with NaN where a value is missing, got shape"):
            network()(x)
