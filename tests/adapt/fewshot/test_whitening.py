"""`fewshot.whitening`: the differences within a class become equally large in all directions."""

import copy
import pickle

import pytest
import torch
from torch.utils.data import TensorDataset

from adapt import fewshot
from adapt.fewshot.method import unit_rows


def rows(n=120, d=6, classes=12, seed=0, dtype=torch.float32):
    generator = torch.Generator().manual_seed(seed)
    y = torch.arange(n) % classes
    stretch = torch.tensor([3.0, 1.0, 1.0, 0.5, 0.2, 0.1])[:d]
    x = torch.randn(classes, d, generator=generator)[y] + stretch * torch.randn(n, d, generator=generator)
    return TensorDataset(x.to(dtype), y)


def covariance(data):
    """S of the definition, class by class in float64."""
    x, y = data.tensors
    x = unit_rows(x.double())
    parts = [x[y == k] - x[y == k].mean(0) for k in y.unique()]
    return torch.cat(parts).T @ torch.cat(parts) / len(x)


@pytest.mark.parametrize("n", [120, 5])  # 5: fewer rows than features
@pytest.mark.parametrize("shrinkage", [0.5, 0.05, 1.0])
def test_the_distance_is_the_distance_of_mahalanobis(n, shrinkage):
    data = rows(n, classes=2 if n == 5 else 12)
    S = covariance(data)
    S = (1 - shrinkage) * S + shrinkage * S.trace() / 6 * torch.eye(6, dtype=torch.float64)
    z = fewshot.whitening(data, shrinkage=shrinkage)(data.tensors[0])
    x = unit_rows(data.tensors[0].double())
    difference = x[0] - x
    expected = (difference @ S.inverse() * difference).sum(1)
    torch.testing.assert_close((z[0] - z).double().square().sum(1), expected, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(z.mean(0), torch.zeros(6), atol=1e-4, rtol=0)


def test_the_centroid_then_equals_lda_with_this_covariance():
    data, new = rows(), rows(60, seed=1)
    layer = fewshot.whitening(data)
    support, query, y = new.tensors[0][:12], new.tensors[0][12:], new.tensors[1][:12]
    expected = fewshot.lda(covariance=covariance(data).float())(support, y, query)
    found = fewshot.centroid(temperature=2.0)(layer(support), y, layer(query))
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-3)


def test_rows_without_a_class_order_and_names_of_classes_change_nothing():
    x, y = rows().tensors
    expected = fewshot.whitening(TensorDataset(x, y))(x)
    more = TensorDataset(torch.cat([x, 9 * torch.ones(3, 6)]), torch.cat([3 * y + 4, torch.full((3,), -1)]).int())
    torch.testing.assert_close(fewshot.whitening(more)(x), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("scale", [1e-20, 1.0, 1e20])
def test_the_scale_of_the_features_counts_for_nothing(scale):
    x, y = rows().tensors
    expected = fewshot.whitening(TensorDataset(x, y))(x)
    found = fewshot.whitening(TensorDataset(scale * x, y))(scale * x)
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_other_numbers(dtype):
    x, y = rows(dtype=dtype).tensors
    found = fewshot.whitening(TensorDataset(x, y))(x)
    assert found.dtype == torch.float32
    expected = fewshot.whitening(TensorDataset(x.double(), y))(x.double())
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


def test_the_layer_is_saved_copied_and_sent():
    data = rows()
    layer, x = fewshot.whitening(data), data.tensors[0]
    other = fewshot.whitening(rows(seed=3))
    assert not torch.allclose(other(x), layer(x))
    other.load_state_dict(layer.state_dict())
    for one in (other, copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
        assert torch.equal(one(x), layer(x))
    assert layer(x[:0]).shape == (0, 6) and not list(layer.parameters())


def test_what_is_refused():
    x, y = rows().tensors
    bad = x.clone()
    bad[3, 2] = float("nan")
    for data, message in [
        (TensorDataset(x), "TensorDataset of"),
        (TensorDataset(x, y.float()), "TensorDataset of"),
        (TensorDataset(bad, y), "must be finite, got 1 of 120"),
        (TensorDataset(x[:0], y[:0]), "n >= 1"),
        (TensorDataset(x, torch.full_like(y, -1)), "n >= 1"),
        (TensorDataset(x[:12], y[:12]), "two rows that differ"),
        (TensorDataset(torch.ones(12, 6), torch.zeros(12).long()), "two rows that differ"),
    ]:
        with pytest.raises(ValueError, match=message):
            fewshot.whitening(data)
    with pytest.raises(ValueError, match="take features of the same encoder"):
        fewshot.whitening(TensorDataset(x, y))(torch.ones(2, 5))
